"""Grade what is new or changed in a course directory, and say how it goes.

For each submission, in this order: run and judge; autograded/ and the gradebook; last
the result in results/. The result marks the submission as done, so a run that is
killed at any moment is taken up where it was, and nothing counts twice.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from labkit.grading import feedback
from labkit.grading.course import Course, CourseError, Submission
from labkit.grading.grade import engine
from labkit.grading.gradebook import Writer
from labkit.grading.summary import counted
from labkit.grading.workers import PAYS, Setup, cores, graded
from labkit.paths import write

FORMAT = 2  # of a result file


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
    group      a control group to limit submissions in, from sandbox.cgroup.claim
    device     "cpu" or "cuda", where learners' code computes
    """

    student: str | None = None
    seed: int | None = None
    timeout: float | None = None
    force: bool = False
    workers: int | None = None
    scheduler: str | None = None
    unsafe: bool = False
    group: str = ""
    device: str = "cpu"

    @property
    def terms(self) -> dict:
        """Under what terms learners' code runs, as plain JSON."""
        terms = {"sandbox": not self.unsafe, "control_groups": bool(self.group)}
        return terms | {"device": self.device}


def grade_lab(
    course: Course,
    lab: str,
    options: Options = Options(),  # noqa: B008, it is frozen
    say: Callable[[str], None] = print,
) -> list[dict]:
    """Grade a lab's submissions; return all their results, old and new, without the
    feedback, which is in the files."""
    setup = _setup(course, lab, options)
    students = course.students(lab, options.student)
    with Writer(course, lab) as writer:
        if not writer.released():
            raise CourseError(f"the gradebook has no {lab}; run labkit release first.")
        done = [] if options.force else _done(course, setup, writer, students)
        results = {name: _brief(result) for name, result in done}
        if results:
            say(f"{lab}: {len(results)} graded before and unchanged.")
        if todo := [name for name in students if name not in results]:
            results |= _grade_all(course, setup, writer, todo, options)
    pages = feedback.stale(course, lab, students)
    if pages:
        say(f"{lab}: writing {counted(len(pages), 'feedback page')} …")
        feedback.write_pages(course, lab, pages, how_many(options, len(pages)))
    return [results[name] for name in students]


def _setup(course: Course, lab: str, options: Options) -> Setup:
    return Setup(
        course.master(lab),
        course.seed() if options.seed is None else options.seed,
        options.timeout or course.timeout,
        options.unsafe,
        hide=(course.root,),
        group=options.group,
        device=options.device,
    )


def _done(
    course: Course, setup: Setup, writer: Writer, students: list[str]
) -> Iterator[tuple[str, dict]]:
    """The results, by student, that still hold and have reached the gradebook."""
    lab, recorded = setup.master.lab, writer.recorded()
    for name in students:
        old = _stored(course, lab, name)
        mark = fingerprint(course.submission(lab, name), setup)
        written = course.path("autograded", name, lab).exists() and name in recorded
        if written and old.get("fingerprint") == mark:
            yield name, old


def how_many(options: Options, tasks: int) -> int:
    """How many processes to use: starting one costs as much as some submissions."""
    return options.workers or (cores() if tasks >= PAYS else 1)


def _grade_all(course, setup, writer, todo, options) -> dict[str, dict]:
    lab, results, progress = setup.master.lab, {}, Progress(len(todo))
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
            "device": setup.device,
            "fingerprint": fingerprint(submission, setup),
        }
        writer.record(submission, notebook)
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        write(course.result(lab, submission.student), text)
        results[submission.student] = _brief(result)
        progress.step(bool(result["notes"]))
    return results


def _brief(result: dict) -> dict:
    """A result without its long texts: a thousand of them fit in memory."""
    kept = "number title points score outcome misconception flags".split()
    exercises = [{name: e[name] for name in kept} for e in result["exercises"]]
    return result | {"exercises": exercises}


def fingerprint(submission: Submission, setup: Setup) -> str:
    """What a result depends on: as long as this is the same, the result holds."""
    handed_in = (submission.file, submission.timestamp, submission.reason)
    handed_in += (submission.secret, *submission.notes)
    lab = (setup.master.digest, setup.seed, setup.timeout, setup.device)
    digest = hashlib.sha256(json.dumps([*handed_in, *lab, engine()]).encode())
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
