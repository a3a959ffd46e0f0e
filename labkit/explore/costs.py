"""Where the work of a block goes: slide through tokens and width."""

from math import log2

from IPython.display import HTML

from labkit.explore.frame import (
    SLIDERS,
    answering,
    asset,
    bars,
    page,
    percent,
    slider,
)

# Where the sliders of `cost_explorer` stop: a number and what is known by it.
TOKENS = (
    (16, ""),
    (50, "ViT-B/32, 224 × 224 pixels"),
    (128, ""),
    (197, "ViT-B/16, 224 × 224 pixels"),
    (384, ""),
    (577, "ViT-B/16, 384 × 384 pixels"),
    (1024, ""),
    (1536, ""),
    (2048, "GPT-3's limit"),
    (4096, ""),
    (8192, ""),
    (16384, ""),
    (24576, ""),
    (50177, "every one of 224 × 224 pixels"),
    (131072, ""),
)
WIDTHS = (
    (192, "ViT-Ti"),
    (384, "ViT-S"),
    (512, "the first Transformer"),
    (768, "ViT-B"),
    (1024, "ViT-L"),
    (1280, "ViT-H"),
    (2048, ""),
    (4096, "GPT-J"),
    (6144, "ViT-22B"),
    (12288, "GPT-3"),
)
PARTS = {"feed": "feed forward", "proj": "projections", "matrix": "T × T matrix"}

# The only figure that computes: `costs` below, once more, in the reader's browser.
SCRIPT = asset("costs.js")
STYLE = asset("costs.css")


def costs(tokens: int, width: int) -> dict[str, int]:
    """Multiply-accumulates of one Transformer block with hidden width 4 · width.

    feed    the feed-forward network   proj  attention's four projections
    matrix  attention's T × T matrix: its scores and its use

    Of one sequence of `tokens` tokens; softmax, norms and biases are not counted.
    """
    return {
        "feed": 8 * tokens * width**2,
        "proj": 4 * tokens * width**2,
        "matrix": 2 * tokens**2 * width,
    }


def cost_explorer(tokens: int = 197, width: int = 768) -> HTML:
    """Slide through tokens and width; see where the work of a block goes.

    tokens, width  where the sliders stand first: stops of TOKENS and of WIDTHS

    Raises ValueError for another number. Without scripts the first view remains.
    """
    sliders = slider("Tokens T", "tokens", TOKENS, tokens)
    sliders += slider("Width D", "width", WIDTHS, width)
    text, macs = _text(tokens, width), costs(tokens, width)
    return page(
        "What a Transformer block costs",
        SLIDERS + STYLE,
        answering(
            SCRIPT,
            f'<div class="sizes">{sliders}</div>'
            f'<div role="status">{bars(PARTS, macs)}'
            f'<p>One block, one sequence: <b class="sum">{text["sum"]}</b>-MACs. '
            f'Attention (projections and matrix) costs <b class="more">{text["more"]}'
            "</b> the "
            "feed-forward network; they are even at 2D = "
            f'<b class="even">{text["even"]}</b> tokens.</p></div>'
            f"{_curves(tokens, width)}"
            '<p class="legend">The picture: the same shares over all numbers of '
            "tokens. Solid line: yours. Dashed line: 2D.</p>",
        ),
    )


def _text(tokens: int, width: int) -> dict[str, str]:
    """The figure's words for one pair of stops, as its script writes them."""
    macs = costs(tokens, width)
    total, attention = sum(macs.values()), macs["proj"] + macs["matrix"]
    units = (("tera", 10**12), ("giga", 10**9), ("mega", 10**6))
    unit, size = next((name, size) for name, size in units if total >= size)
    digits = 2 if total < 10 * size else 1 if total < 100 * size else 0
    more = "more than" if attention > macs["feed"] else "less than"
    return {
        **{part: percent(n, total) for part, n in macs.items()},
        "sum": f"{total / size:.{digits}f} {unit}",
        "more": "as much as" if attention == macs["feed"] else more,
        "even": f"{2 * width:,}",
    }


def _curves(tokens: int, width: int) -> str:
    """Shares of the three parts over 16 … 131,072 tokens, 24 units a doubling.

    They depend on T/D alone: another width moves the same curves sideways.
    """

    def place(t: float) -> float:
        return round(24 * (log2(t) - 4), 1)

    feed, both = [], []
    for step in range(-40, 41):
        t = 768 * 2 ** (step / 4)  # at width 768
        macs = {"feed": 8.0, "proj": 4.0, "matrix": 2 * t / 768}
        share = {part: n / sum(macs.values()) for part, n in macs.items()}
        feed.append(f"{place(t)} {120 - 120 * share['feed']:.1f}")
        both.append(f"{place(t)} {120 * share['matrix']:.1f}")
    ends = f"{place(768 * 2**10)} 120 {place(768 / 2**10)} 120"
    even, here, shift = place(2 * 768), place(tokens), place(16 * width / 768)
    ticks = "".join(
        f'<text x="{place(t)}" y="137" text-anchor="middle">{t:,}</text>'
        for t in (128, 1024, 8192, 65536)
    )
    return (
        '<svg viewBox="0 0 312 142" aria-hidden="true">'
        '<rect class="ground" width="312" height="120"/>'
        f'<g class="curves" transform="translate({shift} 0)">'
        f'<polygon class="with-proj" points="{" ".join(both)} {ends}"/>'
        f'<polygon class="feed-area" points="{" ".join(feed)} {ends}"/>'
        f'<line class="even-line" x1="{even}" x2="{even}" y1="0" y2="120"/></g>'
        f'<line class="here" x1="{here}" x2="{here}" y1="0" y2="120"/>'
        '<text class="on" x="6" y="90">feed forward</text>'
        '<text class="on" x="6" y="24">projections</text>'
        '<text class="on" x="306" y="18" text-anchor="end">T × T matrix</text>'
        f'<text x="0" y="137">T</text>{ticks}</svg>'
    )
