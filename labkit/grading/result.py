"""What grading a submission gave: the form of the files in results/.

result.to_json()          plain JSON, as result.schema.json describes it
Result.from_json(data)    and back
Result.read(path)         from a file
"""

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from labkit.checks.exercise import Verdict

FORMAT = 4  # of a result file; one with another number is graded again


class Outcome(StrEnum):
    """What became of an answer."""

    RIGHT = "right"
    WRONG = "wrong"
    BLANK = "blank"  # as it was handed out
    UNDEFINED = "undefined"  # a name that was asked for is not there
    ERROR = "error"  # the answer cell, or calling the answer, ended in one
    TIME = "time"  # over the limit
    DIED = "died"  # the process ended
    SKIPPED = "skipped"  # the notebook's whole time was used up
    UNJUDGED = "unjudged"  # the check failed, not the answer
    UNREADABLE = "unreadable"  # with the whole file


class Status(StrEnum):
    """What became of a submission."""

    GRADED = "graded"
    INCOMPLETE = "incomplete"  # an exercise could not be judged
    UNREADABLE = "unreadable"  # no points, and the reason why


@dataclass
class ExerciseResult:
    """What became of one exercise.

    mistake        the name of the mistake that was recognized
    verdicts       one for each property that was looked at
    flags          names in the answer that a person should look at
    given          exercises in place of whose answers, which were wrong, the course's
                   were taken when this one was judged
    feedback       what the learner reads
    """

    number: str
    title: str
    points: float
    outcome: Outcome
    feedback: str = ""
    mistake: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    flags: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        return self.outcome is Outcome.RIGHT

    @property
    def needs_a_person(self) -> bool:
        """Whether points are at stake that only a person can decide on."""
        return self.outcome is Outcome.UNJUDGED or (self.right and bool(self.flags))

    @property
    def score(self) -> float:
        """All of its points, or none."""
        return self.points if self.right else 0.0

    def brief_json(self) -> dict:
        """Plain JSON without the long texts."""
        return {
            "number": self.number,
            "title": self.title,
            "points": self.points,
            "score": self.score,
            "outcome": self.outcome.value,
            "mistake": self.mistake,
            "flags": list(self.flags),
            "given": list(self.given),
        }

    def to_json(self) -> dict:
        verdicts = [dict(verdict.__dict__) for verdict in self.verdicts]
        return self.brief_json() | {"verdicts": verdicts, "feedback": self.feedback}

    @classmethod
    def from_json(cls, data: dict) -> "ExerciseResult":
        return cls(
            data["number"],
            data["title"],
            data["points"],
            Outcome(data["outcome"]),
            data["feedback"],
            data["mistake"],
            tuple(Verdict(**verdict) for verdict in data["verdicts"]),
            tuple(data["flags"]),
            tuple(data["given"]),
        )


@dataclass
class Result:
    """What became of a submission.

    exercises    one for each exercise of the lab, in its order
    notes        what an instructor may want to look at, one sentence each
    master       the digest of the lab's master
    labkit       the version that graded, from labkit.grading.version
    seed         of this learner's private cases
    device       "cpu" or "cuda", where the learner's code computed
    seconds      that grading took; None if there was nothing to run
    format       of the file it was read from

    And for a submission to a course, but not for a notebook by itself:

    student      whose it is
    file         the name of the file that was graded; "" if none was handed in
    fingerprint  of all that the result depends on
    autograded   a digest of the notebook in autograded/ that belongs to it
    """

    lab: str
    status: Status
    exercises: list[ExerciseResult]
    notes: list[str]
    master: str
    labkit: str
    seed: int
    device: str
    seconds: float | None = None
    format: int = FORMAT
    student: str | None = None
    file: str | None = None
    fingerprint: str | None = None
    autograded: str | None = None

    @property
    def score(self) -> float:
        return sum(exercise.score for exercise in self.exercises)

    @property
    def max_score(self) -> float:
        return sum(exercise.points for exercise in self.exercises)

    def brief(self) -> "Result":
        """Without the long texts: a thousand of them fit in memory."""
        exercises = [replace(e, feedback="", verdicts=()) for e in self.exercises]
        return replace(self, exercises=exercises)

    def to_json(self) -> dict:
        data = self.__dict__ | {
            "status": self.status.value,
            "score": self.score,
            "max_score": self.max_score,
            "exercises": [exercise.to_json() for exercise in self.exercises],
        }
        return {name: value for name, value in data.items() if value is not None}

    @classmethod
    def from_json(cls, data: object) -> "Result":
        """Raises ValueError for what is no result."""
        try:
            kept = {name: data[name] for name in cls.__annotations__ if name in data}
            kept["status"] = Status(data["status"])
            exercises = [ExerciseResult.from_json(e) for e in data["exercises"]]
            return cls(**kept | {"exercises": exercises})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a result: {type(error).__name__}") from None

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Raises OSError for no file, ValueError for one that holds no result."""
        return cls.from_json(json.loads(path.read_text("utf-8")))
