"""cases.py - which models the goldens cover: sequence length, and settings without `model.`.

Each option that changes the mathematics of a mixer is on in one case; two layers show that a
gradient also reaches the layer below. `-long` cases are longer than the chunks and tiles that
kernels work in, with one layer to stay small.
"""


def case(time, mixer, **settings):
    options = {key.replace("__", "."): value for key, value in settings.items()}
    return time, {"mixer": mixer, "d_model": 8, "layers": 2, **options}


CASES = {
    "attention": case(9, "attention"),
    "attention-long": case(70, "attention", layers=1, heads=2),
    "attention-rope": case(10, "attention", heads=2, qk_norm="rms", position="rope"),
    "attention-alibi": case(11, "attention", heads=4, qk_norm="l2", position="alibi"),
    "attention-window": case(13, "attention", window=4, position="learned", norm="layernorm"),
    "attention-bias": case(12, "attention", bias=True, ffn="gelu", ffn_inner=12,
                           position="sinusoidal", d_model=10),
    "attention-swiglu": case(9, "attention", ffn="swiglu", tie_head=False, window=3, heads=2,
                             position="rope"),
    "cat": case(11, "cat"),
    "cat-heads": case(13, "cat", heads=2, conv__on=["q"], conv__dilation=3, conv__width=4),
    "cat-depthwise": case(10, "cat", conv__kind="depthwise", conv__width=4, conv__bias=True,
                          conv__residual=True, conv__activation="silu", window=5),
    "cat-pre": case(12, "cat", conv__place="pre", qk_norm="pre", conv__on=["k", "v"]),
    "cat-pre-depthwise": case(9, "cat", conv__place="pre", conv__kind="depthwise", heads=2,
                              position="alibi"),
    "cat-post": case(9, "cat", qk_norm="post", heads=2, position="rope", conv__on=["v"],
                     conv__width=20),
    "linear": case(10, "linear"),
    "linear-heads": case(12, "linear", heads=4, d_model=12),
    "linear-long": case(70, "linear", layers=1, heads=2),
    "retnet": case(11, "retnet"),
    "retnet-heads": case(13, "retnet", heads=4, expand=1),
    "retnet-long": case(70, "retnet", layers=1, heads=2),
    "mamba": case(12, "mamba"),
    "mamba-no-conv": case(13, "mamba", conv_width=0, expand=1, state=5, dt_rank=3),
    "mamba-long": case(70, "mamba", layers=1, state=3),
    "mamba2": case(12, "mamba2", state=10, head_dim=4),
    "mamba2-no-conv": case(13, "mamba2", conv_width=0, expand=3, state=6),
    "mamba2-long": case(70, "mamba2", layers=1, state=6, head_dim=8),
    "deltanet": case(11, "deltanet"),
    "deltanet-heads": case(13, "deltanet", heads=2, conv_width=0),
    "gated_deltanet": case(12, "gated_deltanet"),
    "gated_deltanet-heads": case(9, "gated_deltanet", heads=4, conv_width=3),
    "gated_deltanet-long": case(70, "gated_deltanet", layers=1, heads=2),
    "rwkv4": case(13, "rwkv4", ffn="rwkv", ffn_inner=10, norm="layernorm"),
    "rwkv4-long": case(70, "rwkv4", layers=1),
    "rwkv6": case(10, "rwkv6", ffn="rwkv", ffn_inner=12, norm="layernorm"),
    "rwkv6-heads": case(12, "rwkv6", heads=2),
    "rwkv6-long": case(70, "rwkv6", layers=1, heads=2),
    "hyena": case(11, "hyena", filter_width=10, filter_features=5),
    "hyena-length": case(9, "hyena", filter_width=6, filter_features=9, filter_length=20,
                         conv_width=2),
    "h3": case(12, "h3", state=5),
    "h3-long": case(70, "h3", layers=1, state=3),
    "baseconv": case(10, "baseconv"),
    "baseconv-implicit": case(13, "baseconv", layers=1, conv_width=0),
    "convsamba": case(40, "convsamba", ffn="swiglu", ffn_inner=12, norm="layernorm"),
    "convsamba-rope": case(12, "convsamba", conv_width=4, rope=True, heads=2, layers=3,
                           dilation_period=2),
    "hybrid": (11, {"mixers": ["cat", "mamba2", "attention"], "d_model": 8, "layers": 4,
                    "state": 5, "heads": 2, "heads@attention": 4}),
}
