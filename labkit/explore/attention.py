"""Where each head looks: choose a query."""

from hashlib import sha256
from html import escape

import torch
from IPython.display import HTML

from labkit.explore.frame import asset, page

STYLE = asset("attention.css")


def attention_explorer(
    heads: dict[str, torch.Tensor], tokens: list[str], columns: int
) -> HTML:
    """Choose a query by mouse or keyboard; see each head's weights, in per cent.

    heads    name of a head → its weights (T, T): row = query, rows sum to 1
    tokens   the T names of the tokens, for example ["1", "2", …]
    columns  how many tokens stand in one row

    Raises ValueError where weights are not (T, T) or a row does not sum to 1.
    """
    percent = {name: _percent(name, w, len(tokens)) for name, w in heads.items()}
    grid = f'class="tokens" style="grid-template-columns: repeat({columns}, 1fr)"'
    queries = "".join(
        f'<label><input type="radio" name="query" value="{n}" aria-label="query '
        f'{escape(token)}"{" checked" if n == 0 else ""}>{escape(token)}</label>'
        for n, token in enumerate(tokens)
    )
    cells = "<i></i>" * len(tokens)
    shown = "".join(
        f'<div class="head-{n}"><p>{escape(name)}</p>'
        f'<div {grid} aria-hidden="true">{cells}</div></div>'
        for n, name in enumerate(percent)
    )
    texts = "".join(_text(n, tokens, percent) for n in range(len(tokens)))
    body = (
        "<fieldset><legend>Choose a query (click, or Tab and arrow keys)</legend>"
        f"<div {grid}>{queries}</div></fieldset>"
        f'<div class="heads">{shown}</div>'
        f'<div class="answer" role="status">{texts}</div>'
    )
    rules = _rules(percent, len(tokens))
    scope = "a" + sha256((rules + body).encode()).hexdigest()[:8]
    style = STYLE + rules.replace(".SCOPE", "." + scope)
    return page(
        "Where does each head look?", style, f'<div class="{scope}">{body}</div>'
    )


def _percent(name: str, weights: torch.Tensor, T: int) -> list[list[int]]:
    """Weights (T, T) in whole per cent."""
    if tuple(weights.shape) != (T, T):
        raise ValueError(
            f"{name}: got weights {tuple(weights.shape)}; want ({T}, {T}), one row "
            "and one column for each token"
        )
    weights = weights.detach().cpu().double()
    sums = weights.sum(1)
    if not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise ValueError(
            f"{name}: rows sum to {sums.min():.2f} … {sums.max():.2f}; want 1; usually "
            "the softmax ran over another axis"
        )
    return weights.mul(100).add(0.5).floor().int().tolist()


def _text(query: int, tokens: list[str], percent: dict[str, list[list[int]]]) -> str:
    """What every head does with one query, in words: its three largest weights."""
    lines = ""
    for name, rows in percent.items():
        row = rows[query]
        order = sorted(range(len(tokens)), key=lambda n, row=row: -row[n])
        largest = [f"{tokens[n]} ({row[n]} %)" for n in order[:3] if row[n]]
        even = len(set(row)) == 1
        said = f"all tokens alike, {row[0]} % each" if even else ", ".join(largest)
        lines += f"<li>{escape(name)}: {escape(said)}</li>"
    return (
        f'<div class="q{query}"><p>Query <b>{escape(tokens[query])}</b> attends to</p>'
        f"<ul>{lines}</ul></div>"
    )


def _rules(percent: dict[str, list[list[int]]], T: int) -> str:
    """Each query's weights as variables, and which text is shown."""
    rules = [
        f".lk .SCOPE .heads i:nth-child({n + 1}) {{ --w: var(--k{n}); }}"
        for n in range(T)
    ]
    for query in range(T):
        chosen = f'.lk .SCOPE:has([value="{query}"]:checked)'
        for n, rows in enumerate(percent.values()):
            values = ";".join(f"--k{k}:{w}" for k, w in enumerate(rows[query]))
            rules.append(f"{chosen} .head-{n} {{ {values} }}")
        rules.append(
            f"{chosen} .heads i:nth-child({query + 1}) "
            "{ outline: 2px solid var(--second); }"
        )
        rules.append(
            f'.lk .SCOPE:has([name="query"]:not([value="{query}"]):checked) '
            f".answer .q{query} {{ display: none; }}"
        )
    return "\n".join(rules)
