"""An exercise: what is asked, what is right, and the usual ways of being wrong.

    cases     questions drawn from a seed, as plain data
    probe     how they are put to the learner's object (labkit.checks.probes)
    judge     cases and replies in, one verdict a property out; never the object
    mistakes  wrong answers with a name and a sentence

The reference goes through the same probe as the learner's object, so that the replies
of both can be compared. The judge climbs a ladder and stops at the first rung that
fails (labkit.checks.ladder).
"""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import Tensor

from labkit.checks import compare, errors, ladder, probes, recognition, variations
from labkit.checks.ladder import Asked, Cases, Climb, Replies, Verdict
from labkit.checks.ladder import looks_at as looks_at  # exercises take it from here
from labkit.checks.probes import Case

PUBLIC_SEED = 0
LINE = 80  # characters of feedback in a line


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
    written     a right answer with a switch for every common slip: see `slip`
    """

    number: str
    reference: dict[str, object]
    probe: str | dict[str, str] = "function"
    properties: tuple[Callable[[Cases, Replies], str | None], ...] = ()
    off_limits: tuple[str, ...] = ()
    batch_axis: int = 0
    fixed: dict[str, str] = {}
    mistakes: tuple[Callable, ...] = ()
    written: Callable | None = None

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

    @classmethod
    def slip(cls, **switches):
        """Decorate the name and sentence of a mistake that is a switch of `written`: a
        keyword where that is a function, an attribute where it is a class.

            @LayerNorm.slip(correction=1)

        Two of them at once, which do not set the same switch, are named as two.
        """

        def register(named: Callable) -> Callable:
            wrong = cls.written_with(**switches)
            for what in ("__name__", "__qualname__", "__doc__", "__module__"):
                setattr(wrong, what, getattr(named, what))
            wrong.make, wrong.switches = cls.written_with, switches
            return cls.mistake(wrong)

        return register

    @classmethod
    def written_with(cls, **switches) -> Callable:
        """`written`, with these switches set."""
        if isinstance(cls.written, type):
            return type(cls.written.__name__, (cls.written,), switches)
        return lambda *args, **kwargs: cls.written(*args, **kwargs, **switches)

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
            asked = cases, replies, self.right(cases)
            report, climb = self._judge(asked)
        if report.passed or (where := _where(climb, asked)) is None:
            return report, None
        return report, tuple(part[where] for part in asked)

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
        return self._judge((cases, replies, right))[0]

    def _judge(self, asked: Asked) -> tuple[Report, Climb]:
        climb = ladder.climb(self, asked)
        replies = asked[1]
        printed = next(filter(None, (r.get("printed") for r in replies)), "")
        report = Report(self.number, self.names, climb.verdicts, printed=printed)
        if report.passed:
            return report, climb
        found = recognition.recognize(self, asked, climb)
        if not found:
            means = _meaning(climb.failure, replies)
            return replace(report, explanation=means), climb
        name = " + ".join(wrong.__name__ for wrong in found)
        return replace(report, mistake=name, explanation=_explanation(found)), climb


def _explanation(found: tuple[Callable, ...]) -> str:
    """What the learner reads of one mistake, or of two at once."""
    said = [" ".join(inspect.getdoc(wrong).split()) for wrong in found]
    if len(said) == 1:
        return said[0]
    return "two things at once. " + " ".join(f"{n}. {s}" for n, s in enumerate(said, 1))


def _where(climb: Climb, asked: Asked) -> int | None:
    """Which case shows what is wrong; where a property speaks of several, the first
    that is answered wrong."""
    if climb.where is not None:
        return climb.where
    together = enumerate(zip(*asked, strict=True))
    return next((i for i, three in together if compare.answer(*three)), None)


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
