"""Exercise 4.1.2: legitimate answers that must pass, and wrong ones in other words."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.exercises import find

# -------------------------------------------------------------- legitimate alternatives


def patchify_permute(images, patch):
    B, C, H, W = images.shape
    cut = images.view(B, C, H // patch, patch, W // patch, patch)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * patch * patch)


def patchify_unfold_method(images, patch):
    cut = images.unfold(2, patch, patch).unfold(3, patch, patch)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


def patchify_im2col(images, patch):
    return nn.Unfold(kernel_size=patch, stride=patch)(images).transpose(1, 2)


def patchify_pixel_unshuffle(images, patch):
    return F.pixel_unshuffle(images, patch).flatten(2).mT


def patchify_loops(images, patch):
    B, _, H, W = images.shape
    patches = []
    for y in range(0, H, patch):
        for x in range(0, W, patch):
            patches.append(images[:, :, y : y + patch, x : x + patch].reshape(B, -1))
    return torch.stack(patches, dim=1)


def patchify_filled(images, patch):
    B, C, H, W = images.shape
    columns = W // patch
    patches = images.new_empty(B, H // patch * columns, C * patch * patch)
    for n in range(patches.shape[1]):
        y, x = patch * (n // columns), patch * (n % columns)
        patches[:, n] = images[:, :, y : y + patch, x : x + patch].flatten(1)
    return patches


def patchify_split(images, patch):
    rows = torch.cat(images.split(patch, 2), 0).split(patch, 3)  # (rows·B, C, P, P)
    both = torch.stack([r.unflatten(0, (-1, len(images))) for r in rows], 1)
    return both.permute(2, 0, 1, 3, 4, 5).flatten(1, 2).flatten(2)


def patchify_convolution(images, patch):
    entries = images.shape[1] * patch * patch
    kernel = torch.eye(entries).to(images)
    kernel = kernel.reshape(entries, -1, patch, patch)
    return F.conv2d(images, kernel, stride=patch).flatten(2).mT


def patchify_indexed(images, patch):
    B, C, H, W = images.shape
    index = torch.arange(C * H * W).reshape(1, C, H, W).double()
    index = F.unfold(index, patch, stride=patch).long()[0].T
    return images.flatten(1)[:, index]


def patchify_each(images, patch):
    return torch.stack([patchify_permute(image[None], patch)[0] for image in images])


ALTERNATIVES = [
    patchify_permute,
    patchify_unfold_method,
    patchify_im2col,
    patchify_pixel_unshuffle,
    patchify_loops,
    patchify_filled,
    patchify_split,
    patchify_convolution,
    patchify_indexed,
    patchify_each,
]


# ---------------------------------------------------- the same mistakes, in other words


def reshaped_after_cutting(images, patch):
    B, C, H, W = images.shape
    cut = images.reshape(B, C, H // patch, patch, W // patch, patch)
    return cut.reshape(B, -1, C * patch * patch)


def unfolded_and_reshaped(images, patch):
    B, C, _, _ = images.shape
    cut = images.unfold(2, patch, patch).unfold(3, patch, patch)
    return cut.reshape(B, -1, C * patch * patch)


def columns_in_the_outer_loop(images, patch):
    _, _, H, W = images.shape
    patches = [
        images[:, :, y : y + patch, x : x + patch].flatten(1)
        for x in range(0, W, patch)
        for y in range(0, H, patch)
    ]
    return torch.stack(patches, dim=1)


def chunked(images, patch):
    pieces = [p for row in images.chunk(patch, 2) for p in row.chunk(patch, 3)]
    return torch.stack([p.flatten(1) for p in pieces], 1)


def through_numpy(images, patch):
    B, C, H, W = images.shape
    cut = images.detach().cpu().numpy()
    cut = cut.reshape(B, C, H // patch, patch, W // patch, patch)
    cut = np.transpose(cut, (0, 2, 4, 1, 3, 5)).reshape(B, -1, C * patch * patch)
    return torch.from_numpy(cut).to(images.device)


def zeros_of_float32(images, patch):
    right = patchify_loops(images, patch)
    patches = torch.zeros(right.shape)
    patches[:] = right
    return patches


IN_OTHER_WORDS = [
    (reshaped_after_cutting, "reshaped_straight"),
    (unfolded_and_reshaped, "channel_in_front_of_the_grid"),
    (columns_in_the_outer_loop, "patches_column_by_column"),
    (chunked, "as_many_as_patch"),
    (through_numpy, "pixels_detached"),
    (zeros_of_float32, "filled_in_default_dtype"),
]


# ------------------------------------------------------ what is said, and what is right


def test_feedback_says_which_pixel_is_where(told):
    said = told("4.1.2", reshaped_after_cutting)
    assert "its entry 5 is the pixel in channel 0, row 0, column 5." in said
    said = told("4.1.2", columns_in_the_outer_loop)
    assert "patch 1 should hold rows 0 to 4 and columns 5 to 9" in said


def test_values_that_are_no_pixels_are_called_so(told):
    def averaged(images, patch):
        right = patchify_loops(images, patch)
        return right.mean(-1, keepdim=True).expand_as(right) + 0.25

    assert "which is no pixel of the images" in told("4.1.2", averaged)


@pytest.mark.parametrize("seed", range(20))
def test_no_size_hides_a_mistake(seed):
    """No two sizes alike, and no square image."""
    case = find("4.1.2").cases(seed)[0]
    B, C, H, W = case.args["images"].shape
    P = case.args["patch"]
    assert len({B, C, P, H // P, W // P}) == 5
