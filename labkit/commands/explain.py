"""labkit explain: one verdict, with its inputs and what came out."""

import argparse
from pathlib import Path

from labkit.commands.options import add_one_lab
from labkit.commands.problems import need_fork

HELP = "replay one verdict, with its inputs, for the learner who asks why"
EXAMPLE = "labkit explain ../my-course 01 ada 1.3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("directory", type=Path, help="the course directory")
    add_one_lab(parser)
    add("student", help="the name of the learner's folder in submitted/")
    add("exercise", help="its number: 1.3")


def run(args: argparse.Namespace) -> int:
    need_fork()
    import torch

    from labkit.grading.course import Course
    from labkit.grading.explain import explain
    from labkit.grading.settings import Settings
    from labkit.lab import select_one

    torch.set_num_threads(1)
    course = Course(args.directory)
    lab = select_one(course.labs(), args.lab)
    settings = Settings(course.seed(), course.timeout, hide=(course.root,))
    for line in explain(course, lab, args.student, args.exercise, settings):
        print("".join(c for c in line if c.isprintable() or c == "\n"))
    return 0
