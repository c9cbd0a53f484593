"""parts.py - what several models share: norms, positions, convolutions, time steps.

Tensors are [B, T, C] unless said; per head [B, T, H, D]. Convolutions and recurrences go token by
token, as a decoder would, and take nothing from the parallel forms they check.
"""
import torch


def rms(x, gain):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * gain


def centred(x, gain, bias, eps=1e-5):
    """Layer norm; the variance divides by the number of channels."""
    x = x - x.mean(-1, keepdim=True)
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * gain + bias


def unit(x):
    return x / torch.sqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def silu(x):
    return x * torch.sigmoid(x)


def softplus(x):
    return torch.log1p(torch.exp(x))


def split(x, heads):
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)


def join(x):
    return x.reshape(*x.shape[:-2], -1)


def rope(x, theta=10000.0):
    """x [B, T, H, D]: channels i and i + D/2 as a complex number, times e^(i t theta^(-2i/D))."""
    half = x.shape[-1] // 2
    time = torch.arange(x.shape[1], dtype=x.dtype)
    angle = time[:, None] * theta ** (-torch.arange(half, dtype=x.dtype) / half)
    turn = torch.polar(torch.ones_like(angle), angle)[None, :, None, :]
    turned = torch.complex(x[..., :half], x[..., half:]) * turn
    return torch.cat([turned.real, turned.imag], -1)


def previous(x):
    """Token shift: x_{t-1}, zero before the start."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)


def convolve(x, taps, dilation=1):
    """y_t = sum_k taps_k x_{t - k dilation}; taps [W, C], or [W, 1] for all channels."""
    rows = []
    for t in range(x.shape[1]):
        lags = range(min(len(taps), t // dilation + 1))
        rows.append(sum(taps[k] * x[:, t - k * dilation] for k in lags))
    return torch.stack(rows, 1)
