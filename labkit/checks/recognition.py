"""Which of an exercise's known mistakes an answer makes: the one that fails on the same
rung of the ladder, with the same outcome, or two of them at once that do; or, if none
does in every case, the one that does in the first that tells.

Most mistakes are ruled out by one call: the answer's first wrong reply, compared in
what the rung looks at. Only where that agrees is the mistake asked the rest, and never
more than the ladder looks at up to that rung: so feedback comes within a second.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, combinations, islice

from labkit.checks import compare, ladder, probes
from labkit.checks.ladder import Asked, Climb, Rung, Verdict


@dataclass(frozen=True)
class Failure:
    """How an answer fails, and on which cases a mistake has to fail alike.

    keys  all that the ladder looks at up to the rung that fails
    rest  the cases that it looks at up to there, by number
    """

    rung: Rung
    keys: frozenset[str]
    rest: tuple[int, ...]


def recognize(exercise, asked: Asked, climb: Climb) -> tuple[Callable, ...]:
    """The first mistake that fails as the answer does, or the first two that do
    together; () if there are none."""
    mine = _failure(asked, climb.climbed)
    targets = _to_blame(exercise, asked, climb.failure)
    first = {target: _first(mine, target, asked) for target in targets}
    at_first = ()
    for found, wrong in chain(_single(exercise), _pairs(exercise)):
        target = found[0].stands_in_for
        some = first.get(target)
        alike = some and _alike_in(exercise, target, wrong, mine, some, asked)
        if alike and len(alike) == len(some):
            return found
        if alike and len(found) == 1 and "output" in mine.rung.compared:
            at_first = at_first or found
    return at_first


def _single(exercise) -> Iterator[tuple[tuple[Callable], Callable]]:
    for wrong in exercise.mistakes:
        yield (wrong,), wrong


def _pairs(exercise) -> Iterator[tuple[tuple[Callable, Callable], Callable]]:
    """Two mistakes, and what makes both: those that are switches of one answer."""
    slips = [wrong for wrong in exercise.mistakes if hasattr(wrong, "switches")]
    for one, other in combinations(slips, 2):
        apart = one.switches.keys().isdisjoint(other.switches)
        if apart and one.make == other.make:
            yield (one, other), one.make(**one.switches, **other.switches)


def _failure(asked: Asked, climbed: tuple[Rung, ...]) -> Failure:
    cases, replies, _ = asked
    keys = {key for rung in climbed for key in rung.compared}
    if any(compare.while_differentiating(r["error"]) for r in replies):
        keys.add("gradients")
    plain = all(rung.edge is False for rung in climbed)
    rest = tuple(i for i, c in enumerate(cases) if not (plain and c.derived))
    return Failure(climbed[-1], frozenset(keys), rest)


def _to_blame(exercise, asked: Asked, failure: Verdict) -> set[str]:
    """Of several names, those that the failure goes away with, once put right.

    Two may be wrong at a time; the mistake to be explained is the one that is told.
    """
    cases, replies, right = asked

    def remains_without(name: str) -> bool:
        repaired = [
            r if case.target == name else mine
            for case, mine, r in zip(cases, replies, right, strict=True)
        ]
        return failure in ladder.climb(exercise, (cases, repaired, right)).verdicts

    if len(exercise.names) == 1:
        return set(exercise.names)
    return {name for name in exercise.names if not remains_without(name)}


def _first(mine: Failure, target: str, asked: Asked) -> list[int]:
    """The cases in which a mistake has to answer alike, those that differ from the
    right ones in front."""
    cases, replies, right = asked
    name = mine.rung.name
    first = [
        i
        for i in mine.rest
        if cases[i].target == target
        and (mine.rung.edge is not False or not cases[i].edge)
    ]
    if name == "runs":  # outcomes differ in the cases behind the first that stops
        first = _first_to_stop(first, asked)
    alike = [_alike(mine.rung, i, replies[i], right[i], asked) for i in first]
    if all(alike):
        return []
    return sorted(first, key=lambda i: alike[first.index(i)])


def _alike_in(
    exercise, target: str, wrong, mine: Failure, first: list[int], asked: Asked
) -> list[int]:
    """The cases in which a mistake that fails on the same rung has the same outcome;
    none where that of the first is another."""
    cases, replies, right = asked
    objects = {**exercise.reference, target: wrong}

    def put(numbers: list[int], keys: frozenset[str]) -> list[dict]:
        some = [cases[i] for i in numbers]
        return probes.run(exercise.probe, objects, some, exercise.off_limits, keys=keys)

    (glance,) = put(first[:1], frozenset(mine.rung.compared))
    if not _alike(mine.rung, first[0], replies[first[0]], glance, asked):
        return []

    rest = [i for i in mine.rest if cases[i].target == target]
    theirs = list(right)
    for i, reply in zip(rest, put(rest, mine.keys), strict=True):
        theirs[i] = reply
    answered = (cases, theirs, right)
    if not _fails_on(exercise, mine.rung.name, answered):
        return []
    if mine.rung.name == "runs" and _first_to_stop(rest, answered) != first:
        return []
    return [i for i in first if _alike(mine.rung, i, replies[i], theirs[i], asked)]


def _fails_on(exercise, name: str, answered: Asked) -> bool:
    """Whether this rung is the first that fails. Those above it are not looked at."""
    for rung in ladder.rungs(exercise, answered):
        failed = rung.problem() is not None
        if failed or rung.name == name:
            return failed and rung.name == name
    return False


def _alike(rung: Rung, i: int, mine: dict, theirs: dict, asked: Asked) -> bool:
    right = asked[2][i]
    mine, theirs = _essential(mine, right), _essential(theirs, right)
    return compare.alike(mine, theirs, rung.compared, asked[0][i].tolerance)


def _essential(reply: dict, right: dict) -> dict:
    """A reply without what is left to the learner.

    That is the words of an error where one is due, and how a parameter starts where
    any start will do.
    """
    reply = dict(reply)
    error, due = reply["error"], right["error"]
    if error and due:
        reply["error"] = {**error, "message": "", "line": ""}
    if "initial" in reply and "initial" in right:
        free = {name for name, value in right["initial"].items() if value is None}
        reply["initial"] = {
            name: None if name in free else value
            for name, value in reply["initial"].items()
        }
    return reply


def _first_to_stop(some: list[int], asked: Asked) -> list[int]:
    """Where the first of some cases stands that does not run as it should."""
    cases, replies, right = asked
    stops = (i for i in some if compare.runs(cases[i], replies[i], right[i]))
    return list(islice(stops, 1))
