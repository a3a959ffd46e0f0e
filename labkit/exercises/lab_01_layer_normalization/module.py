"""Exercise 1.3: layer norm as a module that interchanges with nn.LayerNorm."""

import torch
from torch import nn

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case
from labkit.exercises.lab_01_layer_normalization.common import (
    NORMS,
    affine,
    standardize,
)
from labkit.exercises.lab_01_layer_normalization.layer_norm import LayerNorm
from labkit.exercises.lifted import lift


class LayerNormModule(Exercise):
    """LayerNorm(normalized_shape, eps): interchangeable with nn.LayerNorm."""

    number = "1.3"
    reference = {"LayerNorm": nn.LayerNorm}
    probe = "module"
    off_limits = NORMS

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
        yield Case(
            "float32 around 1000",
            "LayerNorm",
            {"normalized_shape": C},
            state={"weight": draw.normal(C).float(), "bias": draw.normal(C).float()},
            inputs={"x": draw.normal(B, T, C, mean=1000).float()},
            gradients=False,
            tolerance=2e-3,
            edge=True,
        )


class LearnedNorm(nn.Module):
    """The right module, for mistakes to go wrong from in one place each."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))

    def forward(self, x):
        return affine(standardize(x, -1, self.eps), self.weight, self.bias)


@LayerNormModule.mistake
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


@LayerNormModule.mistake
class OtherNames(nn.Module):
    """You called the parameters gamma and beta, as the papers do. To interchange with
    nn.LayerNorm they must be called weight and bias."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(normalized_shape))
        self.beta = nn.Parameter(torch.zeros(normalized_shape))


@LayerNormModule.mistake
class ScalarParameters(nn.Module):
    """You registered one number each for weight and bias. There is one for every
    channel: shape (normalized_shape,)."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    forward = LearnedNorm.forward


@LayerNormModule.mistake
class SwappedInitialValues(LearnedNorm):
    """Your weight starts at 0 and your bias at 1. A fresh layer norm changes nothing
    but the scale: weight 1, bias 0."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        nn.init.zeros_(self.weight)
        nn.init.ones_(self.bias)


@LayerNormModule.mistake
class RandomInitialValues(LearnedNorm):
    """Your weight starts at random values. A fresh layer norm starts with weight 1 and
    bias 0."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        generator = torch.Generator().manual_seed(0)
        nn.init.normal_(self.weight, generator=generator)


@LayerNormModule.mistake
class NoSuperInit(nn.Module):
    """You did not call super().__init__() first: nn.Module needs it before it can
    register parameters."""

    def __init__(self, normalized_shape, eps=1e-5):
        self.weight = nn.Parameter(torch.ones(normalized_shape))


@LayerNormModule.mistake
class RunningStatistics(LearnedNorm):
    """You keep running statistics. Layer norm has none: it computes the same in
    training and in evaluation."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.register_buffer("running_mean", torch.zeros(normalized_shape))
        self.register_buffer("running_var", torch.ones(normalized_shape))


@LayerNormModule.mistake
class OtherInEvaluation(LearnedNorm):
    """Your layer computes something else in eval mode. Layer norm does not distinguish
    training from evaluation."""

    def forward(self, x):
        return (
            super().forward(x) if self.training else affine(x, self.weight, self.bias)
        )


@LayerNormModule.mistake
class ModuleEpsIgnored(LearnedNorm):
    """Your module computes with eps = 1e-5, whatever the constructor is given: keep the
    argument in self.eps, and use it (or hand it on) in forward."""

    def forward(self, x):
        return affine(standardize(x, -1, 1e-5), self.weight, self.bias)


def as_module(function):
    """A module that computes by a wrong function of exercise 1.2."""

    class Wrong(LearnedNorm):
        def forward(self, x):
            return function(x, self.weight, self.bias, self.eps)

    return Wrong


lift(LayerNorm, LayerNormModule, as_module, without=("eps_ignored",))
