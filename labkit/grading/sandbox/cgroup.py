"""Limits on a submission as a whole, by control groups, where the system lends one.

A resource limit counts for each process; a control group (cgroup v2) counts all that
a submission starts together. Only root and systemd make groups, and may delegate one:

    systemd-run --user --scope --property Delegate=yes labkit grade my-course

    base = claim()             in the grader, once; "" where no group is ours
    failures(base)             what such limits do not hold back: [] if all is well
    enter(base, pid, …)        the process, and all that it will start
    leave(base, pid)           when the process has ended
"""

import os
import signal
import time
from pathlib import Path

MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
NEEDED = frozenset({"memory", "pids"})
GRADER = "labkit-grader"  # the group that this process moves to
MIB = 2**20


def claim(mounts: tuple[str, ...] = MOUNTS, lines: str = "") -> str:
    """Divide the group that this process alone is in; return its folder.

    Returns "" where there is none, or where it is not this process's to divide: with
    others in it (a shell, say) a group cannot be, and theirs is left alone.

    mounts   where control groups may be mounted
    lines    what says which group is ours, instead of /proc/self/cgroup
    """
    try:
        lines = lines or Path("/proc/self/cgroup").read_text()
        (ours,) = [line[3:] for line in lines.split("\n") if line.startswith("0::")]
        found = [Path(f"{mount}{ours}") for mount in mounts]
        base = next(p for p in found if (p / "cgroup.controllers").exists())
        if base.name == GRADER:  # claimed before
            return str(base.parent)
        there = set((base / "cgroup.controllers").read_text().split())
        alone = (base / "cgroup.procs").read_text().split() == [str(os.getpid())]
        if not (alone and there >= NEEDED):
            return ""
        # Groups below have limits only if the group above them holds no process.
        (base / GRADER).mkdir(exist_ok=True)
        (base / GRADER / "cgroup.procs").write_text(str(os.getpid()))
        wanted = sorted(there & (NEEDED | {"cpu"}))
        (base / "cgroup.subtree_control").write_text(" ".join(f"+{w}" for w in wanted))
    except (OSError, ValueError, StopIteration):
        return ""
    return str(base)


def enter(base: str, pid: int, memory: int, processes: int) -> None:
    """Put a process into a group of its own. Raises OSError if that fails.

    memory      bytes that all in the group may hold together
    processes   how many there may be, threads included
    """
    limits = {
        "memory.max": memory,
        "memory.swap.max?": 0,  # those with ? where the kernel has them
        "pids.max": processes,
        "cpu.max?": "100000 100000",  # so many microseconds in so many: one core
    }
    group = _group(base, pid)
    group.mkdir()
    for name, value in limits.items():
        file = group / name.rstrip("?")
        if file.exists() or not name.endswith("?"):
            file.write_text(str(value))
    (group / "cgroup.procs").write_text(str(pid))


def leave(base: str, pid: int) -> None:
    """Remove the group of a process that has ended. One that is left is harmless."""
    for _ in range(20):
        try:
            _group(base, pid).rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:  # the kernel still counts what has just ended
            time.sleep(0.01)


def failures(base: str) -> list[str]:
    """Try from inside a group what its limits must not allow."""
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(ready, 1)
        os._exit(_overstep())
    os.close(ready)
    try:
        enter(base, pid, memory=16 * MIB, processes=1)
    except OSError as problem:
        os.kill(pid, signal.SIGKILL)
        problems = [f"control groups: {problem}"]
    else:
        problems = []
    os.close(go)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    leave(base, pid)
    if not problems and status != -signal.SIGKILL:
        kind = {1: "processes", 2: "memory"}.get(status, f"status {status}")
        problems = [f"control groups: no limit on {kind}"]
    return problems


def _overstep() -> int:
    """One process too many, then more memory than there may be: which was possible."""
    try:
        if os.fork() == 0:
            os._exit(0)
        return 1
    except BlockingIOError:
        return 2 if b"x" * (64 * MIB) else 0  # the kernel ends this process here


def _group(base: str, pid: int) -> Path:
    return Path(base, f"submission-{pid}")
