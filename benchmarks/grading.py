"""How long grading one submission takes: stock nbgrader autograde against labkit grade.

    python benchmarks/grading.py [--submissions 3] [--rounds 2] [--lab lab_01]

Honest submissions (right, blank, half done, in turn) go through both, one after the
other in each round, so that other work on the machine hits both alike; both compute
with one thread. Both are warm: starting up is not counted, but said. The minimum is
closest to a quiet machine; the median shows what this one did meanwhile.
"""

import argparse
import copy
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import nbformat  # noqa: E402
from nbgrader.apps import NbGraderAPI  # noqa: E402

from labkit.cli import course_root  # noqa: E402
from labkit.grading import feedback  # noqa: E402
from labkit.grading.course import Course  # noqa: E402
from labkit.grading.grade import grade  # noqa: E402
from labkit.grading.gradebook import Writer  # noqa: E402
from labkit.grading.judge import Judge  # noqa: E402
from labkit.grading.notebook import grade_id  # noqa: E402
from labkit.grading.release import release  # noqa: E402
from labkit.grading.run import Warm  # noqa: E402


def submissions(course: Course, lab: str, count: int) -> dict[str, dict]:
    """Notebooks by student: all answers, none, every other one, and so on."""
    source = course.path("source", ".", lab) / f"{lab}.ipynb"
    solution = nbformat.read(source, as_version=4)
    right = {grade_id(c, "solution"): c.source for c in solution.cells}
    blank = course.master(lab).notebook
    made = {}
    for number in range(count):
        notebook = copy.deepcopy(blank)
        answers = [c for c in notebook.cells if grade_id(c, "solution")]
        step = (1, len(answers) + 1, 2)[number % 3]
        for position, cell in enumerate(answers, 1):
            if position % step == 0:
                cell.source = right[cell.id]
        made[f"student{number:02}"] = notebook
    return made


def timed(function, *arguments) -> tuple[float, object]:
    start = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - start, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--submissions", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--lab", default="lab_01", help="how the lab's name begins")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        ours, stock = Path(folder, "ours"), Path(folder, "stock")
        (lab,) = release(
            ours, course_root() / "solutions", args.lab, say=lambda _: None
        )
        course = Course(ours)
        handed_in = submissions(course, lab, args.submissions)
        for student, notebook in handed_in.items():
            path = course.path("submitted", student, lab) / f"{lab}.ipynb"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(notebook), "utf-8")
        shutil.copytree(ours, stock)
        compare(course, Course(stock), lab, list(handed_in), args.rounds)


def compare(ours: Course, stock: Course, lab: str, students: list, rounds: int) -> None:
    judge = Judge(ours.master(lab), 1, 60.0)
    api = NbGraderAPI(stock.directory, config=stock.config)
    times: dict[str, list[float]] = {"nbgrader": [], "labkit": [], "page": []}
    warm = Warm(judge.master.imports)
    start, _ = timed(warm.__enter__)
    with Writer(ours, lab) as writer:
        for _ in range(rounds):
            for student in students:
                seconds, done = timed(api.autograde, lab, student)
                assert done["success"], done["log"]
                times["nbgrader"].append(seconds)
                seconds, _ = timed(
                    grade_and_record, ours, lab, student, judge, warm, writer
                )
                times["labkit"].append(seconds)
            seconds, _ = timed(feedback.write_pages, ours, lab, students)
            times["page"].append(seconds / len(students))
        for student in students:
            with stock.gradebook() as book:
                theirs = book.find_submission(lab, student).score
            mine = writer.gradebook.find_submission(lab, student).score
            assert mine == theirs, f"{student}: {mine} points, nbgrader gives {theirs}"
    warm.__exit__()

    print(
        f"{lab}: {len(students)} submissions × {rounds} rounds, same scores from both"
    )
    print(f"{'seconds per submission':<40} {'min':>7} {'median':>7}")
    for name, said in {
        "nbgrader": "nbgrader autograde",
        "labkit": "labkit grade, gradebook included",
        "page": "  and its feedback page",
    }.items():
        low, middle = min(times[name]), statistics.median(times[name])
        print(f"{said:<40} {low:7.2f} {middle:7.2f}")
    low = min(times["nbgrader"]) / min(times["labkit"])
    middle = statistics.median(times["nbgrader"]) / statistics.median(times["labkit"])
    print(f"{'times faster':<40} {low:7.1f} {middle:7.1f}")
    print(f"once per run: {start:.1f} s until learners' code can start")


def grade_and_record(course, lab, student, judge, warm, writer) -> None:
    submission = course.submission(lab, student)
    result, notebook = grade(submission.data, judge, warm)
    assert result["status"] == "graded"
    writer.record(submission, notebook)


if __name__ == "__main__":
    main()
