"""Verdicts on what a learner's process answered. No learner's code ever runs here."""

import re
import textwrap
from dataclasses import dataclass

import torch

from labkit.checks import plain
from labkit.checks.exercise import Exercise
from labkit.checks.probes import Case, Layer
from labkit.exercises import find
from labkit.grading import flags
from labkit.grading.sandbox.client import Cell, Check, Outcome
from labkit.grading.submission import Rebuilt
from labkit.lab import Master, Question

LOST = {
    "time": "Stopped after {timeout:g} s. Look for a loop that does not end.",
    "died": "The Python process ended here. Usual causes: too much memory, os._exit.",
    "skipped": "Not run: the other cells used up the time for the whole notebook.",
}


class UnknownExercise(LookupError):
    """A lab asks what labkit.exercises does not have; str() says what."""


@dataclass
class Judge:
    """The questions of one lab, put with one private seed.

    Cases are drawn once, so every submission gets the same; nearly all have sizes
    other than those that learners know. Raises UnknownExercise for a lab of another
    version of the course.
    """

    master: Master
    seed: int
    timeout: float

    def __post_init__(self):
        try:
            self.exercises = {q.number: find(q.number) for q in self.master.questions}
        except KeyError as unknown:
            raise UnknownExercise(f"{self.master.lab}: {unknown.args[0]}") from None
        self.cases = {n: private(e, self.seed) for n, e in self.exercises.items()}
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

    def verdicts(self, rebuilt: Rebuilt, outcomes: dict[str, Outcome]) -> list[dict]:
        """The results of all questions, as plain JSON.

        outcomes   by grade id, of answer cells and checks
        """
        questions = self.master.questions
        results = [self.verdict(q, rebuilt, outcomes) for q in questions]
        lost = {
            name: result["number"]
            for result in results
            if result["outcome"] != "right"
            for name in self.exercises[result["number"]].names
        }
        for question, result in zip(questions, results, strict=True):
            if result["outcome"] == "right":
                self._flag(question, rebuilt, result)
            elif result["outcome"] != "blank":
                _name_causes(question, rebuilt, result, lost)
        return results

    def _flag(self, question: Question, rebuilt: Rebuilt, result: dict) -> None:
        """Ask for a person's look where the source is not what the verdict suggests.
        Learner and instructor read it; the points stay."""
        own = [name for e in self.exercises.values() for name in e.names]
        off_limits = self.exercises[question.number].off_limits
        names = flags.found(rebuilt.answer(question), off_limits, own)[:5]
        result["flags"] = names
        if names:
            result["feedback"] += _sentence(
                "A person looks at this answer too, because of what it uses: "
                f"{', '.join(names)}."
            )

    def verdict(
        self, question: Question, rebuilt: Rebuilt, outcomes: dict[str, Outcome]
    ) -> dict:
        """The result of one question, taken by itself."""
        result = {
            "number": question.number,
            "title": question.title,
            "points": question.points,
            "misconception": None,
            "verdicts": [],
            "flags": [],
        }
        result |= self._look(question, rebuilt, outcomes)
        right = result["outcome"] == "right"
        result["score"] = question.points if right else 0.0
        if not right:
            result["feedback"] += _helpers_named(result["feedback"], rebuilt.helpers)
            if again := rebuilt.again.get(question.number):
                result["feedback"] += _sentence(
                    f"You define {', '.join(again)} again in a cell of your own below. "
                    "Grading takes only the answer cell: move what counts into it."
                )
                note = f"A cell below defines {', '.join(again)} again."
                result.setdefault("note", note)
        return result

    def _look(self, question, rebuilt, outcomes) -> dict:
        """The question's outcome and feedback, from the most basic obstacle upwards."""
        number, check = question.number, outcomes[question.check]
        answers = [outcomes[name] for name in question.answers]
        if rebuilt.blank.issuperset(question.answers):
            return _failed("blank", f"✗ {number}: not answered.")
        for outcome in (*answers, check):
            if outcome.lost:
                reason = LOST[outcome.lost].format(timeout=self.timeout)
                return _failed(outcome.lost, f"✗ {number}: {reason}")
        if check.missing:
            return _undefined(number, check.missing, answers)
        if check.raised:
            text = f"✗ {number}: calling the answer ended in {check.raised}"
            return _failed("error", text)
        return self._judge(number, check.records)

    def _judge(self, number: str, records: list | None) -> dict:
        try:
            cases = self.cases[number]
            if not isinstance(records, list) or len(records) != len(cases):
                raise ValueError("there are not as many records as cases")
            exercise = self.exercises[number]
            report = exercise.judge(cases, records, self.right[number])
            if type(report.passed) is not bool:
                raise ValueError("the verdict is neither yes nor no")
        except Exception as error:  # forged records, or a fault in the check
            why = f"{type(error).__name__}: {error}"
            text = f"✗ {number}: could not be judged; your instructor looks at it."
            return _failed("unjudged", text) | {"note": f"Not judged ({why})."}
        said = report.to_json()
        return {
            "outcome": "right" if report.passed else "wrong",
            "feedback": report.text(),
            "misconception": said["mistake"],
            "verdicts": said["verdicts"],
        }


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


def _failed(outcome: str, feedback: str) -> dict:
    return {"outcome": outcome, "feedback": feedback}


def _undefined(number: str, missing: list[str], answers: list[Outcome]) -> dict:
    """Feedback for names that nothing defines, with the error that may be why."""
    text = f"✗ {number}: {', '.join(missing)} is not defined in the answer cell."
    errors = [answer.error for answer in answers if answer.error]
    if errors:
        said = re.sub(r"<[^>]*>, (?=line)", "", errors[0]["evalue"])  # IPython's file
        text += _sentence(f"The cell ended in {errors[0]['ename']}: {said}")
    return _failed("error" if errors else "undefined", text)


def _name_causes(question, rebuilt: Rebuilt, result: dict, lost: dict) -> None:
    """Say which answers that this one builds on are not right.

    lost   the exercise of each name whose definition is not right
    """
    for name in sorted(lost.keys() & rebuilt.used_by(question)):
        if lost[name] != question.number:
            result["feedback"] += _sentence(
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
