"""A pad to draw a digit on, and what becomes of it: 8 × 8 numbers, like the data's.

Nothing flows from the reader's browser back into Python by itself: the pad shows a line
of text, and the reader pastes it into a cell. The text is eight words, one a row of the
image, of eight characters each: 0 … 9, then a … g for 10 … 16.

Without the pad the text can be typed, or made from an image file.
"""

from pathlib import Path

import numpy as np
import torch
from IPython.display import HTML
from PIL import Image

from labkit.explore.frame import asset, page

SIDE = 8  # of the image that the pad makes, as in scikit-learn's digits
LEVELS = "0123456789abcdefg"  # how much ink: scikit-learn's digits go to 16

# Called for every event of the drawing area. `_shrink` below, once more.
SCRIPT = asset("drawing.js")
COPY = asset("drawing_copy.js")
STYLE = asset("drawing.css")


def pad() -> HTML:
    """Draw a digit with mouse, finger or keys; copy the text that appears.

    The drawing is cut out, scaled to the full height or width, and centred, as
    scikit-learn's digits are. Where scripts do not run, use `from_image` or type.
    """
    script = SCRIPT.strip().replace("\n", " ").replace('"', "&quot;")
    copy = COPY.strip().replace("\n", " ").replace('"', "&quot;")
    again = 'this.onpointerdown(event)"'
    clear = "this.form.querySelector('.large').onpointerdown(event)"
    return page(
        "Drawing pad",
        STYLE,
        '<div class="desk"><div class="area"><canvas class="large" width="256" '
        'height="256" tabindex="0" role="application" aria-label="Drawing area. '
        "Arrow keys move the pen, Space lowers or lifts it, Delete clears."
        f'" onpointerdown="{script}" onpointermove="{again} onkeydown="{again}>'
        '</canvas><span class="pen"></span></div><div class="seen" aria-hidden="true">'
        '<canvas class="small" width="8" height="8"></canvas>as the model sees it'
        '</div></div><div class="tools">'
        f'<button type="button" class="clear" onclick="{clear}">Clear</button>'
        f'<button type="button" class="copy" onclick="{copy}">Copy</button>'
        '<input class="text" readonly aria-label="Your drawing as text"></div>'
        '<p class="said" role="status"></p><p class="hint">Draw one digit, large; then '
        "copy the text into the next cell. With the keyboard: arrow keys move the pen, "
        "Space lowers and lifts it, Delete clears.</p>",
    )


def read(text: str) -> torch.Tensor:
    """A drawing from its text: (8, 8) float32, ink from 0 to 16.

    text  64 of the characters 0 … 9, a … g, row by row; spaces do not count

    Raises ValueError for another number of characters or another character.
    """
    characters = "".join(text.split()).lower()
    if unknown := sorted(set(characters) - set(LEVELS)):
        raise ValueError(f"got {unknown[0]!r} in a drawing; want 0 … 9 and a … g")
    if len(characters) != SIDE**2:
        raise ValueError(
            f"got a drawing of {len(characters)} characters; want 64, 8 rows of 8. "
            "Was the text copied whole?"
        )
    levels = [float(LEVELS.index(c)) for c in characters]
    return torch.tensor(levels).view(SIDE, SIDE)


def write(ink: torch.Tensor) -> str:
    """The text of a drawing (8, 8) of whole numbers from 0 to 16."""
    return " ".join("".join(LEVELS[int(v)] for v in row) for row in ink)


def from_image(path: str | Path) -> str:
    """The text of a digit in an image file: dark on light, or light on dark.

    path  any format that Pillow reads; the digit alone, on a plain ground

    Raises ValueError if there is nothing on the ground.
    """
    grey = np.asarray(Image.open(path).convert("L"), dtype=float)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    away = np.abs(grey - np.median(edge))
    if away.max() < 32:
        raise ValueError(f"got an image without a drawing: {path}; want dark on light")
    return write(_shrink(away > away.max() / 2))


def _shrink(bitmap: np.ndarray) -> torch.Tensor:
    """(H, W) bool → (8, 8): cut out, made square around its centre, ink counted."""
    y, x = bitmap.nonzero()
    side = max(np.ptp(y), np.ptp(x)) + 1
    cells = [
        np.floor((n + 0.5 - (n.min() + n.max() + 1 - side) / 2) * SIDE / side)
        for n in (y, x)
    ]
    count = np.zeros((SIDE, SIDE))
    np.add.at(count, tuple(c.astype(int) for c in cells), 1)
    return torch.tensor(np.minimum(16, np.floor(count * 1024 / side**2 + 0.5)))
