"""Which cells share a mean: choose a normalization of a block (B, T, C)."""

from html import escape
from itertools import product
from typing import NamedTuple

from IPython.display import HTML

from labkit.explore.frame import asset, choices, page


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
    rules = [asset("axes.css")]
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
