"""The ladder that a judge climbs, and stops on at the first rung that fails:

written, runs, parameters, shape, dtype, the exercise's own properties, values, weights,
edge cases, inputs unchanged, gradients, off-limits calls. What each of them looks for
stands in labkit.checks.compare.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from labkit.checks import compare
from labkit.checks.probes import Case

Cases = dict[str, Case]
Replies = dict[str, dict]
Found = tuple[int | None, str]  # which case has the problem, and what it is
Asked = tuple[list[Case], list[dict], list[dict]]  # with the replies: mine, the right


@dataclass(frozen=True)
class Verdict:
    """One property: passed is None where a failure before it left it unjudged."""

    property: str
    passed: bool | None
    message: str = ""


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    compared  the keys of the replies that it looks at
    problem   finds what is wrong, None if nothing is
    edge      whether it looks at the edge cases: None for all cases
    """

    name: str
    compared: tuple[str, ...]
    problem: Callable[[], Found | None]
    edge: bool | None = False


def looks_at(*keys: str) -> Callable:
    """Say which keys of the replies a property judges, if not the output."""

    def mark(broken):
        broken.looks_at = keys
        return broken

    return mark


@dataclass(frozen=True)
class Climb:
    """How far an answer came.

    verdicts  one a rung; those above the first failure stay unjudged
    climbed   the rungs up to the one that failed
    where     which case shows the failure; None where it is a property's own matter
    """

    verdicts: tuple[Verdict, ...]
    climbed: tuple[Rung, ...]
    where: int | None = None

    @property
    def failure(self) -> Verdict | None:
        return next((v for v in self.verdicts if v.passed is False), None)


def climb(exercise, asked: Asked) -> Climb:
    verdicts, climbed, failed = [], [], None
    for rung in rungs(exercise, asked):
        if failed:
            verdicts.append(Verdict(rung.name, None))
            continue
        climbed.append(rung)
        failed = rung.problem()
        message = failed[1] if failed else ""
        verdicts.append(Verdict(rung.name, failed is None, message))
    return Climb(tuple(verdicts), tuple(climbed), failed[0] if failed else None)


def rungs(exercise, asked: Asked) -> Iterator[Rung]:
    together = list(zip(*asked, strict=True))

    def rung(name, compared, problem: Callable, edge: bool | None = False) -> Rung:
        """Looks for the first case, ordinary or edge, with a problem."""

        def first() -> Found | None:
            for i, (case, reply, right) in enumerate(together):
                if edge is None or case.edge == edge:
                    if said := problem(case, reply, right):
                        return i, said
            return None

        return Rung(name, compared, first, edge)

    def runs(case: Case, reply: dict, right: dict) -> str | None:
        return _not_written(exercise, case, reply) or compare.runs(case, reply, right)

    output, error = compare.OUTPUT, ("error",)
    yield rung("runs", error + output, runs)
    if "module" in str(exercise.probe):
        registered = ("module", "parameters", "initial", "twins")
        yield rung("parameters", registered, compare.parameters)
    yield rung("shape", output, compare.shape)
    yield rung("dtype", output, compare.dtype)
    yield from _properties(exercise, together)
    yield rung("values", output, compare.values)
    if any(case.fills for case, *_ in together):
        yield rung("weights", ("filled", "refilled"), compare.filled)
    if any(case.edge for case, *_ in together):
        answered = (*error, *output, "then")
        yield rung("edge cases", answered, compare.answer, edge=True)
    changes = ("mutated", "changed", "repeat")
    yield rung("inputs unchanged", changes, compare.side_effects, edge=None)
    if any(case.gradients for case, *_ in together):
        flow = error + ("gradients",)
        yield rung("gradients", flow, compare.gradients, edge=None)
    if exercise.off_limits:
        yield rung("written out", ("called",), compare.off_limits, edge=None)


def _properties(exercise, together: list) -> Iterator[Rung]:
    """The exercise's own; they know their author's cases only."""
    own = [(case, reply) for case, reply, _ in together if not case.derived]
    by_name = {c.name: c for c, _ in own}, {c.name: r for c, r in own}
    for broken in exercise.properties:

        def problem(broken=broken) -> Found | None:
            said = broken(*by_name)
            return (None, said) if said else None

        name = broken.__name__.replace("_", " ")
        yield Rung(name, getattr(broken, "looks_at", compare.OUTPUT), problem)


def _not_written(exercise, case: Case, reply: dict) -> str | None:
    """What there is to say where a stub was reached, None where none was."""
    stub = compare.stub(reply)
    if stub is None:
        return None
    who = case.target if len(exercise.names) > 1 else ""
    if stub and stub != exercise.number:
        who = who or "it"
        return f"{who} calls exercise {stub}, which is {compare.NOT_WRITTEN}"
    return f"{who} is {compare.NOT_WRITTEN}" if who else compare.NOT_WRITTEN
