"""labkit doctor: what keeps labs from running here."""

import argparse
from pathlib import Path

HELP = "say what is wrong with Python, PyTorch, kernel, disk and so on, and what to do"
EXAMPLE = "labkit doctor"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("work"), help="default: work"
    )


def run(args: argparse.Namespace) -> int:
    from labkit.learning import doctor

    wrong = 0
    for finding in doctor.examine(args.folder):
        print(finding)
        wrong += bool(finding.remedy)
    return 1 if wrong else 0
