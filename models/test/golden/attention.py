"""attention.py - attention and cat: one query at a time over the keys it may see."""
import math

import torch

from parts import convolve, join, rms, rope, silu, split, unit
from weights import gain, linear


def attend(w, option, q, k, v, norm):
    """q, k, v [B, T, C] -> [B, T, C]. norm: none, rms, or l2 (a learned temperature per head)."""
    heads, window, position = option("heads", 1), option("window", 0), option("position", "none")
    q, k, v = split(q, heads), split(k, heads), split(v, heads)
    dim = q.shape[-1]
    scale = torch.full((heads,), 1 / math.sqrt(dim), dtype=q.dtype)
    if norm == "rms":
        q, k = rms(q, gain(w, "q_norm", dim)), rms(k, gain(w, "k_norm", dim))
    if norm == "l2":
        q, k, scale = unit(q), unit(k), w("temperature", heads, mean=3)
    if position == "rope":
        q, k = rope(q), rope(k)
    rows = []
    for t in range(q.shape[1]):
        first = max(0, t - window + 1) if window else 0
        score = torch.einsum("bhd,bjhd->bhj", q[:, t], k[:, first:t + 1]) * scale[:, None]
        if position == "alibi":
            lag = t - torch.arange(first, t + 1, dtype=q.dtype)
            slope = 2 ** (-8 * torch.arange(1, heads + 1, dtype=q.dtype) / heads)
            score = score - slope[:, None] * lag
        share = torch.softmax(score, -1)
        rows.append(torch.einsum("bhj,bjhd->bhd", share, v[:, first:t + 1]))
    return join(torch.stack(rows, 1))


def attention(w, option, x, layer):
    cols, bias = x.shape[-1], option("bias", False)
    q, k, v = (linear(w, name, x, cols, bias) for name in ("wq", "wk", "wv"))
    o = attend(w, option, q, k, v, option("qk_norm", "none"))
    return linear(w, "wo", o, cols, bias)


def filtered(w, option, name, x, groups):
    """The `conv:` block of settings on a stream; groups: filters when the kind is scalar."""
    cols = x.shape[-1]
    if option("conv.kind", "scalar") == "depthwise":
        groups = cols
    taps = w(name, option("conv.width", 3), groups)
    y = convolve(x, taps.repeat_interleave(cols // groups, 1), option("conv.dilation", 1))
    if option("conv.bias", False):
        y = y + w(name + ".bias", cols)
    if option("conv.activation", "none") == "silu":
        y = silu(y)
    return x + y if option("conv.residual", False) else y


def cat(w, option, x, layer):
    norm, place = option("qk_norm", "none"), option("conv.place", "post")
    stream = {}
    for name in "qkv":
        y, convolved = x, name in option("conv.on", "[q,k,v]")
        if convolved and place == "pre":
            y = filtered(w, option, "conv_" + name, y, 1)
        if norm == "pre" and name != "v":
            y = unit(y)
        y = linear(w, "w" + name, y, x.shape[-1])
        if convolved and place == "post":
            y = filtered(w, option, "conv_" + name, y, option("heads", 1))
        stream[name] = y
    o = attend(w, option, *stream.values(), "l2" if norm == "post" else "none")
    return linear(w, "wo", o, x.shape[-1])


MIXERS = {"attention": attention, "cat": cat}
