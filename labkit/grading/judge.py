"""Verdicts on what a learner's process answered. No learner's code ever runs here."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from labkit.checks import plain
from labkit.checks.exercise import Exercise, Report
from labkit.checks.probes import Case, Layer
from labkit.exercises import find
from labkit.grading import flags
from labkit.grading.result import ExerciseResult, Outcome
from labkit.grading.sandbox.client import Cell, Check, StepResult
from labkit.grading.settings import Settings
from labkit.grading.submission import Rebuilt
from labkit.lab import Master, Question

LOST = {
    Outcome.TIME: "Stopped after {timeout:g} s. Look for a loop that does not end.",
    Outcome.DIED: "The Python process ended here. Usual causes: too much memory, "
    "os._exit.",
    Outcome.SKIPPED: "Not run: the other cells used up the time for the whole "
    "notebook.",
}


class UnknownExercise(LookupError):
    """A lab asks what labkit.exercises does not have; str() says what."""


class NotJudged(Exception):
    """Forged records, or a fault in the check; str() says which."""


@dataclass
class Judge:
    """The questions of one lab, put with one private seed.

    Cases are drawn once, so every submission gets the same; nearly all have sizes
    other than those that learners know. Raises UnknownExercise for a lab of another
    version of the course.
    """

    master: Master
    settings: Settings

    def __post_init__(self):
        try:
            self.exercises = {q.number: find(q.number) for q in self.master.questions}
        except KeyError as unknown:
            raise UnknownExercise(f"{self.master.lab}: {unknown.args[0]}") from None
        seed = self.settings.seed
        self.cases = {n: private(e, seed) for n, e in self.exercises.items()}
        self.right = {n: e.right(self.cases[n]) for n, e in self.exercises.items()}
        self.requests = {
            number: plain.dumps(
                {
                    "probe": exercise.probe,
                    "names": list(exercise.names),
                    "off_limits": list(exercise.off_limits),
                    "cases": self.cases[number],
                }
            )
            for number, exercise in self.exercises.items()
        }

    def steps(self, rebuilt: Rebuilt) -> list[Cell | Check]:
        """What the learner's process has to do: the cells and checks in order."""
        numbers = {q.check: q.number for q in self.master.questions}
        steps = []
        for index, cell in enumerate(rebuilt.notebook.cells):
            if cell.cell_type != "code":
                continue
            label = cell.metadata.get("nbgrader", {}).get("grade_id")
            if label in numbers:
                steps.append(Check(index, self.requests[numbers[label]]))
            else:
                steps.append(Cell(index, cell.source))
        return steps

    def verdicts(
        self, rebuilt: Rebuilt, became: dict[str, StepResult]
    ) -> tuple[list[ExerciseResult], list[str]]:
        """The results of all questions, and what an instructor may want to look at.

        became   what came of answer cells and checks, by grade id
        """
        questions = self.master.questions
        judged = [self.verdict(q, rebuilt, became) for q in questions]
        lost = {
            name: result.number
            for result, _ in judged
            if not result.right
            for name in self.exercises[result.number].names
        }
        notes = []
        for question, (result, note) in zip(questions, judged, strict=True):
            if result.right:
                self._flag(question, rebuilt, result)
            elif result.outcome is not Outcome.BLANK:
                _name_causes(question, rebuilt, result, lost)
            notes += [f"{result.number}: {text}" for text in _notes(result, note)]
        return [result for result, _ in judged], notes

    def _flag(
        self, question: Question, rebuilt: Rebuilt, result: ExerciseResult
    ) -> None:
        """Ask for a person's look where the source is not what the verdict suggests.
        Learner and instructor read it; the points stay."""
        own = [name for e in self.exercises.values() for name in e.names]
        off_limits = self.exercises[question.number].off_limits
        names = flags.found(rebuilt.answer(question), off_limits, own)[:5]
        result.flags = tuple(names)
        if names:
            result.feedback += _sentence(
                "A person looks at this answer too, because of what it uses: "
                f"{', '.join(names)}."
            )

    def verdict(
        self, question: Question, rebuilt: Rebuilt, became: dict[str, StepResult]
    ) -> tuple[ExerciseResult, str]:
        """The result of one question, taken by itself, and a note on it or ""."""
        result, note = self._look(question, rebuilt, became)
        if not result.right:
            result.feedback += _helpers_named(result.feedback, rebuilt.helpers)
            if again := ", ".join(rebuilt.again.get(question.number, ())):
                result.feedback += _sentence(
                    f"You define {again} again in a cell of your own below. "
                    "Grading takes only the answer cell: move what counts into it."
                )
                note = note or f"A cell below defines {again} again."
        return result, note

    def _look(
        self, question: Question, rebuilt: Rebuilt, became: dict[str, StepResult]
    ) -> tuple[ExerciseResult, str]:
        """The question's outcome and feedback, from the most basic obstacle upwards."""
        number, check = question.number, became[question.check]
        answers = [became[name] for name in question.answers]

        def failed(outcome: Outcome, text: str, note: str = ""):
            text = f"✗ {number}: {text}"
            return _result(question, outcome, text), note

        if rebuilt.blank.issuperset(question.answers):
            return failed(Outcome.BLANK, "not answered.")
        for step in (*answers, check):
            if step.lost:
                reason = LOST[step.lost].format(timeout=self.settings.timeout)
                return failed(Outcome(step.lost), reason)
        if check.missing:
            return failed(*_undefined(check.missing, answers))
        if check.raised:
            text = f"calling the answer ended in {check.raised}"
            return failed(Outcome.ERROR, text)
        try:
            report = self._judge(number, check.records)
        except NotJudged as why:
            text = "could not be judged; your instructor looks at it."
            return failed(Outcome.UNJUDGED, text, f"Not judged ({why}).")
        return _judged(question, report), ""

    def _judge(self, number: str, records: list | None) -> Report:
        """What the exercise says of the records. Raises NotJudged."""
        try:
            cases = self.cases[number]
            if not isinstance(records, list) or len(records) != len(cases):
                raise ValueError("there are not as many records as cases")
            exercise = self.exercises[number]
            report = exercise.judge(cases, records, self.right[number])
            if type(report.passed) is not bool:
                raise ValueError("the verdict is neither yes nor no")
        except Exception as error:
            why = " ".join(str(error).split())
            raise NotJudged(f"{type(error).__name__}: {why}") from error
        return report


def private(exercise: Exercise, seed: int) -> list[Case]:
    """Cases of this seed, or of the next whose sizes differ from the public ones."""
    public = [_sizes(case.__dict__) for case in exercise.cases()]
    for step in range(100):
        cases = exercise.cases(seed + step)
        if [_sizes(case.__dict__) for case in cases] != public:
            break
    return cases


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
        text += _sentence(f"The cell ended in {errors[0]['ename']}: {said}")
    return Outcome.ERROR if errors else Outcome.UNDEFINED, text


def _notes(result: ExerciseResult, note: str) -> Iterator[str]:
    """What an instructor may want to look at in a result."""
    if note:
        yield note
    if result.flags:
        yield f"the answer uses {', '.join(result.flags)}; see why."
    if result.outcome in LOST:
        yield result.feedback.split("\n")[0].partition(": ")[2]


def _name_causes(
    question: Question, rebuilt: Rebuilt, result: ExerciseResult, lost: dict[str, str]
) -> None:
    """Say which answers that this one builds on are not right.

    lost   the exercise of each name whose definition is not right
    """
    for name in sorted(lost.keys() & rebuilt.used_by(question)):
        if lost[name] != question.number:
            result.feedback += _sentence(
                f"This answer uses {name}, your answer to exercise {lost[name]}, "
                "which is not right: repair that first."
            )


def _helpers_named(feedback: str, helpers: set[str]) -> str:
    """A sentence for answers that need what only an ungraded cell defines."""
    said = " ".join(feedback.split())
    used = sorted(h for h in helpers if f"name '{h}' is not defined" in said)
    if not used:
        return ""
    return _sentence(
        f"You define {', '.join(used)} in a cell of your own. Grading takes only "
        "the answer cells: move the definition into the cell that uses it."
    )


def _sentence(text: str) -> str:
    """One more line of feedback, wrapped as a report's are."""
    indent = "  "
    return "\n" + textwrap.fill(
        text, 76, initial_indent=indent, subsequent_indent=indent
    )
