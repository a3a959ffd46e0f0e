"""Exercise 1.1: batch norm, each channel normalized over all samples and positions."""

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case
from labkit.exercises.lab_01_layer_normalization.common import (
    NORMS,
    changed,
    outside,
    standardize,
    undivided,
    without,
)


def channels_stand_alone(cases: Cases, replies: Replies) -> str | None:
    if changed(replies, "x, eps=0.3", "channel 1 changed", (..., 0)):
        return (
            "Only channel 1 of x was changed, yet channel 0 of the output changed: "
            "your statistics mix channels."
        )
    return None


class BatchNorm(Exercise):
    """batch_norm(x, eps): normalize each channel over all samples and positions."""

    number = "1.1"
    off_limits = NORMS
    properties = (channels_stand_alone,)

    @staticmethod
    def batch_norm(x, eps=1e-5):
        flat = x.flatten(0, 1)  # (B·T, C)
        return F.batch_norm(flat, None, None, training=True, eps=eps).view_as(x)

    reference = {"batch_norm": batch_norm}

    @staticmethod
    def written(x, eps=1e-5, *, dim=(0, 1), fixed=None, **slips):
        return standardize(x, dim, eps if fixed is None else fixed, **slips)

    def draw_cases(self, draw: Draw):
        B, T, C = draw.sizes(3)
        x = draw.normal(B, T, C, mean=2, std=3)
        other = x.clone()
        other[..., 1] = draw.normal(B, T)
        for name, args, options in (
            ("x, eps=0.3", x, {"eps": 0.3}),
            ("channel 1 changed", other, {"eps": 0.3}),
            ("small values, default eps", x / 1000, {}),
        ):
            yield Case(name, "batch_norm", {"x": args}, options)


@BatchNorm.slip(dim=-1)
def layer_norm_instead():
    """You averaged over the channels of each token, which is layer norm. Batch norm
    takes one mean and one variance per channel, over all samples and positions."""


@BatchNorm.slip(dim=0)
def per_position():
    """You averaged over the samples only, separately at every position. This exercise
    pools samples and positions: dim=(0, 1)."""


@BatchNorm.slip(dim=1)
def instance_norm_instead():
    """You averaged over the positions of each sample separately, which is instance
    norm. Batch norm pools all samples too: dim=(0, 1)."""


@BatchNorm.slip(dim=(0, 1, 2))
def one_statistic_for_all():
    """You took one mean and one variance over the whole tensor. Batch norm keeps the
    channels apart: dim=(0, 1)."""


@BatchNorm.slip(correction=1)
def batch_unbiased():
    """You divided the sum of squares by n − 1. In training mode batch norm divides by
    n: correction=0 (torch.var's default is correction=1)."""


@BatchNorm.slip(root=outside)
def batch_eps_outside():
    """You added eps after the root. It belongs inside: sqrt(variance + eps)."""


@BatchNorm.mistake
def batch_std_plus_eps(x, eps=1e-5):
    """You divided by the standard deviation plus eps, two slips in one: torch.std and
    torch.var divide by n − 1 unless correction=0 is given, and eps belongs inside the
    root, sqrt(variance + eps)."""
    return (x - x.mean((0, 1))) / (x.std((0, 1)) + eps)


@BatchNorm.mistake
def batch_root_of_deviation(x, eps=1e-5):
    """You took the root of the standard deviation, which is a root already: divide by
    sqrt(variance + eps), with correction=0."""
    return (x - x.mean((0, 1))) / (x.std((0, 1)) + eps).sqrt()


@BatchNorm.slip(fixed=1e-5)
def batch_eps_ignored():
    """You wrote a fixed eps into the formula; use the argument."""


@BatchNorm.slip(fixed=0.0)
def batch_eps_missing():
    """You left eps out: sqrt(variance + eps)."""


@BatchNorm.slip(subtracted=False)
def batch_not_centred():
    """You did not subtract the mean: (x − mean) / sqrt(variance + eps)."""


@BatchNorm.slip(root=undivided)
def batch_only_centred():
    """You subtracted the mean and stopped there: divide by sqrt(variance + eps)."""


@BatchNorm.slip(root=without)
def batch_without_root():
    """You divided by the variance; divide by its square root."""


@BatchNorm.mistake
def batch_in_place(x, eps=1e-5):
    """You changed the caller's tensor (x -= …). Make a new one: x = x − mean."""
    right = standardize(x, (0, 1), eps)
    with torch.no_grad():
        x -= x.mean((0, 1))
    return right


@BatchNorm.mistake
def batch_detached(x, eps=1e-5):
    """Your mean and variance carry no gradient (detach, no_grad or item): they depend
    on x and must be differentiated through."""
    variance, mean = torch.var_mean(x.detach(), (0, 1), correction=0)
    return (x - mean) / torch.sqrt(variance + eps)
