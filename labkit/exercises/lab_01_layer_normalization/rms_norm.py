"""Exercise 1.7: RMS norm, which divides without centring."""

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case
from labkit.exercises.lab_01_layer_normalization.common import (
    NORMS,
    affine,
    standardize,
)


class RMSNorm(Exercise):
    """rms_norm(x, weight, eps): divide every token by its root mean square."""

    number = "1.7"
    off_limits = NORMS

    @staticmethod
    def rms_norm(x, weight=None, eps=1e-6):
        return F.rms_norm(x, x.shape[-1:], weight, eps)

    reference = {"rms_norm": rms_norm}

    def draw_cases(self, draw: Draw):
        A, B, T, C = draw.sizes(4)
        x = draw.normal(B, T, C, mean=2, std=3)
        weight = draw.normal(C)
        for name, values, factor, options in (
            ("x, weight, eps=0.3", x, weight, {"eps": 0.3}),
            ("no weight", x, None, {}),
            ("small values, default eps", x / 1000, weight, {}),
            ("one token, shape (C,)", x[0, 0], weight, {}),
            ("four axes", draw.normal(A, B, T, C), weight, {}),
        ):
            args = {"x": values, "weight": factor}
            yield Case(name, "rms_norm", args, options, edge=values.dim() != 3)


@RMSNorm.mistake
def rms_centred(x, weight=None, eps=1e-6):
    """You subtracted the mean. RMS norm does not centre: it only divides."""
    return affine(standardize(x, -1, eps), weight, None)


@RMSNorm.mistake
def rms_eps_outside(x, weight=None, eps=1e-6):
    """You added eps after the root. It belongs inside: sqrt(mean square + eps)."""
    return affine(x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps), weight, None)


@RMSNorm.mistake
def rms_keepdim_forgotten(x, weight=None, eps=1e-6):
    """You left keepdim=True out. A mean square of shape (B, T) does not stretch over
    the channels of (B, T, C); one of shape (B, T, 1) does."""
    return affine(x / torch.sqrt(x.pow(2).mean(-1) + eps), weight, None)


@RMSNorm.mistake
def rms_without_root(x, weight=None, eps=1e-6):
    """You divided by the mean square; divide by its square root."""
    return affine(x / (x.pow(2).mean(-1, keepdim=True) + eps), weight, None)


@RMSNorm.mistake
def rms_unit_length(x, weight=None, eps=1e-6):
    """You divided by the root of the sum of squares; take the mean of the squares."""
    return affine(x / torch.sqrt(x.pow(2).sum(-1, keepdim=True) + eps), weight, None)


@RMSNorm.mistake
def rms_divided_by_length(x, weight=None, eps=1e-6):
    """You divided by the length of the token, the root of the sum of squares; take the
    mean of the squares, and add eps inside the root."""
    return affine(x / (x.norm(dim=-1, keepdim=True) + eps), weight, None)


@RMSNorm.mistake
def rms_over_positions_too(x, weight=None, eps=1e-6):
    """You took one mean square over the positions and the channels together. Every
    token has its own: dim=-1."""
    axes = (-2, -1) if x.dim() > 1 else -1
    square = x.pow(2).mean(axes, keepdim=True)
    return affine(x / torch.sqrt(square + eps), weight, None)


@RMSNorm.mistake
def rms_over_everything(x, weight=None, eps=1e-6):
    """You took one mean square over the whole tensor. Every token has its own:
    dim=-1."""
    return affine(x / torch.sqrt(x.pow(2).mean() + eps), weight, None)


@RMSNorm.mistake
def rms_weight_ignored(x, weight=None, eps=1e-6):
    """You ignored the weight."""
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps)


@RMSNorm.mistake
def rms_one_plus_weight(x, weight=None, eps=1e-6):
    """You multiplied by 1 + weight, as some published models do. Here the weight itself
    is the factor."""
    weight = None if weight is None else 1 + weight
    return affine(x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps), weight, None)


@RMSNorm.mistake
def rms_eps_missing(x, weight=None, eps=1e-6):
    """You left eps out: sqrt(mean square + eps)."""
    return affine(x / torch.sqrt(x.pow(2).mean(-1, keepdim=True)), weight, None)


@RMSNorm.mistake
def rms_eps_ignored(x, weight=None, eps=1e-6):
    """You wrote a fixed eps into the formula; use the argument."""
    return affine(x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6), weight, None)
