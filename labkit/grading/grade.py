"""Grade one submission: bytes in, a result and an annotated notebook out.

Pure but for the learner's processes, so it can run wherever a worker is.
"""

import time

import nbformat

from labkit.grading.judge import LOST, Asked, Judge, sentence
from labkit.grading.rebuild import Rebuilt, rebuild
from labkit.grading.result import ExerciseResult, Outcome, Result, Status
from labkit.grading.sandbox import client
from labkit.grading.sandbox.client import Cell, Check, StepResult, Warm
from labkit.grading.submission import Unreadable, parse
from labkit.grading.version import grader_version
from labkit.lab import Question, grade_id


def grade(
    data: bytes, judge: Judge, warm: Warm, student: str = ""
) -> tuple[Result, nbformat.NotebookNode]:
    """Grade the bytes of a notebook that this student handed in.

    Returns the result, and the rebuilt notebook with the outputs of its answer cells
    and the verdicts at its checks. Nothing that a submission holds makes this raise.
    """
    start = time.perf_counter()
    asked = judge.asks(student)
    try:
        metadata, cells = parse(data)
        rebuilt = rebuild(judge.master, cells)
    except Unreadable as reason:
        return refuse(str(reason), judge, student=student)
    sitting = Sitting(judge, asked, rebuilt, warm)
    judged = [sitting.take(question) for question in judge.master.questions]
    exercises, notes = judge.conclude(rebuilt, judged)
    notes = [*rebuilt.notes, *notes]
    digest = metadata.get("labkit", {})
    digest = digest.get("digest") if isinstance(digest, dict) else None
    if isinstance(digest, str) and digest != judge.master.digest:
        notes.append("Written in another version of this lab.")
    unjudged = any(e.outcome is Outcome.UNJUDGED for e in exercises)
    status = Status.INCOMPLETE if unjudged else Status.GRADED
    result = _result(judge, asked, exercises, notes, status)
    result.seconds = round(time.perf_counter() - start, 3)
    return result, annotate(rebuilt, sitting.became, exercises, judge)


class Sitting:
    """One submission at its exercises, each in a process of its own: with its answer,
    the cells that were given (the process is forked from one in which they have run),
    and the answers that it builds on.

    became   what came of answer cells and checks, by grade id
    """

    def __init__(self, judge: Judge, asked: Asked, rebuilt: Rebuilt, warm: Warm):
        self.judge, self.asked, self.rebuilt, self.warm = judge, asked, rebuilt, warm
        cells = rebuilt.notebook.cells
        answers = {grade_id(c, "solution"): c.source for c in cells}
        self.sources = {n: s for n, s in answers.items() if n not in rebuilt.blank}
        self.by_number = {q.number: q for q in judge.master.questions}
        self.latest = time.monotonic() + client.REPLAYS * judge.settings.timeout
        self.became: dict[str, StepResult] = {}
        self.right: dict[str, bool] = {}

    def take(self, question: Question) -> tuple[ExerciseResult, str]:
        """The result of one question, and a note on it or "". Those before it have been
        taken."""
        if not self.rebuilt.blank.issuperset(question.answers):
            self.became |= self._run(question)
        result, note = self.asked.verdict(question, self.rebuilt, self.became)
        bad = [n for n in question.builds_on if not self.right[n]]
        if bad and result.outcome in FOLLOWING:
            result, note = self._with_the_courses(question, bad, result, note)
        self.right[question.number] = result.right
        return result, note

    def _with_the_courses(
        self, question: Question, bad: list[str], result: ExerciseResult, note: str
    ) -> tuple[ExerciseResult, str]:
        """Judge a wrong answer again, with the course's in place of those that it
        builds on and that are wrong. All that leaves this process is whether it is
        right now, so that no solution can."""
        again = self._run(question, replaced=bad)
        second, _ = self.asked.verdict(question, self.rebuilt, again)
        numbers = " and ".join(bad)
        if second.right:
            second.given = tuple(bad)
            second.feedback += sentence(
                f"It builds on your answer to {numbers}, which is not right; it was "
                "judged with the course's answer to that."
            )
            return second, ""
        result.feedback += sentence(
            f"It builds on your answer to {numbers}, which is not right; with the "
            "course's answer to that, this one is not right either."
        )
        return result, note

    def _run(self, question: Question, replaced: list[str] = ()) -> dict:
        """What comes of a question's answers and its check, in a process of their own.

        replaced   numbers of answers in whose place the course's own are run
        """
        cells = []
        for number in question.builds_on:
            names = self.by_number[number].answers
            if number in replaced:
                cells += [(n, self.judge.master.solutions[n]) for n in names]
            elif not any(self._was_lost(n) for n in names):
                cells += [(n, self.sources[n]) for n in names if n in self.sources]
        own = [(n, self.sources[n]) for n in question.answers if n in self.sources]
        steps = [Cell(i, source) for i, (_, source) in enumerate(cells + own)]
        steps.append(Check(len(steps), self.asked.request(question.number)))
        done = self.warm.run(steps, self.judge.settings.timeout, self.latest)
        labels = [*(name for name, _ in cells + own), question.check]
        became = dict(zip(labels, done, strict=True))
        return {n: became[n] for n in (*(n for n, _ in own), question.check)}

    def _was_lost(self, name: str) -> bool:
        return name in self.became and bool(self.became[name].lost)


# Outcomes that may follow from another answer's error.
FOLLOWING = (Outcome.WRONG, Outcome.UNDEFINED, Outcome.ERROR, Outcome.TIME)
FOLLOWING += (Outcome.DIED,)


def refuse(
    reason: str,
    judge: Judge,
    status: Status = Status.UNREADABLE,
    student: str = "",
) -> tuple[Result, nbformat.NotebookNode]:
    """The result of a submission that cannot be graded: no points, and the reason."""
    rebuilt = Rebuilt(nbformat.from_dict(judge.master.notebook))
    exercises = [
        ExerciseResult(
            q.number, q.title, q.points, Outcome.UNREADABLE, f"✗ {q.number}: {reason}"
        )
        for q in judge.master.questions
    ]
    result = _result(judge, judge.asks(student), exercises, [reason], status)
    return result, annotate(rebuilt, {}, exercises, judge)


def _result(
    judge: Judge,
    asked: Asked,
    exercises: list[ExerciseResult],
    notes: list[str],
    status: Status,
) -> Result:
    master, settings = judge.master, judge.settings
    return Result(
        lab=master.lab,
        status=status,
        exercises=exercises,
        notes=[" ".join(note.split()) for note in notes],
        master=master.digest,
        labkit=grader_version(master.lab),
        seed=asked.seed,
        device=settings.device,
    )


def annotate(
    rebuilt: Rebuilt,
    became: dict[str, StepResult],
    exercises: list[ExerciseResult],
    judge: Judge,
) -> nbformat.NotebookNode:
    """Store outputs and verdicts in the rebuilt notebook, as nbgrader scores them:
    an error output gives no points, anything printed gives all.

    became   what came of the cells that were run, by grade id
    """
    checks = [question.check for question in judge.master.questions]
    verdicts = dict(zip(checks, exercises, strict=True))
    for cell in rebuilt.notebook.cells:
        if name := grade_id(cell, "grade"):
            cell.outputs = [_verdict_output(verdicts[name])]
        elif name := grade_id(cell, "solution"):
            step = became.get(name, StepResult())
            cell.outputs = [nbformat.from_dict(o) for o in step.outputs]
            if step.lost in LOST:
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
