"""Exercise 4.1.2: images cut into patches."""

import math

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case


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


def the_numbered(cases: Cases, replies: Replies) -> tuple[Case, torch.Tensor]:
    """The first case, whose entries say where they stood, and what came of it."""
    name = next(iter(cases))
    output = replies[name]["output"]
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


def patch_0_is_the_top_left_corner(cases: Cases, replies: Replies) -> str | None:
    case, mine = the_numbered(cases, replies)
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


def patches_go_row_by_row(cases: Cases, replies: Replies) -> str | None:
    case, mine = the_numbered(cases, replies)
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


def inside_channel_then_row_then_column(cases: Cases, replies: Replies) -> str | None:
    case, mine = the_numbered(cases, replies)
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


@Patchify.mistake
def reshaped_straight(images, patch):
    """You reshaped the image straight to (B, N, C·P·P). The shape is right, but every
    token then holds pieces of whole pixel rows: cut rows and columns into (H/P, P) and
    (W/P, P) first, then permute, then reshape."""
    B, C, H, W = images.shape
    return images.reshape(B, -1, C * patch * patch)


def grid(images, patch):
    """(B, C, rows, P, columns, P): the image cut, its pixels where they were."""
    return images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))


def as_sequence(cut):
    """(B, rows, columns, …) to (B, N, everything else)."""
    return cut.flatten(1, 2).flatten(2)


@Patchify.mistake
def patches_column_by_column(images, patch):
    """You number the patches column by column. Patch 1 lies to the right of patch 0:
    the row of the grid comes before its column when you permute."""
    return as_sequence(grid(images, patch).permute(0, 4, 2, 1, 3, 5))


@Patchify.mistake
def channel_last(images, patch):
    """Inside a patch you put the channel last (row, column, channel; in einops' words
    p1 p2 c). Here the order is channel, row, column, which is how Conv2d keeps its
    weight."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 3, 5, 1))


@Patchify.mistake
def patches_transposed(images, patch):
    """Inside a patch you read column by column, so every patch lies on its side. The
    order is channel, row, column."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 1, 5, 3))


@Patchify.mistake
def patches_transposed_channel_last(images, patch):
    """Inside a patch your order is column, row, channel. It should be channel, row,
    column."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 5, 3, 1))


@Patchify.mistake
def channel_between(images, patch):
    """Inside a patch your order is row, channel, column. It should be channel, row,
    column."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 3, 1, 5))


@Patchify.mistake
def channel_in_front_of_the_grid(images, patch):
    """You reshaped while the channel still stood in front of the grid, (B, C, H/P, W/P,
    P, P), as Tensor.unfold leaves it. Your tokens hold neighbouring patches of one
    channel instead of all channels of one patch: permute to (B, H/P, W/P, C, P, P)
    first."""
    cut = grid(images, patch).permute(0, 1, 2, 4, 3, 5)
    return cut.reshape(len(images), -1, images.shape[1] * patch * patch)


@Patchify.mistake
def height_and_width_exchanged(images, patch):
    """You exchanged height and width when you cut: the axes are (B, C, H, W), rows
    before columns. With square images the mistake would go unnoticed."""
    B, C, W, H = images.shape
    cut = images.reshape(B, C, H // patch, patch, W // patch, patch)
    return as_sequence(cut.permute(0, 2, 4, 1, 3, 5))


@Patchify.mistake
def pieces_of_rows(images, patch):
    """You unrolled every channel and cut the line into pieces of P·P pixels. A patch is
    a square: P pixels from each of P rows."""
    B, C, H, W = images.shape
    return images.reshape(B, C, -1, patch * patch).transpose(1, 2).flatten(2)


@Patchify.mistake
def cut_inside_out(images, patch):
    """You cut the sides into (P, H/P) and (P, W/P). Neighbouring pixels stay together
    as (H/P, P) and (W/P, P); your tokens take every (H/P)-th row instead."""
    B, C, H, W = images.shape
    cut = images.reshape(B, C, patch, H // patch, patch, W // patch)
    return as_sequence(cut.permute(0, 3, 5, 1, 2, 4))


@Patchify.mistake
def channels_apart(images, patch):
    """You made a token of every channel of every patch. A token holds all channels of
    its patch: its width is C·P·P."""
    return grid(images, patch).permute(0, 1, 2, 4, 3, 5).flatten(1, 3).flatten(2)


@Patchify.mistake
def unfold_not_transposed(images, patch):
    """You returned what F.unfold gives, (B, C·P·P, N). Tokens come before their
    entries: transpose the last two axes."""
    return F.unfold(images, patch, stride=patch)


@Patchify.mistake
def unfold_reshaped(images, patch):
    """You reshaped what F.unfold gives, (B, C·P·P, N), to (B, N, C·P·P). The shape is
    right, but the entries are mixed up: transpose the last two axes."""
    unfolded = F.unfold(images, patch, stride=patch)
    return unfolded.reshape(len(images), -1, unfolded.shape[1])


@Patchify.mistake
def patches_overlap(images, patch):
    """Your patches overlap: the window moves by one pixel. Move it by a whole patch
    (stride=patch)."""
    return F.unfold(images, patch).mT


@Patchify.mistake
def patches_not_flattened(images, patch):
    """You left the patches as little images, (B, N, C, P, P). Flatten the last three
    axes: a token is a row of numbers."""
    return grid(images, patch).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


@Patchify.mistake
def grid_not_flattened(images, patch):
    """You left the patches in their grid, (B, H/P, W/P, C·P·P). A sequence has one axis
    of positions: flatten the two."""
    return grid(images, patch).permute(0, 2, 4, 1, 3, 5).flatten(3)


@Patchify.mistake
def as_many_as_patch(images, patch):
    """You cut the image into patch × patch pieces. The argument patch is the side of a
    piece in pixels, not their number along a side (torch.chunk takes a number,
    torch.split a size)."""
    B, C, H, W = images.shape
    cut = images.reshape(B, C, patch, H // patch, patch, W // patch)
    return as_sequence(cut.permute(0, 2, 4, 1, 3, 5))


@Patchify.mistake
def batch_behind(images, patch):
    """Your grid axes come before the batch axis when you reshape, so the samples get
    mixed. Keep the batch in front."""
    B, C, H, W = images.shape
    cut = grid(images, patch).permute(2, 4, 0, 1, 3, 5)
    return cut.reshape(B, -1, C * patch * patch)


@Patchify.mistake
def positions_first(images, patch):
    """You put the positions before the batch, (N, B, C·P·P). The batch comes first."""
    return as_sequence(grid(images, patch).permute(0, 2, 4, 1, 3, 5)).transpose(0, 1)


@Patchify.mistake
def viewed_after_permute(images, patch):
    """You called .view on a permuted tensor, whose entries no longer lie in order in
    memory. Use .reshape or .flatten, which copy where they must."""
    B, C, H, W = images.shape
    cut = grid(images, patch).permute(0, 2, 4, 1, 3, 5)
    return cut.view(B, -1, C * patch * patch)


@Patchify.mistake
def sides_divided_to_floats(images, patch):
    """You gave a shape with floats: / makes a float even where it divides exactly. Use
    //."""
    B, C, H, W = images.shape
    cut = images.reshape(B, C, H / patch, patch, W / patch, patch)
    return as_sequence(cut.permute(0, 2, 4, 1, 3, 5))


@Patchify.mistake
def permuted_without_cutting(images, patch):
    """You permuted the image's four axes and reshaped. Rows and columns must first be
    cut in two each, (H/P, P) and (W/P, P), before anything can be moved."""
    B, C, H, W = images.shape
    return images.permute(0, 2, 3, 1).reshape(B, -1, C * patch * patch)


@Patchify.mistake
def list_of_patches(images, patch):
    """You returned a list with one tensor for each patch. Put them into one tensor:
    torch.stack(patches, dim=1)."""
    return list(F.unfold(images, patch, stride=patch).unbind(-1))


@Patchify.mistake
def stacked_on_the_batch(images, patch):
    """You stacked the patches along the batch axis, (N, B, …). Positions are axis 1:
    torch.stack(patches, dim=1)."""
    pieces = grid(images, patch).permute(2, 4, 0, 1, 3, 5)
    return pieces.flatten(0, 1)


@Patchify.mistake
def filled_in_default_dtype(images, patch):
    """Your patches are float32 whatever the images are. Usual causes: a .float(), or a
    tensor made by torch.zeros or torch.empty, which is float32 on the CPU unless you
    say otherwise (dtype=images.dtype, device=images.device)."""
    return F.unfold(images, patch, stride=patch).mT.float()


@Patchify.mistake
def pixels_detached(images, patch):
    """Your patches carry no gradient: they went through NumPy, .detach(), .data or
    torch.tensor. Stay with operations on the tensor itself."""
    return F.unfold(images.detach(), patch, stride=patch).mT


@Patchify.mistake
def squeezed(images, patch):
    """You removed axes of length 1 (squeeze). A batch of one image is still a batch:
    remove only what is always there."""
    return F.unfold(images, patch, stride=patch).mT.squeeze()
