"""labkit lab: a learner's place, and JupyterLab in it."""

import argparse
import os
from pathlib import Path

from labkit import paths
from labkit.commands.problems import complain

HELP = "copy labs and chapters to a folder, keep your work there, open JupyterLab"
EXAMPLE = "labkit lab my-work"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", nargs="?", type=Path, default=Path("work"), help="default: work")
    add("--no-browser", action="store_true", help="only copy")


def run(args: argparse.Namespace) -> int:
    from labkit.learning import place, progress, trust

    args.folder.mkdir(parents=True, exist_ok=True)
    progress.begin(args.folder)
    untouched = []
    for copy in place.lay_out(paths.root(), args.folder):
        print(f"{copy.path}: {copy.said}")
        untouched += [copy.path] * copy.untouched
    try:
        trust.sign(untouched)
    except trust.Untrusted as problem:  # all the rest works
        complain(problem)
    return 0 if args.no_browser else serve(args.folder)


def serve(folder: Path) -> int:
    """Run JupyterLab until it ends, with the settings that are meant for learners.

    In this very process: so it is this Python's, and Ctrl-C is for it, on each system.
    """
    from jupyterlab.labapp import LabApp

    settings = [str(Path(__file__).parents[1] / "learning" / "jupyter")]
    settings += filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(settings)
    LabApp.launch_instance([str(folder.resolve())])
    return 0
