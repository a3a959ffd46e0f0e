"""Exercise 4.2.6: legitimate answers that must pass, and wrong ones in other words."""

import math

import torch
from torch import nn
from torch.nn import functional as F

# -------------------------------------------------------------- legitimate alternatives


def resize_by_permuting(position, old_grid, new_grid):
    token, rest = position.split([1, position.size(1) - 1], 1)
    rest = rest.reshape(1, *old_grid, -1).permute(0, 3, 1, 2)
    rest = F.interpolate(rest, size=list(new_grid), mode="bicubic")
    rest = rest.permute(0, 2, 3, 1).reshape(1, new_grid[0] * new_grid[1], -1)
    return torch.cat((token, rest), dim=1)


def resize_channel_by_channel(position, old_grid, new_grid):
    upsample = nn.Upsample(size=tuple(new_grid), mode="bicubic", align_corners=False)
    channels = position[0, 1:].T
    maps = [upsample(c.view(1, 1, *old_grid)).flatten() for c in channels]
    return torch.cat([position[:, :1], torch.stack(maps, -1)[None]], 1)


ALTERNATIVES = [
    resize_by_permuting,
    resize_channel_by_channel,
]


# ---------------------------------------------------- the same mistakes, in other words


def resize_flipped(position, old_grid, new_grid):
    (h, w), (new_h, new_w) = old_grid, new_grid
    return resize_by_permuting(position, (w, h), (new_w, new_h))


def resize_guessed(position, old_grid, new_grid):
    count = position.shape[1] - 1
    rows = int(math.sqrt(count))
    return resize_by_permuting(position, (rows, count // rows), new_grid)


def resize_guessed_columns(position, old_grid, new_grid):
    count = position.shape[1] - 1
    columns = next(n for n in range(int(math.sqrt(count)), 0, -1) if count % n == 0)
    return resize_by_permuting(position, (count // columns, columns), new_grid)


IN_OTHER_WORDS = [
    (resize_guessed, "old_grid_guessed"),
    (resize_guessed_columns, "old_columns_guessed"),
    (resize_flipped, "both_grids_turned"),
]


# -------------------------------------------------------- wrong, though nobody named it


def resize_unless_as_many(position, old_grid, new_grid):
    """A grid turned on its side has as many patches, and yet others."""
    if math.prod(old_grid) == math.prod(new_grid):
        return position
    return resize_by_permuting(position, old_grid, new_grid)


def resize_by_factor(position, old_grid, new_grid):
    token, rest = position.tensor_split([1], 1)
    factors = [new / old for new, old in zip(new_grid, old_grid, strict=True)]
    grid = rest.mT.unflatten(-1, old_grid)
    grid = F.interpolate(grid, scale_factor=factors, mode="bicubic")
    return torch.cat([token, grid.flatten(2).mT], 1)


def resize_in_float64(position, old_grid, new_grid):
    return resize_by_permuting(position.double(), old_grid, new_grid)


CLOSE = [resize_guessed, resize_guessed_columns]
WRONG = [
    (resize_unless_as_many, "values"),
    (resize_by_factor, "edge cases"),
    (resize_in_float64, "edge cases"),
]
