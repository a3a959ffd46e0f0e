"""Verdicts on what a learner's process answered. No learner's code ever runs here."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from labkit.checks import plain
from labkit.checks.exercise import Report
from labkit.checks.probes import Case, Layer
from labkit.exercises import find
from labkit.grading import flags
from labkit.grading.rebuild import Rebuilt, magic_told
from labkit.grading.result import ExerciseResult, Outcome
from labkit.grading.sandbox.client import StepResult
from labkit.grading.settings import Settings, own_seed
from labkit.grading.source import defined_names
from labkit.lab import Master, Question

LOST = {
    Outcome.TIME: "Stopped after {timeout:g} s. Look for a loop that does not end.",
    Outcome.DIED: "The Python process ended here. Usual causes: too much memory, "
    "os._exit.",
    Outcome.SKIPPED: "Not run: the other exercises used up the time for the whole "
    "notebook.",
}
SHELL = (
    "Stopped after {timeout:g} s, in a cell with a shell command. Grading has no "
    "network: take an installation or a download out of the answer cell."
)
SHELL_LINE = re.compile(r"^[ \t]*(?:!|%(?:pip|conda)\b|%%(?:bash|sh)\b)", re.MULTILINE)


class UnknownExercise(LookupError):
    """A lab asks what labkit.exercises does not have; str() says what."""


class NotJudged(Exception):
    """Forged records, or a fault in the check; str() says which."""


@dataclass
class Judge:
    """The exercises of one lab, and the verdicts on a learner's answers to them.

    Raises UnknownExercise for a lab of another version of the course.
    """

    master: Master
    settings: Settings

    def __post_init__(self):
        try:
            self.exercises = {q.number: find(q.number) for q in self.master.questions}
        except KeyError as unknown:
            raise UnknownExercise(f"{self.master.lab}: {unknown.args[0]}") from None
        self.public = {n: _sizes_of(e.cases()) for n, e in self.exercises.items()}

    def asks(self, student: str) -> "Asked":
        """The questions to one learner. Without a name they are the seed's own."""
        seed = self.settings.seed
        if student:
            seed = own_seed(seed, self.master.lab, student)
        return Asked(self, seed)

    def conclude(
        self, rebuilt: Rebuilt, judged: list[tuple[ExerciseResult, str]]
    ) -> tuple[list[ExerciseResult], list[str]]:
        """Flag the results of all questions, and collect what an instructor may want to
        look at."""
        questions, notes = self.master.questions, []
        for question, (result, note) in zip(questions, judged, strict=True):
            if result.outcome is not Outcome.BLANK:
                self._flag(question, rebuilt, result)
            notes += [f"{result.number}: {text}" for text in _notes(result, note)]
        return [result for result, _ in judged], notes

    def _flag(
        self, question: Question, rebuilt: Rebuilt, result: ExerciseResult
    ) -> None:
        """Ask for a person's look where a source that takes part, right or wrong, is
        not what a verdict suggests. The points stay."""
        own = [name for e in self.exercises.values() for name in e.names]
        off_limits = self.exercises[question.number].off_limits
        by_number = {q.number: q for q in self.master.questions}
        taking_part = [by_number[n] for n in (*question.builds_on, question.number)]
        sources = [s for q in taking_part for s in rebuilt.answers(q)]
        names = [n for s in sources for n in flags.found(s, off_limits, own)]
        result.flags = tuple(dict.fromkeys(names))[:5]
        if result.flags and result.right:
            result.feedback += sentence(
                "A person looks at this answer too, because of what it uses: "
                f"{', '.join(result.flags)}."
            )

    def elsewhere(self, question: Question, rebuilt: Rebuilt) -> dict[str, str]:
        """Names that only answers define on which a question does not build, each with
        the number of the exercise."""
        takes = {question.number, *question.builds_on}
        return {
            name: q.number
            for q in self.master.questions
            if q.number not in takes
            for source in rebuilt.answers(q)
            for name in defined_names(source)
        }


class Asked:
    """One learner's private questions, drawn when they are first wanted; nearly all
    have sizes other than those that learners know."""

    def __init__(self, judge: Judge, seed: int):
        self.judge, self.seed = judge, seed
        self._cases: dict[str, list[Case]] = {}
        self._right: dict[str, list[dict]] = {}

    def cases(self, number: str) -> list[Case]:
        """Of this seed, or of the next whose sizes differ from the public ones."""
        if number not in self._cases:
            exercise, public = self.judge.exercises[number], self.judge.public[number]
            for step in range(100):
                self._cases[number] = exercise.cases(self.seed + step)
                if _sizes_of(self._cases[number]) != public:
                    break
        return self._cases[number]

    def right(self, number: str) -> list[dict]:
        """The replies that the reference gives."""
        if number not in self._right:
            exercise = self.judge.exercises[number]
            self._right[number] = exercise.right(self.cases(number))
        return self._right[number]

    def request(self, number: str) -> bytes:
        """What a learner's process is told of a question."""
        exercise = self.judge.exercises[number]
        return plain.dumps(
            {
                "probe": exercise.probe,
                "names": list(exercise.names),
                "off_limits": list(exercise.off_limits),
                "cases": self.cases(number),
            }
        )

    def verdict(
        self, question: Question, rebuilt: Rebuilt, became: dict[str, StepResult]
    ) -> tuple[ExerciseResult, str]:
        """The result of one question, taken by itself, and a note on it or ""."""
        result, note = self._look(question, rebuilt, became)
        if not result.right:
            elsewhere = self.judge.elsewhere(question, rebuilt)
            result.feedback += _helpers_named(
                result.feedback, rebuilt.helpers, elsewhere
            )
            if again := ", ".join(rebuilt.again.get(question.number, ())):
                result.feedback += sentence(
                    f"You define {again} again in another cell below. "
                    "Grading takes only the answer cell: move what counts into it."
                )
                note = note or f"A cell below defines {again} again."
        return result, note

    def _look(
        self, question: Question, rebuilt: Rebuilt, became: dict[str, StepResult]
    ) -> tuple[ExerciseResult, str]:
        """The question's outcome and feedback, from the most basic obstacle upwards."""
        number = question.number

        def failed(outcome: Outcome, text: str, note: str = ""):
            text = f"✗ {number}: {text}"
            return _result(question, outcome, text), note

        def unjudged(why: str):
            text = "could not be judged; your instructor looks at it."
            return failed(Outcome.UNJUDGED, text, f"Not judged ({why}).")

        if rebuilt.blank.issuperset(question.answers):
            return failed(Outcome.BLANK, "not answered.")
        check = became[question.check]
        answers = [became[name] for name in question.answers if name in became]
        sources = rebuilt.answers(question)
        for step in (*answers, check):
            if step.lost == "garbled":
                return unjudged("what came back is no answer")
            if step.lost:
                return failed(Outcome(step.lost), self._lost(step.lost, sources))
        if check.missing:
            outcome, text = _undefined(check.missing, answers)
            if told := magic_told(sources):
                text += sentence(told)
            return failed(outcome, text)
        if check.raised:
            text = f"calling the answer ended in {check.raised}"
            return failed(Outcome.ERROR, text)
        try:
            report = self._judge(number, check.records)
        except NotJudged as why:
            return unjudged(str(why))
        return _judged(question, report), ""

    def _lost(self, why: str, sources: list[str]) -> str:
        said = LOST[why]
        if why == Outcome.TIME and any(map(SHELL_LINE.search, sources)):
            said = SHELL
        return said.format(timeout=self.judge.settings.timeout)

    def _judge(self, number: str, records: list | None) -> Report:
        """What the exercise says of the records. Raises NotJudged."""
        try:
            cases = self.cases(number)
            if not isinstance(records, list) or len(records) != len(cases):
                raise ValueError("there are not as many records as cases")
            exercise = self.judge.exercises[number]
            report = exercise.judge(cases, records, self.right(number))
            if type(report.passed) is not bool:
                raise ValueError("the verdict is neither yes nor no")
        except Exception as error:
            why = " ".join(str(error).split())
            raise NotJudged(f"{type(error).__name__}: {why}") from error
        return report


def _sizes_of(cases: list[Case]) -> list:
    return [_sizes(case.__dict__) for case in cases]


def _sizes(value: object) -> object:
    """The shapes and counts in a part of a case."""
    if isinstance(value, torch.Tensor):
        return value.shape
    if isinstance(value, dict):
        return {name: _sizes(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sizes(item) for item in value]
    if isinstance(value, Layer):
        return _sizes(value.__dict__)
    return value if isinstance(value, int) else None


def _result(question: Question, outcome: Outcome, feedback: str) -> ExerciseResult:
    of = question.number, question.title, question.points
    return ExerciseResult(*of, outcome, feedback)


def _judged(question: Question, report: Report) -> ExerciseResult:
    outcome = Outcome.RIGHT if report.passed else Outcome.WRONG
    result = _result(question, outcome, report.text())
    result.mistake, result.verdicts = report.mistake, report.verdicts
    return result


def _undefined(missing: list[str], answers: list[StepResult]) -> tuple[Outcome, str]:
    """Names that nothing defines, with the error that may be why."""
    text = f"{', '.join(missing)} is not defined in the answer cell."
    errors = [answer.error for answer in answers if answer.error]
    if errors:
        said = re.sub(r"<[^>]*>, (?=line)", "", errors[0]["evalue"])  # IPython's file
        text += sentence(f"The cell ended in {errors[0]['ename']}: {said}")
    return Outcome.ERROR if errors else Outcome.UNDEFINED, text


def _notes(result: ExerciseResult, note: str) -> Iterator[str]:
    """What an instructor may want to look at in a result."""
    if note:
        yield note
    if result.flags:
        yield f"the answer uses {', '.join(result.flags)}; see why."
    if result.outcome in LOST:
        yield result.feedback.split("\n")[0].partition(": ")[2]


def _helpers_named(feedback: str, helpers: set[str], elsewhere: dict[str, str]) -> str:
    """A sentence for answers that need what only a cell defines that takes no part."""
    said = " ".join(feedback.split())
    unknown = set(re.findall(r"name '(\w+)' is not defined", said))
    if used := sorted(unknown & helpers):
        return sentence(
            f"You define {', '.join(used)} in a cell of your own. Grading takes only "
            "the answer cells: move the definition into the cell that uses it."
        )
    if used := sorted(unknown & elsewhere.keys()):
        name = used[0]
        return sentence(
            f"You define {name} in your answer to {elsewhere[name]}, on which this "
            "exercise does not build. Grading takes its own cell: copy into it what "
            "it uses."
        )
    return ""


def sentence(text: str) -> str:
    """One more line of feedback, wrapped as a report's are."""
    indent = "  "
    return "\n" + textwrap.fill(
        text, 76, initial_indent=indent, subsequent_indent=indent
    )
