"""Lab 4.1: what is right, and the usual ways of being wrong, about cutting images.

Images are (B, C, H, W): samples, channels, height, width. P is the side of a patch,
N = (H / P) · (W / P) the number of patches, D the width of a token. A misconception's
docstring is what the learner reads.
"""

import math
import re

import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Records, looks_at, not_three
from labkit.checks.probes import Case

# ---------------------------------------------------------------------------- 4.1.1


def count(height, width, patch):
    """The right answer; raises ValueError where the patches do not fit."""
    for name, side in (("height", height), ("width", width)):
        if side % patch:
            raise ValueError(f"{name} {side} is not divisible by patch {patch}")
    return (height // patch) * (width // patch)


def class_token_counted(height, width, patch):
    """You counted the [class] token too. It joins the sequence later (exercise 4.1.5);
    here only patches count."""
    return count(height, width, patch) + 1


def pixels_counted(height, width, patch):
    """You counted pixels. A token is a whole patch of patch × patch pixels."""
    count(height, width, patch)
    return height * width


def divided_once(height, width, patch):
    """You divided the number of pixels by patch. A patch has patch · patch pixels."""
    count(height, width, patch)
    return height * width // patch


def pixels_of_a_patch(height, width, patch):
    """You returned patch · patch, the number of pixels in a patch. Count the patches:
    there are height / patch rows of width / patch patches each."""
    count(height, width, patch)
    return patch * patch


def sides_added(height, width, patch):
    """You added the number of rows and the number of columns of patches. There is a
    patch in every row and column: multiply."""
    count(height, width, patch)
    return height // patch + width // patch


def taken_for_square(height, width, patch):
    """You took the image for a square and used its height twice. The width counts
    too."""
    count(height, width, patch)
    return (height // patch) ** 2


def width_taken_for_square(height, width, patch):
    """You took the image for a square and used its width twice. The height counts
    too."""
    count(height, width, patch)
    return (width // patch) ** 2


def grid_returned(height, width, patch):
    """You returned the rows and columns of the grid of patches. The sequence length is
    one number, their product."""
    count(height, width, patch)
    return height // patch, width // patch


def rounded_down(height, width, patch):
    """You rounded down, so the pixels at the edge that fill no whole patch vanish
    without a word. Raise a ValueError instead."""
    return (height // patch) * (width // patch)


def rounded_down_from_the_left(height, width, patch):
    """You rounded down, from left to right: a // p * b // p means ((a // p) * b) // p.
    What is left over vanishes without a word: raise a ValueError instead."""
    return height // patch * width // patch


def rounded_to_nearest(height, width, patch):
    """You rounded to the nearest number of patches. Pixels can be neither lost nor made
    up: raise a ValueError where patch does not divide a side."""
    return round(height / patch) * round(width / patch)


def rounded_up(height, width, patch):
    """You rounded up, as if the image were padded. It is not: raise a ValueError where
    patch does not divide a side."""
    return math.ceil(height / patch) * math.ceil(width / patch)


def area_rounded_down(height, width, patch):
    """You divided the area and rounded down. Patches must fit along each side: raise a
    ValueError where patch does not divide the height or the width."""
    return height * width // patch**2


def only_area_tested(height, width, patch):
    """You tested only whether the area is divisible by patch · patch. Along a side the
    patches may still not fit: test height and width each."""
    if height * width % patch**2:
        count(height, width, patch)
    return height * width // patch**2


def only_height_tested(height, width, patch):
    """You tested the height alone. The patches must fit along the width too."""
    return count(height, width // patch * patch, patch)


def only_width_tested(height, width, patch):
    """You tested the width alone. The patches must fit along the height too."""
    return count(height // patch * patch, width, patch)


def both_must_fail(height, width, patch):
    """You raise only where both sides fail to divide. One is enough: join the two
    conditions by `or`."""
    if height % patch and width % patch:
        count(height, width, patch)
    return (height // patch) * (width // patch)


def asserted(height, width, patch):
    """You used an assert, which raises AssertionError and is skipped under python -O.
    Test with `if`, then `raise ValueError(…)`."""
    assert height % patch == 0 and width % patch == 0
    return (height // patch) * (width // patch)


def zero_returned(height, width, patch):
    """You returned 0 where the patches do not fit. Whoever calls would go on with an
    empty sequence: raise a ValueError, which cannot be overlooked."""
    return 0 if height % patch or width % patch else count(height, width, patch)


def minus_one_returned(height, width, patch):
    """You returned -1 where the patches do not fit. Whoever calls may go on with it:
    raise a ValueError, which cannot be overlooked."""
    return -1 if height % patch or width % patch else count(height, width, patch)


def none_returned(height, width, patch):
    """You returned None where the patches do not fit (after printing, perhaps). A
    message on the screen stops no program: raise a ValueError."""
    return None if height % patch or width % patch else count(height, width, patch)


def error_returned(height, width, patch):
    """You returned the ValueError instead of raising it: write `raise` before it."""
    fits = height % patch == 0 and width % patch == 0
    return count(height, width, patch) if fits else ValueError("not divisible")


def is_a_whole_number(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        output = records[name].get("output")
        if not case.edge and type(output) is float:
            return (
                f"In the case “{name}”, sequence_length returned {output!r}, a float. "
                "A length must be an int, or PyTorch makes no tensor of it: divide by "
                "//."
            )
    return None


@looks_at("error")
def the_error_names_the_numbers(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        error = records[name]["error"]
        if not error or error["type"] != "ValueError":
            continue
        height, width, patch = case.args.values()
        sides = [side for side in (height, width) if side % patch]
        said = {int(n) for n in re.findall(r"\d+", error["message"])}
        if sides and not (patch in said and said.intersection(sides)):
            message = error["message"]
            says = f"says “{message}”" if message else "says nothing"
            return (
                f"In the case “{name}”, your ValueError {says}. Whoever meets it wants "
                f"to know the numbers: the side that does not fit, {sides[0]}, and the "
                f"patch, {patch}."
            )
    return None


class SequenceLength(Exercise):
    """sequence_length(height, width, patch): the number of patches, or a ValueError."""

    number = "4.1.1"
    properties = (is_a_whole_number, the_error_names_the_numbers)
    misconceptions = (
        class_token_counted,
        pixels_counted,
        divided_once,
        pixels_of_a_patch,
        sides_added,
        taken_for_square,
        width_taken_for_square,
        grid_returned,
        rounded_down,
        rounded_down_from_the_left,
        rounded_to_nearest,
        rounded_up,
        area_rounded_down,
        only_area_tested,
        only_height_tested,
        only_width_tested,
        both_must_fail,
        asserted,
        zero_returned,
        minus_one_returned,
        none_returned,
        error_returned,
    )
    reference = {"sequence_length": count}

    def draw_cases(self, draw: Draw):
        def case(height, width, patch, edge):
            given = {"height": height, "width": width, "patch": patch}
            name = ", ".join(f"{key} {value}" for key, value in given.items())
            return Case(name, "sequence_length", given, gradients=False, edge=edge)

        P, rows, columns = draw.sizes(3, low=4, high=16)
        yield case(rows * P, columns * P, P, edge=False)
        yield case(columns * P, (rows + columns) * P, P, edge=False)
        yield case(rows * P + 1, columns * P, P, edge=True)
        yield case(rows * P, columns * P - 1, P, edge=True)
        yield case(rows * P + 1, columns * P - 1, P, edge=True)
        yield case(rows * P * P, columns * P + P // 2, P, edge=True)  # the area fits
        yield case(columns * P + P // 2, rows * P * P, P, edge=True)
        yield case(rows, columns, 1, edge=True)
        yield case(P, P, P, edge=True)


# ---------------------------------------------------------------------------- 4.1.2


def grid(images, patch):
    """(B, C, rows, P, columns, P): the image cut, its pixels where they were."""
    return images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))


def as_sequence(cut):
    """(B, rows, columns, …) to (B, N, everything else)."""
    return cut.flatten(1, 2).flatten(2)


def reshaped_straight(images, patch):
    """You reshaped the image straight to (B, N, C·P·P). The shape is right, but every
    token then holds pieces of whole pixel rows: cut rows and columns into (H/P, P) and
    (W/P, P) first, then permute, then reshape."""
    B, C, H, W = images.shape
    return images.reshape(B, -1, C * patch * patch)


def patches_column_by_column(images, patch):
    """You number the patches column by column. Patch 1 lies to the right of patch 0:
    the row of the grid comes before its column when you permute."""
    return as_sequence(grid(images, patch).permute(0, 4, 2, 1, 3, 5))


def channel_last(images, patch):
    """Inside a patch you put the channel last (row, column, channel; in einops' words
    p1 p2 c). Here the order is channel, row, column, which is how Conv2d keeps its
    weight."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 3, 5, 1))


def patches_transposed(images, patch):
    """Inside a patch you read column by column, so every patch lies on its side. The
    order is channel, row, column."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 1, 5, 3))


def patches_transposed_channel_last(images, patch):
    """Inside a patch your order is column, row, channel. It should be channel, row,
    column."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 5, 3, 1))


def channel_between(images, patch):
    """Inside a patch your order is row, channel, column. It should be channel, row,
    column."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 3, 1, 5))


def channel_in_front_of_the_grid(images, patch):
    """You reshaped while the channel still stood in front of the grid, (B, C, H/P, W/P,
    P, P), as Tensor.unfold leaves it. Your tokens hold neighbouring patches of one
    channel instead of all channels of one patch: permute to (B, H/P, W/P, C, P, P)
    first."""
    cut = grid(images, patch).permute(0, 1, 2, 4, 3, 5)
    return cut.reshape(len(images), -1, images.shape[1] * patch * patch)


def height_and_width_exchanged(images, patch):
    """You exchanged height and width when you cut: the axes are (B, C, H, W), rows
    before columns. With square images the mistake would go unnoticed."""
    B, C, W, H = images.shape
    cut = images.reshape(B, C, H // patch, patch, W // patch, patch)
    return as_sequence(cut.permute(0, 2, 4, 1, 3, 5))


def pieces_of_rows(images, patch):
    """You unrolled every channel and cut the line into pieces of P·P pixels. A patch is
    a square: P pixels from each of P rows."""
    B, C, H, W = images.shape
    return images.reshape(B, C, -1, patch * patch).transpose(1, 2).flatten(2)


def cut_inside_out(images, patch):
    """You cut the sides into (P, H/P) and (P, W/P). Neighbouring pixels stay together
    as (H/P, P) and (W/P, P); your tokens take every (H/P)-th row instead."""
    B, C, H, W = images.shape
    cut = images.reshape(B, C, patch, H // patch, patch, W // patch)
    return as_sequence(cut.permute(0, 3, 5, 1, 2, 4))


def channels_apart(images, patch):
    """You made a token of every channel of every patch. A token holds all channels of
    its patch: its width is C·P·P."""
    return grid(images, patch).permute(0, 1, 2, 4, 3, 5).flatten(1, 3).flatten(2)


def unfold_not_transposed(images, patch):
    """You returned what F.unfold gives, (B, C·P·P, N). Tokens come before their
    entries: transpose the last two axes."""
    return F.unfold(images, patch, stride=patch)


def unfold_reshaped(images, patch):
    """You reshaped what F.unfold gives, (B, C·P·P, N), to (B, N, C·P·P). The shape is
    right, but the entries are mixed up: transpose the last two axes."""
    unfolded = F.unfold(images, patch, stride=patch)
    return unfolded.reshape(len(images), -1, unfolded.shape[1])


def patches_overlap(images, patch):
    """Your patches overlap: the window moves by one pixel. Move it by a whole patch
    (stride=patch)."""
    return F.unfold(images, patch).mT


def patches_not_flattened(images, patch):
    """You left the patches as little images, (B, N, C, P, P). Flatten the last three
    axes: a token is a row of numbers."""
    return grid(images, patch).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def grid_not_flattened(images, patch):
    """You left the patches in their grid, (B, H/P, W/P, C·P·P). A sequence has one axis
    of positions: flatten the two."""
    return grid(images, patch).permute(0, 2, 4, 1, 3, 5).flatten(3)


def as_many_as_patch(images, patch):
    """You cut the image into patch × patch pieces. The argument patch is the side of a
    piece in pixels, not their number along a side (torch.chunk takes a number,
    torch.split a size)."""
    B, C, H, W = images.shape
    cut = images.reshape(B, C, patch, H // patch, patch, W // patch)
    return as_sequence(cut.permute(0, 2, 4, 1, 3, 5))


def batch_behind(images, patch):
    """Your grid axes come before the batch axis when you reshape, so the samples get
    mixed. Keep the batch in front."""
    B, C, H, W = images.shape
    cut = grid(images, patch).permute(2, 4, 0, 1, 3, 5)
    return cut.reshape(B, -1, C * patch * patch)


def positions_first(images, patch):
    """You put the positions before the batch, (N, B, C·P·P). The batch comes first."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 1, 3, 5)).transpose(0, 1)


def viewed_after_permute(images, patch):
    """You called .view on a permuted tensor, whose entries no longer lie in order in
    memory. Use .reshape or .flatten, which copy where they must."""
    B, C, H, W = images.shape
    cut = grid(images, patch).permute(0, 2, 4, 1, 3, 5)
    return cut.view(B, -1, C * patch * patch)


def sides_divided_to_floats(images, patch):
    """You gave a shape with floats: / makes a float even where it divides exactly. Use
    //."""
    B, C, H, W = images.shape
    cut = images.reshape(B, C, H / patch, patch, W / patch, patch)
    return as_sequence(cut.permute(0, 2, 4, 1, 3, 5))


def permuted_without_cutting(images, patch):
    """You permuted the image's four axes and reshaped. Rows and columns must first be
    cut in two each, (H/P, P) and (W/P, P), before anything can be moved."""
    B, C, H, W = images.shape
    return images.permute(0, 2, 3, 1).reshape(B, -1, C * patch * patch)


def list_of_patches(images, patch):
    """You returned a list with one tensor for each patch. Put them into one tensor:
    torch.stack(patches, dim=1)."""
    return list(F.unfold(images, patch, stride=patch).unbind(-1))


def stacked_on_the_batch(images, patch):
    """You stacked the patches along the batch axis, (N, B, …). Positions are axis 1:
    torch.stack(patches, dim=1)."""
    pieces = grid(images, patch).permute(2, 4, 0, 1, 3, 5)
    return pieces.flatten(0, 1)


def filled_in_default_dtype(images, patch):
    """Your patches are float32 whatever the images are. Usual causes: a .float(), or a
    tensor made by torch.zeros or torch.empty, which is float32 on the CPU unless you
    say otherwise (dtype=images.dtype, device=images.device)."""
    return F.unfold(images, patch, stride=patch).mT.float()


def pixels_detached(images, patch):
    """Your patches carry no gradient: they went through NumPy, .detach(), .data or
    torch.tensor. Stay with operations on the tensor itself."""
    return F.unfold(images.detach(), patch, stride=patch).mT


def squeezed(images, patch):
    """You removed axes of length 1 (squeeze). A batch of one image is still a batch:
    remove only what is always there."""
    return F.unfold(images, patch, stride=patch).mT.squeeze()


def place(value: float, sizes: torch.Size) -> tuple[int, ...] | None:
    """Where an entry stood in a tensor that was numbered through; None if nowhere."""
    whole = 0 <= value < math.prod(sizes) and value == int(value)
    if not whole:
        return None
    return tuple(int(i) for i in torch.unravel_index(torch.tensor(int(value)), sizes))


def pixel(value: float, sizes: torch.Size) -> str:
    """An entry of a numbered image in words."""
    at = place(value, sizes)
    if at is None:
        return f"{value:.4g}, which is no pixel of the images"
    sample, channel, row, column = at
    of = f" of image {sample}" if sample else ""
    return f"the pixel in channel {channel}, row {row}, column {column}{of}"


def the_numbered(cases: Cases, records: Records) -> tuple[Case, torch.Tensor]:
    """The first case, whose entries say where they stood, and what came of it."""
    name = next(iter(cases))
    output = records[name]["output"]
    whole = output.round()  # a convolution may miss a whole number by a little
    return cases[name], torch.where((output - whole).abs() < 1e-6, whole, output)


def numbered(*sizes: int) -> torch.Tensor:
    """float64 of these sizes, its entries 0, 1, 2, …: each says where it stood."""
    return torch.arange(math.prod(sizes), dtype=torch.float64).reshape(sizes)


def cut_by_hand(case: Case) -> list[torch.Tensor]:
    """The patches of image 0, each (C, P, P), row by row."""
    image, patch = case.args["images"][0], case.args["patch"]
    rows = image.split(patch, dim=1)
    return [piece for row in rows for piece in row.split(patch, dim=2)]


def patch_0_is_the_top_left_corner(cases: Cases, records: Records) -> str | None:
    case, mine = the_numbered(cases, records)
    wanted = set(cut_by_hand(case)[0].flatten().tolist())
    for entry, value in enumerate(mine[0, 0].tolist()):
        if value not in wanted:
            last = case.args["patch"] - 1
            return (
                f"In the case “{case.name}”, patch 0 should hold rows 0 to {last} and "
                f"columns 0 to {last} of all channels, but its entry {entry} is "
                f"{pixel(value, case.args['images'].shape)}."
            )
    return None


def patches_go_row_by_row(cases: Cases, records: Records) -> str | None:
    case, mine = the_numbered(cases, records)
    patch, width = case.args["patch"], case.args["images"].shape[-1]
    for n, piece in enumerate(cut_by_hand(case)):
        stray = sorted(set(mine[0, n].tolist()) - set(piece.flatten().tolist()))
        if stray:
            row, column = (patch * i for i in divmod(n, width // patch))
            return (
                f"In the case “{case.name}”, patch {n} should hold rows {row} to "
                f"{row + patch - 1} and columns {column} to {column + patch - 1}; "
                f"yours has {pixel(stray[0], case.args['images'].shape)}."
            )
    return None


def inside_channel_then_row_then_column(cases: Cases, records: Records) -> str | None:
    case, mine = the_numbered(cases, records)
    sizes = case.args["images"].shape
    wanted = cut_by_hand(case)[0].flatten().tolist()
    for entry, (got, right) in enumerate(zip(mine[0, 0].tolist(), wanted, strict=True)):
        if got != right:
            return (
                f"In the case “{case.name}”, patch 0 holds the right pixels in another "
                f"order: its entry {entry} should be {pixel(right, sizes)}; yours is "
                f"{pixel(got, sizes)}."
            )
    return None


class Patchify(Exercise):
    """patchify(images, patch): (B, C, H, W) to (B, N, C·P·P)."""

    number = "4.1.2"
    properties = (
        patch_0_is_the_top_left_corner,
        patches_go_row_by_row,
        inside_channel_then_row_then_column,
    )
    misconceptions = (
        reshaped_straight,
        patches_column_by_column,
        channel_last,
        patches_transposed,
        patches_transposed_channel_last,
        channel_between,
        channel_in_front_of_the_grid,
        height_and_width_exchanged,
        pieces_of_rows,
        cut_inside_out,
        channels_apart,
        unfold_not_transposed,
        unfold_reshaped,
        patches_overlap,
        patches_not_flattened,
        grid_not_flattened,
        as_many_as_patch,
        batch_behind,
        positions_first,
        viewed_after_permute,
        sides_divided_to_floats,
        permuted_without_cutting,
        list_of_patches,
        stacked_on_the_batch,
        filled_in_default_dtype,
        pixels_detached,
        squeezed,
    )

    @staticmethod
    def patchify(images, patch):
        return F.unfold(images, patch, stride=patch).mT

    reference = {"patchify": patchify}

    def draw_cases(self, draw: Draw):
        B, C, P, rows, columns = draw.sizes(5, low=2)
        H, W = rows * P, columns * P

        def case(name, images, patch=P, edge=True):
            given = {"images": images, "patch": patch}
            name = f"{name} {tuple(images.shape)}, patch {patch}"
            return Case(name, "patchify", given, edge=edge)

        yield case("numbered pixels", numbered(B, C, H, W), edge=False)
        yield case("random pixels", draw.normal(B, C, H, W), edge=False)
        yield case("patches of one pixel", draw.normal(B, C, rows, columns), 1)
        yield case("one grey image that is one patch", draw.normal(1, 1, P, P))
        yield case("float32", draw.normal(B, C, H, W).float())


# ---------------------------------------------------------------------------- 4.1.3


def ungrid(patches, patch, height, width):
    """(B, rows, columns, C, P, P): the sequence as a grid of little images."""
    inside = patches.unflatten(2, (-1, patch, patch))
    return inside.unflatten(1, (height // patch, width // patch))


def put_together(cut, height, width):
    """(B, C, rows, P, columns, P) to (B, C, H, W)."""
    return cut.reshape(len(cut), -1, height, width)


def glued_straight(patches, patch, height, width):
    """You reshaped the patches straight to (B, C, H, W). The shape is right, but the
    pixels are not back where they were: cut the sequence into rows and columns of the
    grid, each patch into (C, P, P), permute, then reshape."""
    return patches.reshape(len(patches), -1, height, width)


def glued_column_by_column(patches, patch, height, width):
    """You laid the patches out column by column. Patch 1 lies to the right of patch
    0."""
    inside = patches.unflatten(2, (-1, patch, patch))
    cut = inside.unflatten(1, (width // patch, height // patch))
    return put_together(cut.permute(0, 3, 2, 4, 1, 5), height, width)


def glued_channel_last(patches, patch, height, width):
    """You read a patch as row, column, channel. Its entries are in the order channel,
    row, column."""
    inside = patches.unflatten(2, (patch, patch, -1))
    cut = inside.unflatten(1, (height // patch, width // patch))
    return put_together(cut.permute(0, 5, 1, 3, 2, 4), height, width)


def glued_on_their_side(patches, patch, height, width):
    """Every patch lies on its side: inside a patch you exchanged rows and columns."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 3, 1, 5, 2, 4), height, width)


def grid_left_together(patches, patch, height, width):
    """You permuted to (B, C, rows, columns, P, P) and reshaped. The rows inside a patch
    belong right behind the rows of the grid: (B, C, rows, P, columns, P)."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 3, 1, 2, 4, 5), height, width)


def inside_out(patches, patch, height, width):
    """You put the pixels of a patch before the grid, (P, rows) and (P, columns). A
    patch's own rows come behind the rows of the grid."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 3, 4, 1, 5, 2), height, width)


def sides_exchanged(patches, patch, height, width):
    """You exchanged height and width: the image comes out as (B, C, W, H). Rows come
    before columns."""
    cut = ungrid(patches, patch, width, height)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), width, height)


def grid_exchanged(patches, patch, height, width):
    """You exchanged the grid's sides: there are height / patch rows of width / patch
    patches. With square images the mistake would go unnoticed."""
    cut = ungrid(patches, patch, width, height)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), height, width)


def image_lies_on_its_side(patches, patch, height, width):
    """Your image is transposed, (B, C, W, H): the columns came before the rows when you
    permuted."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 3, 2, 5, 1, 4), width, height)


def channels_at_the_end(patches, patch, height, width):
    """Your channels stand last, (B, H, W, C), as in a picture file. They come before
    height and width here."""
    cut = ungrid(patches, patch, height, width)
    return cut.permute(0, 1, 4, 2, 5, 3).reshape(len(cut), height, width, -1)


def channels_permuted_last(patches, patch, height, width):
    """Your channels stood last when you reshaped to (B, C, H, W): the shape is right,
    the pixels of the channels are mixed up. Permute to (B, C, rows, P, columns, P)."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 1, 4, 2, 5, 3), height, width)


def three_channels_assumed(patches, patch, height, width):
    """You assumed three channels. Find out how many there are: the last axis has
    C · P · P entries."""
    B = patches.shape[0]
    rows, columns = height // patch, width // patch
    cut = patches.reshape(B, rows, columns, 3, patch, patch)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), height, width)


def three_channels_assumed_in_the_end(patches, patch, height, width):
    """You assumed an image of three channels. There are as many as the last axis says:
    it has C · P · P entries."""
    cut = ungrid(patches, patch, height, width)
    cut = cut.permute(0, 3, 1, 4, 2, 5)
    return cut.reshape(patches.shape[0], 3, height, width)


def square_grid_assumed(patches, patch, height, width):
    """You took the root of the number of patches for the side of the grid. The image
    need not be square: there are height / patch rows and width / patch columns."""
    B, N, _ = patches.shape
    side = int(N**0.5)
    cut = patches.reshape(B, side, side, -1, patch, patch)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), height, width)


def fold_not_transposed(patches, patch, height, width):
    """You gave F.fold the patches as they are. It wants (B, C·P·P, N): transpose the
    last two axes first."""
    return F.fold(patches, (height, width), patch, stride=patch)


def fold_reshaped(patches, patch, height, width):
    """You reshaped the patches to the (B, C·P·P, N) that F.fold wants. Transpose the
    last two axes instead: a reshape mixes the entries up."""
    B, N, entries = patches.shape
    turned = patches.reshape(B, entries, N)
    return F.fold(turned, (height, width), patch, stride=patch)


def fold_overlaps(patches, patch, height, width):
    """You gave F.fold no stride, so it expects patches one pixel apart: pass
    stride=patch."""
    return F.fold(patches.mT, (height, width), patch)


def glued_by_view(patches, patch, height, width):
    """You called .view on a permuted tensor, whose entries no longer lie in order in
    memory. Use .reshape, which copies where it must."""
    cut = ungrid(patches, patch, height, width).permute(0, 3, 1, 4, 2, 5)
    return cut.view(len(cut), -1, height, width)


def grid_divided_to_floats(patches, patch, height, width):
    """You gave a shape with floats: / makes a float, even of numbers that divide
    exactly. Use //."""
    cut = patches.reshape(len(patches), height / patch, width / patch, -1, patch, patch)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), height, width)


def image_left_in_pieces(patches, patch, height, width):
    """You returned the image still cut, with six axes. Join rows with rows and columns
    with columns: the result is (B, C, H, W)."""
    return ungrid(patches, patch, height, width).permute(0, 3, 1, 4, 2, 5)


def image_in_default_dtype(patches, patch, height, width):
    """Your image is float32 whatever the patches are. Usual causes: a .float(), or a
    tensor made by torch.zeros or torch.empty, which is float32 on the CPU unless you
    say otherwise (dtype=patches.dtype, device=patches.device)."""
    return F.fold(patches.mT, (height, width), patch, stride=patch).float()


def image_detached(patches, patch, height, width):
    """Your image carries no gradient: it went through NumPy, .detach(), .data or
    torch.tensor. Stay with operations on the tensor itself."""
    return F.fold(patches.detach().mT, (height, width), patch, stride=patch)


def image_squeezed(patches, patch, height, width):
    """You removed axes of length 1 (squeeze). A batch of one grey image still has four
    axes."""
    return F.fold(patches.mT, (height, width), patch, stride=patch).squeeze()


def every_pixel_returns_to_its_place(cases: Cases, records: Records) -> str | None:
    case, mine = the_numbered(cases, records)
    patches = case.args["patches"]
    wanted = Unpatchify.unpatchify(**case.args)
    wrong = (mine != wanted).nonzero()
    if not len(wrong):
        return None

    def entry(value):
        at = place(value, patches.shape)
        if at is None:
            return f"{value:.4g}, which is no entry of the patches"
        of = f" of image {at[0]}" if at[0] != sample else ""
        return f"entry {at[2]} of patch {at[1]}{of}"

    sample, channel, row, column = wrong[0].tolist()
    at = tuple(wrong[0])
    return (
        f"In the case “{case.name}”, the pixel of image {sample}, channel {channel}, "
        f"row {row}, column {column} should be {entry(wanted[at].item())}; yours is "
        f"{entry(mine[at].item())}."
    )


class Unpatchify(Exercise):
    """unpatchify(patches, patch, height, width): the images again."""

    number = "4.1.3"
    properties = (every_pixel_returns_to_its_place,)
    misconceptions = (
        glued_straight,
        glued_column_by_column,
        glued_channel_last,
        glued_on_their_side,
        grid_left_together,
        inside_out,
        sides_exchanged,
        grid_exchanged,
        image_lies_on_its_side,
        channels_at_the_end,
        channels_permuted_last,
        three_channels_assumed,
        three_channels_assumed_in_the_end,
        square_grid_assumed,
        fold_not_transposed,
        fold_reshaped,
        fold_overlaps,
        glued_by_view,
        grid_divided_to_floats,
        image_left_in_pieces,
        image_in_default_dtype,
        image_detached,
        image_squeezed,
    )

    @staticmethod
    def unpatchify(patches, patch, height, width):
        return F.fold(patches.mT, (height, width), patch, stride=patch)

    reference = {"unpatchify": unpatchify}

    def draw_cases(self, draw: Draw):
        B, C, P, rows, columns = draw.sizes(5, low=2)
        C, B = not_three(C, B)

        def case(name, patches, patch, rows, columns, edge=True):
            given = {"height": rows * patch, "width": columns * patch}
            args = {"patches": patches, "patch": patch, **given}
            name = f"{name} {tuple(patches.shape)}, patch {patch}, height "
            name += f"{rows * patch}, width {columns * patch}"
            return Case(name, "unpatchify", args, edge=edge)

        sizes = B, rows * columns, C * P * P
        cut = P, rows, columns
        yield case("numbered patches", numbered(*sizes), *cut, edge=False)
        yield case("random patches", draw.normal(*sizes), *cut, edge=False)
        single = draw.normal(B, rows * columns, C)
        yield case("patches of one pixel", single, 1, rows, columns)
        grey = draw.normal(1, 1, P * P)
        yield case("one grey image that is one patch", grey, P, 1, 1)
        yield case("float32", draw.normal(*sizes).float(), *cut)


# ---------------------------------------------------------------------------- 4.1.4


def convolution(weight, bias, patch, channels, kernel=None, **options):
    """The right answer; another kernel or other options for the wrong ones."""
    kernel = weight.unflatten(1, (channels, patch, patch)) if kernel is None else kernel
    exact = {"dtype": weight.dtype, "device": weight.device}
    options = {"stride": patch, **exact, **options}
    conv = nn.Conv2d(channels, len(weight), patch, **options)
    conv.weight = nn.Parameter(kernel.to(conv.weight).contiguous())
    if bias is not None and conv.bias is not None:
        conv.bias = nn.Parameter(bias.to(conv.weight))
    return conv


def fresh_convolution(weight, bias, patch, channels):
    """Your convolution has random weights: the given weight and bias were not copied
    into it."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    return conv.to(weight.device)


def bias_not_copied(weight, bias, patch, channels):
    """Your convolution keeps the random bias that it was made with: copy the given
    one."""
    conv = fresh_convolution(weight, bias, patch, channels)
    conv.weight = nn.Parameter(weight.unflatten(1, (channels, patch, patch)))
    return conv


def weight_not_copied(weight, bias, patch, channels):
    """Your convolution has the given bias but keeps the random weight that it was made
    with."""
    conv = fresh_convolution(weight, bias, patch, channels)
    conv.bias = nn.Parameter(bias)
    return conv


def bias_lost(weight, bias, patch, channels):
    """Your convolution has no bias. The linear map has one: pass it on."""
    return convolution(weight, None, patch, channels, bias=False)


def bias_zero(weight, bias, patch, channels):
    """Your convolution's bias is 0: copy the given one."""
    return convolution(weight, torch.zeros_like(bias), patch, channels)


def stride_forgotten(weight, bias, patch, channels):
    """Your kernel moves by one pixel at a time, the default, so its windows overlap.
    It should move by a whole patch: stride=patch."""
    return convolution(weight, bias, patch, channels, stride=1)


def fresh_and_overlapping(weight, bias, patch, channels):
    """Your kernel moves by one pixel at a time, the default: pass stride=patch. Then
    copy the given weight and bias into the convolution, whose own are random."""
    return nn.Conv2d(channels, len(weight), patch).to(weight.device)


def padding_added(weight, bias, patch, channels):
    """You padded the image. Patches tile it exactly: no padding."""
    return convolution(weight, bias, patch, channels, padding=patch // 2)


def weight_channel_last(weight, bias, patch, channels):
    """You read a row of weight as row, column, channel. A patch is in the order
    channel, row, column, and so is Conv2d's kernel: one reshape is all it takes."""
    kernel = weight.unflatten(1, (patch, patch, channels)).permute(0, 3, 1, 2)
    return convolution(weight, bias, patch, channels, kernel)


def weight_transposed(weight, bias, patch, channels):
    """You transposed weight before you reshaped it. Like nn.Linear's it has one row for
    each output, and Conv2d's kernel has the outputs first too."""
    kernel = weight.T.reshape(-1, channels, patch, patch)
    return convolution(weight, bias, patch, channels, kernel)


def channels_reshaped_first(weight, bias, patch, channels):
    """You reshaped weight to (C, D, P, P) and exchanged the first two axes. Its rows
    are the outputs: reshape to (D, C, P, P) at once."""
    kernel = weight.reshape(channels, -1, patch, patch).transpose(0, 1)
    return convolution(weight, bias, patch, channels, kernel)


def kernel_on_its_side(weight, bias, patch, channels):
    """Your kernel lies on its side: rows and columns inside a patch are exchanged."""
    kernel = weight.unflatten(1, (channels, patch, patch)).mT
    return convolution(weight, bias, patch, channels, kernel)


def kernel_flipped(weight, bias, patch, channels):
    """You flipped the kernel, as a convolution in mathematics does. PyTorch's Conv2d
    does not flip: it is a cross-correlation."""
    kernel = weight.unflatten(1, (channels, patch, patch)).flip(2, 3)
    return convolution(weight, bias, patch, channels, kernel)


def kernel_averaged(weight, bias, patch, channels):
    """You divided the weight by the number of pixels in a patch. The convolution sums,
    as the linear map does."""
    kernel = weight.unflatten(1, (channels, patch, patch)) / patch**2
    return convolution(weight, bias, patch, channels, kernel)


def linear_returned(weight, bias, patch, channels):
    """What you returned applies the linear map to the images' last axis; a linear map
    wants patches. The convolution takes the images themselves: return an nn.Conv2d."""
    linear = nn.Linear(weight.shape[1], len(weight)).to(weight)
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear


def channels_exchanged(weight, bias, patch, channels):
    """You exchanged the channels, so that your kernel is (C, D, P, P). nn.Conv2d takes
    the number of input channels first (C), then that of output channels (D), and its
    weight is (D, C, P, P)."""
    conv = nn.Conv2d(len(weight), channels, patch, stride=patch)
    return conv.to(weight.device)


def channels_divided_to_floats(weight, bias, patch, channels):
    """You gave a shape with a float: / makes a float, even of numbers that divide
    exactly. Use //, or the argument channels."""
    kernel = weight.reshape(len(weight), weight.shape[1] / patch**2, patch, patch)
    return convolution(weight, bias, patch, channels, kernel)


def shape_not_changed(weight, bias, patch, channels):
    """You gave the convolution weight as it is, (D, C·P·P). Its kernel has four axes:
    reshape to (D, C, P, P)."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv


def shape_not_changed_before_copying(weight, bias, patch, channels):
    """You copied weight, (D, C·P·P), into a kernel of four axes, (D, C, P, P): reshape
    it first."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    with torch.no_grad():
        conv.weight.copy_(weight)
    return conv


def shape_not_changed_before_loading(weight, bias, patch, channels):
    """You loaded weight, (D, C·P·P), into a kernel of four axes, (D, C, P, P): reshape
    it first."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.load_state_dict({"weight": weight, "bias": bias})
    return conv


def copied_with_gradients_on(weight, bias, patch, channels):
    """You changed a parameter in place while gradients were recorded. Copy inside `with
    torch.no_grad():`, or assign a new nn.Parameter."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.weight.copy_(weight.unflatten(1, (channels, patch, patch)))
    return conv


def tensor_assigned(weight, bias, patch, channels):
    """You assigned a plain tensor where the module keeps a parameter: wrap it in
    nn.Parameter(…)."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.weight = weight.unflatten(1, (channels, patch, patch))
    return conv


def function_returned(weight, bias, patch, channels):
    """You returned a function. An nn.Conv2d holds weight and bias as parameters, so
    that an optimizer finds them."""
    kernel = weight.unflatten(1, (channels, patch, patch))
    return lambda images: F.conv2d(images, kernel, bias, stride=patch)


def sequence_returned(weight, bias, patch, channels):
    """What you returned gives the tokens as a sequence, (B, N, D). Return the nn.Conv2d
    alone: its output is (B, D, H/P, W/P), the tokens in their grid."""

    class Flattened(nn.Conv2d):
        def forward(self, images):
            return super().forward(images).flatten(2).mT

    D = len(weight)
    conv = Flattened(channels, D, patch, patch, dtype=weight.dtype).to(weight.device)
    conv.load_state_dict(convolution(weight, bias, patch, channels).state_dict())
    return conv


def nothing_returned(weight, bias, patch, channels):
    """Your function returns nothing. End it with the convolution: return conv."""


def always_float32(weight, bias, patch, channels):
    """Your convolution is made in float32, whatever weight is: pass dtype=weight.dtype
    and device=weight.device to nn.Conv2d, or assign nn.Parameter(…) of the reshaped
    weight."""
    return convolution(weight, bias, patch, channels, dtype=torch.float32)


def rounded_to_float32(weight, bias, patch, channels):
    """Your weights went through float32 and lost digits: a new nn.Conv2d is float32,
    and converting it afterwards does not bring them back. Pass dtype=weight.dtype when
    you make it."""
    conv = convolution(weight, bias, patch, channels, dtype=torch.float32)
    return conv.to(weight.dtype)


@looks_at("made")
def returns_a_convolution(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        made = records[name].get("made")
        if case.edge or made is None:
            continue
        if made["type"] != "Conv2d":
            return (
                f"embedding_as_convolution returned a {made['type']}; expected an "
                "nn.Conv2d."
            )
        D, entries = case.args["weight"].shape
        P, C = case.args["patch"], case.args["channels"]
        wanted = {"weight": (D, C, P, P), "bias": (D,)}
        shapes = {key: tuple(size) for key, size in made["parameters"].items()}
        if shapes != wanted:
            return f"The convolution's parameters are {shapes}; expected {wanted}."
    return None


class EmbeddingAsConvolution(Exercise):
    """embedding_as_convolution(…): the nn.Conv2d equal to the linear map of patches."""

    number = "4.1.4"
    properties = (returns_a_convolution,)
    misconceptions = (
        fresh_convolution,
        bias_not_copied,
        weight_not_copied,
        bias_lost,
        bias_zero,
        stride_forgotten,
        fresh_and_overlapping,
        padding_added,
        weight_channel_last,
        weight_transposed,
        channels_reshaped_first,
        kernel_on_its_side,
        kernel_flipped,
        kernel_averaged,
        linear_returned,
        channels_exchanged,
        channels_divided_to_floats,
        shape_not_changed,
        shape_not_changed_before_copying,
        shape_not_changed_before_loading,
        copied_with_gradients_on,
        tensor_assigned,
        function_returned,
        sequence_returned,
        nothing_returned,
        always_float32,
        rounded_to_float32,
    )

    @staticmethod
    def embedding_as_convolution(weight, bias, patch, channels):
        return convolution(weight, bias, patch, channels)

    reference = {"embedding_as_convolution": embedding_as_convolution}

    def draw_cases(self, draw: Draw):
        B, C, P, rows, columns, D = draw.sizes(6, low=2, high=8)
        C, B = not_three(C, B)
        H, W = rows * P, columns * P

        def case(name, dtype, patch, *images, edge):
            # new layers are float32: copying into one should not fail in every case
            given = {
                "weight": draw.normal(D, C * patch * patch).to(dtype),
                "bias": draw.normal(D).to(dtype),
                "patch": patch,
                "channels": C,
            }
            inputs = {"images": draw.normal(*images).to(dtype)}
            name = f"{name}: {C} channels, patch {patch}, width {D}"
            target = "embedding_as_convolution"
            return Case(name, target, given, inputs=inputs, edge=edge)

        single, double = torch.float32, torch.float64
        yield case("float32", single, P, B, C, H, W, edge=False)
        yield case("other weights", single, P, 1, C, W, H, edge=False)
        yield case("float64", double, P, B, C, H, W, edge=True)
        yield case("patches of one pixel", single, 1, B, C, rows, columns, edge=True)


# ---------------------------------------------------------------------------- 4.1.5


def tokens(height, width, patch):
    return (height // patch) * (width // patch) + 1


def class_token_forgotten(height, width, patch, num_heads, bytes_per_value):
    """You forgot the [class] token: the sequence has N + 1 tokens."""
    return (tokens(height, width, patch) - 1) ** 2 * num_heads * bytes_per_value


def class_token_added_late(height, width, patch, num_heads, bytes_per_value):
    """You added the [class] token after squaring. It attends and is attended to like
    every other token: (N + 1)², not N² + 1."""
    N = tokens(height, width, patch) - 1
    return (N**2 + 1) * num_heads * bytes_per_value


def class_token_on_one_side(height, width, patch, num_heads, bytes_per_value):
    """You counted N · (N + 1) weights. The [class] token is a query as well as a key:
    (N + 1)²."""
    T = tokens(height, width, patch)
    return (T - 1) * T * num_heads * bytes_per_value


def class_token_for_every_row(height, width, patch, num_heads, bytes_per_value):
    """You added a [class] token along each side of the grid. There is one for the whole
    image: (H/P) · (W/P) + 1 tokens."""
    T = (height // patch + 1) * (width // patch + 1)
    return T**2 * num_heads * bytes_per_value


def heads_forgotten(height, width, patch, num_heads, bytes_per_value):
    """You counted one matrix. Every head has its own: multiply by num_heads."""
    return tokens(height, width, patch) ** 2 * bytes_per_value


def heads_and_class_token_forgotten(height, width, patch, num_heads, bytes_per_value):
    """You counted N² weights of one head. There are num_heads heads, and the [class]
    token makes N + 1 tokens."""
    return (tokens(height, width, patch) - 1) ** 2 * bytes_per_value


def heads_divided(height, width, patch, num_heads, bytes_per_value):
    """You divided by the number of heads. Heads share the width of a token, but each
    has a whole matrix of attention weights: multiply."""
    return tokens(height, width, patch) ** 2 * bytes_per_value / num_heads


def heads_squared(height, width, patch, num_heads, bytes_per_value):
    """You squared the number of heads. There are num_heads matrices, each with (N + 1)²
    weights."""
    return (tokens(height, width, patch) * num_heads) ** 2 * bytes_per_value


def values_counted(height, width, patch, num_heads, bytes_per_value):
    """You counted the weights. Multiply by the bytes that each takes."""
    return tokens(height, width, patch) ** 2 * num_heads


def bits_counted(height, width, patch, num_heads, bytes_per_value):
    """You counted bits: eight times as many as bytes."""
    return tokens(height, width, patch) ** 2 * num_heads * bytes_per_value * 8


def bytes_taken_for_bits(height, width, patch, num_heads, bytes_per_value):
    """You divided by 8. bytes_per_value is in bytes already."""
    return tokens(height, width, patch) ** 2 * num_heads * bytes_per_value / 8


def four_bytes_assumed(height, width, patch, num_heads, bytes_per_value):
    """You assumed four bytes for a value; use bytes_per_value."""
    return tokens(height, width, patch) ** 2 * num_heads * 4


def kibibytes(height, width, patch, num_heads, bytes_per_value):
    """You divided by 1024. The answer is in bytes."""
    return tokens(height, width, patch) ** 2 * num_heads * bytes_per_value / 1024


def mebibytes(height, width, patch, num_heads, bytes_per_value):
    """You divided by 1024². The answer is in bytes, not in MiB."""
    return tokens(height, width, patch) ** 2 * num_heads * bytes_per_value / 1024**2


def tokens_not_squared(height, width, patch, num_heads, bytes_per_value):
    """You counted one weight for each token. Every token has a weight for every token:
    (N + 1)²."""
    return tokens(height, width, patch) * num_heads * bytes_per_value


def pixels_for_tokens(height, width, patch, num_heads, bytes_per_value):
    """You took every pixel for a token. The tokens are patches and the [class] token:
    use exercise 4.1.1."""
    return (height * width + 1) ** 2 * num_heads * bytes_per_value


def patch_divided_once(height, width, patch, num_heads, bytes_per_value):
    """You divided the number of pixels by patch, not by patch · patch: use exercise
    4.1.1."""
    return (height * width // patch + 1) ** 2 * num_heads * bytes_per_value


def patch_for_the_grid(height, width, patch, num_heads, bytes_per_value):
    """You took patch for the number of patches along a side. It is the side of a patch
    in pixels: use exercise 4.1.1."""
    return (patch**2 + 1) ** 2 * num_heads * bytes_per_value


def scores_counted_too(height, width, patch, num_heads, bytes_per_value):
    """You counted the matrix twice (scores and weights, perhaps). Count the attention
    weights once."""
    return 2 * tokens(height, width, patch) ** 2 * num_heads * bytes_per_value


def half_the_matrix(height, width, patch, num_heads, bytes_per_value):
    """You counted half of the matrix. Attention weights are not symmetric, and no token
    is masked here: all (N + 1)² are stored."""
    T = tokens(height, width, patch)
    return T * (T + 1) // 2 * num_heads * bytes_per_value


class AttentionBytes(Exercise):
    """attention_bytes(…): the memory of one layer's attention weights."""

    number = "4.1.5"
    misconceptions = (
        class_token_forgotten,
        class_token_added_late,
        class_token_on_one_side,
        class_token_for_every_row,
        heads_forgotten,
        heads_and_class_token_forgotten,
        heads_divided,
        heads_squared,
        values_counted,
        bits_counted,
        bytes_taken_for_bits,
        four_bytes_assumed,
        kibibytes,
        mebibytes,
        tokens_not_squared,
        pixels_for_tokens,
        patch_divided_once,
        patch_for_the_grid,
        scores_counted_too,
        half_the_matrix,
    )

    @staticmethod
    def attention_bytes(height, width, patch, num_heads, bytes_per_value):
        return tokens(height, width, patch) ** 2 * num_heads * bytes_per_value

    reference = {"attention_bytes": attention_bytes}

    def draw_cases(self, draw: Draw):
        for bytes_per_value in (2, 8):
            P, rows, columns, heads = draw.sizes(4, low=3, high=16)
            given = {"height": rows * P, "width": columns * P, "patch": P}
            name = ", ".join(f"{key} {value}" for key, value in given.items())
            name += f", {heads} heads, {bytes_per_value} bytes"
            given |= {"num_heads": heads, "bytes_per_value": bytes_per_value}
            yield Case(name, "attention_bytes", given, gradients=False)


EXERCISES = (
    SequenceLength,
    Patchify,
    Unpatchify,
    EmbeddingAsConvolution,
    AttentionBytes,
)
