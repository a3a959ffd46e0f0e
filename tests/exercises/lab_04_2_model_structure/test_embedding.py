"""Exercise 4.2.1: legitimate answers that must pass, and wrong ones in other words."""

import pytest
import torch
from torch.nn import functional as F

from labkit.exercises import find

# -------------------------------------------------------------- legitimate alternatives


def embed_by_convolution(images, weight, bias, token, positions, patch):
    kernels = weight.view(len(weight), -1, patch, patch)
    grid = F.conv2d(images, kernels, bias, stride=patch)
    patches = grid.flatten(2).transpose(1, 2)
    token = token.repeat(len(images), 1, 1)
    return torch.cat((token, patches), 1).add(positions)


def embed_by_unfold(images, weight, bias, token, positions, patch):
    columns = images.unfold(2, patch, patch).unfold(3, patch, patch)
    patches = columns.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    patches = torch.einsum("bnc,dc->bnd", patches, weight) + bias + positions[1:]
    first = (token + positions[0]).expand(len(images), 1, -1)
    return torch.cat([first, patches], dim=1)


def embed_by_loop(images, weight, bias, token, positions, patch):
    rows = []
    for image in images:
        tokens = [token]
        for i in range(0, image.shape[1], patch):
            for j in range(0, image.shape[2], patch):
                flat = image[:, i : i + patch, j : j + patch].reshape(-1)
                tokens.append(weight @ flat + bias)
        rows.append(torch.stack(tokens) + positions)
    return torch.stack(rows)


ALTERNATIVES = [
    embed_by_convolution,
    embed_by_unfold,
    embed_by_loop,
]


# ---------------------------------------------------- the same mistakes, in other words


def embed_backwards(images, weight, bias, token, positions, patch):
    tokens = embed_by_convolution(images, weight, bias, token, 0 * positions, patch)
    return tokens.roll(-1, dims=1) + positions


def embed_transposed(images, weight, bias, token, positions, patch):
    kernels = weight.view(len(weight), -1, patch, patch)
    grid = F.conv2d(images, kernels, bias, stride=patch)
    patches = grid.transpose(2, 3).flatten(2).transpose(1, 2)
    token = token.expand(len(images), 1, -1)
    return torch.cat([token, patches], 1) + positions


IN_OTHER_WORDS = [
    (embed_backwards, "class_token_last"),
    (embed_transposed, "patches_column_by_column"),
]


# -------------------------------------------------------- wrong, though nobody named it


def embed_in_float64(images, weight, bias, token, positions, patch):
    tokens = embed_by_convolution(images, weight, bias, token, positions, patch)
    out = torch.empty(tokens.shape, dtype=torch.float64, device=tokens.device)
    out[:] = tokens
    return out


WRONG = [
    (embed_in_float64, "edge cases"),
]


# ------------------------------------------------------ what is said, and what is right


@pytest.mark.parametrize("seed", range(20))
def test_no_picture_has_three_channels(seed):
    """They would hide who takes three for granted."""
    assert find("4.2.1").cases(seed)[0].args["images"].shape[1] != 3
