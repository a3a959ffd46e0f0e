"""Exercise 1.2: layer norm, the channels of every token normalized by themselves."""

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case
from labkit.exercises.lab_01_layer_normalization.common import (
    NORMS,
    affine,
    changed,
    outside,
    standardize,
    undivided,
    without,
)


def samples_stand_alone(cases: Cases, replies: Replies) -> str | None:
    if changed(replies, "x, weight, bias, eps=0.3", "other samples changed", (0,)):
        return (
            "All samples but sample 0 were changed, yet the output of sample 0 changed:"
            " your statistics are shared between samples."
        )
    return None


def tokens_stand_alone(cases: Cases, replies: Replies) -> str | None:
    if changed(
        replies, "x, weight, bias, eps=0.3", "token 1 changed", (slice(None), 0)
    ):
        return (
            "Only the token at position 1 was changed, yet the output at position 0 "
            "changed: your statistics are shared between positions."
        )
    return None


def finite_for_a_constant_token(cases: Cases, replies: Replies) -> str | None:
    output = replies["a constant token"]["output"]
    if not bool(output.isfinite().all()):
        return (
            "A token whose channels are all equal has variance 0, and your output is "
            f"{output.flatten()[0].item()} there; it should be 0 · weight + bias."
        )
    return None


class LayerNorm(Exercise):
    """layer_norm(x, weight, bias, eps): normalize the channels of every token."""

    number = "1.2"
    off_limits = NORMS
    properties = (samples_stand_alone, tokens_stand_alone, finite_for_a_constant_token)

    @staticmethod
    def layer_norm(x, weight=None, bias=None, eps=1e-5):
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)

    reference = {"layer_norm": layer_norm}

    @staticmethod
    def written(
        x,
        weight=None,
        bias=None,
        eps=1e-5,
        *,
        dim=-1,
        fixed=None,
        then="wb",
        **slips,
    ):
        """then: what is applied behind, weight or bias, in this order."""
        dim = tuple(range(x.dim() - 1)) if dim == "all but the channels" else dim
        x = standardize(x, dim, eps if fixed is None else fixed, **slips)
        for which in then:
            x = affine(x, weight, None) if which == "w" else affine(x, None, bias)
        return x

    def draw_cases(self, draw: Draw):
        A, B, T, C = draw.sizes(4)
        x = draw.normal(B, T, C, mean=2, std=3)
        weight, bias = draw.normal(C), draw.normal(C)
        company, neighbour = x.clone(), x.clone()
        company[1:] = draw.normal(B - 1, T, C)
        neighbour[:, 1] = draw.normal(B, C)

        def case(name, x, weight=None, bias=None, **options):
            given = {k: options.pop(k) for k in ("eps",) if k in options}
            args = {"x": x, "weight": weight, "bias": bias}
            return Case(name, "layer_norm", args, given, **options)

        yield case("x, weight, bias, eps=0.3", x, weight, bias, eps=0.3)
        yield case("other samples changed", company, weight, bias, eps=0.3)
        yield case("token 1 changed", neighbour, weight, bias, eps=0.3)
        yield case("no weight, no bias", x)
        yield case("weight alone", x, weight, edge=True, gradients=False)
        yield case("bias alone", x, None, bias, edge=True, gradients=False)
        yield case("small values, default eps", x / 1000, weight, bias)
        constant = torch.full((B, T, C), 3.0, dtype=torch.float64)
        yield case("a constant token", constant, weight, bias, gradients=False)
        yield case("one token, shape (C,)", x[0, 0], weight, bias, edge=True)
        yield case("four axes", draw.normal(A, B, T, C), weight, bias, edge=True)
        yield case(
            "float32 around 1000",
            draw.normal(B, T, C, mean=1000).float(),
            gradients=False,
            tolerance=2e-3,
            edge=True,
            tells=("cancelling_variance",),
        )


@LayerNorm.slip(dim=(-2, -1))
def over_positions_too():
    """You averaged over positions and channels together, a common textbook slip. In a
    Transformer every token has its own mean and variance: dim=-1 only."""


@LayerNorm.slip(dim=-2)
def over_positions():
    """You averaged over the positions. Layer norm averages over the last axis, the
    channels of one token: dim=-1."""


@LayerNorm.slip(dim=0)
def over_samples():
    """You averaged over the samples (dim=0). Layer norm never looks at another sample:
    dim=-1."""


@LayerNorm.slip(dim="all but the channels")
def batch_norm_instead():
    """You averaged each channel over everything else, which is batch norm. Layer norm
    averages over the channels of one token: dim=-1."""


@LayerNorm.slip(correction=1)
def unbiased():
    """You divided the sum of squares by C − 1. Layer norm divides by C: correction=0
    (torch.var's default is correction=1)."""


@LayerNorm.slip(root=outside)
def eps_outside():
    """You added eps after the root. It belongs inside: sqrt(variance + eps)."""


@LayerNorm.mistake
def std_plus_eps(x, weight=None, bias=None, eps=1e-5):
    """You divided by the standard deviation plus eps, two slips in one: torch.std and
    torch.var divide by C − 1 unless correction=0 is given, and eps belongs inside the
    root, sqrt(variance + eps)."""
    x = x - x.mean(-1, keepdim=True)
    return affine(x / (x.std(-1, keepdim=True) + eps), weight, bias)


@LayerNorm.mistake
def root_of_deviation(x, weight=None, bias=None, eps=1e-5):
    """You took the root of the standard deviation, which is a root already: divide by
    sqrt(variance + eps), with correction=0."""
    x = x - x.mean(-1, keepdim=True)
    return affine(x / (x.std(-1, keepdim=True) + eps).sqrt(), weight, bias)


@LayerNorm.mistake
def root_of_biased_deviation(x, weight=None, bias=None, eps=1e-5):
    """You took the root of the standard deviation, which is a root already: divide by
    sqrt(variance + eps)."""
    x = x - x.mean(-1, keepdim=True)
    deviation = x.std(-1, correction=0, keepdim=True)
    return affine(x / (deviation + eps).sqrt(), weight, bias)


@LayerNorm.mistake
def keepdim_forgotten(x, weight=None, bias=None, eps=1e-5):
    """You left keepdim=True out. A mean of shape (B, T) does not stretch over the
    channels of (B, T, C); one of shape (B, T, 1) does."""
    return affine((x - x.mean(-1)) / torch.sqrt(x.var(-1) + eps), weight, bias)


@LayerNorm.slip(fixed=1e-5)
def eps_ignored():
    """You wrote a fixed eps into the formula; use the argument."""


@LayerNorm.slip(fixed=0.0)
def eps_missing():
    """You left eps out: a token whose channels are all equal then gives 0/0 = NaN."""


@LayerNorm.slip(root=without)
def without_root():
    """You divided by the variance; divide by its square root."""


@LayerNorm.mistake
def unit_length(x, weight=None, bias=None, eps=1e-5):
    """You scaled every token to length 1. Layer norm gives variance 1, so the length is
    about √C: divide by the root of the mean square, not of the sum."""
    x = x - x.mean(-1, keepdim=True)
    return affine(x / torch.sqrt(x.pow(2).sum(-1, keepdim=True) + eps), weight, bias)


@LayerNorm.slip(centred=False)
def not_centred():
    """You divided by the root mean square without subtracting the mean: that is RMS
    norm (exercise 1.7)."""


@LayerNorm.slip(subtracted=False)
def mean_not_subtracted():
    """You divided by the deviation without subtracting the mean:
    (x − mean) / sqrt(variance + eps)."""


@LayerNorm.slip(root=undivided)
def only_centred():
    """You subtracted the mean and stopped there: divide by sqrt(variance + eps)."""


@LayerNorm.slip(then="bw")
def bias_before_weight():
    """You added the bias before multiplying by the weight. The order is
    normalized · weight + bias."""


@LayerNorm.slip(then="")
def no_affine():
    """You ignored weight and bias: the result is normalized · weight + bias."""


@LayerNorm.slip(then="w")
def bias_forgotten():
    """You ignored the bias: the result is normalized · weight + bias."""


@LayerNorm.mistake
def one_statistic_for_all(x, weight=None, bias=None, eps=1e-5):
    """You took one mean and one variance over the whole tensor. Every token has its
    own: dim=-1."""
    return affine(standardize(x, tuple(range(x.dim())), eps), weight, bias)


@LayerNorm.mistake
def weight_and_bias_exchanged(x, weight=None, bias=None, eps=1e-5):
    """You multiplied by the bias and added the weight: the result is
    normalized · weight + bias."""
    return affine(standardize(x, -1, eps), bias, weight)


@LayerNorm.mistake
def cancelling_variance(x, weight=None, bias=None, eps=1e-5):
    """You computed the variance as E[x²] − E[x]². Far from zero the two nearly cancel
    and float32 loses the digits that matter: average (x − mean)² instead."""
    mean = x.mean(-1, keepdim=True)
    variance = (x * x).mean(-1, keepdim=True) - mean * mean
    return affine((x - mean) / torch.sqrt(variance + eps), weight, bias)


@LayerNorm.mistake
def always_float32(x, weight=None, bias=None, eps=1e-5):
    """You turned x into float32. Keep the dtype that came in."""
    return affine(standardize(x.float(), -1, eps), weight, bias).float()


@LayerNorm.mistake
def in_place(x, weight=None, bias=None, eps=1e-5):
    """You changed the caller's tensor (x -= …). Make a new one: x = x − mean."""
    right = affine(standardize(x, -1, eps), weight, bias)
    with torch.no_grad():
        x -= x.mean(-1, keepdim=True)
    return right


@LayerNorm.mistake
def detached(x, weight=None, bias=None, eps=1e-5):
    """Your mean and variance carry no gradient (detach, no_grad or item): they depend
    on x and must be differentiated through."""
    variance, mean = torch.var_mean(x.detach(), -1, correction=0, keepdim=True)
    return affine((x - mean) / torch.sqrt(variance + eps), weight, bias)
