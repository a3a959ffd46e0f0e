"""labkit lab: copies of the labs to work in."""

import argparse
import os
import sys
from pathlib import Path

from labkit import paths

HELP = "copy the labs to a folder, keep what is there, open JupyterLab"
EXAMPLE = "labkit lab my-work"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", nargs="?", type=Path, default=Path("work"), help="default: work")
    add("--no-browser", action="store_true", help="only copy")


def run(args: argparse.Namespace) -> int:
    args.folder.mkdir(parents=True, exist_ok=True)
    for original in sorted((paths.root() / "labs").glob("*.ipynb")):
        copy = args.folder / original.name
        if copy.exists():
            print(f"{copy}: yours, left as it is")
        else:
            paths.write(copy, original.read_bytes())
            print(f"{copy}: ready")
    if args.no_browser:
        return 0
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(args.folder)])
