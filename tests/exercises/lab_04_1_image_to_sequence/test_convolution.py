"""Exercise 4.1.4: legitimate answers that must pass, and wrong ones in other words."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks.exercise import Draw
from labkit.exercises import find

# -------------------------------------------------------------- legitimate alternatives


def convolution_copied(weight, bias, patch, channels):
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch).to(weight)
    with torch.no_grad():
        conv.weight.copy_(weight.view(-1, channels, patch, patch))
        conv.bias.copy_(bias)
    return conv


def convolution_assigned(weight, bias, patch, channels):
    conv = nn.Conv2d(channels, weight.shape[0], (patch, patch), (patch, patch))
    conv.weight = nn.Parameter(weight.reshape(conv.weight.shape))
    conv.bias = nn.Parameter(bias)
    return conv


def convolution_loaded(weight, bias, patch, channels):
    sizes = {"kernel_size": patch, "stride": patch}
    exact = {"dtype": weight.dtype, "device": weight.device}
    conv = nn.Conv2d(channels, len(bias), **sizes, **exact)
    kernel = weight.unflatten(1, (channels, patch, patch))
    conv.load_state_dict({"weight": kernel, "bias": bias})
    return conv


def convolution_data(weight, bias, patch, channels):
    conv = nn.LazyConv2d(len(weight), patch, patch, padding="valid")
    conv(torch.zeros(1, channels, patch, patch))
    conv.weight.data = weight.reshape(-1, channels, patch, patch)
    conv.bias.data = bias.clone()
    return conv


class PatchConvolution(nn.Conv2d):
    """A learner's own class derived from nn.Conv2d is one."""


def convolution_derived(weight, bias, patch, channels):
    conv = PatchConvolution(channels, len(weight), patch, patch).to(weight)
    conv.load_state_dict(convolution_loaded(weight, bias, patch, channels).state_dict())
    return conv


ALTERNATIVES = [
    convolution_copied,
    convolution_assigned,
    convolution_loaded,
    convolution_data,
    convolution_derived,
]


# ---------------------------------------------------- the same mistakes, in other words


def flipped_twice(weight, bias, patch, channels):
    turned = weight.reshape(-1, channels, patch, patch).rot90(2, (2, 3))
    return convolution_assigned(turned.flatten(1), bias, patch, channels)


def never_moved(weight, bias, patch, channels):
    conv = nn.Conv2d(channels, len(weight), patch)
    conv.weight.data = weight.reshape(conv.weight.shape)
    conv.bias.data = bias
    return conv


def in_float32_only(weight, bias, patch, channels):
    conv = nn.Conv2d(channels, len(weight), kernel_size=patch, stride=patch)
    conv.weight.data.copy_(weight.reshape(conv.weight.shape))
    conv.bias.data.copy_(bias)
    return conv


def converted_too_late(weight, bias, patch, channels):
    return in_float32_only(weight, bias, patch, channels).to(weight.dtype)


def declared_the_wrong_way_round(weight, bias, patch, channels):
    conv = nn.Conv2d(len(weight), channels, patch, stride=patch)
    conv.weight = nn.Parameter(weight.view(-1, channels, patch, patch).clone())
    conv.bias = nn.Parameter(bias.clone())
    return conv


IN_OTHER_WORDS = [
    (declared_the_wrong_way_round, "channels_declared_exchanged"),
    (flipped_twice, "kernel_flipped"),
    (never_moved, "stride_forgotten"),
    (in_float32_only, "always_float32"),
    (converted_too_late, "rounded_to_float32"),
]


# -------------------------------------------------------- wrong, though nobody named it


def weight_resized(weight, bias, patch, channels):
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.weight = nn.Parameter(weight.resize_(len(weight), channels, patch, patch))
    conv.bias = nn.Parameter(bias)
    return conv


def three_channels_to_the_convolution(weight, bias, patch, channels):
    return convolution_assigned(weight, bias, patch, 3)


WRONG = [
    (weight_resized, "inputs unchanged"),
    (three_channels_to_the_convolution, "runs"),
]


# ------------------------------------------------------ what is said, and what is right


def test_numbers_that_differ_late_are_written_out(told):
    said = told("4.1.4", converted_too_late)
    got, wanted = re.search(r"is (\S+); expected (\S+) \(the largest", said).groups()
    assert got != wanted and len(wanted) >= 9


@pytest.mark.parametrize("seed", range(20))
def test_no_picture_has_three_channels(seed):
    """They would hide who takes three for granted."""
    assert find("4.1.4").cases(seed)[0].args["channels"] != 3


@pytest.mark.parametrize("seed", range(3))
def test_the_convolution_equals_the_linear_map_of_patches(seed):
    """What exercise 4.1.4 calls right is right."""
    draw = Draw(seed)
    B, C, P, rows, columns, D = draw.sizes(6, low=2, high=8)
    weight, bias = draw.normal(D, C * P * P), draw.normal(D)
    images = draw.normal(B, C, rows * P, columns * P)
    make = find("4.1.4").reference["embedding_as_convolution"]
    tokens = make(weight, bias, P, C)(images).flatten(2).mT
    patches = find("4.1.2").reference["patchify"](images, P)
    assert torch.allclose(tokens, F.linear(patches, weight, bias), atol=1e-12)
