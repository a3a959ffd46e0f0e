"""Drawing that is not the lesson: the look of the figures, and how they are shown."""

import io
import math
from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import clear_output, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle
from PIL import Image

from labkit.statistics import arms, interval, summary

if TYPE_CHECKING:
    import pandas

# Okabe and Ito's colours, told apart by colour-blind readers (https://jfly.uni-koeln.de/
# color/). The book turns figures over in the dark, keeping the hue: none is near white.
BLUE, RED, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#A8538A"
GREY, FAINT, PAPER = "#6B7280", "#D5D9E0", "#F1F3F6"
COLOURS = (BLUE, RED, GREEN, PURPLE, GREY)
MAP_COLOURS = 2**13  # a pixel map has no more; a photograph has, and keeps them

# Figures are about 5 inches wide, so that 10-point text is still text on a phone. The
# ground is white, not transparent: JupyterLab's dark theme puts nothing behind an SVG.
plt.rcParams.update(
    {
        "svg.fonttype": "none",  # text stays text, in the reader's own font
        "svg.hashsalt": "labkit",  # the same figure gives the same bytes
        "figure.figsize": (5.0, 3.0),
        "figure.dpi": 100,
        "savefig.bbox": "tight",
        "savefig.pad_inches": 0.05,
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.prop_cycle": plt.cycler(color=COLOURS),
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "lines.linewidth": 2.0,
        "legend.frameon": False,
        "legend.fontsize": 9.5,
        "text.color": "#1B222C",
        "axes.labelcolor": "#1B222C",
        "xtick.color": "#1B222C",
        "ytick.color": "#1B222C",
    }
)


def show(fig: Figure, text: str, kind: str = "svg") -> None:
    """Print what a figure shows, show the figure, and close it.

    text  what it shows, in numbers: a reader who cannot see the figure has these,
          and stored outputs are compared by them where the figure is a PNG
    kind  "svg" for lines drawn from exact or rounded data (the same bytes every time),
          "png" for pixel maps and for trained results, "photo" for photographs,
          which are stored as PNG with at most 256 colours

    Raises ValueError for another kind.
    """
    formats = {"svg": "image/svg+xml", "png": "image/png", "photo": "image/png"}
    if kind not in formats:
        raise ValueError(f"got kind {kind!r}; want one of {', '.join(formats)}")
    file = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    dpi = 120 if kind == "photo" else 200  # photographs have few pixels of their own
    format_ = formats[kind].split("/")[1].removesuffix("+xml")
    fig.savefig(file, format=format_, dpi=dpi, metadata=metadata)
    plt.close(fig)
    content, details = file.getvalue(), {}
    if kind != "svg":  # drawn at 120 or 200 dots per inch, shown at 100
        image = Image.open(file).convert("RGB")
        width, height = (side * 100 // dpi for side in image.size)
        details = {formats[kind]: {"width": width, "height": height}}
        content = _light(image, photo=kind == "photo")
    print(text)
    data = content.decode() if kind == "svg" else b64encode(content).decode()
    display({formats[kind]: data, "text/plain": text}, metadata=details, raw=True)


def _light(image: Image.Image, photo: bool = False) -> bytes:
    """PNG of an image; of a map or photograph with a palette, a third of the size."""
    if photo:
        image = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=0)
    elif image.getcolors(MAP_COLOURS):
        image = image.quantize(256, Image.Quantize.MEDIANCUT, dither=0)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def block(ax: Axes, shared: np.ndarray, title: str = "") -> None:
    """Draw a block of samples × positions × channels with the cells that share a mean.

    shared  (B, T, C) bool. Sample 0 faces the reader, its positions run to the right
            and its channels down; the other samples stand behind it. Only the cells on
            the front, on top and at the right end can be seen.
    """
    B, T, C = shared.shape
    along, up = 0.52, 0.36  # one step into the depth, in cells

    def face(corners: Sequence[tuple], cell: bool, shade: str) -> None:
        points = [(t + along * b, -c + up * b) for t, c, b in corners]
        colour = shade if cell else PAPER
        ax.add_patch(Polygon(points, facecolor=colour, edgecolor=GREY, linewidth=0.8))

    for b in reversed(range(B)):
        for c in range(C):
            corners = [(T, c, b), (T, c, b + 1), (T, c + 1, b + 1), (T, c + 1, b)]
            face(corners, shared[b, -1, c], "#005585")
        for t in range(T):
            corners = [(t, 0, b), (t + 1, 0, b), (t + 1, 0, b + 1), (t, 0, b + 1)]
            face(corners, shared[b, t, 0], "#3A97CB")
    for t in range(T):
        for c in range(C):
            corners = [(t, c, 0), (t + 1, c, 0), (t + 1, c + 1, 0), (t, c + 1, 0)]
            face(corners, shared[0, t, c], BLUE)
    ax.text(T / 2, -C - 0.25, "positions T", ha="center", va="top")
    ax.text(-0.25, -C / 2, "channels C", ha="right", va="center", rotation=90)
    ax.text(along * B / 2 - 0.3, up * B / 2 + 0.1, "samples B", ha="right", va="bottom")
    ax.set(xlim=(-2.2, T + along * B + 0.1), ylim=(-C - 1.1, up * B + 0.3))
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.set_title(title, loc="left")


def ragged(ax: Axes, lengths: Sequence[int], highlight: Sequence[int] = ()) -> None:
    """Draw a batch of unequal lengths: one row a sample, one column a position.

    Below each column stands how many samples reach it. Columns in `highlight`
    (counted from 1) are coloured.
    """
    B, T = len(lengths), max(lengths)
    for row, length in enumerate(lengths):
        for t in range(1, T + 1):
            alive = t <= length
            colour = (RED if t in highlight else BLUE) if alive else "none"
            edge = "white" if alive else FAINT
            ax.add_patch(Rectangle((t - 0.5, -row), 1, -0.9, fc=colour, ec=edge, lw=1))
        ax.text(0.3, -row - 0.45, f"sample {row + 1}", ha="right", va="center")
    for t in range(1, T + 1):
        alive = sum(length >= t for length in lengths)
        ax.text(t, -B - 0.45, f"{t}", ha="center", va="center", color=GREY)
        weight = "bold" if t in highlight else "normal"
        ax.text(t, -B - 1.25, f"{alive}", ha="center", va="center", weight=weight)
    ax.text(0.3, -B - 0.45, "position", ha="right", va="center", color=GREY)
    ax.text(0.3, -B - 1.25, "samples alive", ha="right", va="center")
    ax.set(xlim=(-2.2, T + 0.6), ylim=(-B - 1.7, 0.1))
    ax.set_axis_off()


def residual(
    ax: Axes, steps: Sequence[str], title: str = "", ends: Sequence[str] = "xy"
) -> None:
    """Draw one residual block: boxes from left to right, "+" where the skip arrives.

    steps  labels in order, for example ["LN", "f", "+"]
    ends   labels of what goes in and what comes out
    """
    arrow = {"arrowstyle": "-|>", "color": GREY, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    centres = [0.9 + 1.0 * n for n in range(len(steps))]
    before = 0.0
    for label, x in zip(steps, centres, strict=True):
        if label == "+":
            ax.add_patch(Circle((x, 0), 0.22, fc="white", ec=GREY, lw=1.4))
            half, plus = 0.22, x
        else:
            fill = BLUE if label == "LN" else PAPER
            ax.add_patch(Rectangle((x - 0.3, -0.3), 0.6, 0.6, fc=fill, ec=GREY, lw=1.4))
            half = 0.3
        colour = "white" if label == "LN" else "#1B222C"
        ax.text(x, -0.02, label, ha="center", va="center", color=colour, zorder=4)
        ax.annotate("", (x - half, 0), (before, 0), arrowprops=arrow)
        before = x + half
    ax.annotate("", (before + 0.45, 0), (before, 0), arrowprops=arrow)
    ax.plot(
        [0.25, 0.25, plus], [0, 0.9, 0.9], color=GREY, lw=1.4, solid_joinstyle="miter"
    )
    ax.annotate("", (plus, 0.22), (plus, 0.9), arrowprops=arrow)
    ax.text(-0.08, 0, ends[0], ha="right", va="center")
    ax.text(before + 0.5, 0, ends[1], ha="left", va="center")
    ax.set(xlim=(-0.3, before + 0.7), ylim=(-0.5, 1.1))
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.set_title(title, loc="left")


def heat(
    ax: Axes, values: np.ndarray, rows: Sequence, columns: Sequence, title: str = ""
) -> None:
    """Draw a table of percentages as cells, darker where higher, each with its number.

    values         (rows, columns), 0 to 100; a cell that is not a number stays empty
    rows, columns  what stands beside the rows and below the columns
    """
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        colour = matplotlib.colormaps["Blues"](0.05 + 0.008 * round(value))
        ax.add_patch(Rectangle((column, row), 1, 1, fc=colour, ec="white", lw=1))
        ink = "white" if value > 60 else "#1B222C"
        middle = {"ha": "center", "va": "center", "color": ink}
        ax.text(column + 0.5, row + 0.53, f"{value:.0f}", **middle)
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0), title=title)
    ax.set_xticks([n + 0.5 for n in range(len(columns))], columns)
    ax.set_yticks([n + 0.5 for n in range(len(rows))], rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)


def dots(
    ax: Axes,
    arms: dict[str, Sequence[Sequence[float]]],
    names: Sequence,
    digits: int = 2,
) -> None:
    """Draw means with their 95 % intervals: a row an arm, its series side by side.

    arms   name of a row: the values of each series, one number a run
    names  of the series, in the order of the colours
    digits after the point, to which they are rounded
    """
    for row, series in enumerate(arms.values()):
        for n, (values, colour) in enumerate(zip(series, COLOURS, strict=False)):
            mean, low, high = np.round(interval(values), digits)
            y = row + 0.24 * (n - (len(series) - 1) / 2)
            ax.plot([low, high], [y, y], color=colour, lw=3)
            ax.plot(mean, y, "o", color=colour, label=None if row else names[n])
    ax.set(ylim=(len(arms) - 0.5, -0.5))
    ax.set_yticks(range(len(arms)), arms)
    if len(names) > 1:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(names))


def compare(
    runs: "pandas.DataFrame",
    by: str,
    *columns: str,
    unit: str,
    scale: float = 1,
    digits: int = 2,
    lines: Sequence[float] = (),
) -> None:
    """Show what the runs of a record say, drawn and printed: means with intervals.

    runs, by, columns, scale, digits   as in labkit.summary; a row an arm
    unit   below the axis
    lines  where grey lines stand: one for the whole figure, or one for each arm
    """
    read = arms(runs, by)
    values = {
        name: [scale * arm[column] for column in columns] for name, arm in read.items()
    }
    height = 0.9 + (0.1 + 0.16 * len(columns)) * len(read)
    fig, ax = plt.subplots(figsize=(3.6, height))
    if len(lines) == 1:
        ax.axvline(lines[0], color=GREY, linewidth=1)
    for row, line in enumerate(lines if len(lines) > 1 else ()):
        ax.plot([line, line], [row - 0.4, row + 0.4], color=GREY, linewidth=1)
    dots(ax, values, columns, digits)
    ax.set_xlabel(unit)
    show(fig, summary(runs, by, *columns, scale=scale, digits=digits))


def maps(cells: "pandas.Series", names: Sequence[str]) -> None:
    """Show a table of percentages for every name, as in `heat`, two side by side.

    cells  a percentage for each (name, row, column)
    """
    rows = math.ceil(len(names) / 2)
    fig, axes = plt.subplots(rows, 2, figsize=(5.0, 1.95 * rows), squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        grid = cells[name].unstack()
        heat(ax, grid.to_numpy(), grid.index, grid.columns, name)
    fig.tight_layout()
    show(fig, f"{len(cells)} settings")


def band(ax: Axes, steps: Sequence[float], curves: np.ndarray, **style) -> None:
    """Draw the mean of several runs' curves, and a band from the lowest to the highest.

    curves  (steps, R), for example the `losses` of labkit.train, or means over a few
    style   of the line: color, label, linestyle
    """
    curves = np.asarray(curves)
    (line,) = ax.plot(steps, curves.mean(1), **style)
    shade = {"color": line.get_color(), "alpha": 0.15, "linewidth": 0}
    ax.fill_between(steps, curves.min(1), curves.max(1), **shade)


def picture(ax: Axes, image: torch.Tensor, title: str = "") -> None:
    """Show an image tensor, (3, H, W) in [0, 1] or (H, W), without axes.

    Pixels stay sharp squares. Show such a figure with kind="photo".
    """
    image = image.detach().cpu()
    image = image.movedim(0, -1).clamp(0, 1) if image.ndim == 3 else image
    ax.imshow(image.numpy(), cmap="gray", interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()


def cuts(ax: Axes, side: int, P: int) -> None:
    """Draw over a square picture of `side` pixels where patches of P pixels begin."""
    for line in range(0, side + 1, P):
        ends = [-0.5, side - 0.5]
        ax.plot(ends, [line - 0.5] * 2, color="white", lw=0.7)
        ax.plot([line - 0.5] * 2, ends, color="white", lw=0.7)


def tiles(ax: Axes, images: torch.Tensor, title: str = "") -> None:
    """Lay out pictures (N, 3, P, P) in a square, row by row, a white edge around each.

    Raises ValueError where N is not a square.
    """
    rows = math.isqrt(len(images))
    if rows**2 != len(images):
        raise ValueError(f"{len(images)} pictures do not fill a square")
    edged = torch.nn.functional.pad(images, (1, 1, 1, 1), value=1.0)
    edged = edged.unflatten(0, (rows, rows)).permute(2, 0, 3, 1, 4)
    picture(ax, edged.flatten(1, 2).flatten(2), title)


def scene(ax: Axes, x: float, y: float, size: float, part: tuple | None = None) -> None:
    """Draw a small landscape in vectors, whole or one of its 3 × 3 patches.

    x, y  lower left corner, `size` the side, in the units of the axes
    part  None, or (row, column) of the patch, which then fills the square
    """
    row, column = part or (0, 0)
    cells = 3 if part else 1  # how many times larger the landscape is than the square
    left, low = x - column * size, y - (cells - 1 - row) * size

    def place(points: Sequence[tuple]) -> list[tuple]:
        return [(left + u * cells * size, low + v * cells * size) for u, v in points]

    frame = Rectangle((x, y), size, size, fc="#BBD7EC", ec="none")
    sun = Circle(place([(0.8, 0.8)])[0], 0.11 * cells * size, fc="#E5A50A", ec="none")
    shapes = [
        (((0, 0.42), (0.3, 0.78), (0.62, 0.42)), "#8A93A3"),
        (((0.38, 0.42), (0.68, 0.66), (1, 0.42)), "#A7AFBC"),
        (((0, 0), (0, 0.46), (0.5, 0.38), (1, 0.46), (1, 0)), "#5DA271"),
        (((0.4, 0.12), (0.4, 0.36), (0.72, 0.36), (0.72, 0.12)), "#F0E2C8"),
        (((0.35, 0.35), (0.56, 0.56), (0.77, 0.35)), RED),
        (((0.52, 0.12), (0.52, 0.26), (0.61, 0.26), (0.61, 0.12)), "#7A4B2A"),
    ]
    shapes = [Polygon(place(points), fc=colour) for points, colour in shapes]
    for artist in (frame, sun, *shapes):
        ax.add_patch(artist)
        artist.set_clip_path(frame)
    ax.add_patch(Rectangle((x, y), size, size, fill=False, ec=GREY, lw=0.8, zorder=2))


class Live:
    """A progress bar and curves, redrawn while a cell trains, gone when it ends.

        with Live(steps, ["training", "test"], "accuracy, %") as live:
            live.update(step, [0.91, 0.88])

    The picture is a PNG without words and is taken away at the end, so that nothing of
    it is stored or compared: print and `show` what training has brought.
    """

    def __init__(self, steps: int, names: Sequence[str], unit: str) -> None:
        self.steps, self.names, self.unit = steps, names, unit
        self.points: list[tuple[int, Sequence[float]]] = []
        self.handle = None

    def __enter__(self) -> "Live":
        return self

    def update(self, step: int, values: Sequence[float]) -> None:
        """Add one value to each curve and draw: `step` of `steps` are done."""
        self.points.append((step, values))
        fig, (bar, ax) = plt.subplots(2, 1, figsize=(5, 2.6), height_ratios=(1, 16))
        bar.barh(0, self.steps, color=FAINT)
        bar.barh(0, step, color=BLUE)
        bar.set_axis_off()
        bar.set(xlim=(0, self.steps), title=f"step {step} of {self.steps}")
        steps = [step for step, _ in self.points]
        for n, name in enumerate(self.names):
            ax.plot(steps, [values[n] for _, values in self.points], label=name)
        ax.set(xlim=(0, self.steps), xlabel="step", ylabel=self.unit)
        ax.legend(loc="lower right")
        file = io.BytesIO()
        fig.savefig(file, format="png")
        plt.close(fig)
        data = {"image/png": b64encode(file.getvalue()).decode()}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)

    def __exit__(self, *error: object) -> None:
        clear_output()
