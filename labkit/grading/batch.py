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

from labkit.grading import feedback
from labkit.grading.course import Course, CourseError, Submission, write
from labkit.grading.grade import engine, grade, refuse
from labkit.grading.gradebook import Writer
from labkit.grading.judge import Judge
from labkit.grading.run import Warm
from labkit.grading.summary import counted

FORMAT = 1  # of a result file


def grade_lab(
    course: Course,
    lab: str,
    student: str | None = None,
    seed: int | None = None,
    timeout: float | None = None,
    force: bool = False,
    say: Callable[[str], None] = print,
) -> list[dict]:
    """Grade a lab's submissions; return all their results, old and new.

    student   only this one
    seed      of the private cases; by default the course's own
    timeout   seconds for a cell; by default as configured
    force     grade again what has not changed
    """
    seed = course.seed() if seed is None else seed
    judge = Judge(course.master(lab), seed, timeout or course.timeout)
    students = course.students(lab, student)
    results, todo = {}, []
    with Writer(course, lab) as writer:
        if not writer.released():
            raise CourseError(f"the gradebook has no {lab}; run labkit release first.")
        recorded = writer.recorded()
        for name in students:
            mark = fingerprint(course.submission(lab, name), judge)
            old = _stored(course, lab, name)
            done = old.get("fingerprint") == mark and name in recorded
            if done and not force and course.path("autograded", name, lab).exists():
                results[name] = old
            else:
                todo.append(name)
        if results:
            say(f"{lab}: {len(results)} graded before and unchanged.")
        if todo:
            results |= _grade_all(course, lab, judge, writer, todo)
    pages = feedback.stale(course, lab, students)
    if pages:
        say(f"{lab}: writing {counted(len(pages), 'feedback page')} …")
        feedback.write_pages(course, lab, pages)
    return [results[name] for name in students]


def _grade_all(course, lab, judge, writer, todo) -> dict[str, dict]:
    results = {}
    with Warm(judge.master.imports) as warm:
        progress = Progress(len(todo))
        for student in todo:
            submission = course.submission(lab, student)
            if submission.reason:
                result, notebook = refuse(submission.reason, judge)
            else:
                result, notebook = grade(submission.data, judge, warm)
            result = {
                "format": FORMAT,
                "student": student,
                "file": submission.file,
                **result,
                "notes": [*submission.notes, *result["notes"]],
                "fingerprint": fingerprint(submission, judge),
            }
            writer.record(submission, notebook)
            text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
            write(course.result(lab, student), text)
            results[student] = result
            progress.step(bool(result["notes"]))
    return results


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
