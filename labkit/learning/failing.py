"""The case that a check found wrong, to be looked at: check.case("1.2")."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from labkit.checks import compare, probes
from labkit.checks.probes import Case

ROWS, COLUMNS = 12, 32  # of a picture


@dataclass(repr=False)
class Failing:
    """One question, what was expected and what came.

    name         of the case
    inputs       by name, as the function or the module's forward is given them
    constructor  by name, what the class, or the function that makes another, is given
    expected     the right output; None where an error is due
    output       the learner's; None where it raised
    error        what it raised, or ""
    """

    name: str
    inputs: dict
    constructor: dict = field(default_factory=dict)
    expected: object = None
    output: object = None
    error: str = ""

    def __repr__(self) -> str:
        lines = [f"Case “{self.name}”"]
        for what in ("constructor", "inputs"):
            for name, value in getattr(self, what).items():
                lines.append(f"  {what}[{name!r}]: {_brief(value)}")
        lines.append(f"  expected: {_brief(self.expected)}")
        lines.append(f"  output: {self.error or _brief(self.output)}")
        return "\n".join(lines + _pictures(self.output, self.expected, "output"))


def failing(case: Case, reply: dict, right: dict) -> Failing:
    """What can be looked at in a case that was answered wrong."""
    given = {**case.args, **case.kwargs}
    inputs, constructor = (case.inputs, given) if case.inputs else (given, {})
    key = "output"
    if compare.alike(reply, right, ("output",)) and "output_eval" in right:
        key = "output_eval"
    output, expected = reply.get(key), right.get(key)
    if compare.alike(reply, right, compare.OUTPUT):  # the first call was right
        came = [*reply.get("then", ()), *[None] * len(case.then)]
        for question, got, wanted in zip(
            case.then, came, right.get("then", ()), strict=False
        ):
            if not compare.alike_values(got, wanted):
                inputs, output, expected = question, got, wanted
                break
    error = reply["error"] or {}
    return Failing(
        case.name,
        probes.built(inputs),
        probes.built(constructor),
        expected,
        output,
        f"{error['type']}: {error['message']}" if error else "",
    )


def _brief(value: object) -> str:
    """A tensor by its size and its first entries; anything else as it is."""
    if isinstance(value, Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        first = ", ".join(f"{entry:.4g}" for entry in value.flatten()[:4].tolist())
        more = ", …" if value.numel() > 4 else ""
        return f"{kind} {tuple(value.shape)}: {first}{more}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {', '.join(map(_brief, value))}"
    if isinstance(value, dict):
        return f"dict of {', '.join(map(str, list(value)[:4]))}"
    return " ".join(repr(value).split())[:100]


def _pictures(got: object, wanted: object, what: str) -> list[str]:
    if isinstance(wanted, list | tuple) and isinstance(got, list | tuple):
        lines = []
        for i, (g, w) in enumerate(zip(got, wanted, strict=False)):
            lines += _pictures(g, w, f"{what}[{i}]")
        return lines
    alike = isinstance(wanted, Tensor) and isinstance(got, Tensor)
    if alike and got.shape == wanted.shape:
        return _picture(got, wanted, what)
    return []


def _picture(got: Tensor, wanted: Tensor, what: str) -> list[str]:
    """Where two tensors differ: the first slice over the last two axes that does."""
    got, wanted = got.double(), wanted.double()
    tolerance = compare.TOLERANCE[torch.float64]
    wrong = ~torch.isclose(got, wanted, tolerance, tolerance, equal_nan=True)
    count = int(wrong.sum())
    if not count or not wrong.dim():
        return []
    while wrong.dim() < 2:
        wrong = wrong[None]
    grids = wrong.flatten(0, -3) if wrong.dim() > 2 else wrong[None]
    first = int(grids.flatten(1).any(1).nonzero()[0])
    at = torch.unravel_index(torch.tensor(first), wrong.shape[:-2] or (1,))
    place = ", ".join(str(int(i)) for i in at) + ", " if wrong.dim() > 2 else ""
    lines = [
        f"  {what} differs in {count} of {wanted.numel()} entries (█), ["
        f"{place}:, :] shown:"
    ]
    for row in grids[first][:ROWS].tolist():
        cells = "".join("█" if entry else "·" for entry in row[:COLUMNS])
        lines.append(f"    {cells}{'…' if len(row) > COLUMNS else ''}")
    return lines + ["    …"] * (len(grids[first]) > ROWS)
