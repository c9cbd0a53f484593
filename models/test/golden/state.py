"""state.py - mixers with a matrix or vector state, as the recurrences that define them.

States are S [B, H, K, V]: S^T q reads, k v^T writes; the selective scan has h [B, E, N].
"""
import math

import torch

from parts import join, rms, rope, short, silu, softplus, split, unit
from weights import gain, linear


def read(state, q):
    return torch.einsum("bhkv,bhk->bhv", state, q)


def outer(k, v):
    return torch.einsum("bhk,bhv->bhkv", k, v)


def gated(w, x, o):
    """o [B, T, H, D] normalised per head, gated by silu of the block input, projected back."""
    o = join(rms(o, gain(w, "o_norm", o.shape[-1])))
    return linear(w, "wo", silu(linear(w, "wg", x, o.shape[-1])) * o, x.shape[-1])


def linear_attention(w, option, x, layer):
    heads, cols = option("heads", 1), x.shape[-1]
    q, k, v = (split(linear(w, name, x, cols), heads) for name in ("wq", "wk", "wv"))
    q, k = torch.nn.functional.elu(q) + 1, torch.nn.functional.elu(k) + 1
    state, total, rows = 0, 0, []
    for t in range(x.shape[1]):
        state = state + outer(k[:, t], v[:, t])
        total = total + k[:, t]
        weight = (q[:, t] * total).sum(-1, keepdim=True)
        rows.append(read(state, q[:, t]) / (weight + 1e-6))
    return linear(w, "wo", join(torch.stack(rows, 1)), cols)


def retnet(w, option, x, layer):
    heads, cols = option("heads", 1), x.shape[-1]
    q, k = (rope(split(linear(w, name, x, cols), heads)) for name in ("wq", "wk"))
    v = split(linear(w, "wv", x, cols * option("expand", 2)), heads)
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
    u = short(w, "conv", u, width, bias=True) if width else silu(u)
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
        return short(w, name, y, width, bias=True) if width else silu(y)

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
    heads, width, cols = option("heads", 1), option("conv_width", 4), x.shape[-1]
    q, k, v = (split(short(w, "conv_" + name, linear(w, "w" + name, x, cols), width), heads)
               for name in "qkv")
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


MIXERS = {"linear": linear_attention, "retnet": retnet, "mamba": mamba, "mamba2": mamba2,
          "deltanet": deltanet, "gated_deltanet": gated_deltanet}
