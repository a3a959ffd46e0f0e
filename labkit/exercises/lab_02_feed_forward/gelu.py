"""Exercise 2.1: GELU, the exact one."""

import math

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case


class GELU(Exercise):
    """gelu(x): x weighted by the standard normal distribution function, exactly."""

    number = "2.1"
    off_limits = ("gelu",)

    @staticmethod
    def gelu(x):
        return F.gelu(x)

    reference = {"gelu": gelu}

    def draw_cases(self, draw: Draw):
        B, T, D = draw.sizes(3)
        rounded = 1e-6  # room for torch.sqrt(torch.tensor(2.0)), which is a float32
        x = draw.normal(B, T, D, std=2)
        yield Case("x (B, T, D)", "gelu", {"x": x}, tolerance=rounded)
        one = {"x": draw.normal(D, std=2)}
        yield Case("one axis", "gelu", one, edge=True, tolerance=rounded)
        far = torch.tensor([-30.0, 0.0, 30.0], dtype=torch.float64)
        yield Case("far from zero", "gelu", {"x": far}, edge=True, tolerance=rounded)
        single = draw.normal(B, T).float()
        yield Case("float32", "gelu", {"x": single}, edge=True, gradients=False)


@GELU.mistake
def tanh_gelu(x):
    """Your gelu is the tanh approximation. It is close (within 0.0005), but this
    exercise asks for the exact one, with the normal distribution's erf."""
    return F.gelu(x, approximate="tanh")


@GELU.mistake
def quick_gelu(x):
    """Your gelu is x · sigmoid(1.702 x), a rougher approximation. The exact one uses
    the normal distribution function, by erf."""
    return x * torch.sigmoid(1.702 * x)


@GELU.mistake
def silu(x):
    """Your gelu is x · sigmoid(x), which is SiLU. GELU weighs x by the normal
    distribution function instead of the sigmoid."""
    return x * torch.sigmoid(x)


@GELU.mistake
def relu(x):
    """Your gelu is ReLU. GELU does not cut at 0: it weighs x by the probability that a
    standard normal variable is smaller than x."""
    return x.clamp(min=0)


@GELU.mistake
def cdf_alone(x):
    """Your gelu returns the normal distribution function alone. Multiply it by x."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


@GELU.mistake
def erf_unscaled(x):
    """You forgot the root of 2: the normal distribution function is
    (1 + erf(x / √2)) / 2."""
    return 0.5 * x * (1 + torch.erf(x))


@GELU.mistake
def half_forgotten(x):
    """You forgot the factor 1/2: the normal distribution function is
    (1 + erf(x / √2)) / 2."""
    return x * (1 + torch.erf(x / math.sqrt(2)))
