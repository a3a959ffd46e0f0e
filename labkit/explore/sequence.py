"""How long a sequence an image makes: slide through image side and patch size."""

from IPython.display import HTML

from labkit.explore.costs import PARTS, costs
from labkit.explore.frame import (
    SLIDERS,
    answering,
    asset,
    bars,
    page,
    percent,
    slider,
)

# Where the sliders of `sequence_explorer` stop: a number and what is known by it.
SIDES = (
    (32, "CIFAR-10"),
    (64, ""),
    (112, ""),
    (224, "ImageNet, as ViT was trained"),
    (384, "ImageNet, as ViT was fine-tuned"),
    (448, ""),
    (512, ""),
    (768, ""),
    (1024, ""),
)
PATCHES = (
    (1, "every pixel a token"),
    (2, ""),
    (4, ""),
    (8, ""),
    (14, "ViT-H/14"),
    (16, "ViT-B/16, ViT-L/16"),
    (32, "ViT-B/32"),
)
WIDTH = 768  # of ViT-B, for the shares
UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3), ("bytes", 1))

# `sizes` and `_text` below, once more, in the reader's browser.
SCRIPT = asset("sequence.js")
STYLE = asset("sequence.css")


def sizes(side: int, patch: int) -> dict[str, int]:
    """What an image of side × side pixels in three colours becomes, cut by `patch`.

    grid     patches along a side      left     pixels a side that do not fill a patch
    patches  patches in all            each     numbers in a patch
    entries  of one attention matrix, the [class] token included
    bytes    of that matrix in float32: one head, one layer, one image
    """
    grid, left = divmod(side, patch)
    entries = (grid**2 + 1) ** 2
    return {
        "grid": grid,
        "left": left,
        "patches": grid**2,
        "each": 3 * patch**2,
        "entries": entries,
        "bytes": 4 * entries,
    }


def sequence_explorer(side: int = 224, patch: int = 16) -> HTML:
    """Slide through image side and patch size; see tokens, attention matrix, shares.

    side, patch  where the sliders stand first: stops of SIDES and of PATCHES

    Raises ValueError for another number. Without scripts the first view remains.
    """
    sliders = slider("Image side, in pixels", "side", SIDES, side)
    sliders += slider("Patch side, in pixels", "patch", PATCHES, patch)
    text, macs = _text(side, patch), costs(sizes(side, patch)["patches"] + 1, WIDTH)
    n = sizes(side, patch)["grid"]
    step = f"width:{100 * n * patch / side:.2f}%;--step:{100 / n:.4f}%"
    fine = " fine" if n > 64 else ""
    return page(
        "From image to sequence",
        SLIDERS + STYLE,
        answering(
            SCRIPT,
            f'<div class="sizes">{sliders}</div>'
            '<div class="both"><div role="status">'
            f'<p><b class="grid">{text["grid"]}</b> = '
            f'<b class="count">{text["count"]}</b> patches of '
            f'<b class="each">{text["each"]}</b> numbers. '
            f'<span class="left">{text["left"]}</span></p>'
            "<p>Attention matrix, [class] token included: "
            f'<b class="entries">{text["entries"]}</b> entries, '
            f'<b class="size">{text["size"]}</b> in float32, '
            "for each head, layer and image.</p>"
            "<p>Work of a block of ViT-B:</p>"
            f"{bars(PARTS, macs)}</div>"
            f'<div class="room" aria-hidden="true"><div class="image{fine}" '
            f'style="{step}"></div></div></div>'
            '<p class="legend">The picture: the image, cut into patches; more than 64 '
            "a side are too small to draw. Orange: a margin that is left out.</p>",
        ),
    )


def _text(side: int, patch: int) -> dict[str, str]:
    """The figure's words for one pair of stops, as its script writes them."""
    size = sizes(side, patch)
    macs = costs(size["patches"] + 1, WIDTH)
    unit, one = next((name, n) for name, n in UNITS if size["bytes"] >= n)
    shown = size["bytes"] / one
    digits = 0 if one == 1 or shown >= 100 else 2 if shown < 10 else 1
    left = f"{patch} divides {side}: nothing is left out."
    if size["left"]:
        margin = f"a margin of {size['left']} pixels is left out."
        left = f"{patch} does not divide {side}: {margin}"
    return {
        **{part: percent(n, sum(macs.values())) for part, n in macs.items()},
        "grid": f"{size['grid']} × {size['grid']}",
        "count": f"{size['patches']:,}",
        "each": f"{size['each']:,}",
        "entries": f"{size['entries']:,}",
        "size": f"{shown:.{digits}f} {unit}",
        "left": left,
    }
