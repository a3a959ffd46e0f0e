"""The sandbox's self-test: try from inside what must not be possible.

Run once when a warm process starts, in a child that is shut in as every learner's is.
"""

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

from labkit.grading.sandbox import cgroup, confine, protocol


def run(plan: dict) -> None:
    """Raise Refused with what was possible in the sandbox and must not be."""
    ours, theirs = socket.socketpair()
    grader = os.getpid()
    pid = confine.spawn(
        plan, lambda: protocol.send(theirs, {"possible": failures(plan, grader)})
    )
    theirs.close()
    try:
        possible = protocol.receive(ours, time.monotonic() + 60)[0]["possible"]
    except (OSError, EOFError):
        possible = ["the self-test did not finish"]
    finally:
        ours.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        confine.clear(plan, pid)
    if plan["group"]:
        possible += cgroup.failures(plan["group"])
    if possible:
        raise confine.Refused(f"the self-test found: {'; '.join(possible)}")


def failures(plan: dict, grader: int) -> list[str]:
    """What was possible, or missing, that must not be; [] is as it should be.

    grader   the process id of the warm process
    """
    found = []
    for name, attempt in _attempts(plan, grader):
        try:
            fine = attempt()
        except Exception as error:
            fine, name = False, f"{name} ({type(error).__name__}: {error})"
        if not fine:
            found.append(name)
    return found


def _attempts(plan: dict, grader: int) -> Iterator[tuple[str, Callable[[], bool]]]:
    """What the sandbox promises, each with the attempt to show it."""
    yield "rights: no capability", _no_capability
    yield "rights: cannot become root", lambda: _denied(os.setuid, 0)
    yield "processes: sees only itself", lambda: os.getpid() == 1
    yield "processes: reaches no other", lambda: _denied(os.kill, -1, 0)
    yield "processes: reaches no grader", lambda: _denied(os.kill, grader, 0)
    for path in ("/forbidden", "/usr/forbidden", f"{confine.__file__}.forbidden"):
        yield f"files: cannot write {path}", lambda path=path: _denied(open, path, "w")
    for path in (*plan["secret"], "/etc/shadow", "/proc/1", "/run", "/sys", "/var"):
        yield f"files: does not see {path}", lambda path=path: not os.path.exists(path)
    yield "files: has a folder to write in", _can_write
    yield "files: can read its own programs", lambda: bool(open(__file__).read(1))
    for family in (
        socket.AF_INET,
        socket.AF_INET6,
        socket.AF_NETLINK,
        socket.AF_PACKET,
    ):
        yield f"network: no {family.name}", lambda f=family: _denied(socket.socket, f)
    column = confine.MACHINES[os.uname().machine][0]
    calls = confine.CALLS | {"clone3": confine.CLONE3}
    for name, numbers in calls.items():
        yield f"calls: no {name}", lambda n=numbers: _call_denied(n[column])
    yield "limits: size of a file", _file_capped
    yield "limits: the folder", _folder_capped
    yield "limits: memory", _memory_capped
    yield "limits: open files", _open_files_capped
    yield "limits: processes", _processes_capped
    cpu = resource.getrlimit(resource.RLIMIT_CPU)
    yield "limits: computing", lambda: cpu == (plan["cpu"], plan["cpu"])
    core = resource.getrlimit(resource.RLIMIT_CORE)
    yield "limits: no core dumps", lambda: core == (0, 0)


def _denied(call: Callable, *arguments) -> bool:
    try:
        call(*arguments)
    except OSError:
        return True
    return False


def _call_denied(number: int) -> bool:
    """Whether the kernel refuses a system call before it looks at its arguments."""
    failed = confine.libc.syscall(number, -1, -1, -1, -1, -1, -1) == -1
    return failed and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS)


def _no_capability() -> bool:
    header = struct.pack("Ii", confine.CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    return confine.libc.capget(header, held) == 0 and not any(held.raw)


def _can_write() -> bool:
    with tempfile.TemporaryFile(dir=confine.SCRATCH) as file:
        return file.write(b"x") == 1


def _file_capped() -> bool:
    with tempfile.TemporaryFile() as file:
        return _denied(os.pwrite, file.fileno(), b"xx", confine.FILE_SIZE)


def _folder_capped() -> bool:
    """Whether files that are small enough each fill the folder together."""
    files = [tempfile.TemporaryFile() for _ in range(3)]
    try:
        return any(
            _denied(os.posix_fallocate, file.fileno(), 0, confine.FILE_SIZE)
            for file in files
        )
    finally:
        for file in files:
            file.close()


def _memory_capped() -> bool:
    """Also memory that would be shared, which not every limit counts.

    An eighth more, since this process may have shrunk after its size was taken.
    """
    too_much = confine.MEMORY + confine.MEMORY // 8
    for size in (too_much, 2**45):
        if not _denied(mmap.mmap, -1, size):
            return False
    try:
        bytearray(too_much)
    except MemoryError:
        return True
    return False


def _open_files_capped() -> bool:
    opened = []
    try:
        while len(opened) < confine.OPEN_FILES:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return True
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return False


def _processes_capped() -> bool:
    """Threads stand for processes: they count alike and cost less."""
    stop, threads = threading.Event(), []
    try:
        for _ in range(confine.PROCESSES):
            threads.append(threading.Thread(target=stop.wait, daemon=True))
            threads[-1].start()
    except RuntimeError:
        return True
    finally:
        stop.set()
    return False
