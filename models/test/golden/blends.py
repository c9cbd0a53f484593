"""blends.py - attention next to other views of the tokens: acmix, convplus, lcat."""
import math

import torch

from attention import attend
from conv import below, filtered, mixhead
from layers import canon_b, linear
from parts import convolve, join, rope, split


def acmix(w, option, x, layer):
    heads, width, cols = option("heads", 1), option("width", 3), x.shape[-1]
    q, k, v = canon_b(w, *(linear(w, "w" + name, x, cols) for name in "qkv"))
    taps = (w("conv_" + name, width, heads, heads, std=0.5) for name in "qkv")
    local = sum(mixhead(y, f, 1) for y, f in zip((q, k, v), taps))
    wide = attend(w, option, q, k, v, option("qk_norm", "none"))
    return linear(w, "wo", w("rate_attention", 1, mean=0.5) * wide
                  + w("rate_conv", 1, mean=0.5) * local, cols)


def convplus(w, option, x, layer):
    """Attention between features has no projections of queries and keys, only a metric."""
    time, cols = x.shape[1:]
    x = x + w("position", time, cols, std=0.5)
    y = 0
    if option("attend", True):
        metric = option("metric", "diagonal") == "diagonal"
        q = x * w("metric", cols, mean=1) if metric else x
        v = linear(w, "wv", x, cols)
        rows = []
        for i in range(time):
            score = torch.einsum("bc,bjc->bj", q[:, i], x[:, :i + 1]) / math.sqrt(cols)
            rows.append(torch.einsum("bj,bjc->bc", torch.softmax(score, -1), v[:, :i + 1]))
        y = w("b", 1, mean=0.5) * torch.stack(rows, 1)
    for k, offset in enumerate(option("offsets", [0, 1, 2, 3])):
        past = torch.cat([torch.zeros_like(x[:, :offset]), x], 1)[:, :time]
        y = y + w(f"a{k}", 1, mean=0.5) * linear(w, f"w{k}", past, cols)
    return y


def gates(option, p):
    """p [B, H, blocks before the query's] -> how far each block is open."""
    if option("select", "hard") == "soft" or not p.shape[-1]:
        return p
    best = torch.topk(p, min(option("top_k", 1), p.shape[-1])).indices
    chosen = torch.zeros_like(p).scatter(-1, best, 1)
    return chosen * (1 + p - p.detach())  # as if an open gate were its p, for the gradient


def token_weights(gate, t, size):
    """How far each of tokens 0 .. t is open to token t, a list of [B, H]."""
    weights, one = [], torch.ones_like(gate[..., :1]).squeeze(-1) if gate.shape[-1] else 1.0
    for j in range(t + 1):
        block, follows = j // size, j > 0 and j % size == 0
        if block == t // size:
            weights.append(one)
        elif follows:
            weights.append(1 - (1 - gate[..., block]) * (1 - gate[..., block - 1]))
        else:
            weights.append(gate[..., block])
    return weights


def lcat(w, option, x, layer):
    heads, time, cols = option("heads", 1), *x.shape[1:]
    size = option("block", 0) or round(max(math.sqrt(time / 2), 1))
    stream = {}
    for name in "qkv":
        y = linear(w, "w" + name, x, cols)
        if name in option("conv.on", "[q,k,v]"):
            y = filtered(w, below(option, "conv."), "conv_" + name, y, heads)
        stream[name] = y
    taps = w("landmark", max(option("landmark_width", 0), size), cols)
    marks = split(convolve(stream["k"], taps), heads)[:, size - 1::size]
    q, k, v = (split(stream[name], heads) for name in "qkv")
    scale = 1 / math.sqrt(cols // heads)
    turned, k = (rope(q), rope(k)) if option("position", "none") == "rope" else (q, k)
    rows = []
    for t in range(time):
        before = t // size
        p = torch.softmax(torch.einsum("bhd,bnhd->bhn", q[:, t], marks[:, :before]) * scale, -1)
        u = torch.stack([torch.as_tensor(open_, dtype=x.dtype).expand(len(x), heads)
                         for open_ in token_weights(gates(option, p), t, size)], -1)
        score = torch.einsum("bhd,bjhd->bhj", turned[:, t], k[:, :t + 1]) * scale
        share = u * torch.exp(score)
        share = share / share.sum(-1, keepdim=True)
        rows.append(torch.einsum("bhj,bjhd->bhd", share, v[:, :t + 1]))
    return linear(w, "wo", join(torch.stack(rows, 1)), cols)


MIXERS = {"acmix": acmix, "convplus": convplus, "lcat": lcat}
