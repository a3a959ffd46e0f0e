"""Exercise 1.4: the backward pass of layer norm, its three gradients by hand."""

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case
from labkit.exercises.lab_01_layer_normalization.common import NORMS

AUTOGRAD = ("backward", "grad", "native_layer_norm_backward")


class LayerNormBackward(Exercise):
    """layer_norm_backward(grad_output, x, weight, eps): the three gradients by hand."""

    number = "1.4"
    off_limits = NORMS + AUTOGRAD

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


def backward_parts(grad_output, x, weight, eps):
    """What the right answer and most wrong ones are put together from."""
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    scale = torch.rsqrt(variance + eps)
    normalized = (x - mean) * scale
    grad_normalized = grad_output * weight
    grad_weight = (grad_output * normalized).sum((0, 1))
    return scale, normalized, grad_normalized, grad_weight, grad_output.sum((0, 1))


@LayerNormBackward.mistake
def statistics_constant(grad_output, x, weight, eps=1e-5):
    """Your grad_x treats mean and variance as constants. Both depend on x: subtract
    from the gradient its mean and its part along the normalized x."""
    scale, _, grad, *rest = backward_parts(grad_output, x, weight, eps)
    return grad * scale, *rest


def along(x, normalized):
    """The part of x along the normalized direction, token by token."""
    return normalized * (x * normalized).mean(-1, keepdim=True)


@LayerNormBackward.mistake
def mean_path_missing(grad_output, x, weight, eps=1e-5):
    """Your grad_x leaves out the path through the mean: subtract the gradient's mean
    over the channels."""
    scale, normalized, grad, *rest = backward_parts(grad_output, x, weight, eps)
    return (grad - along(grad, normalized)) * scale, *rest


@LayerNormBackward.mistake
def variance_path_missing(grad_output, x, weight, eps=1e-5):
    """Your grad_x leaves out the path through the variance: subtract the gradient's
    part along the normalized x."""
    scale, _, grad, *rest = backward_parts(grad_output, x, weight, eps)
    return (grad - grad.mean(-1, keepdim=True)) * scale, *rest


@LayerNormBackward.mistake
def weight_missing(grad_output, x, weight, eps=1e-5):
    """Your grad_x leaves the weight out: the gradient of the normalized x is
    grad_output · weight."""
    scale, normalized, _, *rest = backward_parts(grad_output, x, weight, eps)
    grad = grad_output - grad_output.mean(-1, keepdim=True)
    return (grad - along(grad_output, normalized)) * scale, *rest


@LayerNormBackward.mistake
def scale_missing(grad_output, x, weight, eps=1e-5):
    """Your grad_x lacks the last factor, 1 / sqrt(variance + eps)."""
    _, normalized, grad, *rest = backward_parts(grad_output, x, weight, eps)
    return grad - grad.mean(-1, keepdim=True) - along(grad, normalized), *rest


def right_grad_x(grad_output, x, weight, eps):
    scale, normalized, grad, *_ = backward_parts(grad_output, x, weight, eps)
    return (grad - grad.mean(-1, keepdim=True) - along(grad, normalized)) * scale


@LayerNormBackward.mistake
def weight_from_raw_x(grad_output, x, weight, eps=1e-5):
    """Your grad_weight multiplies by x. The weight multiplies the normalized x, so its
    gradient does too."""
    *_, grad_bias = backward_parts(grad_output, x, weight, eps)
    grad_weight = (grad_output * x).sum((0, 1))
    return right_grad_x(grad_output, x, weight, eps), grad_weight, grad_bias


@LayerNormBackward.mistake
def weight_and_bias_swapped(grad_output, x, weight, eps=1e-5):
    """Your grad_weight and grad_bias have changed places: return grad_x, grad_weight,
    grad_bias."""
    *_, grad_weight, grad_bias = backward_parts(grad_output, x, weight, eps)
    return right_grad_x(grad_output, x, weight, eps), grad_bias, grad_weight


@LayerNormBackward.mistake
def averaged_over_tokens(grad_output, x, weight, eps=1e-5):
    """You averaged grad_weight and grad_bias over the tokens. Every token uses the same
    weight, so the gradients add up: sum."""
    *_, grad_weight, grad_bias = backward_parts(grad_output, x, weight, eps)
    tokens = x.numel() // x.shape[-1]
    grad_x = right_grad_x(grad_output, x, weight, eps)
    return grad_x, grad_weight / tokens, grad_bias / tokens


@LayerNormBackward.mistake
def summed_over_samples_only(grad_output, x, weight, eps=1e-5):
    """You summed grad_weight and grad_bias over the samples only. Positions share the
    weight too: sum over every axis but the last."""
    _, normalized, *_ = backward_parts(grad_output, x, weight, eps)
    grad_x = right_grad_x(grad_output, x, weight, eps)
    return grad_x, (grad_output * normalized).sum(0), grad_output.sum(0)


@LayerNormBackward.mistake
def backward_eps_ignored(grad_output, x, weight, eps=1e-5):
    """You wrote a fixed eps into the formula; use the argument."""
    return LayerNormBackward.layer_norm_backward(grad_output, x, weight, 1e-5)
