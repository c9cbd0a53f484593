"""skeleton.py - the model around mixers: embedding, residual blocks, head, and the probe's loss."""
import math

import torch

import attention
import blends
import filters
import rwkv
import state
from feed_forward import FFNS
from layers import canon
from parts import centred, rms
from weights import Part, gain

MIXERS = {**attention.MIXERS, **blends.MIXERS, **state.MIXERS, **rwkv.MIXERS, **filters.MIXERS}


def normalised(w, option, name, x):
    cols = x.shape[-1]
    if option("norm", "rmsnorm") == "rmsnorm":
        return rms(x, gain(w, name, cols))
    return centred(x, gain(w, name, cols), w(name + ".bias", cols))


def positions(w, option, time, cols):
    kind = option("position", "none")
    if kind == "learned":
        return w("position", time, cols, std=0.5)
    rows = torch.zeros(time, cols, dtype=torch.float64)
    if kind == "sinusoidal":
        for t in range(time):
            for c in range(cols):
                angle = t / 10000 ** (c // 2 * 2 / cols)
                rows[t, c] = math.cos(angle) if c % 2 else math.sin(angle)
    return rows


def logits(w, option, ids, vocab):
    """ids [B, T] -> [B, T, V]. option(name, default) reads a setting, for a mixer where it differs.
    """
    cols = option("d_model", 64)
    table = w("embed", vocab, cols, std=0.5)
    x = table[ids] + positions(w, option, ids.shape[1], cols)
    pattern = option("mixers", [option("mixer", "attention")])
    for layer in range(option("layers", 1)):
        name = pattern[layer % len(pattern)]
        h = normalised(w, option, f"layer.{layer}.mixer.norm", x)
        here = Part(w, f"layer.{layer}.mixer", option, h)
        x = x + MIXERS[name](here, lambda key, start: option(f"{key}@{name}", option(key, start)),
                             canon(here, "a", "canon", h), layer)
        kind = option("ffn", "none")
        if kind != "none":
            h = normalised(w, option, f"layer.{layer}.ffn.norm", x)
            here = Part(w, f"layer.{layer}.ffn", option, h)
            x = x + FFNS[kind](here, option, canon(here, "c", "canon", h))
    x = normalised(w, option, "head.norm", x)
    head = table if option("tie_head", True) else w("head", vocab, cols, std=0.5)
    return x @ head.T


def loss(z, ids):
    """Mean cross-entropy of the next token; the last position is not scored."""
    log_share = z - torch.logsumexp(z, -1, keepdim=True)
    return -log_share[:, :-1].gather(-1, ids[:, 1:, None]).mean()
