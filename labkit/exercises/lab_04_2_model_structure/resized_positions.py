"""Exercise 4.2.6: position embeddings for images of another size."""

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case


def resized(positions, old_grid, new_grid, to_grid=None, to_rows=None, **how):
    """The right rows, or with another way there, back, or between."""
    patches = positions[:, 1:]
    grid = patches.mT.unflatten(2, old_grid) if to_grid is None else to_grid(patches)
    how = {"mode": "bicubic", "align_corners": False, **how}
    grid = F.interpolate(grid, size=tuple(new_grid), **how)
    rows = grid.flatten(2).mT if to_rows is None else to_rows(grid)
    return torch.cat([positions[:, :1], rows], 1)


def class_row_untouched(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        if case.edge:
            continue
        wanted = case.args["position"][0, 0]
        got = replies[name]["output"][0, 0]
        if not torch.allclose(got, wanted):
            return (
                f"In the case “{name}”, row 0, the [class] token's, should come back "
                f"as it was, beginning with {wanted[0].item():.4g}; yours begins with "
                f"{got[0].item():.4g}."
            )
    return None


def the_same_grid_changes_nothing(cases: Cases, replies: Replies) -> str | None:
    name = "to the same grid"
    wanted = cases[name].args["position"]
    gap = (replies[name]["output"] - wanted).abs().amax(dim=(0, 2))
    if bool((gap < 1e-5).all()):
        return None
    return (
        "Resized to the grid that they have, the embeddings should not change; row "
        f"{int(gap.argmax())} of yours did."
    )


class ResizedPositions(Exercise):
    """resize_position_embeddings(…): one model, images of another size."""

    number = "4.2.6"
    fixed = {
        "batch": "it is given one table, not samples",
        "length": "old_grid says how many rows there are",
    }
    properties = (class_row_untouched, the_same_grid_changes_nothing)

    @staticmethod
    def resize_position_embeddings(position, old_grid, new_grid):
        return resized(position, old_grid, new_grid)

    reference = {"resize_position_embeddings": resize_position_embeddings}

    def draw_cases(self, draw: Draw):
        target = "resize_position_embeddings"
        # sides close together: who guesses them by a root meets no remainder
        h, more = draw.sizes(2, low=3, high=6)
        w, D = h + int(draw.integers(1, 2)), int(draw.integers(9, 11))
        given = draw.normal(1, h * w + 1, D)
        for name, new in (
            ("to a finer grid", (h + more, w + 2 * more)),
            ("to a coarser grid", (h - 1, w - 1)),
            ("to the same grid", (h, w)),
            ("to the grid turned", (w, h)),
        ):
            args = {"position": given, "old_grid": (h, w), "new_grid": new}
            yield Case(name, target, args)
        # as many rows in another grid: who guesses it from their number is wrong once
        turned = {"position": draw.normal(1, h * w + 1, D), "old_grid": (w, h)}
        turned["new_grid"] = (w + more, h + 1)
        yield Case("from the grid turned", target, turned)
        # 11 · (15 / 11) < 15: who gives a scale_factor may lose a row
        long = draw.normal(1, 11 * 13 + 1, D)
        for name, rows in (
            ("from 11 × 13 to 15 × 30", long),
            ("float32", long.float()),
        ):
            args = {"position": rows, "old_grid": (11, 13)}
            yield Case(name, target, {**args, "new_grid": (15, 30)}, edge=True)


@ResizedPositions.mistake
def class_row_resized_too(position, old_grid, new_grid):
    """You left no place for the [class] token's row, or resized it with the others. It
    has no place in the image: keep it aside, untouched, and put it back in front."""
    patches = position[:, : old_grid[0] * old_grid[1]]
    grid = patches.mT.unflatten(2, old_grid)
    how = {"mode": "bicubic", "align_corners": False}
    rows = F.interpolate(grid, size=tuple(new_grid), **how).flatten(2).mT
    return torch.cat([position[:, :1], rows], 1)


@ResizedPositions.mistake
def class_row_dropped(position, old_grid, new_grid):
    """You dropped the row of the [class] token. Put it back in front."""
    return resized(position, old_grid, new_grid)[:, 1:]


@ResizedPositions.mistake
def class_row_put_last(position, old_grid, new_grid):
    """You put the row of the [class] token behind the patches. It belongs in front."""
    rows = resized(position, old_grid, new_grid)
    return torch.cat([rows[:, 1:], rows[:, :1]], 1)


@ResizedPositions.mistake
def rows_reshaped_not_moved(position, old_grid, new_grid):
    """You reshaped (1, h·w, D) straight to (1, D, h, w): that mixes channels and
    places. Split into (h, w, D) first, then move D in front."""

    def mixed(patches):
        return patches.reshape(1, patches.shape[-1], *old_grid)

    return resized(position, old_grid, new_grid, to_grid=mixed)


@ResizedPositions.mistake
def channels_not_moved_back(position, old_grid, new_grid):
    """You reshaped (1, D, h, w) straight to (1, h·w, D) on the way back: that mixes
    channels and places. Move D to the end first."""

    def mixed(grid):
        return grid.reshape(1, -1, grid.shape[1])

    return resized(position, old_grid, new_grid, to_rows=mixed)


@ResizedPositions.mistake
def old_grid_turned(position, old_grid, new_grid):
    """You read the old grid as (columns, rows). It is (rows, columns)."""
    return resized(position, old_grid[::-1], new_grid)


@ResizedPositions.mistake
def old_grid_guessed(position, old_grid, new_grid):
    """You guessed the old grid from the number of rows, by its square root. Images need
    not be square: use old_grid."""
    count = position.shape[1] - 1
    rows = int(count**0.5)
    return resized(position, (rows, count // rows), new_grid)


@ResizedPositions.mistake
def old_columns_guessed(position, old_grid, new_grid):
    """You guessed the old grid's columns from the number of rows, by its square root.
    Images need not be square: use old_grid."""
    count = position.shape[1] - 1
    columns = int(count**0.5)
    return resized(position, (count // columns, columns), new_grid)


@ResizedPositions.mistake
def new_grid_turned(position, old_grid, new_grid):
    """You made the new grid with rows and columns exchanged. It is (rows, columns)."""
    return resized(position, old_grid, new_grid[::-1])


@ResizedPositions.mistake
def both_grids_turned(position, old_grid, new_grid):
    """You read both grids as (columns, rows). They are (rows, columns)."""
    return resized(position, old_grid[::-1], new_grid[::-1])


@ResizedPositions.mistake
def bilinear(position, old_grid, new_grid):
    """You interpolated bilinearly. The exercise asks for bicubic."""
    return resized(position, old_grid, new_grid, mode="bilinear")


@ResizedPositions.mistake
def nearest(position, old_grid, new_grid):
    """You repeated the nearest embedding. The exercise asks for bicubic
    interpolation: give F.interpolate its mode."""
    how = {"mode": "nearest", "align_corners": None}
    return resized(position, old_grid, new_grid, **how)


@ResizedPositions.mistake
def corners_aligned(position, old_grid, new_grid):
    """You aligned the corners (align_corners=True). Here patches are areas, not points:
    align_corners=False."""
    return resized(position, old_grid, new_grid, align_corners=True)


@ResizedPositions.mistake
def antialiased(position, old_grid, new_grid):
    """You switched antialias on, which is another bicubic kernel. The exercise asks for
    F.interpolate without it."""
    return resized(position, old_grid, new_grid, antialias=True)


@ResizedPositions.mistake
def rounded_to_float32(position, old_grid, new_grid):
    """Your rows went through float32 and lost digits. F.interpolate takes them in the
    dtype that they have."""
    rows = resized(position.float(), old_grid, new_grid)
    return rows.to(position.dtype)


@ResizedPositions.mistake
def along_the_sequence(position, old_grid, new_grid):
    """You interpolated along the sequence, as if the patches lay in one row. Lay them
    out in their grid first."""
    rows, new = position[:, 1:], new_grid[0] * new_grid[1]
    rows = F.interpolate(rows.mT, size=new, mode="linear", align_corners=False).mT
    return torch.cat([position[:, :1], rows], 1)
