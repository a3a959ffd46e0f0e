"""labkit build: notebooks from their sources."""

import argparse
from pathlib import Path

from labkit import paths

HELP = "make the notebooks from their sources"
EXAMPLE = "labkit build chapters/02_feed_forward.py"
STOPPED = "stopped; the notebooks that were written are whole."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("sources", nargs="*", type=Path, help="only these .py files")
    add("--check", action="store_true", help="only say what is stale")
    add("--force", action="store_true", help="execute again what is current too")


def run(args: argparse.Namespace) -> int:
    from labkit.build import build

    only = [path.resolve() for path in args.sources] or None
    stale = build(paths.root(), only, args.check, args.force)
    if not args.check:
        return 0
    print("\n".join([*stale, "run: make notebooks"]) if stale else "all up to date")
    return int(bool(stale))
