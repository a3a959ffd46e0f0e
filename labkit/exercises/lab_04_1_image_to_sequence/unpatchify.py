"""Exercise 4.1.3: patches put together to images again."""

from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, not_three
from labkit.checks.probes import Case
from labkit.exercises.lab_04_1_image_to_sequence.patchify import (
    numbered,
    place,
    the_numbered,
)


def every_pixel_returns_to_its_place(cases: Cases, replies: Replies) -> str | None:
    case, mine = the_numbered(cases, replies)
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
    fixed = {"length": "height and width say how many patches there are"}
    properties = (every_pixel_returns_to_its_place,)

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


@Unpatchify.mistake
def glued_straight(patches, patch, height, width):
    """You reshaped the patches straight to (B, C, H, W). The shape is right, but the
    pixels are not back where they were: cut the sequence into rows and columns of the
    grid, each patch into (C, P, P), permute, then reshape."""
    return patches.reshape(len(patches), -1, height, width)


def put_together(cut, height, width):
    """(B, C, rows, P, columns, P) to (B, C, H, W)."""
    return cut.reshape(len(cut), -1, height, width)


@Unpatchify.mistake
def glued_column_by_column(patches, patch, height, width):
    """You laid the patches out column by column. Patch 1 lies to the right of patch
    0."""
    inside = patches.unflatten(2, (-1, patch, patch))
    cut = inside.unflatten(1, (width // patch, height // patch))
    return put_together(cut.permute(0, 3, 2, 4, 1, 5), height, width)


@Unpatchify.mistake
def glued_channel_last(patches, patch, height, width):
    """You read a patch as row, column, channel. Its entries are in the order channel,
    row, column."""
    inside = patches.unflatten(2, (patch, patch, -1))
    cut = inside.unflatten(1, (height // patch, width // patch))
    return put_together(cut.permute(0, 5, 1, 3, 2, 4), height, width)


def ungrid(patches, patch, height, width):
    """(B, rows, columns, C, P, P): the sequence as a grid of little images."""
    inside = patches.unflatten(2, (-1, patch, patch))
    return inside.unflatten(1, (height // patch, width // patch))


@Unpatchify.mistake
def glued_on_their_side(patches, patch, height, width):
    """Every patch lies on its side: inside a patch you exchanged rows and columns."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 3, 1, 5, 2, 4), height, width)


@Unpatchify.mistake
def grid_left_together(patches, patch, height, width):
    """You permuted to (B, C, rows, columns, P, P) and reshaped. The rows inside a patch
    belong right behind the rows of the grid: (B, C, rows, P, columns, P)."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 3, 1, 2, 4, 5), height, width)


@Unpatchify.mistake
def inside_out(patches, patch, height, width):
    """You put the pixels of a patch before the grid, (P, rows) and (P, columns). A
    patch's own rows come behind the rows of the grid."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 3, 4, 1, 5, 2), height, width)


@Unpatchify.mistake
def sides_exchanged(patches, patch, height, width):
    """You exchanged height and width: the image comes out as (B, C, W, H). Rows come
    before columns."""
    cut = ungrid(patches, patch, width, height)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), width, height)


@Unpatchify.mistake
def grid_exchanged(patches, patch, height, width):
    """You exchanged the grid's sides: there are height / patch rows of width / patch
    patches. With square images the mistake would go unnoticed."""
    cut = ungrid(patches, patch, width, height)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), height, width)


@Unpatchify.mistake
def image_lies_on_its_side(patches, patch, height, width):
    """Your image is transposed, (B, C, W, H): the columns came before the rows when you
    permuted."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 3, 2, 5, 1, 4), width, height)


@Unpatchify.mistake
def channels_at_the_end(patches, patch, height, width):
    """Your channels stand last, (B, H, W, C), as in a picture file. They come before
    height and width here."""
    cut = ungrid(patches, patch, height, width)
    return cut.permute(0, 1, 4, 2, 5, 3).reshape(len(cut), height, width, -1)


@Unpatchify.mistake
def channels_permuted_last(patches, patch, height, width):
    """Your channels stood last when you reshaped to (B, C, H, W): the shape is right,
    the pixels of the channels are mixed up. Permute to (B, C, rows, P, columns, P)."""
    cut = ungrid(patches, patch, height, width)
    return put_together(cut.permute(0, 1, 4, 2, 5, 3), height, width)


@Unpatchify.mistake
def three_channels_assumed(patches, patch, height, width):
    """You assumed three channels. Find out how many there are: the last axis has
    C · P · P entries."""
    B = patches.shape[0]
    rows, columns = height // patch, width // patch
    cut = patches.reshape(B, rows, columns, 3, patch, patch)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), height, width)


@Unpatchify.mistake
def three_channels_assumed_in_the_end(patches, patch, height, width):
    """You assumed an image of three channels. There are as many as the last axis says:
    it has C · P · P entries."""
    cut = ungrid(patches, patch, height, width)
    cut = cut.permute(0, 3, 1, 4, 2, 5)
    return cut.reshape(patches.shape[0], 3, height, width)


@Unpatchify.mistake
def square_grid_assumed(patches, patch, height, width):
    """You took the root of the number of patches for the side of the grid. The image
    need not be square: there are height / patch rows and width / patch columns."""
    B, N, _ = patches.shape
    side = int(N**0.5)
    cut = patches.reshape(B, side, side, -1, patch, patch)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), height, width)


@Unpatchify.mistake
def fold_not_transposed(patches, patch, height, width):
    """You gave F.fold the patches as they are. It wants (B, C·P·P, N): transpose the
    last two axes first."""
    return F.fold(patches, (height, width), patch, stride=patch)


@Unpatchify.mistake
def fold_reshaped(patches, patch, height, width):
    """You reshaped the patches to the (B, C·P·P, N) that F.fold wants. Transpose the
    last two axes instead: a reshape mixes the entries up."""
    B, N, entries = patches.shape
    turned = patches.reshape(B, entries, N)
    return F.fold(turned, (height, width), patch, stride=patch)


@Unpatchify.mistake
def fold_overlaps(patches, patch, height, width):
    """You gave F.fold no stride, so it expects patches one pixel apart: pass
    stride=patch."""
    return F.fold(patches.mT, (height, width), patch)


@Unpatchify.mistake
def glued_by_view(patches, patch, height, width):
    """You called .view on a permuted tensor, whose entries no longer lie in order in
    memory. Use .reshape, which copies where it must."""
    cut = ungrid(patches, patch, height, width).permute(0, 3, 1, 4, 2, 5)
    return cut.view(len(cut), -1, height, width)


@Unpatchify.mistake
def grid_divided_to_floats(patches, patch, height, width):
    """You gave a shape with floats: / makes a float, even of numbers that divide
    exactly. Use //."""
    cut = patches.reshape(len(patches), height / patch, width / patch, -1, patch, patch)
    return put_together(cut.permute(0, 3, 1, 4, 2, 5), height, width)


@Unpatchify.mistake
def image_left_in_pieces(patches, patch, height, width):
    """You returned the image still cut, with six axes. Join rows with rows and columns
    with columns: the result is (B, C, H, W)."""
    return ungrid(patches, patch, height, width).permute(0, 3, 1, 4, 2, 5)


@Unpatchify.mistake
def image_in_default_dtype(patches, patch, height, width):
    """Your image is float32 whatever the patches are. Usual causes: a .float(), or a
    tensor made by torch.zeros or torch.empty, which is float32 on the CPU unless you
    say otherwise (dtype=patches.dtype, device=patches.device)."""
    return F.fold(patches.mT, (height, width), patch, stride=patch).float()


@Unpatchify.mistake
def image_detached(patches, patch, height, width):
    """Your image carries no gradient: it went through NumPy, .detach(), .data or
    torch.tensor. Stay with operations on the tensor itself."""
    return F.fold(patches.detach().mT, (height, width), patch, stride=patch)


@Unpatchify.mistake
def image_squeezed(patches, patch, height, width):
    """You removed axes of length 1 (squeeze). A batch of one grey image still has four
    axes."""
    return F.fold(patches.mT, (height, width), patch, stride=patch).squeeze()
