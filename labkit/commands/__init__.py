"""The command `labkit`: notebooks, labs, grading and validation of the course.

Each command is the module of its name in this folder. It has

    HELP                      what it does, for `labkit --help`
    EXAMPLE                   a line to copy
    add_arguments(parser)     what it takes
    run(args)                 its work; returns the exit status
    STOPPED                   what Ctrl-C leaves behind (if there is something to say)

A new one is such a module, and its name in COMMANDS. What goes wrong is raised, never
printed: labkit.commands.problems says it.
"""

import argparse
import sys
from importlib import import_module

from labkit.commands.problems import told

LEARN = ("lab", "progress", "doctor", "weights")
TEACH = ("release", "collect", "grade", "report", "explain", "extend", "export")
WRITE = ("build", "validate", "experiment")
COMMANDS = LEARN + TEACH + WRITE


def main(argv: list[str] | None = None) -> int:
    """Run the command that is asked for; returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that knows no ✓ costs no run
            stream.reconfigure(errors="backslashreplace")
    args = _parser().parse_args(argv)
    return told(args.command, args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="labkit", description="notebooks, labs, grading and validation of a course"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        command = import_module(f"labkit.commands.{name}")
        added = commands.add_parser(
            name,
            help=command.HELP,
            description=command.HELP,
            epilog=f"example: {command.EXAMPLE}",
        )
        command.add_arguments(added)
        added.set_defaults(command=command)
    return parser
