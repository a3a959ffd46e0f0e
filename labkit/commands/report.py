"""labkit report: where the class stands."""

import argparse
from pathlib import Path

from labkit.commands.options import add_lab
from labkit.commands.problems import need_fork

HELP = "write a page on where the class stands, and a CSV file"
EXAMPLE = "labkit report ../my-course"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="the course directory")
    add_lab(parser)


def run(args: argparse.Namespace) -> int:
    need_fork()
    from labkit.grading.course import Course
    from labkit.grading.report import write_report

    page, table = write_report(Course(args.directory), args.lab)
    print(f"Open {page}\nThe same as a table: {table}")
    return 0
