"""What the exercises of this lab share: calls off limits, and the norm in pieces."""

import torch

from labkit.checks.exercise import Replies

NORMS = (
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
    "native_batch_norm",
    "native_group_norm",
    "native_layer_norm",
    "_fused_rms_norm",
)


def inside(variance, eps):
    """The right divisor; below it, those of usual slips."""
    return torch.sqrt(variance + eps)


def outside(variance, eps):
    return torch.sqrt(variance) + eps


def without(variance, eps):
    return variance + eps


def undivided(variance, eps):
    return torch.ones_like(variance)


def standardize(
    x, dim, eps, *, correction=0, root=inside, centred=True, subtracted=True
):
    """Zero mean and unit variance over `dim`, the wrong or the right one."""
    if not centred:
        return x / root(x.square().mean(dim, keepdim=True), eps)
    variance = x.var(dim, correction=correction, keepdim=True)
    mean = x.mean(dim, keepdim=True) if subtracted else 0
    return (x - mean) / root(variance, eps)


def affine(x, weight, bias):
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def changed(replies: Replies, one: str, other: str, kept: tuple) -> bool:
    """Whether the outputs of two cases differ at the entries `kept`."""
    difference = replies[one]["output"][kept] - replies[other]["output"][kept]
    return not bool((difference.abs() < 1e-9).all())
