"""Exercise 4.1.3: legitimate answers that must pass, and wrong ones in other words."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.exercises import find

# -------------------------------------------------------------- legitimate alternatives


def unpatchify_permute(patches, patch, height, width):
    B, _, entries = patches.shape
    C = entries // patch**2
    cut = patches.reshape(B, height // patch, width // patch, C, patch, patch)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(B, C, height, width)


def unpatchify_einsum(patches, patch, height, width):
    B = len(patches)
    cut = patches.reshape(B, height // patch, width // patch, -1, patch, patch)
    return torch.einsum("nhwcpq->nchpwq", cut).reshape(B, -1, height, width)


def unpatchify_fold(patches, patch, height, width):
    fold = nn.Fold((height, width), patch, stride=patch)
    return fold(patches.transpose(1, 2).contiguous())


def unpatchify_pixel_shuffle(patches, patch, height, width):
    maps = patches.mT.unflatten(2, (height // patch, width // patch))
    return F.pixel_shuffle(maps, patch)


def unpatchify_rows(patches, patch, height, width):
    little = patches.unflatten(2, (-1, patch, patch)).unbind(1)
    step = width // patch
    rows = [torch.cat(little[n : n + step], -1) for n in range(0, len(little), step)]
    return torch.cat(rows, dim=-2)


def unpatchify_filled(patches, patch, height, width):
    C = patches.shape[-1] // (patch * patch)
    images = torch.zeros(
        len(patches), C, height, width, dtype=patches.dtype, device=patches.device
    )
    for n in range(patches.shape[1]):
        y, x = patch * (n // (width // patch)), patch * (n % (width // patch))
        piece = patches[:, n].reshape(-1, C, patch, patch)
        images[:, :, y : y + patch, x : x + patch] = piece
    return images


ALTERNATIVES = [
    unpatchify_permute,
    unpatchify_einsum,
    unpatchify_fold,
    unpatchify_pixel_shuffle,
    unpatchify_rows,
    unpatchify_filled,
]


# ---------------------------------------------------- the same mistakes, in other words


def glued_without_permute(patches, patch, height, width):
    rows, columns = height // patch, width // patch
    cut = patches.reshape(len(patches), rows, columns, -1, patch, patch)
    return cut.reshape(len(patches), -1, height, width)


IN_OTHER_WORDS = [
    (glued_without_permute, "glued_straight"),
]


# ------------------------------------------------------ what is said, and what is right


def test_feedback_says_which_entry_is_where(told):
    said = told("4.1.3", glued_without_permute)
    assert "row 0, column 5 should be entry 0 of patch 1; yours is entry 5 of" in said


def test_values_that_are_no_entries_are_called_so(told):
    def blurred(patches, patch, height, width):
        return unpatchify_fold(patches, patch, height, width) - 0.25

    assert "which is no entry of the patches" in told("4.1.3", blurred)


@pytest.mark.parametrize("seed", range(20))
def test_no_size_hides_a_mistake(seed):
    """No two sizes alike, no square image, never the three channels of a picture."""
    case = find("4.1.3").cases(seed)[0]
    B, C, H, W = find("4.1.3").reference["unpatchify"](**case.args).shape
    P = case.args["patch"]
    assert len({B, C, P, H // P, W // P}) == 5 and C != 3


@pytest.mark.parametrize("seed", range(3))
def test_the_references_undo_each_other(seed):
    images = find("4.1.2").cases(seed)[1].args
    patches = find("4.1.2").reference["patchify"](**images)
    height, width = images["images"].shape[2:]
    again = find("4.1.3").reference["unpatchify"](
        patches, images["patch"], height, width
    )
    assert torch.equal(again, images["images"])
