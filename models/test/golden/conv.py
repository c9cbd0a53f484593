"""conv.py - convolutions of all kinds (models/conv.h), applied token by token.

x [B, T, C] is what is convolved, w.given [B, T, d] the normed block input that dynamic taps are
made of. `option` reads the settings of one convolution, without their prefix.
"""
import math

import torch

from parts import convolve, silu, softplus, split
from weights import affine


def below(option, prefix):
    return lambda key, start: option(prefix + key, start)


def implicit(w, name, cols, time, width, features, length):
    """Hyena's filter [T, C]: sines between linear layers of the position, times a window."""
    s = torch.arange(time, dtype=torch.float64) / length
    bands = (features - 1) // 2
    frequency = torch.linspace(1e-4, bands - 1, bands, dtype=s.dtype)
    wave = torch.exp(-2j * math.pi * frequency * s[:, None])
    h = torch.cat([s[:, None], wave.real, wave.imag], 1)
    speed = w(name + "_freq", width, mean=1)
    for part in ("_w1", "_w2", "_w3"):
        h = torch.sin(speed * affine(w, name + part, h, width, bias=True))
    slow, fast = math.log(100) / 1.5, math.log(100) / 0.3
    window = torch.exp(-s[:, None] * torch.linspace(slow, fast, cols, dtype=s.dtype))
    return affine(w, name + "_w4", h, cols) * window


def exponentials(w, name, x, n):
    """The diagonal state space model runs as one: h <- e^-rate h + x, y = c . h."""
    c = w(name + "_c", x.shape[-1], n)
    fade = torch.exp(-softplus(w(name + "_rate", x.shape[-1], n, mean=-1, std=0.7)))
    state, rows = 0, []
    for t in range(x.shape[1]):
        state = fade * state + x[:, t, :, None]
        rows.append((state * c).sum(-1))
    return torch.stack(rows, 1)


def convolve_by_token(x, taps, dilation):
    """y_t = sum_k taps_tk x_{t - k dilation}, taps [B, T, W, C]."""
    rows = []
    for t in range(x.shape[1]):
        lags = range(min(taps.shape[2], t // dilation + 1))
        rows.append(sum(taps[:, t, k] * x[:, t - k * dilation] for k in lags))
    return torch.stack(rows, 1)


def mixhead(x, taps, dilation):
    """Taps [W, H, H] are matrices from heads to heads."""
    y, x = [], split(x, taps.shape[-1])
    for t in range(x.shape[1]):
        lags = range(min(len(taps), t // dilation + 1))
        y.append(sum(torch.einsum("hj,bjd->bhd", taps[k], x[:, t - k * dilation]) for k in lags))
    return torch.stack(y, 1).flatten(-2)


def by_token(w, option, kind, name, x, groups):
    """Taps [B, T, W, C] of the kinds whose taps depend on the token."""
    width, cols = option("width", 3), x.shape[-1]
    if kind == "dynamic_lowrank":
        rank = option("rank", 16)
        code = affine(w, name + ".p", w.given, rank)
        up = w(name + ".u", rank, width, cols, std=0.5)
        return w(name, width, cols) + torch.einsum("bte,ekc->btkc", code, up)
    size = option("head_size", 64)
    if kind == "dynamic_head":
        groups = cols // size if cols > size else 1
    taps = affine(w, name + ".dynamic", w.given, groups * width)
    taps = taps.unflatten(-1, (groups, width))
    if kind == "dynamic_softmax":
        taps = torch.softmax(taps, -1)
    taps = taps.transpose(-1, -2).repeat_interleave(cols // groups, -1)
    return taps if kind == "dynamic_softmax" else taps + w(name, width, cols)


def fixed(w, option, kind, name, x, groups):
    """Taps [W, C] of the kinds that are the same for all tokens."""
    width, cols, time = option("width", 3), x.shape[-1], x.shape[1]
    if kind == "scalar":
        return w(name, width, groups).repeat_interleave(cols // groups, 1)
    if kind == "softmax":
        share = torch.softmax(w(name, groups * width, std=1).reshape(groups, width), -1)
        return share.T.repeat_interleave(cols // groups, 1)
    if kind == "long" and option("implicit", False):
        return implicit(w, name, cols, time, 64, 33, time)
    return w(name, time if kind == "long" else width, cols)


def convolved(w, option, name, x, groups):
    kind, dilation = option("kind", "scalar"), option("dilation", 1)
    if kind == "mixhead":
        return mixhead(x, w(name, option("width", 3), groups, groups, std=0.5), dilation)
    if kind == "ssm":
        return exponentials(w, name, x, option("state", 16))
    if kind.startswith("dynamic"):
        return convolve_by_token(x, by_token(w, option, kind, name, x, groups), dilation)
    return convolve(x, fixed(w, option, kind, name, x, groups), dilation)


def filtered(w, option, name, x, groups):
    """All that a block of settings like `conv:` says; groups: heads that filters are shared in."""
    y = convolved(w, option, name, x, groups)
    if option("bias", False):
        y = y + w(name + ".bias", x.shape[-1])
    if option("activation", "none") == "silu":
        y = silu(y)
    return x + y if option("residual", False) else y


def short(w, option, name, x, bias=False):
    """silu of a short convolution, settings conv_*; nothing at all without taps."""
    width, kind = option("conv_width", 4), option("conv_kind", "static")
    if not width:
        return x
    settings = {"kind": "depthwise" if kind == "static" else kind, "width": width, "bias": bias,
                "rank": option("conv_rank", 16), "head_size": option("conv_head_size", 64)}
    return silu(filtered(w, settings.get, name, x, 1))
