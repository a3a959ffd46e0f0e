"""Grade what is new or changed in a course directory, and say how it goes.

For each submission, in this order: run and judge; autograded/ and the gradebook; last
the result in results/. The result marks the submission as done, so a run that is
killed at any moment is taken up where it was, and nothing counts twice.
"""

import errno
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from labkit.grading import feedback
from labkit.grading.course import Course, CourseError, Submission
from labkit.grading.gradebook import Writer
from labkit.grading.result import FORMAT, Result
from labkit.grading.settings import Settings
from labkit.grading.summary import counted
from labkit.grading.version import grader_version
from labkit.grading.workers import PAYS, Setup, cores, graded
from labkit.lab import check_id
from labkit.paths import write

# What may be wrong with one student's folders alone, unlike a disk that is full.
ITS_OWN = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
ITS_OWN += (errno.EACCES, errno.EPERM, errno.ENOTEMPTY, errno.EINVAL)


@dataclass(frozen=True)
class Options:
    """Which submissions the command is to grade, and on what.

    student    only this one
    force      grade again what has not changed
    workers    processes; by default all cores, if there is work enough for them
    scheduler  of a Dask cluster whose workers grade instead
    """

    student: str | None = None
    force: bool = False
    workers: int | None = None
    scheduler: str | None = None


def grade_lab(
    course: Course,
    lab: str,
    settings: Settings,
    options: Options = Options(),  # noqa: B008, it is frozen
    say: Callable[[str], None] = print,
) -> list[Result]:
    """Grade a lab's submissions; return all their results, old and new, without the
    feedback, which is in the files."""
    setup = Setup(course.master(lab), settings)
    students = course.students(lab, options.student)
    with Writer(course, lab) as writer:
        if not writer.released():
            raise CourseError(f"the gradebook has no {lab}; run labkit release first.")
        results, foreign = {}, []
        if not options.force:
            results, foreign = _done(course, setup, writer, students)
        if results:
            say(f"{lab}: {len(results)} graded before and unchanged.")
        if foreign:
            say(
                f"{lab}: the automatic grades of {', '.join(foreign)} are no longer as "
                "labkit grade left them (nbgrader autograde makes others); graded "
                "again. Manual grades stay."
            )
        late = writer.penalize_again(set(results))
        if late:
            say(f"{lab}: late penalties changed for {', '.join(late)}.")
        if todo := [name for name in students if name not in results]:
            results |= _grade_all(course, setup, writer, todo, options)
    pages = sorted({*feedback.stale(course, lab, students), *late})
    if pages:
        say(f"{lab}: writing {counted(len(pages), 'feedback page')} …")
        feedback.write_pages(course, lab, pages, how_many(options, len(pages)))
    return [results[name] for name in students if name in results]


def _done(
    course: Course, setup: Setup, writer: Writer, students: list[str]
) -> tuple[dict[str, Result], list[str]]:
    """The results, by student, that still hold and have reached the gradebook; and the
    students of whom somebody else has graded since."""
    lab, scores = setup.master.lab, writer.auto_scores()
    held, foreign = {}, []
    for name in students:
        old = _stored(course, lab, name)
        if not old or old.fingerprint != fingerprint(
            course.submission(lab, name), setup
        ):
            continue
        if name not in scores or not course.path("autograded", name, lab).exists():
            continue
        ours = {check_id(e.number): e.score for e in old.exercises}
        if scores[name] == ours and old.autograded == _autograded(course, lab, name):
            held[name] = old.brief()
        else:
            foreign.append(name)
    return held, foreign


def _autograded(course: Course, lab: str, student: str) -> str:
    """A digest of the notebook in autograded/, "" if there is none."""
    path = course.path("autograded", student, lab) / f"{lab}.ipynb"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def how_many(options: Options, tasks: int) -> int:
    """How many processes to use: starting one costs as much as some submissions."""
    return options.workers or (cores() if tasks >= PAYS else 1)


def _grade_all(
    course: Course, setup: Setup, writer: Writer, todo: list[str], options: Options
) -> dict[str, Result]:
    lab, results, progress = setup.master.lab, {}, Progress(len(todo))
    submissions = (course.submission(lab, student) for student in todo)
    workers = how_many(options, len(todo))
    for submission, result, notebook in graded(
        setup, submissions, workers, options.scheduler
    ):
        result.student, result.file = submission.student, submission.file
        result.notes = [*submission.notes, *result.notes]
        result.fingerprint = fingerprint(submission, setup)
        try:
            writer.record(submission, notebook, result)
            result.autograded = _autograded(course, lab, submission.student)
            text = json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n"
            write(course.result(lab, submission.student), text)
        except OSError as problem:
            if problem.errno not in ITS_OWN:
                raise
            left_out(f"{submission.student}: {problem.filename}: {problem.strerror}")
            continue
        results[submission.student] = result.brief()
        progress.step(bool(result.notes))
    return results


def left_out(what: str) -> None:
    """Say on standard error that one submission could not be stored."""
    print(f"labkit: {what}; left out, the others are graded.", file=sys.stderr)


def grade_file(submission: Submission, setup: Setup) -> Result:
    """Grade one notebook that lies outside a course."""
    ((_, result, _),) = graded(setup, [submission])
    return result


def fingerprint(submission: Submission, setup: Setup) -> str:
    """What a result depends on: as long as this is the same, the result holds."""
    handed_in = (submission.file, submission.timestamp, submission.reason)
    handed_in += (submission.secret, *submission.notes)
    master, settings = setup.master, setup.settings
    asked = (master.digest, settings.seed, settings.timeout, settings.device)
    asked += tuple(sorted(master.solutions.items()))  # for errors that follow
    grader = grader_version(master.lab)
    digest = hashlib.sha256(json.dumps([*handed_in, *asked, grader]).encode())
    digest.update(submission.data)
    return digest.hexdigest()


def _stored(course: Course, lab: str, student: str) -> Result | None:
    """The result of an earlier run, None if there is none that can be used."""
    try:
        result = Result.read(course.result(lab, student))
    except (OSError, ValueError):
        return None
    return result if result.format == FORMAT else None


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
