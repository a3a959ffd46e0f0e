"""Processes that a killed run has left behind, found by the mark in their environment.

They end by themselves as a rule. One that was stopped, or that is busy where no signal
reaches it, does not.
"""

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def mark_of(root: Path) -> str:
    """What processes of runs on this course directory bear."""
    return hashlib.sha256(str(root).encode()).hexdigest()[:16]


def end(mark: str) -> int:
    """End the processes that bear the mark; how many there were. Only for the one run
    that holds the course's lock: then all of them are of runs before it."""
    found = list(_bearing(mark))
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:  # ended meanwhile
            continue
    return len(found)


def _bearing(mark: str) -> Iterator[int]:
    wanted = f"LABKIT_RUN={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
        except OSError:  # another's, or ended
            continue
