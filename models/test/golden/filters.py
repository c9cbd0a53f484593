"""filters.py - mixers made of convolutions and gates: hyena, h3, baseconv, convsamba."""
import math

import torch

from parts import convolve, join, rope, silu, softplus, split
from weights import linear


def biased(w, name, x, width):
    return convolve(x, w(name, width, x.shape[-1])) + w(name + ".bias", x.shape[-1])


def implicit(w, cols, time, width, features, length):
    """Hyena's filter [T, C]: sines between linear layers of the position, times a window."""
    s = torch.arange(time, dtype=torch.float64) / length
    bands = (features - 1) // 2
    frequency = torch.linspace(1e-4, bands - 1, bands, dtype=s.dtype)
    wave = torch.exp(-2j * math.pi * frequency * s[:, None])
    h = torch.cat([s[:, None], wave.real, wave.imag], 1)
    speed = w("filter_freq", width, mean=1)
    for name in ("filter_w1", "filter_w2", "filter_w3"):
        h = torch.sin(speed * linear(w, name, h, width, bias=True))
    slow, fast = math.log(100) / 1.5, math.log(100) / 0.3
    window = torch.exp(-s[:, None] * torch.linspace(slow, fast, cols, dtype=s.dtype))
    return linear(w, "filter_w4", h, cols, bias=False) * window


def hyena(w, option, x, layer):
    cols, time, width = x.shape[-1], x.shape[1], option("conv_width", 3)
    x0, x1, v = (biased(w, "conv_" + name, linear(w, "w" + name, x, cols), width)
                 for name in "01v")
    u = v * x1
    taps = implicit(w, cols, time, option("filter_width", 64), option("filter_features", 33),
                    option("filter_length", 0) or time)
    return linear(w, "wo", (convolve(u, taps) + w("d", cols) * u) * x0, cols)


def h3(w, option, x, layer):
    """The diagonal state space model runs as one: h <- e^-rate h + u, y = c . h."""
    cols, n = x.shape[-1], option("state", 64)
    q, k, v = (linear(w, name, x, cols) for name in ("wq", "wk", "wv"))
    u = biased(w, "conv_k", k, option("conv_width", 4)) * v
    c = w("filter_c", cols, n)
    fade = torch.exp(-softplus(w("filter_rate", cols, n, mean=-1, std=0.7)))
    d, state, rows = w("d", cols), 0, []
    for t in range(x.shape[1]):
        state = fade * state + u[:, t, :, None]
        rows.append((state * c).sum(-1) + d * u[:, t])
    return linear(w, "wo", q * torch.stack(rows, 1), cols)


def baseconv(w, option, x, layer):
    cols, time, width = x.shape[-1], x.shape[1], option("conv_width", 3)
    if width:
        y = biased(w, "conv", x, width)
    else:
        y = convolve(x, implicit(w, cols, time, 64, 33, time))
    return y * linear(w, "w", x, cols, bias=True) + x


def convsamba(w, option, x, layer):
    cols = x.shape[-1]
    v = linear(w, "wv", x, cols)
    if option("rope", False):
        v = join(rope(split(v, option("heads", 1))))
    taps = w("conv", option("conv_width", 32), cols)
    y = convolve(v, taps, 2 ** (layer % option("dilation_period", 9)))
    return linear(w, "wo", silu(linear(w, "wg", x, cols)) * y, cols)


MIXERS = {"hyena": hyena, "h3": h3, "baseconv": baseconv, "convsamba": convsamba}
