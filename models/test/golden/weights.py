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

    def __call__(self, name, *shape, mean=0.0, std=None):
        """The parameter `name`, N(mean, std); std: 1 / sqrt(inputs), or .3 for vectors."""
        if std is None:
            std = 0.3 if len(shape) == 1 else 1 / math.sqrt(shape[0])
        if name not in self.table:
            values = (mean + std * self.draw.randn(*shape)).astype(numpy.float32)
            self.table[name] = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        assert self.table[name].shape == shape, name
        return self.table[name]

    def below(self, prefix):
        """The same parameters, seen from a layer or a part of one."""
        return lambda name, *shape, **start: self(f"{prefix}.{name}", *shape, **start)


def linear(w, name, x, cols, bias=False):
    y = x @ w(name, x.shape[-1], cols)
    return y + w(name + ".bias", cols) if bias else y


def gain(w, name, cols):
    return w(name, cols, mean=1)
