"""layers.py - linear layers as the shared settings want them, and Canon layers."""
import torch

from conv import filtered
from parts import convolve


def straight(x, rounded):
    """The value of `rounded`, the gradient of x."""
    return x + (rounded - x).detach()


def eight_bits(x):
    """127 steps to the largest of a token (Ma et al. 2024)."""
    step = x.abs().amax(-1, keepdim=True) / 127
    return straight(x, step * torch.round(x / step))


def ternary(matrix):
    """-a, 0 or a, with a the mean size of the matrix's elements."""
    a = matrix.abs().mean((-2, -1), keepdim=True)
    return straight(matrix, a * torch.clamp(torch.round(matrix / a), -1, 1))


def product(w, x, matrix):
    if w.option("linear", "plain") == "bit158":
        return eight_bits(x) @ ternary(matrix)
    return x @ matrix


def linear(w, name, x, cols, bias=False):
    y = product(w, x, w(name, x.shape[-1], cols))
    if bias:
        y = y + w(name + ".bias", cols)
    kind = w.option("after_linear", "none")
    if kind == "none":
        return y

    def option(key, start):
        if key == "kind":
            return kind
        return w.option("linear_conv." + key, True if key == "residual" else start)

    return filtered(w, option, name + ".conv", y, 1)


def canon(w, place, name, x):
    """A residual convolution per channel where the setting `canon` has this place."""
    if place not in w.option("canon", []):
        return x
    return x + convolve(x, w(name, w.option("canon_width", 4), x.shape[-1]))


def canon_b(w, q, k, v):
    """Canon layers B, of all that is made of q, k and v."""
    return (canon(w, "b", "canon_" + name, x) for name, x in zip("qkv", (q, k, v)))
