"""attention.py - attention and cat: one query at a time over the keys it may see."""
import math

import torch

from conv import below, filtered
from layers import canon_b, linear
from parts import join, rms, rope, split, unit
from weights import gain


def attend(w, option, q, k, v, norm):
    """q, k, v [B, T, C] -> [B, T, C]. norm: none, rms, or l2 (a learned temperature per head)."""
    heads, window, position = option("heads", 1), option("window", 0), option("position", "none")
    shared = heads // (option("kv_heads", 0) or heads)
    q, k, v = split(q, heads), split(k, heads // shared), split(v, heads // shared)
    dim = q.shape[-1]
    scale = torch.full((heads,), 1 / math.sqrt(dim), dtype=q.dtype)
    if norm == "rms":
        q, k = rms(q, gain(w, "q_norm", dim)), rms(k, gain(w, "k_norm", dim))
    if norm == "l2":
        q, k, scale = unit(q), unit(k), w("temperature", heads, mean=3)
    if position == "rope":
        q, k = rope(q), rope(k)
    k, v = k.repeat_interleave(shared, 2), v.repeat_interleave(shared, 2)
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
    kept = cols // option("heads", 1) * (option("kv_heads", 0) or option("heads", 1))
    q = linear(w, "wq", x, cols, bias)
    k, v = (linear(w, name, x, kept, bias) for name in ("wk", "wv"))
    o = attend(w, option, *canon_b(w, q, k, v), option("qk_norm", "none"))
    return linear(w, "wo", o, cols, bias)


def cat(w, option, x, layer):
    norm, place = option("qk_norm", "none"), option("conv.place", "post")
    conv_option = below(option, "conv.")
    stream = {}
    for name in "qkv":
        y, convolved = x, name in option("conv.on", "[q,k,v]")
        if convolved and place == "pre":
            y = filtered(w, conv_option, "conv_" + name, y, 1)
        if norm == "pre" and name != "v":
            y = unit(y)
        y = linear(w, "w" + name, y, x.shape[-1])
        if convolved and place == "post":
            y = filtered(w, conv_option, "conv_" + name, y, option("heads", 1))
        stream[name] = y
    o = attend(w, option, *canon_b(w, *stream.values()), "l2" if norm == "post" else "none")
    return linear(w, "wo", o, x.shape[-1])


MIXERS = {"attention": attention, "cat": cat}
