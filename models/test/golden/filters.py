"""filters.py - mixers made of convolutions and gates: hyena, h3, baseconv, convsamba."""
from conv import exponentials, implicit
from layers import linear
from parts import convolve, join, rope, silu, split


def biased(w, name, x, width):
    return convolve(x, w(name, width, x.shape[-1])) + w(name + ".bias", x.shape[-1])


def hyena(w, option, x, layer):
    cols, time, width = x.shape[-1], x.shape[1], option("conv_width", 3)
    x0, x1, v = (biased(w, "conv_" + name, linear(w, "w" + name, x, cols), width)
                 for name in "01v")
    u = v * x1
    taps = implicit(w, "filter", cols, time, option("filter_width", 64),
                    option("filter_features", 33), option("filter_length", 0) or time)
    return linear(w, "wo", (convolve(u, taps) + w("d", cols) * u) * x0, cols)


def h3(w, option, x, layer):
    cols = x.shape[-1]
    q, k, v = (linear(w, name, x, cols) for name in ("wq", "wk", "wv"))
    u = biased(w, "conv_k", k, option("conv_width", 4)) * v
    y = exponentials(w, "filter", u, option("state", 64)) + w("d", cols) * u
    return linear(w, "wo", q * y, cols)


def baseconv(w, option, x, layer):
    cols, time, width = x.shape[-1], x.shape[1], option("conv_width", 3)
    if width:
        y = biased(w, "conv", x, width)
    else:
        y = convolve(x, implicit(w, "filter", cols, time, 64, 33, time))
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
