"""The command `labkit`: build | lab | release | grade | validate."""

import argparse
import sys
from pathlib import Path


def course_root() -> Path:
    """The checkout: the nearest folder at or above this one that holds _toc.yml.

    Raises SystemExit with one sentence when there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "_toc.yml").exists() and (folder / "solutions").exists():
            return folder
    raise SystemExit("labkit: run this inside a checkout of the course (no _toc.yml).")


def build(args: argparse.Namespace) -> int:
    from labkit.build import EditedLabError, SourceError
    from labkit.build import build as make

    try:
        only = [path.resolve() for path in args.sources] or None
        stale = make(course_root(), only, args.check, args.force)
    except (SourceError, EditedLabError) as problem:
        print(problem, file=sys.stderr)
        return 1
    if not args.check:
        return 0
    print("\n".join(stale + ["run: make notebooks"]) if stale else "all up to date")
    return 1 if stale else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="labkit", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("build", help="make the notebooks from their sources")
    command.add_argument("sources", nargs="*", type=Path, help="only these .py files")
    command.add_argument("--check", action="store_true", help="only say what is stale")
    command.add_argument("--force", action="store_true", help="execute all again")
    command.set_defaults(run=build)

    args = parser.parse_args(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
