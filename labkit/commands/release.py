"""labkit release: a course directory to hand out labs from."""

import argparse
from pathlib import Path

from labkit import paths
from labkit.commands.options import add_lab
from labkit.commands.problems import need_fork

HELP = "make an nbgrader course directory to hand out labs from"
EXAMPLE = "labkit release ../my-course --lab 02"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("directory", type=Path, help="a new one, or one made before")
    add_lab(parser)


def run(args: argparse.Namespace) -> int:
    need_fork()
    from labkit.grading.release import release

    labs = release(args.directory, paths.root() / "solutions", args.lab)
    root, lab = args.directory, labs[0] if len(labs) == 1 else "LAB"
    print(f"Hand out       {root}/release/{lab}/{lab}.ipynb")
    print(f"collect into   {root}/submitted/STUDENT/{lab}/{lab}.ipynb")
    print(f"and grade with labkit grade {root}")
    return 0
