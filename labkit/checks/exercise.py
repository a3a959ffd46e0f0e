"""An exercise: what is asked, what is right, and the usual ways of being wrong.

    cases     questions drawn from a seed, as plain data
    probe     how they are put to the learner's object (labkit.checks.probes)
    judge     cases and replies in, one verdict a property out; never the object
    mistakes  wrong answers with a name and a sentence

The reference goes through the same probe as the learner's object, so that the replies
of both can be compared. The judge climbs a ladder and stops at the first rung that
fails: written, runs, type, shape, dtype, the exercise's own properties, values,
gradients, side effects, off-limits calls.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice

import torch
from torch import Tensor

from labkit.checks import compare, errors, probes, variations
from labkit.checks.probes import Case

PUBLIC_SEED = 0
LINE = 80  # characters of feedback in a line
NOT_AT_ALL, AT_FIRST, EVERYWHERE = range(3)  # how far a mistake fits


class Draw:
    """Random inputs from a seed, always on the CPU."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def sizes(self, count: int, low: int = 3, high: int = 7) -> list[int]:
        """`count` sizes, no two alike, so that no axis can be taken for another."""
        order = torch.randperm(high - low + 1, generator=self.generator)
        return (order[:count] + low).tolist()

    def normal(self, *shape: int, mean: float = 0.0, std: float = 1.0) -> Tensor:
        """float64 of the given shape, normal with this mean and deviation."""
        values = torch.randn(*shape, generator=self.generator, dtype=torch.float64)
        return mean + std * values

    def keep(self, *shape: int) -> Tensor:
        """bool of the given shape; every row keeps an entry and masks one."""
        keep = torch.rand(*shape, generator=self.generator) < 0.5
        two = torch.rand(*shape, generator=self.generator).topk(2).indices
        return keep.scatter(-1, two[..., :1], True).scatter(-1, two[..., 1:], False)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """int64 of the given shape, low ≤ value ≤ high."""
        return torch.randint(low, high + 1, shape, generator=self.generator)


def not_three(channels: int, other: int) -> tuple[int, int]:
    """Two sizes, exchanged where the channels would be the three of a colour picture.

    Three would hide who takes it for granted.
    """
    return (other, channels) if channels == 3 else (channels, other)


@dataclass(frozen=True)
class Verdict:
    """One property: passed is None where a failure before it left it unjudged."""

    property: str
    passed: bool | None
    message: str = ""


@dataclass(frozen=True)
class Report:
    """What the judge says of one exercise."""

    number: str
    names: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    mistake: str | None = None
    explanation: str = ""
    printed: str = ""

    @property
    def passed(self) -> bool:
        return all(v.passed for v in self.verdicts)

    @property
    def failure(self) -> Verdict | None:
        return next((v for v in self.verdicts if v.passed is False), None)

    def text(self) -> str:
        """Feedback for the learner: a line if right, a short paragraph if not."""
        title = f"{self.number} {', '.join(self.names)}"
        failure = self.failure
        if self.passed:
            properties = ", ".join(v.property for v in self.verdicts)
            lines = [_fill(f"✓ {title}: {properties}", "")]
        elif failure.message.endswith(compare.NOT_WRITTEN):
            lines = [_fill(f"✗ {title}: {failure.message}", "")]
        else:
            lines = [f"✗ {title} fails on: {failure.property}", _fill(failure.message)]
        if self.explanation:
            lines.append(_fill(f"Likely cause: {self.explanation}"))
        if self.printed:
            lines.append("  Printed by the answer:")
            lines.append(textwrap.indent(self.printed, "  │ ", lambda line: True))
        return "\n".join(lines)

    def to_json(self) -> dict:
        return {
            "exercise": self.number,
            "passed": self.passed,
            "verdicts": [v.__dict__ for v in self.verdicts],
            "mistake": self.mistake,
            "feedback": self.text(),
        }


def _fill(text: str, indent: str = "  ") -> str:
    """Broken at spaces: notebooks break long lines of an output anywhere."""
    return textwrap.fill(
        text,
        LINE,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    compared  the keys of the replies that it looks at
    problem   finds what is wrong, None if nothing is
    edge      whether it looks at edge cases, too
    """

    name: str
    compared: tuple[str, ...]
    problem: Callable[[], str | None]
    edge: bool = False


Cases = dict[str, Case]
Replies = dict[str, dict]


def looks_at(*keys: str) -> Callable:
    """Say which keys of the replies a property judges, if not the output."""

    def mark(broken):
        broken.looks_at = keys
        return broken

    return mark


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tensors this small: several threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Exercise:
    """Derive one class an exercise; its docstring says what is asked.

    number      "1.2"
    reference   {name: right answer}, PyTorch's own operation where there is one
    properties  functions of the cases and the learner's replies, both by case name,
                that return None or what breaks the property; the learner sees their
                names
    off_limits  names of PyTorch calls that the exercise asks to write out
    probe       "function" or "module", or which of them by name
    batch_axis  of the samples, in the first tensor of at least two axes
    fixed       what its questions cannot vary, and why: "batch", "length", "float32",
                or only "single sample". Every exercise is asked about all
                of these besides the author's cases (labkit.checks.variations)
    mistakes    wrong answers, the first that fits is named: see `mistake`
    """

    number: str
    reference: dict[str, object]
    probe: str | dict[str, str] = "function"
    properties: tuple[Callable[[Cases, Replies], str | None], ...] = ()
    off_limits: tuple[str, ...] = ()
    batch_axis: int = 0
    fixed: dict[str, str] = {}
    mistakes: tuple[Callable, ...] = ()

    @classmethod
    def mistake(cls, wrong: Callable | None = None, *, of: str | None = None):
        """Decorate a wrong answer, a function or class whose docstring explains it.

            @LayerNorm.mistake
            @Residual.mistake(of="pre_norm")

        Learners read the docstring; results keep the name. A submission is held
        against the mistakes in the order in which they are defined.

        of  which of the exercise's names it stands in for; None: the first. Raises
            ValueError for a name that the exercise does not ask for
        """
        if wrong is None:
            return partial(cls.mistake, of=of)
        if of is not None and of not in cls.reference:
            raise ValueError(f"exercise {cls.number} asks for no {of}")
        wrong.stands_in_for = of or next(iter(cls.reference))
        cls.mistakes = (*cls.mistakes, wrong)
        return wrong

    @property
    def names(self) -> tuple[str, ...]:
        """What a submission must define."""
        return tuple(self.reference)

    def draw_cases(self, draw: Draw) -> Iterable[Case]:
        """The questions; all randomness comes from `draw`."""
        raise NotImplementedError

    def cases(self, seed: int = PUBLIC_SEED) -> list[Case]:
        drawn = list(self.draw_cases(Draw(seed)))
        return [*drawn, *variations.derived(drawn, _axes(type(self)), self.fixed)]

    def examine(
        self, objects: dict[str, object], seed: int = PUBLIC_SEED, device="cpu"
    ) -> Report:
        """Probe and judge in one process, as the lab does."""
        return self.look(objects, seed, device)[0]

    def look(
        self, objects: dict[str, object], seed: int = PUBLIC_SEED, device="cpu"
    ) -> tuple[Report, tuple[Case, dict, dict] | None]:
        """As examine; and the first case that is answered wrong, with the replies of
        the learner's object and of the reference, None if there is none."""
        cases = self.cases(seed)
        with _one_thread():
            replies = probes.run(self.probe, objects, cases, self.off_limits, device)
            right = self.right(cases)
            report = self.judge(cases, replies, right)
        where = compare.first_failure(cases, replies, right)
        if report.passed or where is None:
            return report, None
        return report, (cases[where], replies[where], right[where])

    def right(self, cases: list[Case]) -> list[dict]:
        """The replies that the reference gives."""
        return probes.run(self.probe, self.reference, cases)

    def judge(
        self, cases: list[Case], replies: list[dict], right: list[dict] | None = None
    ) -> Report:
        """The verdicts on replies that a probe made of these cases.

        right   from self.right(cases), for who judges many answers to them
        """
        right = self.right(cases) if right is None else right
        verdicts = self._climb(cases, replies, right)
        printed = next(filter(None, (r.get("printed") for r in replies)), "")
        report = Report(self.number, self.names, verdicts, printed=printed)
        failure = report.failure
        if failure is None:
            return report
        wrong = self._recognize(cases, replies, right, failure)
        if wrong is None:
            return replace(report, explanation=_meaning(failure, replies))
        explanation = " ".join(inspect.getdoc(wrong).split())
        return replace(report, mistake=wrong.__name__, explanation=explanation)

    def _climb(self, cases, replies, right) -> tuple[Verdict, ...]:
        """One verdict a rung; those above the first failure stay unjudged."""
        verdicts, failed = [], False
        for rung in self._rungs(cases, replies, right):
            problem = None if failed else rung.problem()
            passed = None if failed else problem is None
            verdicts.append(Verdict(rung.name, passed, problem or ""))
            failed = failed or problem is not None
        return tuple(verdicts)

    def _rungs(self, cases, replies, right) -> Iterator[Rung]:
        together = list(zip(cases, replies, right, strict=True))

        def rung(name, compared, problems: Callable, edge: bool | None = False) -> Rung:
            """Looks for the first case, ordinary or edge, with a problem."""
            some = [t for t in together if edge is None or t[0].edge == edge]
            found = filter(None, (problems(*t) for t in some))
            return Rung(name, compared, lambda: next(found, None), edge is not False)

        output, error = compare.OUTPUT, ("error",)
        yield rung("runs", error + output, self._runs)
        if "module" in str(self.probe):
            registered = ("module", "parameters", "initial", "twins")
            yield rung("parameters", registered, compare.parameters)
        yield rung("shape", output, compare.shape)
        yield rung("dtype", output, compare.dtype)
        own = [(c, r) for c, r, _ in together if not c.derived]
        by_name = {c.name: c for c, _ in own}, {c.name: r for c, r in own}
        for broken in self.properties:
            name = broken.__name__.replace("_", " ")
            compared = getattr(broken, "looks_at", output)
            yield Rung(name, compared, lambda broken=broken: broken(*by_name))
        yield rung("values", output, compare.values)
        if any(case.fills for case in cases):
            yield rung("weights", ("filled", "refilled"), compare.filled)
        if any(case.edge for case in cases):
            answered = (*error, *output, "then")
            yield rung("edge cases", answered, compare.answer, edge=True)
        changes = ("mutated", "changed", "repeat")
        yield rung("inputs unchanged", changes, compare.side_effects, edge=None)
        if any(case.gradients for case in cases):
            flow = error + ("gradients",)
            yield rung("gradients", flow, compare.gradients, edge=None)
        if self.off_limits:
            yield rung("written out", ("called",), compare.off_limits, edge=None)

    def _runs(self, case, reply, right) -> str | None:
        """As compare.runs; where a stub was reached, there is no more to say."""
        stub = compare.stub(reply)
        if stub is None:
            return compare.runs(case, reply, right)
        who = case.target if len(self.names) > 1 else ""
        if stub and stub != self.number:
            who = who or "it"
            return f"{who} calls exercise {stub}, which is {compare.NOT_WRITTEN}"
        return f"{who} is {compare.NOT_WRITTEN}" if who else compare.NOT_WRITTEN

    def _first_failure(self, cases, replies, right) -> Rung | None:
        rungs = self._rungs(cases, replies, right)
        return next((rung for rung in rungs if rung.problem() is not None), None)

    def _recognize(self, cases, replies, right, failure) -> Callable | None:
        """The mistake that fails as the learner does, with the same outcome.

        If none does in every case, then in the first case that tells: the next may
        show another mistake.
        """
        mine = self._first_failure(cases, replies, right)
        to_blame = self._to_blame(cases, replies, right, failure)
        at_first = None
        for wrong in self.mistakes:
            target = wrong.stands_in_for
            if target not in to_blame:
                continue
            asked = [
                i
                for i, case in enumerate(cases)
                if case.target == target and (mine.edge or not case.edge)
            ]
            fit = self._fails_alike(wrong, target, asked, mine, cases, replies, right)
            if fit == EVERYWHERE:
                return wrong
            if fit == AT_FIRST and "output" in mine.compared:
                at_first = at_first or wrong
        return at_first

    def _to_blame(self, cases, replies, right, failure) -> set[str]:
        """Of several names, those that the failure goes away with, once put right.

        Two may be wrong at a time; the mistake to be explained is the one that is told.
        """

        def remains_without(name):
            repaired = [
                r if case.target == name else mine
                for case, mine, r in zip(cases, replies, right, strict=True)
            ]
            return failure in self._climb(cases, repaired, right)

        if len(self.names) == 1:
            return set(self.names)
        return {name for name in self.names if not remains_without(name)}

    def _fails_alike(self, wrong, target, asked, mine, cases, replies, right) -> int:
        """How far a mistake fails on the same rung, with the same outcome."""
        objects = {**self.reference, target: wrong}

        def alike(i, other):
            learners, others = (_essential(r, right[i]) for r in (replies[i], other))
            tolerance = cases[i].tolerance
            return compare.alike(learners, others, mine.compared, tolerance)

        first = asked  # outcomes differ in the cases behind the first that stops
        if mine.name == "runs":
            first = _first_to_stop(asked, cases, replies, right)

        # Most mistakes are ruled out by the first case that tells.
        telling = next((i for i in first if not alike(i, right[i])), None)
        if telling is None:
            return NOT_AT_ALL
        case = cases[telling]
        if not {"error", "gradients"} & set(mine.compared):
            case = replace(case, gradients=False)  # nobody looks at them
        one = probes.run(self.probe, objects, [case], self.off_limits)
        if not alike(telling, one[0]):
            return NOT_AT_ALL

        theirs = probes.run(self.probe, objects, cases, self.off_limits)
        failure = self._first_failure(cases, theirs, right)
        if failure is None or failure.compared != mine.compared:
            return NOT_AT_ALL
        if mine.name == "runs" and _first_to_stop(asked, cases, theirs, right) != first:
            return NOT_AT_ALL
        return EVERYWHERE if all(alike(i, theirs[i]) for i in first) else AT_FIRST


def _meaning(failure: Verdict, replies: list[dict]) -> str:
    """What the error means that a failure is about; "" if it is about none."""
    raised = (r["error"] for r in replies if r["error"])
    told = (e for e in raised if f"{e['stage']} raised {e['type']}" in failure.message)
    error = next(told, None)
    return errors.sentence(error) if error else ""


@cache
def _axes(kind: type[Exercise]) -> list[variations.Shared]:
    """Which axes of an exercise's cases share a size."""
    draws = [list(kind().draw_cases(Draw(seed))) for seed in range(variations.DRAWS)]
    return variations.shared_axes(draws, kind.batch_axis)


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


def _first_to_stop(asked: list[int], cases, replies, right) -> list[int]:
    """Where the first of the asked cases stands that does not run as it should."""
    stops = (i for i in asked if compare.runs(cases[i], replies[i], right[i]))
    return list(islice(stops, 1))
