"""state.py - mixers with a matrix or vector state, as the recurrences that define them.

States are S [B, H, K, V]: S^T q reads, k v^T writes; the selective scan has h [B, E, N].
"""
import math

import torch

from conv import short
from layers import canon, canon_b, linear
from parts import join, rms, rope, silu, softplus, split, unit
from weights import gain


def read(state, q):
    return torch.einsum("bhkv,bhk->bhv", state, q)


def outer(k, v):
    return torch.einsum("bhk,bhv->bhkv", k, v)


def gated(w, x, o):
    """o [B, T, H, D] normalised per head, gated by silu of the block input, projected back."""
    o = join(rms(o, gain(w, "o_norm", o.shape[-1])))
    return linear(w, "wo", silu(linear(w, "wg", x, o.shape[-1])) * o, x.shape[-1])


def weighted(q, k, v):
    """Values averaged with weights q . k >= 0, as running sums: q, k [B, T, H, F], v [B, T, H, D].

    The denominators have 1e-6 added (models/linear_attention.h)."""
    state, total, rows = 0, 0, []
    for t in range(q.shape[1]):
        state = state + outer(k[:, t], v[:, t])
        total = total + k[:, t]
        weight = (q[:, t] * total).sum(-1, keepdim=True)
        rows.append(read(state, q[:, t]) / (weight + 1e-6))
    return join(torch.stack(rows, 1))


def linear_attention(w, option, x, layer):
    heads, cols = option("heads", 1), x.shape[-1]
    q, k, v = (split(canon(w, "b", "canon_" + name, linear(w, "w" + name, x, cols)), heads)
               for name in "qkv")
    q, k = torch.nn.functional.elu(q) + 1, torch.nn.functional.elu(k) + 1
    return linear(w, "wo", weighted(q, k, v), cols)


def based(w, option, x, layer):
    heads, cols, dim = option("heads", 1), x.shape[-1], option("feature_dim", 16)

    def taylor(u):
        u = u / dim ** 0.25
        squares = torch.einsum("bthi,bthj->bthij", u, u).flatten(-2) / math.sqrt(2)
        return torch.cat([torch.ones_like(u[..., :1]), u, squares], -1)

    q, k = (taylor(split(linear(w, name, x, heads * dim), heads)) for name in ("wq", "wk"))
    v = split(linear(w, "wv", x, cols), heads)
    return linear(w, "wo", weighted(q, k, v), cols)


def performer(w, option, x, layer):
    heads, cols, eps = option("heads", 1), x.shape[-1], option("eps", 1e-6)
    dim = cols // heads
    features = option("features", 0) or round(max(dim * math.log(dim), 1))
    directions = w("directions", features, dim, std=1).detach()  # not trained: the gradient is 0

    def phi(y):
        u = y / dim ** 0.25
        size = (u * u).sum(-1, keepdim=True) / 2
        return (torch.exp(u @ directions.T - size) + eps) / math.sqrt(features)

    q, k, v = (split(linear(w, name, x, cols), heads) for name in ("wq", "wk", "wv"))
    return linear(w, "wo", weighted(phi(q), phi(k), v), cols)


def retnet(w, option, x, layer):
    heads, cols = option("heads", 1), x.shape[-1]
    q, k = (linear(w, name, x, cols) for name in ("wq", "wk"))
    v = linear(w, "wv", x, cols * option("expand", 2))
    q, k, v = canon_b(w, q, k, v)
    q, k, v = rope(split(q, heads)), rope(split(k, heads)), split(v, heads)
    k = k / math.sqrt(cols // heads)
    gamma = 1 - 2.0 ** (-5 - torch.arange(heads, dtype=x.dtype))
    state, rows = 0, []
    for t in range(x.shape[1]):
        state = gamma[:, None, None] * state + outer(k[:, t], v[:, t])
        rows.append(read(state, q[:, t]))
    return gated(w, x, torch.stack(rows, 1))


def mamba(w, option, x, layer):
    cols = x.shape[-1]
    inner, n = option("expand", 2) * cols, option("state", 16)
    rank = option("dt_rank", 0) or math.ceil(cols / 16)
    width = option("conv_width", 4)
    u, z = linear(w, "wx", x, inner), linear(w, "wz", x, inner)
    u = short(w, option, "conv", u, bias=True) if width else silu(u)
    dt = linear(w, "wdt", linear(w, "wr", u, rank), inner) + w("dt_bias", inner)
    dt = softplus(dt)
    b, c = linear(w, "wb", u, n), linear(w, "wc", u, n)
    a, d = -torch.exp(w("a_log", inner, n, std=0.5)), gain(w, "d", inner)
    h, rows = 0, []
    for t in range(x.shape[1]):
        step = dt[:, t, :, None]
        h = torch.exp(step * a) * h + step * u[:, t, :, None] * b[:, t, None, :]
        rows.append((h * c[:, t, None, :]).sum(-1) + d * u[:, t])
    return linear(w, "wo", torch.stack(rows, 1) * silu(z), cols)


def mamba2(w, option, x, layer):
    cols, width = x.shape[-1], option("conv_width", 4)
    inner, n = option("expand", 2) * cols, option("state", 128)
    heads = inner // (option("head_dim", 0) or min(inner, 64))

    def stream(weight, name, size):
        y = linear(w, weight, x, size)
        return short(w, option, name, y, bias=True) if width else silu(y)

    z = linear(w, "wz", x, inner)
    u = split(stream("wx", "conv_x", inner), heads)
    b, c = stream("wb", "conv_b", n), stream("wc", "conv_c", n)
    dt = softplus(linear(w, "wdt", x, heads) + w("dt_bias", heads))
    a, d = -torch.exp(w("a_log", heads, std=0.5)), gain(w, "d", heads)
    state, rows = 0, []
    for t in range(x.shape[1]):
        fade = torch.exp(dt[:, t] * a)[:, :, None, None]
        state = fade * state + torch.einsum("bh,bn,bhv->bhnv", dt[:, t], b[:, t], u[:, t])
        rows.append(torch.einsum("bhnv,bn->bhv", state, c[:, t]) + d[:, None] * u[:, t])
    y = join(torch.stack(rows, 1)) * silu(z)
    return linear(w, "wo", rms(y, gain(w, "norm_gated", inner)), cols)


def delta_rule(w, option, x, log_fade):
    """log_fade [B, T, H] or None. Before a token is written, the state forgets."""
    heads, cols = option("heads", 1), x.shape[-1]

    def stream(name):
        y = canon(w, "b", "canon_" + name, linear(w, "w" + name, x, cols))
        return split(short(w, option, "conv_" + name, y), heads)

    q, k, v = stream("q"), stream("k"), stream("v")
    q, k = unit(q) / math.sqrt(cols // heads), unit(k)
    beta = torch.sigmoid(linear(w, "wbeta", x, heads))
    state = torch.zeros(len(x), heads, cols // heads, cols // heads, dtype=x.dtype)
    rows = []
    for t in range(x.shape[1]):
        if log_fade is not None:
            state = torch.exp(log_fade[:, t])[:, :, None, None] * state
        error = v[:, t] - read(state, k[:, t])
        state = state + outer(k[:, t], beta[:, t, :, None] * error)
        rows.append(read(state, q[:, t]))
    return gated(w, x, torch.stack(rows, 1))


def deltanet(w, option, x, layer):
    return delta_rule(w, option, x, None)


def gated_deltanet(w, option, x, layer):
    heads = option("heads", 1)
    step = softplus(linear(w, "wa", x, heads) + w("dt_bias", heads))
    return delta_rule(w, option, x, -torch.exp(w("a_log", heads, std=0.5)) * step)


MIXERS = {"linear": linear_attention, "based": based, "performer": performer, "retnet": retnet,
          "mamba": mamba, "mamba2": mamba2,
          "deltanet": deltanet, "gated_deltanet": gated_deltanet}
