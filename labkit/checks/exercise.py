"""An exercise: what is asked, what is right, and the usual ways of being wrong.

    cases           questions drawn from a seed, as plain data
    probe           how they are put to the learner's object (labkit.checks.probes)
    judge           inputs and records in, one verdict a property out; never the object
    misconceptions  wrong answers with a name and a sentence

The reference goes through the same probe as the learner's object, so whatever a probe
records can be compared. The judge climbs a ladder and stops at the first rung that
fails: written, runs, type, shape, dtype, the exercise's own properties, values,
gradients, side effects, off-limits calls.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from labkit.checks import compare, probes
from labkit.checks.probes import Case

PUBLIC_SEED = 0


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

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """int64 of the given shape, low ≤ value ≤ high."""
        return torch.randint(low, high + 1, shape, generator=self.generator)


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
    misconception: str | None = None
    explanation: str = ""

    @property
    def passed(self) -> bool:
        return all(v.passed for v in self.verdicts)

    @property
    def failure(self) -> Verdict | None:
        return next((v for v in self.verdicts if v.passed is False), None)

    def text(self) -> str:
        """Feedback for the learner: a line if right, a short paragraph if not."""
        title = f"{self.number} {', '.join(self.names)}"
        if self.passed:
            return f"✓ {title}: " + ", ".join(v.property for v in self.verdicts)
        lines = [f"✗ {title}: {self.failure.property}", f"  {self.failure.message}"]
        if self.explanation:
            lines.append(f"  Likely cause: {self.explanation}")
        return "\n".join(lines)

    def to_json(self) -> dict:
        return {
            "exercise": self.number,
            "passed": self.passed,
            "verdicts": [v.__dict__ for v in self.verdicts],
            "misconception": self.misconception,
            "feedback": self.text(),
        }


Cases = dict[str, Case]
Records = dict[str, dict]


def mistake(of: str) -> Callable:
    """Say which of an exercise's several names a misconception stands in for."""

    def mark(wrong):
        wrong.stands_in_for = of
        return wrong

    return mark


class Exercise:
    """Derive one class an exercise; its docstring says what is asked.

    number          "1.2"
    reference       {name: right answer}, PyTorch's own operation where there is one
    misconceptions  wrong answers: functions or classes whose docstring explains them
    properties      functions of the cases and the learner's records, both by case
                    name, that return None or what breaks the property; the learner
                    sees their names
    off_limits      names of PyTorch calls that the exercise asks to write out
    """

    number: str
    reference: dict[str, object]
    probe = "function"
    misconceptions: tuple = ()
    properties: tuple[Callable[[Cases, Records], str | None], ...] = ()
    off_limits: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What a submission must define."""
        return tuple(self.reference)

    def draw_cases(self, draw: Draw) -> Iterable[Case]:
        """The questions; all randomness comes from `draw`."""
        raise NotImplementedError

    def cases(self, seed: int = PUBLIC_SEED) -> list[Case]:
        return list(self.draw_cases(Draw(seed)))

    def examine(
        self, objects: dict[str, object], seed: int = PUBLIC_SEED, device="cpu"
    ) -> Report:
        """Probe and judge in one process, as the lab does."""
        cases = self.cases(seed)
        records = probes.run(self.probe, objects, cases, self.off_limits, device)
        return self.judge(cases, records)

    def judge(self, cases: list[Case], records: list[dict]) -> Report:
        """The verdicts on records that a probe made of these cases."""
        right = probes.run(self.probe, self.reference, cases)
        verdicts = self._climb(cases, records, right)
        report = Report(self.number, self.names, verdicts)
        if report.passed:
            return report
        wrong = self._recognize(cases, records, right, report.failure.property)
        if wrong is None:
            return report
        explanation = " ".join(inspect.getdoc(wrong).split())
        return replace(report, misconception=wrong.__name__, explanation=explanation)

    def _climb(self, cases, records, right) -> tuple[Verdict, ...]:
        """One verdict a rung; those above the first failure stay unjudged."""
        verdicts, failed = [], False
        for name, rung in self._rungs(cases, records, right):
            problem = None if failed else rung()
            verdicts.append(
                Verdict(name, None if failed else problem is None, problem or "")
            )
            failed = failed or problem is not None
        return tuple(verdicts)

    def _rungs(self, cases, records, right) -> Iterator[tuple[str, Callable]]:
        together = list(zip(cases, records, right, strict=True))

        def first(problems: Callable, edge: bool | None = False) -> Callable:
            """The first case, of the ordinary or the edge ones, with a problem."""
            some = [t for t in together if edge is None or t[0].edge == edge]
            return lambda: next(filter(None, (problems(*t) for t in some)), None)

        yield "runs", first(compare.runs)
        if self.probe == "module":
            yield "parameters", first(compare.parameters)
        yield "shape", first(compare.shape)
        yield "dtype", first(compare.dtype)
        by_name = {c.name: c for c in cases}, {c.name: r for c, r, _ in together}
        for broken in self.properties:
            name = broken.__name__.replace("_", " ")
            yield name, lambda broken=broken: broken(*by_name)
        yield "values", first(compare.values)
        if any(case.edge for case in cases):
            yield "edge cases", first(compare.answer, edge=True)
        yield "inputs unchanged", first(compare.side_effects, edge=None)
        if any(case.gradients for case in cases):
            yield "gradients", first(compare.gradients, edge=None)
        if self.off_limits:
            yield "written out", first(compare.off_limits, edge=None)

    def _recognize(self, cases, records, right, failed: str) -> Callable | None:
        """The misconception that fails as the learner does, with the same outcome."""
        for wrong in self.misconceptions:
            target = getattr(wrong, "stands_in_for", self.names[0])
            objects = {**self.reference, target: wrong}
            theirs = probes.run(self.probe, objects, cases, self.off_limits)
            verdicts = self._climb(cases, theirs, right)
            fails = next((v.property for v in verdicts if v.passed is False), None)
            aspect = compare.aspect(failed)
            if fails is None or compare.aspect(fails) != aspect:
                continue
            asked = [
                i
                for i, case in enumerate(cases)
                if case.target == target and (failed == "edge cases" or not case.edge)
            ]
            as_theirs = [compare.alike(records[i], theirs[i], aspect) for i in asked]
            as_right = [compare.alike(records[i], right[i], aspect) for i in asked]
            if all(as_theirs) and not all(as_right):
                return wrong
        return None
