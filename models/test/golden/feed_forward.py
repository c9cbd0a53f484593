"""feed_forward.py - the parts of a block that see one token: gelu, swiglu, rwkv, moe."""
import math

import torch

import rwkv
from layers import canon, linear, product
from parts import silu
from weights import affine


def gelu(w, option, x):
    cols, bias = x.shape[-1], option("bias", False)
    h = canon(w, "d", "canon_up", linear(w, "w1", x, option("ffn_inner", 0) or 4 * cols, bias))
    h = h * (1 + torch.erf(h / math.sqrt(2))) / 2
    return linear(w, "w2", h, cols, bias)


def swiglu(w, option, x):
    cols, bias = x.shape[-1], option("bias", False)
    inner = option("ffn_inner", 0) or (8 * cols // 3 + 15) // 16 * 16
    gate = canon(w, "d", "canon_gate", linear(w, "wg", x, inner, bias))
    up = canon(w, "d", "canon_up", linear(w, "w1", x, inner, bias))
    return linear(w, "w2", silu(gate) * up, cols, bias)


def uneven_use(z, chosen):
    """Load balance and z-loss of each sequence, averaged over the batch: z, chosen [B, T, E]."""
    experts, share = z.shape[-1], chosen.sum(1) / chosen.sum((1, 2))[:, None]
    balance = experts * (torch.softmax(z, -1).mean(1) * share).sum(-1)
    size = (torch.logsumexp(z, -1) ** 2).mean(1)
    return (balance + 0.1 * size).mean()


def moe(w, option, x):
    """Every expert sees every token here, and weights of those not chosen are zero."""
    cols, experts, top = x.shape[-1], option("experts", 8), option("top_k", 2)
    inner = option("ffn_inner", 0) or (8 * cols // (3 * top) + 15) // 16 * 16
    z = affine(w, "router", x, experts)
    chosen = torch.zeros_like(z).scatter(-1, torch.topk(z, top).indices, 1)
    share = chosen * torch.exp(z - z.detach().amax(-1, keepdim=True))
    share = share / share.sum(-1, keepdim=True)
    std = 1 / math.sqrt(cols)
    wg, w1 = w("wg", experts, cols, inner, std=std), w("w1", experts, cols, inner, std=std)
    w2 = w("w2", experts, inner, cols, std=1 / math.sqrt(inner))
    w.charge(option("aux_loss", 0.001) * uneven_use(z, chosen.detach()))
    y = 0
    for e in range(experts):
        h = silu(product(w, x, wg[e])) * product(w, x, w1[e])
        y = y + share[..., e, None] * product(w, h, w2[e])
    return y


FFNS = {"gelu": gelu, "swiglu": swiglu, "rwkv": rwkv.channel_mix, "moe": moe}
