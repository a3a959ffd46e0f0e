"""Exercise 4.2.4: legitimate answers that must pass, and wrong ones in other words."""

import pytest
import torch

from labkit.exercises import find
from labkit.exercises.lab_04_2_model_structure.model import RightModel

# -------------------------------------------------------------- legitimate alternatives


def count_by_shapes(image_size, patch, channels, num_classes, dim, depth, hidden):
    tokens = 1 + (image_size // patch) * (image_size // patch)
    block = [(3 * dim, dim), (3 * dim,), (dim, dim), (dim,)]
    block += [(hidden, dim), (hidden,), (dim, hidden), (dim,)]
    block += 4 * [(dim,)]
    rest = [(dim, channels * patch * patch), (dim,), (dim,), (tokens, dim)]
    rest += [(dim,), (dim,), (num_classes, dim), (num_classes,)]
    return sum(torch.Size(s).numel() for s in depth * block + rest)


def count_by_layers(image_size, patch, channels, num_classes, dim, depth, hidden):
    def linear(a, b):
        return (a + 1) * b

    layer = linear(dim, 3 * dim) + linear(dim, dim) + 4 * dim
    layer += linear(dim, hidden) + linear(hidden, dim)
    total = linear(channels * patch**2, dim) + linear(dim, num_classes) + 3 * dim
    return total + depth * layer + ((image_size // patch) ** 2 + 1) * dim


def count_in_floats(image_size, patch, *sizes):
    """With / instead of //: a count is a count."""
    image_size = image_size / patch * patch
    return float(count_by_layers(image_size, patch, *sizes))


ALTERNATIVES = [
    count_in_floats,
    count_by_shapes,
    count_by_layers,
]


# -------------------------------------------------------- wrong, though nobody named it


def count_by_building(*sizes):
    *sizes, hidden = sizes
    model = RightModel(*sizes, 1, hidden)
    return sum(parameter.numel() for parameter in model.parameters())


WRONG = [
    (count_by_building, "no model is built"),
]


# ------------------------------------------------------ what is said, and what is right


@pytest.mark.parametrize("seed", range(3))
def test_the_formula_counts_what_the_model_has(seed):
    case = find("4.2.4").cases(seed)[0]
    right = find("4.2.4").reference["parameter_count"](*case.args.values())
    with torch.device("meta"):
        assert right == count_by_building(*case.args.values())


@pytest.mark.parametrize("seed", range(20))
def test_no_picture_has_three_channels(seed):
    """They would hide who takes three for granted."""
    assert find("4.2.4").cases(seed)[0].args["channels"] != 3
