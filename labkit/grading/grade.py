"""Grade one submission: bytes in, a result and an annotated notebook out.

Pure but for the learner's process, so it can run wherever a worker is.
"""

import time

import nbformat

from labkit.grading.judge import LOST, Judge
from labkit.grading.result import ExerciseResult, Outcome, Result, Status
from labkit.grading.sandbox.client import StepResult, Warm
from labkit.grading.submission import Rebuilt, Unreadable, parse, rebuild
from labkit.grading.version import grader_version
from labkit.lab import grade_id


def grade(
    data: bytes, judge: Judge, warm: Warm
) -> tuple[Result, nbformat.NotebookNode]:
    """Grade the bytes of a submitted notebook.

    Returns the result, and the rebuilt notebook with the outputs of its cells and the
    verdicts at its checks. Nothing that a submission holds makes this raise.
    """
    start = time.perf_counter()
    try:
        metadata, cells = parse(data)
        rebuilt = rebuild(judge.master, cells)
    except Unreadable as reason:
        return refuse(str(reason), judge)
    steps = judge.steps(rebuilt)
    done = warm.run(steps, judge.settings.timeout)
    by_index = {s.index: became for s, became in zip(steps, done, strict=True)}
    by_label = {
        cell.metadata.get("nbgrader", {}).get("grade_id"): by_index[index]
        for index, cell in enumerate(rebuilt.notebook.cells)
        if index in by_index
    }
    exercises, notes = judge.verdicts(rebuilt, by_label)
    notes = [*rebuilt.notes, *notes]
    digest = metadata.get("labkit", {})
    digest = digest.get("digest") if isinstance(digest, dict) else None
    if isinstance(digest, str) and digest != judge.master.digest:
        notes.append("Written in another version of this lab.")
    unjudged = any(e.outcome is Outcome.UNJUDGED for e in exercises)
    status = Status.INCOMPLETE if unjudged else Status.GRADED
    result = _result(judge, exercises, notes, status)
    result.seconds = round(time.perf_counter() - start, 3)
    return result, annotate(rebuilt, by_index, exercises, judge)


def refuse(
    reason: str, judge: Judge, status: Status = Status.UNREADABLE
) -> tuple[Result, nbformat.NotebookNode]:
    """The result of a submission that cannot be graded: no points, and the reason."""
    rebuilt = Rebuilt(nbformat.from_dict(judge.master.notebook))
    exercises = [
        ExerciseResult(
            q.number, q.title, q.points, Outcome.UNREADABLE, f"✗ {q.number}: {reason}"
        )
        for q in judge.master.questions
    ]
    result = _result(judge, exercises, [reason], status)
    return result, annotate(rebuilt, {}, exercises, judge)


def _result(
    judge: Judge, exercises: list[ExerciseResult], notes: list[str], status: Status
) -> Result:
    master, settings = judge.master, judge.settings
    return Result(
        lab=master.lab,
        status=status,
        exercises=exercises,
        notes=notes,
        master=master.digest,
        labkit=grader_version(master.lab),
        seed=settings.seed,
        device=settings.device,
    )


def annotate(
    rebuilt: Rebuilt,
    became: dict[int, StepResult],
    exercises: list[ExerciseResult],
    judge: Judge,
) -> nbformat.NotebookNode:
    """Store outputs and verdicts in the rebuilt notebook, as nbgrader scores them:
    an error output gives no points, anything printed gives all.

    became   what came of the cells that were run, by index
    """
    checks = [question.check for question in judge.master.questions]
    verdicts = dict(zip(checks, exercises, strict=True))
    for index, cell in enumerate(rebuilt.notebook.cells):
        if cell.cell_type != "code":
            continue
        step = became.get(index, StepResult())
        if name := grade_id(cell, "grade"):
            cell.outputs = [_verdict_output(verdicts[name])]
        else:
            cell.outputs = [nbformat.from_dict(o) for o in step.outputs]
            if step.lost:
                text = LOST[step.lost].format(timeout=judge.settings.timeout)
                cell.outputs.append(_error("NotFinished", text))
    return rebuilt.notebook


def _verdict_output(exercise: ExerciseResult) -> nbformat.NotebookNode:
    if exercise.right:
        text = exercise.feedback + "\n"
        return nbformat.v4.new_output("stream", name="stdout", text=text)
    return _error("CheckFailed", exercise.feedback)


def _error(name: str, text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output(
        "error", ename=name, evalue=text, traceback=text.split("\n")
    )
