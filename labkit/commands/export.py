"""labkit export: points in the form that the platform takes back."""

import argparse
from pathlib import Path

from labkit.commands.options import add_one_lab
from labkit.commands.problems import Problem, need_fork

HELP = "write points into what Canvas or Moodle takes back, or a table"
EXAMPLE = "labkit export ../my-course --lab 02 --canvas gradebook.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("directory", type=Path, help="the course directory")
    add_one_lab(parser, "--lab", required=True)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--canvas", type=Path, metavar="CSV", help="its gradebook's export"
    )
    how.add_argument("--moodle", type=Path, metavar="CSV", help="its grading worksheet")
    how.add_argument("--csv", action="store_true", help="a table of all points")
    add("--column", default="", help="of Canvas's gradebook, how its title begins")


def run(args: argparse.Namespace) -> int:
    need_fork()
    from labkit.grading.course import Course
    from labkit.lab import select_one
    from labkit.paths import write
    from labkit.platforms.export import export

    course = Course(args.directory)
    lab = select_one(course.labs(), args.lab)
    kind = "csv" if args.csv else "canvas" if args.canvas else "moodle"
    given = args.canvas or args.moodle
    if given and not given.is_file():
        raise Problem(f"{given} does not exist.")
    made = export(course, lab, kind, given, args.column)
    path = course.root / f"{lab}-{kind}.csv"
    write(path, made.data, 0o600)  # it names learners
    for sentence in made.said:
        print(f"! {sentence}")
    print(f"{len(made.written)} learners' points are in {path}")
    return int(bool(made.said))
