"""labkit progress: how far one is in the course."""

import argparse
from pathlib import Path

HELP = "show the course as a map: what is unwritten, tried and passed"
EXAMPLE = "labkit progress my-work"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("work"), help="default: work"
    )


def run(args: argparse.Namespace) -> int:
    from labkit.learning import progress

    record = args.folder / progress.KEPT
    print(progress.as_text(record if record.is_file() else progress.file()))
    return 0
