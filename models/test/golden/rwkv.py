"""rwkv.py - time and channel mixing of RWKV-4 and RWKV-6, from their papers' recurrences."""
import torch

from layers import canon, linear
from parts import centred, join, previous, silu, split
from state import outer, read
from weights import gain

# Of the group norm of RWKV-6, for heads of any size: the authors' 1e-5 times 8^2.
GROUP_EPS = 64e-5


def blend(w, name, x):
    return x + w(name, x.shape[-1], mean=0.5) * (previous(x) - x)


def rwkv4(w, option, x, layer):
    """wkv as the plain quotient of two fading sums: without the running maximum of exponents."""
    cols = x.shape[-1]
    r = torch.sigmoid(linear(w, "wr", blend(w, "mu_r", x), cols))
    k = linear(w, "wk", blend(w, "mu_k", x), cols)
    v = linear(w, "wv", blend(w, "mu_v", x), cols)
    fade, bonus = torch.exp(-torch.exp(w("decay", cols, mean=-1, std=0.7))), w("bonus", cols)
    above, below, rows = 0, 0, []
    for t in range(x.shape[1]):
        now, kept = torch.exp(bonus + k[:, t]), torch.exp(k[:, t])
        rows.append((above + now * v[:, t]) / (below + now))
        above, below = fade * above + kept * v[:, t], fade * below + kept
    return linear(w, "wo", r * torch.stack(rows, 1), cols)


def low_rank(w, name, x, rank):
    return linear(w, name + "_b", torch.tanh(linear(w, name + "_a", x, rank)), x.shape[-1])


def rwkv6(w, option, x, layer):
    heads, cols = option("heads", 1), x.shape[-1]
    seen, change = blend(w, "mu_x", x), previous(x) - x

    def stream(name):
        by_data = low_rank(w, "blend_" + name, seen, min(32, cols // 2))
        return x + (w("mu_" + name, cols, mean=0.5) + by_data) * change

    r, k, v = (split(linear(w, "w" + name, stream(name), cols), heads) for name in "rkv")
    log_rate = w("decay", cols, mean=-1) + low_rank(w, "decay", stream("w"), min(64, cols // 2))
    fade = split(torch.exp(-torch.exp(log_rate)), heads)
    bonus = w("bonus", cols, mean=1).reshape(heads, -1)
    state = torch.zeros(len(x), heads, cols // heads, cols // heads, dtype=x.dtype)
    rows = []
    for t in range(x.shape[1]):
        new = outer(k[:, t], v[:, t])
        rows.append(read(state + bonus[:, :, None] * new, r[:, t]))
        state = fade[:, t, :, :, None] * state + new
    o = centred(torch.stack(rows, 1), 1, 0, eps=GROUP_EPS)
    o = join(o) * gain(w, "group_gain", cols) + w("group_bias", cols)
    return linear(w, "wo", silu(linear(w, "wg", stream("g"), cols)) * o, cols)


def channel_mix(w, option, x):
    cols = x.shape[-1]
    k = linear(w, "wk", blend(w, "mu_k", x), option("ffn_inner", 0) or 4 * cols)
    k = torch.relu(canon(w, "d", "canon_up", k))
    r = torch.sigmoid(canon(w, "d", "canon_gate", linear(w, "wr", blend(w, "mu_r", x), cols)))
    return r * linear(w, "wv", k * k, cols)


MIXERS = {"rwkv4": rwkv4, "rwkv6": rwkv6}
