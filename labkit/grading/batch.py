"""Grade what is new or changed in a course directory, and say how it goes.

For each submission, in this order: run and judge; autograded/ and the gradebook; last
the result in results/. The result marks the submission as done, so a run that is
killed at any moment is taken up where it was, and nothing counts twice.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from labkit.grading import feedback
from labkit.grading.course import Course, CourseError, Submission, write
from labkit.grading.crew import PAYS, Setup, cores, graded
from labkit.grading.grade import engine
from labkit.grading.gradebook import Writer
from labkit.grading.judge import Judge
from labkit.grading.summary import counted

FORMAT = 1  # of a result file


@dataclass(frozen=True)
class Options:
    """What the command was told.

    student    only this one
    seed       of the private cases; by default the course's own
    timeout    seconds for a cell; by default as configured
    force      grade again what has not changed
    workers    processes; by default all cores, if there is work enough for them
    scheduler  of a Dask cluster whose workers grade instead
    unsafe     run learners' code without a sandbox
    """

    student: str | None = None
    seed: int | None = None
    timeout: float | None = None
    force: bool = False
    workers: int | None = None
    scheduler: str | None = None
    unsafe: bool = False


def grade_lab(
    course: Course,
    lab: str,
    options: Options = Options(),  # noqa: B008, it is frozen
    say: Callable[[str], None] = print,
) -> list[dict]:
    """Grade a lab's submissions; return all their results, old and new, without the
    feedback, which is in the files."""
    seed = course.seed() if options.seed is None else options.seed
    timeout = options.timeout or course.timeout
    setup = Setup(course.master(lab), seed, timeout, options.unsafe, (course.root,))
    judge = setup.judge()
    students = course.students(lab, options.student)
    results, todo = {}, []
    with Writer(course, lab) as writer:
        if not writer.released():
            raise CourseError(f"the gradebook has no {lab}; run labkit release first.")
        recorded = writer.recorded()
        for name in students:
            mark = fingerprint(course.submission(lab, name), judge)
            old = _stored(course, lab, name)
            done = old.get("fingerprint") == mark and name in recorded
            done = done and course.path("autograded", name, lab).exists()
            if done and not options.force:
                results[name] = _brief(old)
            else:
                todo.append(name)
        if results:
            say(f"{lab}: {len(results)} graded before and unchanged.")
        if todo:
            results |= _grade_all(course, setup, judge, writer, todo, options)
    pages = feedback.stale(course, lab, students)
    if pages:
        say(f"{lab}: writing {counted(len(pages), 'feedback page')} …")
        feedback.write_pages(course, lab, pages, how_many(options, len(pages)))
    return [results[name] for name in students]


def how_many(options: Options, tasks: int) -> int:
    """How many processes to use: starting one costs as much as some submissions."""
    return options.workers or (cores() if tasks >= PAYS else 1)


def _grade_all(course, setup, judge, writer, todo, options) -> dict[str, dict]:
    lab, results, progress = judge.master.lab, {}, Progress(len(todo))
    submissions = (course.submission(lab, student) for student in todo)
    workers = how_many(options, len(todo))
    for submission, result, notebook in graded(
        setup, submissions, workers, options.scheduler
    ):
        result = {
            "format": FORMAT,
            "student": submission.student,
            "file": submission.file,
            **result,
            "notes": [*submission.notes, *result["notes"]],
            "fingerprint": fingerprint(submission, judge),
        }
        writer.record(submission, notebook)
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        write(course.result(lab, submission.student), text)
        results[submission.student] = _brief(result)
        progress.step(bool(result["notes"]))
    return results


def _brief(result: dict) -> dict:
    """A result without its long texts: a thousand of them fit in memory."""
    kept = ("number", "title", "points", "score", "outcome", "misconception")
    exercises = [{name: e[name] for name in kept} for e in result["exercises"]]
    return result | {"exercises": exercises}


def fingerprint(submission: Submission, judge: Judge) -> str:
    """What a result depends on: as long as this is the same, the result holds."""
    handed_in = (submission.file, submission.timestamp, submission.reason)
    ours = (judge.master.digest, judge.seed, judge.timeout, engine())
    digest = hashlib.sha256(json.dumps([*handed_in, *ours]).encode())
    digest.update(submission.data)
    return digest.hexdigest()


def _stored(course: Course, lab: str, student: str) -> dict:
    """The result of an earlier run, {} if there is none that can be read."""
    try:
        result = json.loads(course.result(lab, student).read_text("utf-8"))
        return result if result.get("format") == FORMAT else {}
    except (OSError, ValueError, AttributeError):
        return {}


class Progress:
    """How far it is, on stderr: one line that changes, or a line every ten seconds."""

    def __init__(self, total: int):
        self.total, self.done, self.odd = total, 0, 0
        self.start = self.said = time.monotonic()

    def step(self, odd: bool) -> None:
        self.done += 1
        self.odd += odd
        now = time.monotonic()
        last = self.done == self.total
        if not (sys.stderr.isatty() or last or now - self.said > 10):
            return
        self.said = now
        rate = self.done / max(now - self.start, 1e-9)
        left = (self.total - self.done) / rate
        line = f"{self.done}/{self.total} graded, {1 / rate:.2f} s each"
        line += f", {left:.0f} s left" if not last else ""
        line += f", {self.odd} to look at" if self.odd else ""
        terminal = sys.stderr.isatty()
        end = "\r" if terminal and not last else "\n"
        print(f"\x1b[2K{line}" if terminal else line, end=end, file=sys.stderr)
