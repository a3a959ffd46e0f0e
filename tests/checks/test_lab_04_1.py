"""Lab 4.1: legitimate answers that must pass, and mistakes spelled in other words."""

import math
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks import find, section_exercises
from labkit.checks.exercise import Draw

# ------------------------------------------------------------- legitimate alternatives


def length_by_divmod(height, width, patch):
    (rows, below), (columns, right) = divmod(height, patch), divmod(width, patch)
    if below or right:
        raise ValueError(
            f"cannot cut {height} × {width} pixels into patches of {patch}"
        )
    return rows * columns


def length_by_area(height, width, patch):
    wrong = [side for side in (height, width) if side % patch != 0]
    if wrong:
        raise ValueError(f"sides {wrong} do not divide by {patch}")
    return int(height * width / patch**2)


def length_by_counting(height, width, patch):
    for side in (height, width):
        if side not in range(0, side + 1, patch):
            message = f"patch {patch} does not fit into {side}\nchoose another"
            raise ValueError(message)
    return sum(1 for _ in range(0, height, patch) for _ in range(0, width, patch))


class PatchError(ValueError):
    """A learner's own error is a ValueError if it derives from it."""


def length_with_its_own_error(height, width, patch):
    for side in (height, width):
        if side % patch:
            raise PatchError(f"a side of {side} pixels, patches of {patch}")
    return height // patch * (width // patch)


def length_by_numpy(height, width, patch):
    length_by_divmod(height, width, patch)
    return np.prod([height // patch, width // patch])


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


def bytes_step_by_step(height, width, patch, num_heads, bytes_per_value):
    sequence = 1 + length_by_divmod(height, width, patch)
    matrix = sequence * sequence * bytes_per_value
    return sum(matrix for _ in range(num_heads))


def bytes_as_a_float(height, width, patch, num_heads, bytes_per_value):
    sequence = height / patch * width / patch + 1
    return math.prod((num_heads, sequence, sequence, bytes_per_value))


ALTERNATIVES = [
    ("4.1.1", length_by_divmod),
    ("4.1.1", length_by_area),
    ("4.1.1", length_by_counting),
    ("4.1.1", length_with_its_own_error),
    ("4.1.1", length_by_numpy),
    ("4.1.2", patchify_permute),
    ("4.1.2", patchify_unfold_method),
    ("4.1.2", patchify_im2col),
    ("4.1.2", patchify_pixel_unshuffle),
    ("4.1.2", patchify_loops),
    ("4.1.2", patchify_filled),
    ("4.1.2", patchify_split),
    ("4.1.2", patchify_convolution),
    ("4.1.2", patchify_indexed),
    ("4.1.2", patchify_each),
    ("4.1.3", unpatchify_permute),
    ("4.1.3", unpatchify_einsum),
    ("4.1.3", unpatchify_fold),
    ("4.1.3", unpatchify_pixel_shuffle),
    ("4.1.3", unpatchify_rows),
    ("4.1.3", unpatchify_filled),
    ("4.1.4", convolution_copied),
    ("4.1.4", convolution_assigned),
    ("4.1.4", convolution_loaded),
    ("4.1.4", convolution_data),
    ("4.1.4", convolution_derived),
    ("4.1.5", bytes_step_by_step),
    ("4.1.5", bytes_as_a_float),
]


# ------------------------------------------------- the same mistakes, in other words


def length_floored(height, width, patch):
    return len(range(patch, height + 1, patch)) * len(range(patch, width + 1, patch))


def length_of_a_square(height, width, patch):
    if height % patch or width % patch:
        raise ValueError(f"{height}x{width}? {patch} does not go into that!")
    return (height // patch) ** 2


def length_printed(height, width, patch):
    if height % patch or width % patch:
        print("patches do not fit")
    else:
        return height * width // patch**2


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


def glued_without_permute(patches, patch, height, width):
    rows, columns = height // patch, width // patch
    cut = patches.reshape(len(patches), rows, columns, -1, patch, patch)
    return cut.reshape(len(patches), -1, height, width)


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


def bytes_without_class_token(height, width, patch, num_heads, bytes_per_value):
    N = height * width / patch**2
    return N * N * num_heads * bytes_per_value


IN_OTHER_WORDS = [
    ("4.1.1", length_floored, "rounded_down"),
    ("4.1.1", length_of_a_square, "taken_for_square"),
    ("4.1.1", length_printed, "none_returned"),
    ("4.1.2", reshaped_after_cutting, "reshaped_straight"),
    ("4.1.2", unfolded_and_reshaped, "channel_in_front_of_the_grid"),
    ("4.1.2", columns_in_the_outer_loop, "patches_column_by_column"),
    ("4.1.2", chunked, "as_many_as_patch"),
    ("4.1.2", through_numpy, "pixels_detached"),
    ("4.1.2", zeros_of_float32, "filled_in_default_dtype"),
    ("4.1.3", glued_without_permute, "glued_straight"),
    ("4.1.4", flipped_twice, "kernel_flipped"),
    ("4.1.4", never_moved, "stride_forgotten"),
    ("4.1.4", in_float32_only, "always_float32"),
    ("4.1.4", converted_too_late, "rounded_to_float32"),
    ("4.1.5", bytes_without_class_token, "class_token_forgotten"),
]


# ------------------------------------------------------ wrong, though nobody named it


def weight_resized(weight, bias, patch, channels):
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.weight = nn.Parameter(weight.resize_(len(weight), channels, patch, patch))
    conv.bias = nn.Parameter(bias)
    return conv


def three_channels_to_the_convolution(weight, bias, patch, channels):
    return convolution_assigned(weight, bias, patch, 3)


WRONG = [
    ("4.1.4", weight_resized, "inputs unchanged"),
    ("4.1.4", three_channels_to_the_convolution, "runs"),
]


# ------------------------------------------------------------- what the feedback says


def examine(number, answer):
    exercise = find(number)
    return " ".join(exercise.examine({exercise.names[0]: answer}).text().split())


@pytest.mark.parametrize("message", [(), ("",), ("does not divide",), ("427 of 16",)])
def test_an_error_that_does_not_name_the_numbers_is_sent_back(message):
    def sequence_length(height, width, patch):
        if height % patch or width % patch:
            raise ValueError(*message)
        return height * width // patch**2

    said = examine("4.1.1", sequence_length)
    assert "fails on: the error names the numbers" in said
    assert "the side that does not fit" in said


def test_another_error_than_asked_for_is_sent_back():
    def sequence_length(height, width, patch):
        if height % patch or width % patch:
            raise TypeError(f"{height} × {width} does not fit {patch}")
        return height * width // patch**2

    said = examine("4.1.1", sequence_length)
    assert "should raise ValueError" in said and "it raised TypeError" in said


def test_a_length_that_is_a_float_is_sent_back():
    def sequence_length(height, width, patch):
        length_by_divmod(height, width, patch)
        return height / patch * (width / patch)

    assert "a float. A length must be an int" in examine("4.1.1", sequence_length)


def test_feedback_says_which_pixel_is_where():
    said = examine("4.1.2", reshaped_after_cutting)
    assert "its entry 5 is the pixel in channel 0, row 0, column 5." in said
    said = examine("4.1.2", columns_in_the_outer_loop)
    assert "patch 1 should hold rows 0 to 4 and columns 5 to 9" in said
    said = examine("4.1.3", glued_without_permute)
    assert "row 0, column 5 should be entry 0 of patch 1; yours is entry 5 of" in said


def test_numbers_that_differ_late_are_written_out():
    said = examine("4.1.4", converted_too_late)
    got, wanted = re.search(r"is (\S+); expected (\S+) \(the largest", said).groups()
    assert got != wanted and len(wanted) >= 9


def test_values_that_are_no_pixels_are_called_so():
    def averaged(images, patch):
        right = patchify_loops(images, patch)
        return right.mean(-1, keepdim=True).expand_as(right) + 0.25

    assert "which is no pixel of the images" in examine("4.1.2", averaged)

    def blurred(patches, patch, height, width):
        return unpatchify_fold(patches, patch, height, width) - 0.25

    assert "which is no entry of the patches" in examine("4.1.3", blurred)


# ----------------------------------------------------------- the questions themselves


@pytest.mark.parametrize("seed", range(20))
def test_no_size_hides_a_mistake(seed):
    """No two sizes alike, no square image, never the three channels of a picture."""
    for number in ("4.1.2", "4.1.3"):
        case = find(number).cases(seed)[0]
        images = case.args.get("images")
        if images is None:
            images = find("4.1.3").reference["unpatchify"](**case.args)
        B, C, H, W = images.shape
        P = case.args["patch"]
        assert len({B, C, P, H // P, W // P}) == 5
        assert number == "4.1.2" or C != 3
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


@pytest.mark.parametrize("seed", range(3))
def test_the_references_undo_each_other(seed):
    images = find("4.1.2").cases(seed)[1].args
    patches = find("4.1.2").reference["patchify"](**images)
    height, width = images["images"].shape[2:]
    again = find("4.1.3").reference["unpatchify"](
        patches, images["patch"], height, width
    )
    assert torch.equal(again, images["images"])


def test_the_catalogue_is_as_large_as_promised():
    assert sum(len(e.misconceptions) for e in section_exercises("4.1")) >= 12
    assert len(ALTERNATIVES) >= 8
