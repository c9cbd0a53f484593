"""skeleton.py - the model around mixers: embedding, residual blocks, head, and the probe's loss."""
import math

import torch

import attention
import filters
import rwkv
import state
from parts import centred, rms, silu
from weights import gain, linear

MIXERS = {**attention.MIXERS, **state.MIXERS, **rwkv.MIXERS, **filters.MIXERS}


def normalised(w, option, name, x):
    cols = x.shape[-1]
    if option("norm", "rmsnorm") == "rmsnorm":
        return rms(x, gain(w, name, cols))
    return centred(x, gain(w, name, cols), w(name + ".bias", cols))


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def feed_forward(w, option, kind, x):
    cols, bias = x.shape[-1], option("bias", False)
    if kind == "rwkv":
        return rwkv.channel_mix(w, option, x)
    if kind == "gelu":
        h = gelu(linear(w, "w1", x, option("ffn_inner", 0) or 4 * cols, bias))
    else:
        inner = option("ffn_inner", 0) or (8 * cols // 3 + 15) // 16 * 16
        h = silu(linear(w, "wg", x, inner, bias)) * linear(w, "w1", x, inner, bias)
    return linear(w, "w2", h, cols, bias)


def positions(w, option, time, cols):
    kind = option("position", "none")
    if kind == "learned":
        return w("position", time, cols, std=0.5)
    rows = torch.zeros(time, cols, dtype=torch.float64)
    if kind == "sinusoidal":
        for t in range(time):
            for c in range(cols):
                angle = t / 10000 ** (c // 2 * 2 / cols)
                rows[t, c] = math.cos(angle) if c % 2 else math.sin(angle)
    return rows


def logits(w, option, ids, vocab):
    """ids [B, T] -> [B, T, V]. option(name, default) reads a setting, for a mixer where it differs.
    """
    cols = option("d_model", 64)
    table = w("embed", vocab, cols, std=0.5)
    x = table[ids] + positions(w, option, ids.shape[1], cols)
    pattern = option("mixers", [option("mixer", "attention")])
    for layer in range(option("layers", 1)):
        name = pattern[layer % len(pattern)]
        h = normalised(w, option, f"layer.{layer}.mixer.norm", x)
        here = w.below(f"layer.{layer}.mixer")
        x = x + MIXERS[name](here, lambda key, start: option(f"{key}@{name}", option(key, start)),
                             h, layer)
        kind = option("ffn", "none")
        if kind != "none":
            h = normalised(w, option, f"layer.{layer}.ffn.norm", x)
            x = x + feed_forward(w.below(f"layer.{layer}.ffn"), option, kind, h)
    x = normalised(w, option, "head.norm", x)
    head = table if option("tie_head", True) else w("head", vocab, cols, std=0.5)
    return x @ head.T


def loss(z, ids):
    """Mean cross-entropy of the next token; the last position is not scored."""
    log_share = z - torch.logsumexp(z, -1, keepdim=True)
    return -log_share[:, :-1].gather(-1, ids[:, 1:, None]).mean()
