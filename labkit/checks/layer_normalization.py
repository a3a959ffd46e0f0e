"""Lab 1: what is right, and the usual ways of being wrong, about normalization.

x is (B, T, C): samples, positions, channels. A misconception's docstring is what the
learner reads.
"""

import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Records, mistake
from labkit.checks.probes import Case, Layer

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
AUTOGRAD = ("backward", "grad", "native_layer_norm_backward")


def standardize(x, dim, eps, correction=0):
    """Zero mean and unit variance over `dim`, the wrong or the right one."""
    mean = x.mean(dim, keepdim=True)
    variance = x.var(dim, correction=correction, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps)


def affine(x, weight, bias):
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def changed(records: Records, one: str, other: str, kept: tuple) -> bool:
    """Whether the outputs of two cases differ at the entries `kept`."""
    difference = records[one]["output"][kept] - records[other]["output"][kept]
    return not bool((difference.abs() < 1e-9).all())


# ------------------------------------------------------------------------------ 1.1


def layer_norm_instead(x, eps=1e-5):
    """You averaged over the channels of each token, which is layer norm. Batch norm
    takes one mean and one variance per channel, over all samples and positions."""
    return standardize(x, -1, eps)


def per_position(x, eps=1e-5):
    """You averaged over the samples only, separately at every position. This exercise
    pools samples and positions: dim=(0, 1)."""
    return standardize(x, 0, eps)


def instance_norm_instead(x, eps=1e-5):
    """You averaged over the positions of each sample separately, which is instance
    norm. Batch norm pools all samples too: dim=(0, 1)."""
    return standardize(x, 1, eps)


def one_statistic_for_all(x, eps=1e-5):
    """You took one mean and one variance over the whole tensor. Batch norm keeps the
    channels apart: dim=(0, 1)."""
    return standardize(x, (0, 1, 2), eps)


def batch_unbiased(x, eps=1e-5):
    """You divided the sum of squares by n − 1. In training mode batch norm divides by
    n: correction=0 (torch.var's default is correction=1)."""
    return standardize(x, (0, 1), eps, correction=1)


def batch_eps_outside(x, eps=1e-5):
    """You added eps after the root. It belongs inside: sqrt(variance + eps)."""
    x = x - x.mean((0, 1))
    return x / (x.pow(2).mean((0, 1)).sqrt() + eps)


def batch_std_plus_eps(x, eps=1e-5):
    """You divided by the standard deviation plus eps, two slips in one: torch.std and
    torch.var divide by n − 1 unless correction=0 is given, and eps belongs inside the
    root, sqrt(variance + eps)."""
    return (x - x.mean((0, 1))) / (x.std((0, 1)) + eps)


def batch_eps_ignored(x, eps=1e-5):
    """You wrote a fixed eps into the formula; use the argument."""
    return standardize(x, (0, 1), 1e-5)


def batch_without_root(x, eps=1e-5):
    """You divided by the variance; divide by its square root."""
    x = x - x.mean((0, 1))
    return x / (x.pow(2).mean((0, 1)) + eps)


def batch_in_place(x, eps=1e-5):
    """You changed the caller's tensor (x -= …). Make a new one: x = x − mean."""
    right = standardize(x, (0, 1), eps)
    with torch.no_grad():
        x -= x.mean((0, 1))
    return right


def batch_detached(x, eps=1e-5):
    """Your mean and variance carry no gradient (detach, no_grad or item): they depend
    on x and must be differentiated through."""
    variance, mean = torch.var_mean(x.detach(), (0, 1), correction=0)
    return (x - mean) / torch.sqrt(variance + eps)


def channels_stand_alone(cases: Cases, records: Records) -> str | None:
    if changed(records, "x, eps=0.3", "channel 1 changed", (..., 0)):
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
    misconceptions = (
        layer_norm_instead,
        per_position,
        instance_norm_instead,
        one_statistic_for_all,
        batch_unbiased,
        batch_eps_outside,
        batch_std_plus_eps,
        batch_eps_ignored,
        batch_without_root,
        batch_in_place,
        batch_detached,
    )

    @staticmethod
    def batch_norm(x, eps=1e-5):
        flat = x.flatten(0, 1)  # (B·T, C)
        return F.batch_norm(flat, None, None, training=True, eps=eps).view_as(x)

    reference = {"batch_norm": batch_norm}

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


# ------------------------------------------------------------------------------ 1.2


def over_positions_too(x, weight=None, bias=None, eps=1e-5):
    """You averaged over positions and channels together, a common textbook slip. In a
    Transformer every token has its own mean and variance: dim=-1 only."""
    return affine(standardize(x, (-2, -1), eps), weight, bias)


def over_positions(x, weight=None, bias=None, eps=1e-5):
    """You averaged over the positions. Layer norm averages over the last axis, the
    channels of one token: dim=-1."""
    return affine(standardize(x, -2, eps), weight, bias)


def over_samples(x, weight=None, bias=None, eps=1e-5):
    """You averaged over the samples (dim=0). Layer norm never looks at another sample:
    dim=-1."""
    return affine(standardize(x, 0, eps), weight, bias)


def batch_norm_instead(x, weight=None, bias=None, eps=1e-5):
    """You averaged each channel over everything else, which is batch norm. Layer norm
    averages over the channels of one token: dim=-1."""
    return affine(standardize(x, tuple(range(x.dim() - 1)), eps), weight, bias)


def unbiased(x, weight=None, bias=None, eps=1e-5):
    """You divided the sum of squares by C − 1. Layer norm divides by C: correction=0
    (torch.var's default is correction=1)."""
    return affine(standardize(x, -1, eps, correction=1), weight, bias)


def eps_outside(x, weight=None, bias=None, eps=1e-5):
    """You added eps after the root. It belongs inside: sqrt(variance + eps)."""
    x = x - x.mean(-1, keepdim=True)
    return affine(x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps), weight, bias)


def std_plus_eps(x, weight=None, bias=None, eps=1e-5):
    """You divided by the standard deviation plus eps, two slips in one: torch.std and
    torch.var divide by C − 1 unless correction=0 is given, and eps belongs inside the
    root, sqrt(variance + eps)."""
    x = x - x.mean(-1, keepdim=True)
    return affine(x / (x.std(-1, keepdim=True) + eps), weight, bias)


def eps_ignored(x, weight=None, bias=None, eps=1e-5):
    """You wrote a fixed eps into the formula; use the argument."""
    return affine(standardize(x, -1, 1e-5), weight, bias)


def eps_missing(x, weight=None, bias=None, eps=1e-5):
    """You left eps out: a token whose channels are all equal then gives 0/0 = NaN."""
    return affine(standardize(x, -1, 0.0), weight, bias)


def without_root(x, weight=None, bias=None, eps=1e-5):
    """You divided by the variance; divide by its square root."""
    x = x - x.mean(-1, keepdim=True)
    return affine(x / (x.pow(2).mean(-1, keepdim=True) + eps), weight, bias)


def unit_length(x, weight=None, bias=None, eps=1e-5):
    """You scaled every token to length 1. Layer norm gives variance 1, so the length is
    about √C: divide by the root of the mean square, not of the sum."""
    x = x - x.mean(-1, keepdim=True)
    return affine(x / torch.sqrt(x.pow(2).sum(-1, keepdim=True) + eps), weight, bias)


def not_centred(x, weight=None, bias=None, eps=1e-5):
    """You divided by the root mean square without subtracting the mean: that is RMS
    norm (exercise 1.7)."""
    scale = torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return affine(x / scale, weight, bias)


def bias_before_weight(x, weight=None, bias=None, eps=1e-5):
    """You added the bias before multiplying by the weight. The order is
    normalized · weight + bias."""
    x = standardize(x, -1, eps)
    return affine(affine(x, None, bias), weight, None)


def no_affine(x, weight=None, bias=None, eps=1e-5):
    """You ignored weight and bias: the result is normalized · weight + bias."""
    return standardize(x, -1, eps)


def bias_forgotten(x, weight=None, bias=None, eps=1e-5):
    """You ignored the bias: the result is normalized · weight + bias."""
    return affine(standardize(x, -1, eps), weight, None)


def cancelling_variance(x, weight=None, bias=None, eps=1e-5):
    """You computed the variance as E[x²] − E[x]². Far from zero the two nearly cancel
    and float32 loses the digits that matter: average (x − mean)² instead."""
    mean = x.mean(-1, keepdim=True)
    variance = (x * x).mean(-1, keepdim=True) - mean * mean
    return affine((x - mean) / torch.sqrt(variance + eps), weight, bias)


def always_float32(x, weight=None, bias=None, eps=1e-5):
    """You turned x into float32. Keep the dtype that came in."""
    return affine(standardize(x.float(), -1, eps), weight, bias).float()


def in_place(x, weight=None, bias=None, eps=1e-5):
    """You changed the caller's tensor (x -= …). Make a new one: x = x − mean."""
    right = affine(standardize(x, -1, eps), weight, bias)
    with torch.no_grad():
        x -= x.mean(-1, keepdim=True)
    return right


def detached(x, weight=None, bias=None, eps=1e-5):
    """Your mean and variance carry no gradient (detach, no_grad or item): they depend
    on x and must be differentiated through."""
    variance, mean = torch.var_mean(x.detach(), -1, correction=0, keepdim=True)
    return affine((x - mean) / torch.sqrt(variance + eps), weight, bias)


def samples_stand_alone(cases: Cases, records: Records) -> str | None:
    if changed(records, "x, weight, bias, eps=0.3", "other samples changed", (0,)):
        return (
            "All samples but sample 0 were changed, yet the output of sample 0 changed:"
            " your statistics are shared between samples."
        )
    return None


def tokens_stand_alone(cases: Cases, records: Records) -> str | None:
    if changed(
        records, "x, weight, bias, eps=0.3", "token 1 changed", (slice(None), 0)
    ):
        return (
            "Only the token at position 1 was changed, yet the output at position 0 "
            "changed: your statistics are shared between positions."
        )
    return None


def finite_for_a_constant_token(cases: Cases, records: Records) -> str | None:
    output = records["a constant token"]["output"]
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
    misconceptions = (
        over_positions_too,
        over_positions,
        over_samples,
        batch_norm_instead,
        unbiased,
        eps_outside,
        std_plus_eps,
        eps_ignored,
        eps_missing,
        without_root,
        unit_length,
        not_centred,
        bias_before_weight,
        no_affine,
        bias_forgotten,
        cancelling_variance,
        always_float32,
        in_place,
        detached,
    )

    @staticmethod
    def layer_norm(x, weight=None, bias=None, eps=1e-5):
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)

    reference = {"layer_norm": layer_norm}

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
        )


# ------------------------------------------------------------------------------ 1.3


class LearnedNorm(nn.Module):
    """The right module, for misconceptions to go wrong from in one place each."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))

    def forward(self, x):
        return affine(standardize(x, -1, self.eps), self.weight, self.bias)


class PlainTensors(nn.Module):
    """Your module has no parameter registered: the optimizer will not see weight and
    bias and .to(device) will not move them. In __init__, assign each to self as an
    nn.Parameter; a plain tensor, a list or a variable without self does not count."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = torch.ones(normalized_shape)
        self.bias = torch.zeros(normalized_shape)

    forward = LearnedNorm.forward


class OtherNames(nn.Module):
    """You called the parameters gamma and beta, as the papers do. To interchange with
    nn.LayerNorm they must be called weight and bias."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(normalized_shape))
        self.beta = nn.Parameter(torch.zeros(normalized_shape))


class ScalarParameters(nn.Module):
    """You registered one number each for weight and bias. There is one for every
    channel: shape (normalized_shape,)."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    forward = LearnedNorm.forward


class SwappedInitialValues(LearnedNorm):
    """Your weight starts at 0 and your bias at 1. A fresh layer norm changes nothing
    but the scale: weight 1, bias 0."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        nn.init.zeros_(self.weight)
        nn.init.ones_(self.bias)


class RandomInitialValues(LearnedNorm):
    """Your weight starts at random values. A fresh layer norm starts with weight 1 and
    bias 0."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        generator = torch.Generator().manual_seed(0)
        nn.init.normal_(self.weight, generator=generator)


class NoSuperInit(nn.Module):
    """You did not call super().__init__() first: nn.Module needs it before it can
    register parameters."""

    def __init__(self, normalized_shape, eps=1e-5):
        self.weight = nn.Parameter(torch.ones(normalized_shape))


class RunningStatistics(LearnedNorm):
    """You keep running statistics. Layer norm has none: it computes the same in
    training and in evaluation."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.register_buffer("running_mean", torch.zeros(normalized_shape))
        self.register_buffer("running_var", torch.ones(normalized_shape))


class OtherInEvaluation(LearnedNorm):
    """Your layer computes something else in eval mode. Layer norm does not distinguish
    training from evaluation."""

    def forward(self, x):
        return (
            super().forward(x) if self.training else affine(x, self.weight, self.bias)
        )


class ModuleEpsIgnored(LearnedNorm):
    """Your module computes with eps = 1e-5, whatever the constructor is given: keep the
    argument in self.eps, and use it (or hand it on) in forward."""

    def forward(self, x):
        return affine(standardize(x, -1, 1e-5), self.weight, self.bias)


class ModuleUnbiased(LearnedNorm):
    """You divided the sum of squares by C − 1. Layer norm divides by C: correction=0
    (torch.var's default is correction=1)."""

    def forward(self, x):
        x = standardize(x, -1, self.eps, correction=1)
        return affine(x, self.weight, self.bias)


class ModuleStdPlusEps(LearnedNorm):
    """You divided by the standard deviation plus eps, two slips in one: torch.std and
    torch.var divide by C − 1 unless correction=0 is given, and eps belongs inside the
    root, sqrt(variance + eps)."""

    def forward(self, x):
        return std_plus_eps(x, self.weight, self.bias, self.eps)


class ModuleOverPositionsToo(LearnedNorm):
    """You averaged over positions and channels together. Every token has its own mean
    and variance: dim=-1 only."""

    def forward(self, x):
        return affine(standardize(x, (-2, -1), self.eps), self.weight, self.bias)


class ParametersUnused(LearnedNorm):
    """You registered weight and bias but do not use them in forward."""

    def forward(self, x):
        return standardize(x, -1, self.eps)


class LayerNormModule(Exercise):
    """LayerNorm(normalized_shape, eps): interchangeable with nn.LayerNorm."""

    number = "1.3"
    reference = {"LayerNorm": nn.LayerNorm}
    probe = "module"
    off_limits = NORMS
    misconceptions = (
        PlainTensors,
        OtherNames,
        ScalarParameters,
        SwappedInitialValues,
        RandomInitialValues,
        NoSuperInit,
        RunningStatistics,
        OtherInEvaluation,
        ModuleEpsIgnored,
        ModuleUnbiased,
        ModuleStdPlusEps,
        ModuleOverPositionsToo,
        ParametersUnused,
    )

    def draw_cases(self, draw: Draw):
        B, T, C = draw.sizes(3)
        for name, shape, options in (
            ("eps=0.3", (B, T), {"eps": 0.3}),
            ("default eps", (B, T), {}),
            ("one token, shape (C,)", (), {}),
        ):
            yield Case(
                name,
                "LayerNorm",
                {"normalized_shape": C},
                options,
                state={"weight": draw.normal(C), "bias": draw.normal(C)},
                inputs={"x": draw.normal(*shape, C, mean=2, std=3)},
                edge=not shape,
            )


# ------------------------------------------------------------------------------ 1.4


def backward_parts(grad_output, x, weight, eps):
    """What the right answer and most wrong ones are put together from."""
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    scale = torch.rsqrt(variance + eps)
    normalized = (x - mean) * scale
    grad_normalized = grad_output * weight
    grad_weight = (grad_output * normalized).sum((0, 1))
    return scale, normalized, grad_normalized, grad_weight, grad_output.sum((0, 1))


def along(x, normalized):
    """The part of x along the normalized direction, token by token."""
    return normalized * (x * normalized).mean(-1, keepdim=True)


def statistics_constant(grad_output, x, weight, eps=1e-5):
    """Your grad_x treats mean and variance as constants. Both depend on x: subtract
    from the gradient its mean and its part along the normalized x."""
    scale, _, grad, *rest = backward_parts(grad_output, x, weight, eps)
    return grad * scale, *rest


def mean_path_missing(grad_output, x, weight, eps=1e-5):
    """Your grad_x leaves out the path through the mean: subtract the gradient's mean
    over the channels."""
    scale, normalized, grad, *rest = backward_parts(grad_output, x, weight, eps)
    return (grad - along(grad, normalized)) * scale, *rest


def variance_path_missing(grad_output, x, weight, eps=1e-5):
    """Your grad_x leaves out the path through the variance: subtract the gradient's
    part along the normalized x."""
    scale, _, grad, *rest = backward_parts(grad_output, x, weight, eps)
    return (grad - grad.mean(-1, keepdim=True)) * scale, *rest


def weight_missing(grad_output, x, weight, eps=1e-5):
    """Your grad_x leaves the weight out: the gradient of the normalized x is
    grad_output · weight."""
    scale, normalized, _, *rest = backward_parts(grad_output, x, weight, eps)
    grad = grad_output - grad_output.mean(-1, keepdim=True)
    return (grad - along(grad_output, normalized)) * scale, *rest


def scale_missing(grad_output, x, weight, eps=1e-5):
    """Your grad_x lacks the last factor, 1 / sqrt(variance + eps)."""
    _, normalized, grad, *rest = backward_parts(grad_output, x, weight, eps)
    return grad - grad.mean(-1, keepdim=True) - along(grad, normalized), *rest


def right_grad_x(grad_output, x, weight, eps):
    scale, normalized, grad, *_ = backward_parts(grad_output, x, weight, eps)
    return (grad - grad.mean(-1, keepdim=True) - along(grad, normalized)) * scale


def weight_from_raw_x(grad_output, x, weight, eps=1e-5):
    """Your grad_weight multiplies by x. The weight multiplies the normalized x, so its
    gradient does too."""
    *_, grad_bias = backward_parts(grad_output, x, weight, eps)
    grad_weight = (grad_output * x).sum((0, 1))
    return right_grad_x(grad_output, x, weight, eps), grad_weight, grad_bias


def weight_and_bias_swapped(grad_output, x, weight, eps=1e-5):
    """Your grad_weight and grad_bias have changed places: return grad_x, grad_weight,
    grad_bias."""
    *_, grad_weight, grad_bias = backward_parts(grad_output, x, weight, eps)
    return right_grad_x(grad_output, x, weight, eps), grad_bias, grad_weight


def averaged_over_tokens(grad_output, x, weight, eps=1e-5):
    """You averaged grad_weight and grad_bias over the tokens. Every token uses the same
    weight, so the gradients add up: sum."""
    *_, grad_weight, grad_bias = backward_parts(grad_output, x, weight, eps)
    tokens = x.numel() // x.shape[-1]
    grad_x = right_grad_x(grad_output, x, weight, eps)
    return grad_x, grad_weight / tokens, grad_bias / tokens


def summed_over_samples_only(grad_output, x, weight, eps=1e-5):
    """You summed grad_weight and grad_bias over the samples only. Positions share the
    weight too: sum over every axis but the last."""
    _, normalized, *_ = backward_parts(grad_output, x, weight, eps)
    grad_x = right_grad_x(grad_output, x, weight, eps)
    return grad_x, (grad_output * normalized).sum(0), grad_output.sum(0)


def backward_eps_ignored(grad_output, x, weight, eps=1e-5):
    """You wrote a fixed eps into the formula; use the argument."""
    return LayerNormBackward.layer_norm_backward(grad_output, x, weight, 1e-5)


class LayerNormBackward(Exercise):
    """layer_norm_backward(grad_output, x, weight, eps): the three gradients by hand."""

    number = "1.4"
    off_limits = NORMS + AUTOGRAD
    misconceptions = (
        statistics_constant,
        mean_path_missing,
        variance_path_missing,
        weight_missing,
        scale_missing,
        weight_from_raw_x,
        weight_and_bias_swapped,
        averaged_over_tokens,
        summed_over_samples_only,
        backward_eps_ignored,
    )

    @staticmethod
    def layer_norm_backward(grad_output, x, weight, eps=1e-5):
        x = x.detach().requires_grad_()
        weight = weight.detach().requires_grad_()
        bias = torch.zeros_like(weight).requires_grad_()
        output = F.layer_norm(x, x.shape[-1:], weight, bias, eps)
        return torch.autograd.grad(output, (x, weight, bias), grad_output)

    reference = {"layer_norm_backward": layer_norm_backward}

    def draw_cases(self, draw: Draw):
        B, T, C = draw.sizes(3)
        for name, options in (("eps=0.3", {"eps": 0.3}), ("default eps", {})):
            args = {
                "grad_output": draw.normal(B, T, C),
                "x": draw.normal(B, T, C, mean=2, std=3),
                "weight": draw.normal(C),
            }
            yield Case(name, "layer_norm_backward", args, options, gradients=False)


# ------------------------------------------------------------------------------ 1.5


def masked_statistics(x, alive):
    """Count (T,), mean and biased variance (T, C) where alive (B, T)."""
    count = alive.sum(0)
    n = count[:, None].to(x)
    kept = torch.where(alive[..., None], x, 0.0)
    mean = kept.sum(0) / n
    squares = torch.where(alive[..., None], (x - mean) ** 2, 0.0)
    return count, mean, squares.sum(0) / n


def living(x, lengths):
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]


def padding_counted(x, lengths):
    """You averaged over all samples, padding included. Only samples longer than t have
    a token at position t."""
    return masked_statistics(x, torch.ones_like(x[..., 0], dtype=torch.bool))


def padding_multiplied(x, lengths):
    """Your padding still takes part in the sums, multiplied by 0, perhaps; and 0 · NaN
    is NaN. It may hold anything: leave it out with torch.where, masked_fill or an
    index."""
    alive = living(x, lengths)
    count, keep = alive.sum(0), alive[..., None].to(x)
    mean = (x * keep).sum(0) / count[:, None]
    return count, mean, ((x - mean) ** 2 * keep).sum(0) / count[:, None]


def padding_as_zeros(x, lengths):
    """You set the padding to zero but still divided by the number of samples. Divide by
    the number still alive at each position."""
    alive = living(x, lengths)
    kept = torch.where(alive[..., None], x, 0.0)
    return alive.sum(0), kept.mean(0), kept.var(0, correction=0)


def one_position_too_many(x, lengths):
    """You count a sample as alive at position t = length. Positions start at 0, so the
    last one is length − 1: alive where t < length."""
    alive = torch.arange(x.shape[1], device=x.device) <= lengths[:, None]
    return masked_statistics(x, alive)


def one_position_too_few(x, lengths):
    """You drop the last token of every sample. Positions start at 0: alive where
    t < length."""
    alive = torch.arange(x.shape[1], device=x.device) < lengths[:, None] - 1
    return masked_statistics(x, alive)


def position_unbiased(x, lengths):
    """You divided by count − 1. Here, as in the norm itself, divide by the count: one
    sample alone then has variance 0, not NaN."""
    count, mean, var = masked_statistics(x, living(x, lengths))
    n = count[:, None].to(x)
    return count, mean, var * n / (n - 1)


def zeros_where_none(x, lengths):
    """You return 0 where no sample is alive. There is no statistic there: NaN says so,
    and nobody mistakes it for a mean of 0."""
    count, mean, var = masked_statistics(x, living(x, lengths))
    return count, mean.nan_to_num(), var.nan_to_num()


def positions_pooled(x, lengths):
    """You pooled all positions into one mean and one variance per channel. The question
    here is each position by itself."""
    alive = living(x, lengths)
    mean = x[alive].mean(0).expand(x.shape[1:])
    return alive.sum(0), mean, x[alive].var(0, correction=0).expand(x.shape[1:])


def deviation_instead(x, lengths):
    """You returned the standard deviation; return the variance, its square."""
    count, mean, var = masked_statistics(x, living(x, lengths))
    return count, mean, var.sqrt()


def padding_ignored(cases: Cases, records: Records) -> str | None:
    before, after = (
        records[name]["output"] for name in ("unequal lengths", "other padding")
    )
    same = [
        torch.equal(a.nan_to_num(), b.nan_to_num())
        for a, b in zip(before, after, strict=True)
    ]
    if all(same):
        return None
    what = ("count", "mean", "var")[same.index(False)]
    return (
        f"Only the padding was changed, yet {what} changed: entries at t ≥ length are "
        "not part of the sample."
    )


class PositionStatistics(Exercise):
    """position_statistics(x, lengths): what batch norm would know at each position."""

    number = "1.5"
    properties = (padding_ignored,)
    misconceptions = (
        padding_counted,
        padding_multiplied,
        padding_as_zeros,
        one_position_too_many,
        one_position_too_few,
        position_unbiased,
        zeros_where_none,
        positions_pooled,
        deviation_instead,
    )

    @staticmethod
    def position_statistics(x, lengths):
        return masked_statistics(x, living(x, lengths))

    reference = {"position_statistics": position_statistics}

    def draw_cases(self, draw: Draw):
        B, T, C = draw.sizes(3, low=4)
        lengths = draw.integers(1, T - 2, B)
        lengths[0], lengths[1] = T - 1, 1  # one sample alone near the end, then none
        x = draw.normal(B, T, C, mean=3, std=2)
        other = torch.where(living(x, lengths)[..., None], x, draw.normal(B, T, C))
        unset = torch.where(living(x, lengths)[..., None], x, torch.nan)
        for name, values, size in (
            ("unequal lengths", x, lengths),
            ("other padding", other, lengths),
            ("all of full length", x, torch.full((B,), T)),
            ("NaN as padding", unset, lengths),
        ):
            args = {"x": values, "lengths": size}
            edge = values is unset
            yield Case(name, "position_statistics", args, gradients=False, edge=edge)


# ------------------------------------------------------------------------------ 1.6


@mistake(of="pre_norm")
def pre_is_post(x, norm, sublayer):
    """Your pre_norm is post-norm: it normalizes after the addition. Pre-norm normalizes
    what goes into the sublayer and leaves the stream x as it is."""
    return norm(x + sublayer(x))


@mistake(of="pre_norm")
def pre_without_residual(x, norm, sublayer):
    """Your pre_norm has no residual connection: add x."""
    return sublayer(norm(x))


@mistake(of="pre_norm")
def pre_residual_normalized(x, norm, sublayer):
    """Your pre_norm adds the normalized x. The residual is x itself: the stream is
    never normalized."""
    x = norm(x)
    return x + sublayer(x)


@mistake(of="pre_norm")
def pre_norm_behind_sublayer(x, norm, sublayer):
    """Your pre_norm normalizes what comes out of the sublayer. Normalize what goes
    in: x + sublayer(norm(x))."""
    return x + norm(sublayer(x))


@mistake(of="pre_norm")
def pre_norm_forgotten(x, norm, sublayer):
    """Your pre_norm does not normalize at all."""
    return x + sublayer(x)


@mistake(of="pre_norm")
def pre_in_place(x, norm, sublayer):
    """Your pre_norm adds into the caller's tensor (x += …). Return a new one: x + …."""
    right = x + sublayer(norm(x))
    with torch.no_grad():
        x += sublayer(norm(x))
    return right


@mistake(of="post_norm")
def post_is_pre(x, norm, sublayer):
    """Your post_norm is pre-norm. Post-norm adds first and normalizes the sum."""
    return x + sublayer(norm(x))


@mistake(of="post_norm")
def post_without_residual(x, norm, sublayer):
    """Your post_norm has no residual connection: normalize x + sublayer(x)."""
    return norm(sublayer(x))


@mistake(of="post_norm")
def post_residual_outside(x, norm, sublayer):
    """Your post_norm adds x after normalizing. Add first, then normalize the sum."""
    return x + norm(sublayer(x))


@mistake(of="post_norm")
def post_norm_forgotten(x, norm, sublayer):
    """Your post_norm does not normalize at all."""
    return x + sublayer(x)


def pre_norm_lets_x_through(cases: Cases, records: Records) -> str | None:
    name = "pre_norm, a sublayer that returns 0"
    x, output = cases[name].args["x"], records[name]["output"]
    if bool(((output - x).abs() > 1e-9).any()):
        return (
            "With a sublayer that returns 0, pre_norm should return x itself: the "
            "residual stream passes untouched."
        )
    return None


class Residual(Exercise):
    """pre_norm and post_norm: where the norm stands around a residual connection."""

    number = "1.6"
    properties = (pre_norm_lets_x_through,)
    misconceptions = (
        pre_is_post,
        pre_without_residual,
        pre_residual_normalized,
        pre_norm_behind_sublayer,
        pre_norm_forgotten,
        pre_in_place,
        post_is_pre,
        post_without_residual,
        post_residual_outside,
        post_norm_forgotten,
    )

    @staticmethod
    def pre_norm(x, norm, sublayer):
        return x + sublayer(norm(x))

    @staticmethod
    def post_norm(x, norm, sublayer):
        return norm(x + sublayer(x))

    reference = {"pre_norm": pre_norm, "post_norm": post_norm}

    def draw_cases(self, draw: Draw):
        B, T, C = draw.sizes(3)
        x = draw.normal(B, T, C, mean=2, std=3)
        norm_state = {"weight": draw.normal(C), "bias": draw.normal(C)}
        norm = Layer("LayerNorm", (C,), state=norm_state)
        linear_state = {"weight": draw.normal(C, C), "bias": draw.normal(C)}
        linear = Layer("Linear", (C, C), state=linear_state)
        sublayer = Layer("Sequential", (linear, Layer("Tanh")))
        nothing = Layer(
            "Linear", (C, C), state={k: v * 0 for k, v in linear_state.items()}
        )
        for target in self.names:
            args = {"x": x, "norm": norm, "sublayer": sublayer}
            yield Case(target, target, args)
            args = {"x": x, "norm": norm, "sublayer": nothing}
            yield Case(f"{target}, a sublayer that returns 0", target, args)


# ------------------------------------------------------------------------------ 1.7


def rms_centred(x, weight=None, eps=1e-6):
    """You subtracted the mean. RMS norm does not centre: it only divides."""
    return affine(standardize(x, -1, eps), weight, None)


def rms_eps_outside(x, weight=None, eps=1e-6):
    """You added eps after the root. It belongs inside: sqrt(mean square + eps)."""
    return affine(x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps), weight, None)


def rms_without_root(x, weight=None, eps=1e-6):
    """You divided by the mean square; divide by its square root."""
    return affine(x / (x.pow(2).mean(-1, keepdim=True) + eps), weight, None)


def rms_unit_length(x, weight=None, eps=1e-6):
    """You divided by the root of the sum of squares; take the mean of the squares."""
    return affine(x / torch.sqrt(x.pow(2).sum(-1, keepdim=True) + eps), weight, None)


def rms_over_everything(x, weight=None, eps=1e-6):
    """You took one mean square over the whole tensor. Every token has its own:
    dim=-1."""
    return affine(x / torch.sqrt(x.pow(2).mean() + eps), weight, None)


def rms_weight_ignored(x, weight=None, eps=1e-6):
    """You ignored the weight."""
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def rms_one_plus_weight(x, weight=None, eps=1e-6):
    """You multiplied by 1 + weight, as some published models do. Here the weight itself
    is the factor."""
    weight = None if weight is None else 1 + weight
    return affine(x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps), weight, None)


def rms_eps_ignored(x, weight=None, eps=1e-6):
    """You wrote a fixed eps into the formula; use the argument."""
    return affine(x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6), weight, None)


class RMSNorm(Exercise):
    """rms_norm(x, weight, eps): divide every token by its root mean square."""

    number = "1.7"
    off_limits = NORMS
    misconceptions = (
        rms_centred,
        rms_eps_outside,
        rms_without_root,
        rms_unit_length,
        rms_over_everything,
        rms_weight_ignored,
        rms_one_plus_weight,
        rms_eps_ignored,
    )

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


EXERCISES = (
    BatchNorm,
    LayerNorm,
    LayerNormModule,
    LayerNormBackward,
    PositionStatistics,
    Residual,
    RMSNorm,
)
