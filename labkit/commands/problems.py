"""The one rule for errors: one sentence on standard error, exit status 2.

No command prints a traceback, except with LABKIT_DEBUG=1 in the environment.
"""

import argparse
import os
import sys
import traceback
from types import ModuleType

FAILED, STOPPED = 2, 130


class Problem(Exception):
    """Why a command cannot do its work; str() is a sentence for a person."""


def told(command: ModuleType, args: argparse.Namespace) -> int:
    """Run a command and say in one sentence why it cannot do its work, if so."""
    try:
        return command.run(args)
    except KeyboardInterrupt:
        complain(getattr(command, "STOPPED", "stopped."))
        return STOPPED
    except Exception as problem:
        if os.environ.get("LABKIT_DEBUG"):
            traceback.print_exc()
        complain(_sentence(problem))
        return FAILED


def complain(sentence: object) -> None:
    """Say on standard error what is wrong."""
    print(f"labkit: {sentence}", file=sys.stderr)


def need_fork() -> None:
    """Raise Problem on a system where learners' code cannot be run apart."""
    if not hasattr(os, "fork"):
        raise Problem("this needs Linux or a Mac; on Windows use WSL.")


def _sentence(problem: Exception) -> str:
    """Errors of this package speak for themselves; others say what they are."""
    package = type(problem).__module__.partition(".")[0]
    if package == "labkit":
        return str(problem)
    first = str(problem).partition("\n")[0]
    if package == "sqlalchemy":
        return f"the gradebook cannot be used: {first}"
    if isinstance(problem, OSError):
        where = f"{problem.filename}: " if problem.filename else ""
        return f"{where}{problem.strerror or problem}"
    return f"{type(problem).__name__}: {first} (LABKIT_DEBUG=1 shows where)"
