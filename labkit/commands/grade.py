"""labkit grade: the submissions of a course directory, or one notebook."""

import argparse
import json
import secrets
import sys
from itertools import chain
from pathlib import Path

from labkit import paths
from labkit.commands.options import add_lab
from labkit.commands.problems import Problem, complain, need_fork

HELP = "grade a course directory's submissions, or one notebook"
EXAMPLE = "labkit grade ../my-course --lab 02 --student ada"
STOPPED = "stopped; the next run goes on where this one was."
UNSAFE = "run learners' code without a sandbox"
REFUSED = (
    "learners' code could not be shut in on this machine ({}). "
    "See the chapter For instructors; --unsafe grades without a sandbox."
)
WARNING = (
    "Learners' code runs without a sandbox and can do on this machine whatever you "
    "can: use one that you can afford to lose."
)
NO_GPU = (
    "--device cuda: PyTorch sees no GPU here; usually the installed PyTorch is the "
    "CPU build."
)
GPU_UNSAFE = (
    "--device cuda: the sandbox lets no GPU in, so this needs --unsafe, and this "
    "machine instead of a --scheduler."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", type=Path, help="the course directory or an .ipynb")
    add_lab(parser)
    add("--student", help="only this student")
    add("--seed", type=int, help="of the private cases")
    add("--timeout", type=float, metavar="SECONDS", help="for a cell and for a check")
    add("--force", action="store_true", help="grade again what has not changed")
    add("--workers", type=int, metavar="N", help="default: all cores")
    add("--scheduler", metavar="ADDRESS", help="of a Dask cluster: tcp://host:8786")
    add("--json", action="store_true", help="print the results as JSON, nothing else")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    add("--unsafe", action="store_true", help=UNSAFE)


def run(args: argparse.Namespace) -> int:
    need_fork()
    import torch

    from labkit.grading.course import DAY, SEEDS
    from labkit.grading.sandbox.confine import Refused

    if args.timeout is not None and not 0 < args.timeout <= DAY:
        raise Problem("--timeout is a number of seconds above 0, at most a day.")
    if args.seed is not None and args.seed not in SEEDS:
        raise Problem(f"--seed is a number from 0 to {SEEDS[-1]}.")
    if not args.path.exists():
        raise Problem(f"{args.path} does not exist.")
    if args.workers is not None and args.workers < 1:
        raise Problem("--workers is a number from 1 up.")
    if args.device == "cuda":
        if not torch.cuda.is_available():
            raise Problem(NO_GPU)
        if args.scheduler or not args.unsafe:
            raise Problem(GPU_UNSAFE)
    if args.unsafe:
        print(WARNING, file=sys.stderr)
    torch.set_num_threads(1)  # the judge computes with small tensors
    try:
        return _grade_course(args) if args.path.is_dir() else _grade_file(args)
    except Refused as reason:
        raise Problem(REFUSED.format(reason)) from reason


def _grade_course(args: argparse.Namespace) -> int:
    from labkit.grading import orphans, summary
    from labkit.grading.batch import Options, grade_lab
    from labkit.grading.course import Course, CourseError
    from labkit.grading.result import Status
    from labkit.grading.sandbox import cgroup
    from labkit.grading.settings import Settings

    course = Course(args.path)
    left_out = list(course.left_out(args.lab))
    for problem in left_out:
        complain(problem)
    labs = [x for x in course.labs(args.lab) if course.students(x, args.student)]
    if not labs:
        who = f"by {args.student!r} " if args.student else ""
        raise CourseError(f"nothing was submitted {who}in {args.path}/submitted.")
    settings = Settings(
        course.seed() if args.seed is None else args.seed,
        args.timeout or course.timeout,
        args.device,
        args.unsafe,
        (course.root,),
        "" if args.scheduler else cgroup.claim(),
        "" if args.scheduler else orphans.mark_of(course.root),
    )
    options = Options(args.student, args.force, args.workers, args.scheduler)
    say = (lambda _: None) if args.json else print
    say(summary.opening(settings.terms))
    graded = {}
    with course.lock():
        if settings.mark and (left := orphans.end(settings.mark)):
            say(f"Ended what a killed run had left behind ({left}).")
        for lab in labs:
            graded[lab] = grade_lab(course, lab, settings, options, say)
            say(summary.table(graded[lab]))
    if args.json:
        said = summary.as_json(graded, settings.terms)
        print(json.dumps(said, indent=1, ensure_ascii=False))
    refused = any(r.status is not Status.GRADED for r in chain(*graded.values()))
    wanted = sum(len(course.students(lab, args.student)) for lab in graded)
    lost = wanted > sum(map(len, graded.values()))
    return int(refused or lost or bool(left_out))


def _grade_file(args: argparse.Namespace) -> int:
    from labkit.grading import summary
    from labkit.grading.batch import grade_file
    from labkit.grading.course import lone_submission
    from labkit.grading.result import Status
    from labkit.grading.sandbox import cgroup
    from labkit.grading.settings import Settings
    from labkit.grading.workers import Setup

    submission = lone_submission(args.path)
    settings = Settings(
        secrets.randbits(64) if args.seed is None else args.seed,
        args.timeout or Settings.timeout,
        args.device,
        args.unsafe,
        group=cgroup.claim(),
    )
    result = grade_file(submission, Setup(_master_for(submission, args.lab), settings))
    if args.json:
        print(json.dumps(result.to_json(), indent=1, ensure_ascii=False))
    else:
        print(summary.single(result))
    return int(result.status is not Status.GRADED)


def _master_for(submission, wanted: str | None):
    """The master of the lab that a notebook is of: as asked for, as the notebook says,
    or as the file's name says."""
    from labkit.grading.submission import Unreadable, parse
    from labkit.lab import Master, select_one

    solutions = {p.stem: p for p in sorted(paths.root().glob("solutions/*.ipynb"))}
    if wanted is not None:
        return Master.from_solution(solutions[select_one(solutions, wanted)])
    if submission.reason:
        raise Problem(submission.reason)
    try:
        metadata, _ = parse(submission.data)
    except Unreadable as damage:
        metadata, damaged = {}, damage
    else:
        damaged = None
    mark, stem = metadata.get("labkit"), Path(submission.file).stem
    said = mark.get("lab") if isinstance(mark, dict) else None
    for name, solution in solutions.items():
        if said == name or (not said and stem.startswith(name)):
            return Master.from_solution(solution)
    if damaged:
        raise Problem(f"{submission.file}: {damaged}")
    raise Problem(f"which lab is it? Say --lab with one of: {', '.join(solutions)}")
