"""weights.py - parameters of a golden model, drawn where the model first asks for them.

All parameters are random, gains, biases and decay rates included, so that none hides behind the
value it would start training from. Values are exact in float32: both precisions read the same
weights. The stream of numpy's RandomState never changes between versions.
"""
import math
import zlib

import numpy
import torch


class Weights:
    def __init__(self, case):
        self.draw = numpy.random.RandomState(zlib.crc32(case.encode()))
        self.table = {}
        self.charged = 0  # what the probe's loss has besides the cross-entropy

    def __call__(self, name, *shape, mean=0.0, std=None):
        """The parameter `name`, N(mean, std); std: 1 / sqrt(inputs), or .3 for vectors."""
        if std is None:
            std = 0.3 if len(shape) == 1 else 1 / math.sqrt(shape[0])
        if name not in self.table:
            values = (mean + std * self.draw.randn(*shape)).astype(numpy.float32)
            self.table[name] = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        assert self.table[name].shape == shape, name
        return self.table[name]


class Part:
    """What a mixer or ffn sees: its parameters, the shared settings, and its normed input."""

    def __init__(self, weights, prefix, option, given):
        self.weights, self.prefix, self.option, self.given = weights, prefix, option, given

    def __call__(self, name, *shape, **start):
        return self.weights(f"{self.prefix}.{name}", *shape, **start)

    def charge(self, loss):
        self.weights.charged = self.weights.charged + loss


def affine(w, name, x, cols, bias=False):
    """x W, or x W + b, and nothing else, whatever the settings say of linear layers."""
    y = x @ w(name, x.shape[-1], cols)
    return y + w(name + ".bias", cols) if bias else y


def gain(w, name, cols):
    return w(name, cols, mean=1)
