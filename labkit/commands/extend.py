"""labkit extend: more time for one learner."""

import argparse
from pathlib import Path

from labkit.commands.options import add_one_lab
from labkit.commands.problems import need_fork

HELP = "give one learner more time"
EXAMPLE = 'labkit extend ../my-course 02 ada --until "2026-12-03 10:00 UTC"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("directory", type=Path, help="the course directory")
    add_one_lab(parser)
    add("student", help="the name of the learner's folder in submitted/")
    add("--until", required=True, metavar="TIME", help="UTC where it says no zone")


def run(args: argparse.Namespace) -> int:
    need_fork()
    from labkit.grading import extensions
    from labkit.grading.course import Course
    from labkit.lab import select_one

    course = Course(args.directory)
    lab = select_one(course.labs(), args.lab)
    until = extensions.grant(course, lab, args.student, args.until)
    counts = "the next labkit grade counts it."
    if not extensions.known(course, args.student):
        counts = "no learner of that name is known yet, so it waits for one."
    print(f"{args.student} has until {until} for {lab}; {counts}")
    return 0
