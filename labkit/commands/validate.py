"""labkit validate: the stored outputs, computed again and compared."""

import argparse

from labkit import paths
from labkit.commands.options import add_lab
from labkit.commands.problems import Problem
from labkit.lab import select, stem_of
from labkit.validate import VARIANTS

HELP = "run chapters and solutions again and compare every stored output"
EXAMPLE = "labkit validate --variant elsewhere --lab 02"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--device", choices=("cpu", "cuda"), help="default: what is there")
    add_lab(parser, action="append", default=[])
    add("--variant", choices=VARIANTS, help="on a stand-in for another machine")
    add("--matrix", action="store_true", help="on all of them, the checks too")
    add("--record", action="store_true", help="log the result in tests/validation/")


def run(args: argparse.Namespace) -> int:
    from labkit.validate import devices, validate
    from labkit.validate.matrix import matrix

    root = paths.root()
    notebooks = {
        stem_of(path.stem)
        for folder in ("chapters", "solutions")
        for path in root.glob(f"{folder}/*.ipynb")
    }
    stems = sorted({s for wanted in args.lab for s in select(notebooks, wanted)})
    if args.matrix:
        return matrix(root, stems)
    wanted = [args.device] if args.device or args.variant else devices()
    try:
        return max(validate(root, d, stems, args.variant, args.record) for d in wanted)
    except RuntimeError as problem:  # PyTorch sees no GPU, and the like
        raise Problem(problem) from problem
