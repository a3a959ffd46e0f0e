"""The commands `labkit release`, `labkit grade` and `labkit report`.

from labkit.grading import cli
cli.register(subparsers)     # each parser sets `run`, a function of the arguments
"""

import argparse
import json
import os
import secrets
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

DEBUG = os.environ.get("LABKIT_DEBUG")  # show tracebacks too
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


def register(commands) -> None:
    """Add the commands to what parser.add_subparsers() returned."""
    command = commands.add_parser(
        "release", help="make an nbgrader course directory to hand out labs from"
    )
    command.add_argument("directory", type=Path, help="a new one, or one made before")
    command.add_argument("--lab", help="only this lab (its name or how it begins)")
    command.set_defaults(run=_said(_release))

    command = commands.add_parser(
        "grade", help="grade a course directory's submissions, or one notebook"
    )
    command.add_argument("path", type=Path, help="the course directory or an .ipynb")
    command.add_argument("--lab", help="only this lab (its name or how it begins)")
    command.add_argument("--student", help="only this student")
    command.add_argument("--seed", type=int, help="of the private cases")
    command.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="for a cell and for a check"
    )
    command.add_argument(
        "--force", action="store_true", help="grade again what has not changed"
    )
    command.add_argument("--workers", type=int, metavar="N", help="default: all cores")
    command.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster: tcp://host:8786"
    )
    command.add_argument(
        "--json", action="store_true", help="print the results as JSON, nothing else"
    )
    command.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu"
    )
    command.add_argument("--unsafe", action="store_true", help=UNSAFE)
    command.set_defaults(run=_said(_grade))

    command = commands.add_parser(
        "report", help="write a page on where the class stands, and a CSV file"
    )
    command.add_argument("directory", type=Path, help="the course directory")
    command.add_argument("--lab", help="only this lab (its name or how it begins)")
    command.set_defaults(run=_said(_report))


def _said(command: Callable[[argparse.Namespace], int]) -> Callable:
    """A command that says in one sentence why it cannot do its work, and returns 2."""

    def run(args: argparse.Namespace) -> int:
        if not hasattr(os, "fork"):
            return _complain("this needs Linux or a Mac; on Windows use WSL.")
        from sqlalchemy.exc import SQLAlchemyError

        from labkit.grading.course import CourseError
        from labkit.grading.judge import UnknownExercise
        from labkit.grading.sandbox.confine import Refused

        try:
            return command(args)
        except (CourseError, UnknownExercise) as problem:
            return _complain(problem)
        except Refused as reason:
            return _complain(REFUSED.format(reason))
        except SQLAlchemyError as problem:
            if DEBUG:
                raise
            first = str(problem).split("\n")[0]
            return _complain(f"the gradebook cannot be used: {first}")
        except OSError as problem:
            if DEBUG:
                raise
            where = f"{problem.filename}: " if problem.filename else ""
            return _complain(f"{where}{problem.strerror or problem}")
        except KeyboardInterrupt:
            _complain("stopped; the next run goes on where this one was.")
            return 130

    return run


def _solutions() -> Path:
    from labkit.cli import course_root

    return course_root() / "solutions"


def _release(args: argparse.Namespace) -> int:
    from labkit.grading.release import release

    labs = release(args.directory, _solutions(), args.lab)
    root, lab = args.directory, labs[0] if len(labs) == 1 else "LAB"
    print(f"Hand out       {root}/release/{lab}/{lab}.ipynb")
    print(f"collect into   {root}/submitted/STUDENT/{lab}/{lab}.ipynb")
    print(f"and grade with labkit grade {root}")
    return 0


def _report(args: argparse.Namespace) -> int:
    from labkit.grading.course import Course
    from labkit.grading.report import write_report

    page, table = write_report(Course(args.directory), args.lab)
    print(f"Open {page}\nThe same as a table: {table}")
    return 0


def _grade(args: argparse.Namespace) -> int:
    import torch

    from labkit.grading.course import DAY, SEEDS

    if args.timeout is not None and not 0 < args.timeout <= DAY:
        return _complain("--timeout is a number of seconds above 0, at most a day.")
    if args.seed is not None and args.seed not in SEEDS:
        return _complain(f"--seed is a number from 0 to {SEEDS[-1]}.")
    if not args.path.exists():
        return _complain(f"{args.path} does not exist.")
    if args.workers is not None and args.workers < 1:
        return _complain("--workers is a number from 1 up.")
    if args.device == "cuda":
        if not torch.cuda.is_available():
            return _complain(NO_GPU)
        if args.scheduler or not args.unsafe:
            return _complain(GPU_UNSAFE)
    if args.unsafe:
        print(WARNING, file=sys.stderr)
    torch.set_num_threads(1)  # the judge computes with small tensors
    return _grade_course(args) if args.path.is_dir() else _grade_file(args)


def _grade_course(args: argparse.Namespace) -> int:
    from labkit.grading import summary
    from labkit.grading.batch import Options, grade_lab
    from labkit.grading.course import Course, CourseError
    from labkit.grading.result import Status
    from labkit.grading.sandbox import cgroup
    from labkit.grading.settings import Settings

    course = Course(args.path)
    left_out = [_complain(problem) for problem in course.left_out(args.lab)]
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
    )
    options = Options(args.student, args.force, args.workers, args.scheduler)
    say = (lambda _: None) if args.json else print
    say(summary.opening(settings.terms))
    graded = {}
    with course.lock():
        for lab in labs:
            graded[lab] = grade_lab(course, lab, settings, options, say)
            say(summary.table(graded[lab]))
    if args.json:
        said = summary.as_json(graded, settings.terms)
        print(json.dumps(said, indent=1, ensure_ascii=False))
    refused = any(r.status is not Status.GRADED for r in chain(*graded.values()))
    return int(refused or bool(left_out))


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
        secrets.randbits(31) if args.seed is None else args.seed,
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
    from labkit.grading.course import CourseError
    from labkit.grading.submission import Master, Unreadable, parse

    solutions = {p.stem: p for p in sorted(_solutions().glob("*.ipynb"))}
    stem, mark = Path(submission.file).stem, None
    if wanted is None:
        try:
            mark = parse(submission.data)[0].get("labkit")
        except Unreadable:
            pass  # said when it is graded
    said = mark.get("lab") if isinstance(mark, dict) else None
    for name, solution in solutions.items():
        if wanted and name.startswith(wanted):
            return Master.from_solution(solution)
        if not wanted and (said == name or (not said and stem.startswith(name))):
            return Master.from_solution(solution)
    raise CourseError(f"which lab is it? Say --lab with one of: {', '.join(solutions)}")


def main(argv: list[str] | None = None) -> int:
    """The commands without the rest of labkit: python -m labkit.grading.cli …"""
    parser = argparse.ArgumentParser(prog="labkit", description=__doc__)
    register(parser.add_subparsers(required=True, metavar="COMMAND"))
    args = parser.parse_args(argv)
    return args.run(args)


def _complain(problem: object) -> int:
    print(f"labkit: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
