"""The command `labkit`: notebooks, labs, grading and validation of the course."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from labkit.grading import cli as grading
from labkit.validate import VARIANTS


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
    """Make the notebooks from their sources."""
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
    print("\n".join([*stale, "run: make notebooks"]) if stale else "all up to date")
    return 1 if stale else 0


def lab(args: argparse.Namespace) -> int:
    """Copy the labs to a folder to work in, keep what is there, open JupyterLab."""
    try:
        _copy_labs(args.folder)
    except OSError as problem:
        where = problem.filename or args.folder
        print(f"labkit: {where}: {problem.strerror or problem}", file=sys.stderr)
        return 2
    if args.no_browser:
        return 0
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(args.folder)])


def _copy_labs(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for original in sorted((course_root() / "labs").glob("*.ipynb")):
        copy = folder / original.name
        if copy.exists():
            print(f"{copy}: yours, left as it is")
        else:
            part = copy.with_suffix(".part")  # a copy that breaks off is not yours
            shutil.copyfile(original, part)
            part.replace(copy)
            print(f"{copy}: ready")


def validate(args: argparse.Namespace) -> int:
    """Run chapters and solutions again and compare every stored output."""
    from labkit.validate import devices
    from labkit.validate import validate as run
    from labkit.validate.matrix import matrix

    root = course_root()
    if args.matrix:
        return matrix(root, args.lab)
    wanted = [args.device] if args.device or args.variant else devices()
    return max(run(root, d, args.lab, args.variant, args.record) for d in wanted)


def experiment(args: argparse.Namespace) -> int:
    """Run the experiments that verdicts rest on, or a sample of their records again."""
    from labkit.experiment.command import main

    return main(args.names, args.all, args.check, args.seconds, args.workers)


def main(argv: list[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that knows no ✓ costs no run
            stream.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(prog="labkit", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run, name=None):
        name = name or run.__name__
        added = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        added.set_defaults(run=run)
        return added

    add = command(build).add_argument
    add("sources", nargs="*", type=Path, help="only these .py files")
    add("--check", action="store_true", help="only say what is stale")
    add("--force", action="store_true", help="execute again what is current too")

    add = command(lab).add_argument
    add("folder", nargs="?", type=Path, default=Path("work"), help="default: work")
    add("--no-browser", action="store_true", help="only copy")

    add = command(validate).add_argument
    add("--device", choices=("cpu", "cuda"), help="default: what is there")
    add("--lab", action="append", default=[], metavar="PART", help="only names with it")
    add("--variant", choices=VARIANTS, help="on a stand-in for another machine")
    add("--matrix", action="store_true", help="on all of them, the checks too")
    add("--record", action="store_true", help="keep the result in tests/records/")

    add = command(experiment).add_argument
    add("names", nargs="*", metavar="NAME", help="of scripts in experiments/")
    add("--all", action="store_true", help="all of them")
    add("--check", action="store_true", help="run a sample of the rows again, compare")
    add("--seconds", type=float, default=60, help="of the sample; default: 60")
    add("--workers", type=int, help="processes; default: one per core")

    grading.register(commands)
    args = parser.parse_args(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
