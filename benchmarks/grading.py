"""How long grading takes: stock nbgrader autograde against labkit grade.

    python benchmarks/grading.py [--submissions 3] [--rounds 2] [--lab lab_01]
    python benchmarks/grading.py --scale 10 100 1000     the whole command, by size

Honest submissions (right, blank, half done, in turn) go through both, one after the
other in each round, so that other work on the machine hits both alike; both compute
with one thread, and ours runs in the sandbox. Both are warm: starting up is not
counted, but said. The minimum is closest to a quiet machine; the median shows what this
one did meanwhile. Without --lab, all labs are compared in turn.

With --scale, `labkit grade` runs as an instructor runs it, with all cores, gradebook
and feedback pages included; memory is the largest sum over all its processes.

The exit status is 1 if a bar is missed: by the median 12 times faster, or 5 times where
the answers themselves take more than 0.2 s; memory that does not grow with the class;
1,000 submissions of lab 1 in 6 minutes. Stock nbgrader runs the cells that show what
answers do as well; they decide nothing, and ours leaves them out.
"""

import argparse
import copy
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import nbformat  # noqa: E402
import psutil  # noqa: E402
from nbgrader.apps import NbGraderAPI  # noqa: E402

from labkit import paths  # noqa: E402
from labkit.grading import feedback  # noqa: E402
from labkit.grading.course import Course  # noqa: E402
from labkit.grading.grade import grade  # noqa: E402
from labkit.grading.gradebook import Writer  # noqa: E402
from labkit.grading.judge import Judge  # noqa: E402
from labkit.grading.rebuild import rebuild  # noqa: E402
from labkit.grading.release import release  # noqa: E402
from labkit.grading.result import Status  # noqa: E402
from labkit.grading.sandbox.client import Cell, Warm  # noqa: E402
from labkit.grading.settings import Settings  # noqa: E402
from labkit.grading.submission import parse  # noqa: E402
from labkit.grading.workers import PAYS, cores  # noqa: E402
from labkit.lab import grade_id  # noqa: E402

BAR, HEAVY_BAR = 12, 5  # times faster than stock
LIGHT = 0.2  # seconds: a lab whose answers take less has to meet the first bar
LIMIT = 360  # seconds for 1,000 submissions of lab 1 on 2 cores
FLAT = 1.25  # times the memory of the smallest class that uses all cores


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--submissions", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--lab", default="", help="how the lab's name begins")
    parser.add_argument("--scale", type=int, nargs="+", metavar="N", default=[])
    args = parser.parse_args()
    solutions = sorted((paths.root() / "solutions").glob("*.ipynb"))
    labs = [p.stem for p in solutions if p.stem.startswith(args.lab)]
    if args.scale:
        return scale(labs[0], sorted(args.scale))
    missed = 0
    for lab in labs:
        with tempfile.TemporaryDirectory() as folder:
            ours, stock = Path(folder, "ours"), Path(folder, "stock")
            students = hand_in(ours, lab, args.submissions)
            shutil.copytree(ours, stock)
            missed += compare(Course(ours), Course(stock), lab, students, args.rounds)
    return int(missed > 0)


def hand_in(root: Path, lab: str, count: int) -> list[str]:
    """Make a course in which so many students have handed in; return their names."""
    release(root, paths.root() / "solutions", lab, say=lambda _: None)
    course = Course(root)
    handed_in = submissions(course, lab, count)
    for student, notebook in handed_in.items():
        path = course.path("submitted", student, lab) / f"{lab}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook), "utf-8")
    return list(handed_in)


def scale(lab: str, sizes: list[int]) -> int:
    """Grade classes of these sizes with the command itself; 1 if a bar is missed."""
    print(f"{lab}, {cores()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'submissions':>11} {'seconds':>8} {'each':>6} {'memory, MiB':>12}")
    peaks, missed = [], False
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "course")
            hand_in(root, lab, size)
            seconds, peak = watched(["labkit", "grade", str(root)])
        peaks.append(peak)
        print(
            f"{size:11} {seconds:8.1f} {seconds / size:6.2f} {peak:12.0f}", flush=True
        )
        missed |= size == 1000 and seconds > LIMIT
    wide = [peak for size, peak in zip(sizes, peaks, strict=True) if size >= PAYS]
    if wide and max(wide) > FLAT * min(wide):
        print(f"memory grows by more than {FLAT - 1:.0%}")
        missed = True
    return int(missed)


def watched(module: list[str]) -> tuple[float, float]:
    """Run a module; seconds, and the peak in MiB of what its processes hold (their
    proportional share of each page, as forked processes share most)."""
    start, peak = time.perf_counter(), 0.0
    command = subprocess.Popen(
        [sys.executable, "-m", *module],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while command.poll() is None:
        peak = max(peak, sum(map(held, family(psutil.Process(command.pid)))))
        time.sleep(0.5)
    assert command.returncode == 0, command.returncode
    return time.perf_counter() - start, peak / 2**20


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def held(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def compare(ours: Course, stock: Course, lab: str, students: list, rounds: int) -> bool:
    """Print the times of both; whether ours misses its bar."""
    settings = Settings(seed=1, timeout=60.0)
    judge = Judge(ours.master(lab), settings)
    api = NbGraderAPI(stock.directory, config=stock.config)
    times: dict[str, list[float]] = {"nbgrader": [], "labkit": [], "page": []}
    warm = Warm(judge.master.own_cells, settings)
    start, _ = timed(warm.__enter__)
    own = own_seconds(ours, lab, students[0], judge, warm)
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
    bar = BAR if own < LIGHT else HEAVY_BAR
    print(f"{'times faster':<40} {low:7.1f} {middle:7.1f}   (bar: {bar})")
    print(f"the answers' cells take {own:.2f} s")
    print(f"once per run: {start:.1f} s until learners' code can start\n")
    return middle < bar


def own_seconds(course, lab, student, judge, warm) -> float:
    """How long the answers of a right submission take, without checks and judge."""
    _, cells = parse(course.submission(lab, student).data)
    rebuilt = rebuild(judge.master, cells)
    answers = [s for q in judge.master.questions for s in rebuilt.answers(q)]
    alone = [Cell(index, source) for index, source in enumerate(answers)]
    limit = judge.settings.timeout
    return min(timed(warm.run, alone, limit)[0] for _ in range(3))


def grade_and_record(course, lab, student, judge, warm, writer) -> None:
    submission = course.submission(lab, student)
    result, notebook = grade(submission.data, judge, warm, student)
    assert result.status is Status.GRADED
    writer.record(submission, notebook, result)


if __name__ == "__main__":
    sys.exit(main())
