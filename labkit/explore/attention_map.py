"""Where the network looks: choose an image and a map, delete patches."""

import math
from hashlib import sha256
from html import escape

import torch
from IPython.display import HTML

from labkit.explore.frame import asset, choices, page

STYLE = asset("attention_map.css")


def attention_map(
    images: torch.Tensor,
    maps: dict[str, torch.Tensor],
    answers: dict[str, torch.Tensor],
    classes: list[int],
    deleted: tuple[int, ...] = (0, 1, 2, 4, 8),
) -> HTML:
    """Choose an image, a map and how many patches to delete, by mouse or keyboard.

    images   (B, S, S), any range
    maps     name of a map → how important each patch is, (B, N), not negative;
             N patches in rows as many as columns
    answers  name of a map → what the network says, (B, len(deleted)), when that many
             of the most important patches are deleted
    classes  the right answers
    deleted  how many patches can be deleted, rising, the first 0

    Shows each map in per cent of its sum. Raises ValueError where shapes do not fit.
    """
    B, N = next(iter(maps.values())).shape
    columns = math.isqrt(N)
    pixels = images.shape[-1] // columns
    if columns**2 != N or tuple(images.shape) != (B, *[pixels * columns] * 2):
        raise ValueError(
            f"got images {tuple(images.shape)} and maps ({B}, {N}); want (B, S, S) and "
            "as many rows of patches as columns, N a square number"
        )
    for name, said in answers.items():
        if tuple(said.shape) != (B, len(deleted)):
            raise ValueError(
                f"{name}: got answers {tuple(said.shape)}; want {(B, len(deleted))}, "
                "one for each image and each number of deleted patches"
            )
    names = list(maps)
    percent = {name: _percent(m) for name, m in maps.items()}
    order = {name: _order(m) for name, m in maps.items()}
    controls = (
        choices("Image", "image", {str(n): str(c) for n, c in enumerate(classes)}, "0")
        + choices("Map", "map", {str(n): name for n, name in enumerate(names)}, "0")
        + choices(
            "Delete the most important patches", "delete",
            {str(k): "none" if k == 0 else str(k) for k in deleted}, str(deleted[0]),
        )
    )  # fmt: skip
    cell = "<i></i>" * pixels**2 + "<b></b>"
    body = (
        f'{controls}<div class="pair" aria-hidden="true">'
        f'<div>What the network gets<div class="grid image">{f"<em>{cell}</em>" * N}'
        f'</div></div><div>Where it looks, %<div class="grid map">{"<em></em>" * N}'
        f'</div></div></div><div class="answer" role="status">'
        f"{_texts(percent, order, answers, classes, deleted, columns)}</div>"
    )
    shown = list(zip(percent.values(), order.values(), strict=True))
    rules = _rules(images, shown, deleted, columns)
    scope = "m" + sha256((rules + body).encode()).hexdigest()[:8]
    style = STYLE + rules.replace(".SCOPE", "." + scope)
    return page(
        "What does the network look at?", style, f'<div class="{scope}">{body}</div>'
    )


def _percent(weights: torch.Tensor) -> list[list[int]]:
    """Maps (B, N) in whole per cent of their sums."""
    weights = weights.detach().cpu().double()
    share = weights / weights.sum(1, keepdim=True)
    return share.mul(100).add(0.5).floor().int().tolist()


def _order(weights: torch.Tensor) -> list[list[int]]:
    """For each map, patches from the most important to the least."""
    return weights.detach().cpu().argsort(dim=1, descending=True, stable=True).tolist()


def _texts(percent, order, answers, classes, deleted, columns) -> str:
    """In words: the three most important patches, and what the network says."""
    lines = ""
    for n, right in enumerate(classes):
        for m, (name, rows) in enumerate(percent.items()):
            largest = ", ".join(
                f"row {p // columns + 1} column {p % columns + 1} ({rows[n][p]} %)"
                for p in order[name][n][:3]
            )
            for k, said in zip(deleted, answers[name][n].tolist(), strict=True):
                gone = "Nothing deleted" if k == 0 else f"{k} deleted"
                verdict = "right" if said == right else f"it is a {right}"
                lines += (
                    f'<p class="n{n} m{m} k{k}"><b>{gone}: the network says {said}'
                    f"</b>, {verdict}. Largest in {escape(name)}: {largest}.</p>"
                )
    return lines


def _rules(images, maps, deleted, columns) -> str:
    """Pixels of each image, weights and ranks of each map, and the text to show."""
    images = images.detach().cpu().double()
    low, high = images.amin(), images.amax()
    grey = ((images - low) / (high - low) * 100).round().int()
    side = images.shape[-1] // columns
    patches = grey.unfold(1, side, side).unfold(2, side, side).flatten(3).flatten(1, 2)
    N, count = patches.shape[1], side * side
    rules = [f".lk .SCOPE {{ --columns: {columns}; --pixels: {side}; --k: 0; }}"]
    for p in range(N):
        at = f".grid > :nth-child({p + 1})"
        rules.append(f".lk .SCOPE {at} {{ --w: var(--w{p}); --r: var(--r{p}); }}")
        rules += [
            f".lk .SCOPE .image > :nth-child({p + 1}) i:nth-child({i + 1}) "
            f"{{ --p: var(--p{p * count + i}); }}"
            for i in range(count)
        ]
    for k in deleted:
        rules.append(f".lk .SCOPE:has({_chosen('delete', k)}) {{ --k: {k}; }}")
        rules.append(_hide("delete", k, "k"))
    for n, image in enumerate(patches.flatten(1).tolist()):
        values = ";".join(f"--p{i}:{value}" for i, value in enumerate(image))
        rules.append(f".lk .SCOPE:has({_chosen('image', n)}) {{ {values} }}")
        rules.append(_hide("image", n, "n"))
        for m, (rows, order) in enumerate(maps):
            both = f":has({_chosen('image', n)}):has({_chosen('map', m)})"
            values = [f"--w{p}:{weight}" for p, weight in enumerate(rows[n])]
            values += [f"--r{p}:{rank}" for rank, p in enumerate(order[n])]
            rules.append(f".lk .SCOPE{both} {{ {';'.join(values)} }}")
    rules += [_hide("map", m, "m") for m in range(len(maps))]
    return "\n".join(rules)


def _chosen(name: str, value: int) -> str:
    return f'[name="{name}"][value="{value}"]:checked'


def _hide(name: str, value: int, letter: str) -> str:
    """Texts of one choice are hidden while another is made."""
    return (
        f'.lk .SCOPE:has([name="{name}"]:not([value="{value}"]):checked) '
        f".answer .{letter}{value} {{ display: none; }}"
    )
