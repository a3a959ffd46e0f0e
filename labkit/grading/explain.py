"""Replay one verdict: what was asked, what was expected, what the answer gave."""

from collections.abc import Iterator

import torch

from labkit.grading.course import Course, CourseError
from labkit.grading.grade import Sitting
from labkit.grading.judge import Judge
from labkit.grading.rebuild import rebuild
from labkit.grading.sandbox.client import Warm
from labkit.grading.settings import Settings
from labkit.grading.submission import Unreadable, parse

SHOWN = 600  # characters of a value


def explain(
    course: Course, lab: str, student: str, number: str, settings: Settings
) -> Iterator[str]:
    """Lines for the learner who asks why, with that learner's private questions: for
    the first case whose reply differs, the inputs and both replies.

    Raises CourseError where there is no such answer.
    """
    judge = Judge(course.master(lab), settings)
    question = next((q for q in judge.master.questions if q.number == number), None)
    if question is None:
        raise CourseError(f"{lab} has no exercise {number}.")
    submission = course.submission(lab, student)
    if submission.reason or student not in course.students(lab):
        raise CourseError(submission.reason or f"{student} handed in no {lab}.")
    try:
        rebuilt = rebuild(judge.master, parse(submission.data)[1])
    except Unreadable as reason:
        raise CourseError(str(reason)) from None
    asked = judge.asks(student)
    with Warm(judge.master.own_cells, settings) as warm:
        sitting = Sitting(judge, asked, rebuilt, warm)
        for before in judge.master.questions:
            result, _ = sitting.take(before)
            if before.number == number:
                break
    yield from result.feedback.split("\n")
    records = sitting.became[question.check].records if not result.right else None
    yield from _differing(asked.cases(number), asked.right(number), records)


def _differing(cases: list, right: list[dict], records: object) -> Iterator[str]:
    """The first case whose output is not the expected one."""
    if not isinstance(records, list) or len(records) != len(cases):
        return
    for case, expected, given in zip(cases, right, records, strict=True):
        if not isinstance(given, dict) or _text(given.get("output")) == _text(
            expected.get("output")
        ):
            continue
        yield f"In the case {case.name!r}, {case.target} is given"
        for name, value in {**case.args, **case.kwargs, **case.inputs}.items():
            yield f"  {name} = {_text(value)}"
        yield f"Expected: {_text(expected.get('output'))}"
        gave = given.get("error") if given.get("output") is None else given["output"]
        yield f"Given:    {_text(gave)}"
        return


def _text(value: object) -> str:
    if isinstance(value, torch.Tensor):
        value = f"{tuple(value.shape)} {value.dtype}\n{value}"
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"
