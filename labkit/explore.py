"""Interactive figures: self-contained HTML that works offline and by keyboard.

A figure is one string: its style and its controls, no script, no id and no address, so
that it runs in the book, in JupyterLab and in Colab, and twice on one page. The
controls are radio buttons inside a <form>, which keeps the buttons of two figures
apart; the style reacts to what is chosen with `:has(:checked)`. Where a viewer removes
the style, all the texts remain, readable one after the other.
"""

from html import escape
from itertools import product
from math import log2
from typing import NamedTuple

from IPython.display import HTML

# Light unless the book (data-theme), JupyterLab or Colab says that the page is dark.
THEME = """
.lk { --ink: #1b222c; --muted: #4a5567; --line: #7b8494; --ground: #fff;
  --cell: #eef0f4; --main: #0072b2; --on-main: #fff; --second: #b34700; }
html[data-theme="dark"] .lk, [data-jp-theme-light="false"] .lk, html[theme="dark"] .lk {
  --ink: #e6e9ee; --muted: #aeb6c2; --line: #7d8794; --ground: #14181e;
  --cell: #262d37; --main: #5cb3e6; --on-main: #10151b; --second: #ff9f5a; }
.lk, .lk * { box-sizing: border-box; }
.lk { color: var(--ink); background: var(--ground); border: 1px solid var(--line);
  border-radius: 8px; margin: 0; padding: 0.8rem; max-width: 44rem;
  font: 0.9rem/1.45 system-ui, "Segoe UI", Roboto, sans-serif; }
.lk fieldset { border: 0; margin: 0 0 0.7rem; padding: 0; min-width: 0; }
.lk legend { font-weight: 600; padding: 0; margin: 0 0 0.3rem; font-size: inherit;
  float: none; width: auto; color: inherit; }
.lk p { margin: 0; }
.lk .answer code { color: inherit; background: none; border: 0; padding: 0;
  font-size: 0.92em; overflow-wrap: anywhere; }
.lk .choices { display: flex; flex-wrap: wrap; gap: 0.4rem; }
.lk .choices label { display: flex; align-items: center; gap: 0.4rem; cursor: pointer;
  border: 1px solid var(--line); border-radius: 6px; padding: 0.25rem 0.6rem;
  margin: 0; min-height: 2.1rem; }
.lk .choices label:has(:checked) { border-color: var(--main);
  box-shadow: inset 0 0 0 1px var(--main); font-weight: 600; }
.lk .choices input { margin: 0; accent-color: var(--main); }
.lk label:has(:focus-visible) { outline: 3px solid var(--second); outline-offset: 2px; }
.lk .hidden { position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0;
  overflow: hidden; clip-path: inset(50%); white-space: nowrap; border: 0; }
"""


def page(label: str, style: str, body: str) -> HTML:
    """Wrap an interactive figure: one form with the common style and its own.

    label  the figure's name, for a reader who does not see it
    style  rules of this figure; every selector begins with `.lk`
    body   its controls and texts, without an id

    The disabled button keeps Enter from sending the form; the data attribute keeps
    JupyterLab from taking the arrow keys for its own.
    """
    return HTML(
        f'<form class="lk" aria-label="{escape(label)}" autocomplete="off" '
        'data-lm-suppress-shortcuts="true">'
        f"<style>{THEME}{style}</style>"
        f'<button type="submit" disabled hidden></button>{body}</form>'
    )


def choices(legend: str, name: str, options: dict[str, str], chosen: str) -> str:
    """A group of radio buttons; options maps a value to what the reader sees."""
    labels = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"'
        f"{' checked' if value == chosen else ''}>{escape(text)}</label>"
        for value, text in options.items()
    )
    return (
        f"<fieldset><legend>{escape(legend)}</legend>"
        f'<div class="choices">{labels}</div></fieldset>'
    )


class Norm(NamedTuple):
    """A normalization in `which_axes`: the axes it averages over, and a remark."""

    name: str
    dims: tuple[int, ...]
    remark: str


NORMS = {
    "layer": Norm(
        "layer norm",
        (2,),
        "Only the token itself: no other sample and no other position matters.",
    ),
    "pooled": Norm(
        "batch norm, pooled",
        (0, 1),
        "PyTorch's batch norm: one mean per channel, whatever the lengths. "
        "The other samples matter.",
    ),
    "position": Norm(
        "batch norm, per position",
        (0,),
        "The batch norm that S1.5 and S1.6 speak of: as many numbers as there are "
        "samples at that position. The other samples matter.",
    ),
    "slip": Norm(
        "over T and C together",
        (1, 2),
        "Often printed as layer norm, but it is not: words of the same sentence "
        "change each other, later ones included.",
    ),
    "instance": Norm(
        "instance norm",
        (1,),
        "One channel of one sample: no other sample matters, but other positions do.",
    ),
}


def which_axes(B: int = 3, T: int = 4, C: int = 5, chosen: str = "layer") -> HTML:
    """Choose a normalization and a cell of x (B, T, C); see what shares its mean.

    chosen  the normalization shown first, a key of NORMS

    Raises ValueError for another key.
    """
    if chosen not in NORMS:
        raise ValueError(f"got chosen={chosen!r}; want one of {', '.join(NORMS)}")
    return page(
        "Which cells share a mean?",
        _axes_style(B, T, C),
        choices(
            "1. Choose a normalization",
            "norm",
            {key: norm.name for key, norm in NORMS.items()},
            chosen,
        )
        + _axes_cells(B, T, C)
        + _axes_texts(B, T, C),
    )


def _axes_style(B: int, T: int, C: int) -> str:
    """One rule for each group of cells that share a mean."""
    rules = [
        """
.lk .samples { display: flex; flex-wrap: wrap; gap: 0.9rem 1.1rem; }
.lk .samples table { border-collapse: separate; border-spacing: 2px; margin: 0;
  width: auto; min-width: 0; font-size: 0.8rem; display: table; }
.lk .samples tbody tr:nth-child(n) { background: none; }
.lk .samples :is(th, td, caption) { padding: 0; border: 0; background: none;
  text-align: center; color: var(--muted); font-weight: 400; font-size: 0.8rem; }
.lk .samples caption { caption-side: top; color: var(--ink); font-weight: 600; }
.lk .samples th[scope="row"] { padding-right: 0.25rem; }
.lk .samples label { display: block; width: 1.7rem; height: 1.7rem; margin: 0;
  border: 1px solid var(--line); border-radius: 3px; cursor: pointer;
  background: var(--cell); forced-color-adjust: none; }
.lk .samples input { appearance: none; -webkit-appearance: none; display: block;
  width: 100%; height: 100%; margin: 0; border: 0; background: none; outline: none;
  color: inherit; cursor: pointer; }
.lk .samples label:has(:checked) { box-shadow: 0 0 0 3px var(--second); }
.lk .samples input:checked::after { content: "x"; display: grid; place-items: center;
  height: 100%; font-weight: 700; }
.lk .legend { color: var(--muted); margin: 0.5rem 0 0; }
.lk .answer { margin-top: 0.7rem; padding-top: 0.6rem;
  border-top: 1px solid var(--line); }
@media (max-width: 480px) { .lk .samples label { width: 1.45rem; height: 1.45rem; }
  .lk { padding: 0.6rem; } }
"""
    ]
    sizes = {"b": B, "t": T, "c": C}
    for key, norm in NORMS.items():
        others = [axis for n, axis in enumerate("btc") if n not in norm.dims]
        lit = []
        for where in product(*(range(sizes[axis]) for axis in others)):
            group = "".join(f".{a}{n}" for a, n in zip(others, where, strict=True))
            lit.append(
                f'.lk:has([value="{key}"]:checked):has({group} :checked) {group} label'
            )
        rules.append(
            ",\n".join(lit) + " { background: var(--main); color: var(--on-main); }"
        )
        rules.append(
            f'.lk:has([name="norm"]:not([value="{key}"]):checked) .answer .{key}'
            " { display: none; }"
        )
    return "\n".join(rules)


def _axes_cells(B: int, T: int, C: int) -> str:
    """One small table per sample; each cell is a radio button."""
    tables = []
    for b in range(B):
        head = "".join(f'<th scope="col">{c + 1}</th>' for c in range(C))
        rows = ""
        for t in range(T):
            cells = ""
            for c in range(C):
                checked = " checked" if (b, t, c) == (B // 2, 1, C // 2) else ""
                name = f"sample {b + 1}, position {t + 1}, channel {c + 1}"
                cells += (
                    f'<td class="b{b} t{t} c{c}"><label><input type="radio" '
                    f'name="cell" aria-label="{name}"{checked}></label></td>'
                )
            rows += f'<tr><th scope="row">{t + 1}</th>{cells}</tr>'
        tables.append(
            f"<table><caption>sample {b + 1}</caption>"
            f'<thead><tr><th scope="col"><span class="hidden">position</span></th>'
            f"{head}</tr></thead><tbody>{rows}</tbody></table>"
        )
    return (
        "<fieldset><legend>2. Choose a cell x (click, or Tab and arrow keys)</legend>"
        f'<div class="samples">{"".join(tables)}</div>'
        '<p class="legend">Rows are positions, columns are channels. '
        "Filled cells share the mean and the variance of x.</p></fieldset>"
    )


def _axes_texts(B: int, T: int, C: int) -> str:
    """What each normalization averages, in words; the style shows the chosen one."""
    sizes, words = (B, T, C), ("samples", "positions", "channels")
    texts = []
    for key, norm in NORMS.items():
        count, shape, axes = 1, list(sizes), []
        for dim in norm.dims:
            count *= sizes[dim]
            shape[dim] = 1
            axes.append(f"all {sizes[dim]} {words[dim]}")
        kept = [f"one {words[d][:-1]}" for d in range(3) if d not in norm.dims]
        means = B * T * C // count
        dims = norm.dims if len(norm.dims) > 1 else norm.dims[0]
        texts.append(
            f'<p class="{key}"><b>{norm.name[0].upper() + norm.name[1:]}</b>: '
            f"<code>x.mean(dim={dims}, keepdim=True)</code>, shape "
            f"<code>{tuple(shape)}</code>. "
            f"x shares its mean with {' and '.join(axes)} of {' and '.join(kept)}: "
            f"{count} numbers per mean, {means} means. {escape(norm.remark)}</p>"
        )
    return f'<div class="answer" role="status">{"".join(texts)}</div>'


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
COST_SCRIPT = """
const get = s => this.querySelector(s);
const X = tokens => (24 * (Math.log2(tokens) - 4)).toFixed(1);
const number = x => String(x).replace(/\\B(?=(\\d{3})+$)/g, ',');
const stop = s => { const slider = get(s), [n, name] = JSON.parse(slider.dataset.stops)
  [slider.value], text = number(n) + (name && ' (' + name + ')');
  slider.setAttribute('aria-valuetext', text); get(s + '-text').textContent = text;
  return n; };
const T = stop('.tokens'), D = stop('.width');
const macs = {feed: 8 * T * D * D, proj: 4 * T * D * D, matrix: 2 * T * T * D};
const all = macs.feed + macs.proj + macs.matrix;
for (const part in macs) { const share = 100 * macs[part] / all;
  get('.' + part + ' i').style.width = share.toFixed(1) + '%';
  get('.' + part + ' b').textContent = Math.round(share) + ' %'; }
const units = [['tera', 1e12], ['giga', 1e9], ['mega', 1e6]];
const [unit, size] = units.find(u => all >= u[1]);
const sum = all / size, attention = macs.proj + macs.matrix;
get('.sum').textContent = sum.toFixed(sum < 10 ? 2 : sum < 100 ? 1 : 0) + ' ' + unit;
get('.more').textContent = attention > macs.feed ? 'more than' : attention < macs.feed
  ? 'less than' : 'as much as';
get('.even').textContent = number(2 * D);
get('.curves').setAttribute('transform', 'translate(' + X(D / 768 * 16) + ' 0)');
for (const end of ['x1', 'x2']) get('.here').setAttribute(end, X(T));
"""
COST_STYLE = """
.lk .sizes { display: grid; gap: 0.5rem 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); margin: 0 0 0.7rem; }
.lk .sizes label { display: block; margin: 0; }
.lk .sizes input { display: block; width: 100%; margin: 0.3rem 0 0; height: 1.6rem;
  accent-color: var(--main); cursor: pointer; }
.lk .bars { display: grid; gap: 0.25rem 0.6rem; align-items: center;
  grid-template-columns: max-content 1fr 3rem; margin: 0 0 0.7rem; }
.lk .bars > div { display: contents; }
.lk .bars b { text-align: right; font-variant-numeric: tabular-nums; }
.lk .bars span:nth-child(2) { background: var(--cell); height: 1.1rem;
  border: 1px solid var(--line); border-radius: 3px; overflow: hidden; }
.lk .bars i { display: block; height: 100%; background: var(--main); }
.lk .bars .proj i { background: var(--muted); }
.lk .bars .matrix i { background: var(--second); }
.lk svg { display: block; width: 100%; max-width: 30rem; height: auto;
  margin: 0.8rem 0 0.5rem; }
.lk svg .ground { fill: var(--second); }
.lk svg .with-proj { fill: var(--muted); }
.lk svg .feed-area { fill: var(--main); }
.lk svg .even-line { stroke: var(--ground); stroke-width: 2; stroke-dasharray: 4 3; }
.lk svg .here { stroke: var(--ink); stroke-width: 3; }
.lk svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
.lk svg .on { fill: var(--on-main); }
"""


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
    sliders = _cost_slider("Tokens T", "tokens", TOKENS, tokens)
    sliders += _cost_slider("Width D", "width", WIDTHS, width)
    text, macs = _cost_text(tokens, width), costs(tokens, width)
    rows = "".join(
        f'<div class="{part}"><span>{name}</span><span><i style="width:'
        f'{100 * macs[part] / sum(macs.values()):.1f}%"></i></span>'
        f"<b>{text[part]}</b></div>"
        for part, name in PARTS.items()
    )
    script = COST_SCRIPT.strip().replace("\n", " ")
    return page(
        "What a Transformer block costs",
        COST_STYLE,
        f'<div oninput="{escape(script)}">'
        f'<div class="sizes">{sliders}</div>'
        '<div role="status">'
        f'<div class="bars">{rows}</div>'
        f'<p>One block, one sequence: <b class="sum">{text["sum"]}</b>-MACs. Attention '
        f'(projections and matrix) costs <b class="more">{text["more"]}</b> the '
        "feed-forward network; they are even at 2D = "
        f'<b class="even">{text["even"]}</b> tokens.</p></div>'
        f"{_cost_curves(tokens, width)}"
        '<p class="legend">The picture: the same shares over all numbers of tokens. '
        "Solid line: yours. Dashed line: 2D.</p></div>",
    )


def _cost_slider(
    label: str, name: str, stops: tuple[tuple[int, str], ...], chosen: int
) -> str:
    """A slider over the numbers of `stops` that says what they are known by."""
    numbers = [number for number, _ in stops]
    if chosen not in numbers:
        raise ValueError(f"got {name}={chosen}; want one of {numbers}")
    at = numbers.index(chosen)
    text = f"{chosen:,}" + (f" ({stops[at][1]})" if stops[at][1] else "")
    places = ",".join(f'[{number},"{known}"]' for number, known in stops)
    return (
        f'<label>{label}: <b class="{name}-text">{text}</b>'
        f'<input type="range" class="{name}" min="0" max="{len(stops) - 1}" '
        f'value="{at}" aria-label="{label}" aria-valuetext="{text}" '
        f'data-stops="{escape(f"[{places}]")}"></label>'
    )


def _cost_text(tokens: int, width: int) -> dict[str, str]:
    """The figure's words for one pair of stops, as its script writes them."""
    macs = costs(tokens, width)
    total, attention = sum(macs.values()), macs["proj"] + macs["matrix"]
    units = (("tera", 10**12), ("giga", 10**9), ("mega", 10**6))
    unit, size = next((name, size) for name, size in units if total >= size)
    digits = 2 if total < 10 * size else 1 if total < 100 * size else 0
    more = "more than" if attention > macs["feed"] else "less than"
    return {
        **{part: f"{int(100 * n / total + 0.5)} %" for part, n in macs.items()},
        "sum": f"{total / size:.{digits}f} {unit}",
        "more": "as much as" if attention == macs["feed"] else more,
        "even": f"{2 * width:,}",
    }


def _cost_curves(tokens: int, width: int) -> str:
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
