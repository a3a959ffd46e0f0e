"""The sandbox of a learner's process: made after the fork, from Linux's own parts.

    pid = spawn(plan, work)      runs work() in a child that is shut in

Namespaces  a user without rights, no other process, no network, no shared memory
Root        read-only; holds Python, system libraries and an empty folder of 64 MiB
Limits      memory, CPU time, processes, open files, size of a file
Rights      no capability, and none to be gained
Calls       seccomp denies what the others would have to withstand
Group       limits on all its processes together, where the system lends one

Whatever cannot be set up raises, and then no learner's code runs. Only the standard
library is used, because a forked copy of the warm process does all this.
"""

import ctypes
import os
import platform
import resource
import signal
import socket
import struct
import tempfile
from collections.abc import Callable

from labkit.grading.sandbox import cgroup

MIB = 2**20
MEMORY = 2048 * MIB  # beyond what the warm process has
SCRATCH = "/learner"  # the only folder that can be written
SCRATCH_SIZE = 64 * MIB
FILE_SIZE = 32 * MIB
OPEN_FILES = 256
PROCESSES = 64  # threads included
NOBODY = 65534  # who a learner's process is, outside, when root grades
INSIDE = 1000  # and inside

NAMESPACES = {  # flags of clone(2)
    "user": 0x10000000,
    "pid": 0x20000000,
    "mnt": 0x00020000,
    "net": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
}
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 0x1000, 0x4000, 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 1, 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522

# Calls that no notebook needs: numbers on (x86_64, aarch64).
CALLS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # AUDIT_ARCH_…

libc = ctypes.CDLL(None, use_errno=True)


class Refused(RuntimeError):
    """This machine cannot shut a process in; str() is one sentence that says why."""


def supported() -> str:
    """Why this platform has no sandbox, or ""."""
    if platform.system() != "Linux":
        return f"{platform.system()} has none of what the sandbox is made of"
    if platform.machine() not in MACHINES:
        return f"the sandbox does not know the processor {platform.machine()}"
    return ""


# ---------------------------------------------------------------------- from outside


def adopt() -> None:
    """Become the parent of what spawn() leaves behind."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Have this process killed when its parent ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(plan: dict, work: Callable[[], None]) -> int:
    """Run work() in a confined child; return its process id. Raises Refused.

    A helper makes the namespaces, forks the child into them and ends, so that the
    child is ours; killing the child ends everything in its namespaces.
    """
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    helper = os.fork()
    if helper == 0:
        try:
            ours.close()
            _helper(theirs, plan, work)
        finally:
            os._exit(1)
    theirs.close()
    pid = 0
    with ours:
        ours.settimeout(30)
        try:
            _expect(ours, b"apart")
            _map_ids(helper)
            ours.send(b"mapped")
            pid = int(_expect(ours, None))
            os.waitpid(helper, 0)
            helper = 0
            if plan["group"]:
                cgroup.enter(plan["group"], pid, MEMORY, PROCESSES)
            ours.send(b"go")
            _expect(ours, b"ready")
        except (OSError, ValueError) as problem:
            for process in filter(None, (pid, helper)):
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            raise Refused(str(problem)) from None
    return pid


def clear(plan: dict, pid: int) -> None:
    """Remove what spawn() made for a child that has ended."""
    if plan["group"]:
        cgroup.leave(plan["group"], pid)


def _expect(channel: socket.socket, word: bytes | None) -> bytes:
    said = channel.recv(4096)
    if said == word or (word is None and said.isdigit()):
        return said
    raise OSError(said.decode() or "a process for learners' code ended at once")


def _map_ids(helper: int) -> None:
    """Make the helper a user without rights: nobody if root grades, else oneself."""
    own = {"uid_map": os.geteuid(), "gid_map": os.getegid()}
    _write(f"/proc/{helper}/setgroups", "deny")
    for file, number in own.items():
        outside = NOBODY if _is_root() else number
        _write(f"/proc/{helper}/{file}", f"{INSIDE} {outside} 1\n")


def _is_root() -> bool:
    """Whether this process may become somebody else: root, but not in a container
    that has no other users."""
    with open("/proc/self/uid_map") as file:
        ranges = [map(int, line.split()) for line in file]
    others = any(first <= NOBODY < first + count for first, _, count in ranges)
    return os.geteuid() == 0 and others


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


# ------------------------------------------------------------------------ from inside


def _helper(channel: socket.socket, plan: dict, work: Callable) -> None:
    """Make the namespaces and fork the child into them."""
    try:
        before, size = namespaces(), _size()
        if _is_root():
            os.setgroups([])
        _check(libc.unshare(sum(NAMESPACES.values())), "unshare")
        channel.send(b"apart")
        channel.recv(10)
        pid = os.fork()
        if pid:
            channel.send(str(pid).encode())
            return
        channel.recv(10)  # until the helper has ended
        confine(plan, before, size)
        end_with_parent()
        channel.send(b"ready")
        channel.close()
    except Exception as problem:
        channel.send(str(problem).encode()[:4000])
        return
    work()


def namespaces() -> dict[str, str]:
    """The namespaces that this process is in, each with its number."""
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}


def _size() -> int:
    """Bytes of address space that this process has, PyTorch included."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def confine(plan: dict, before: dict[str, str], size: int) -> None:
    """Shut this process in. Raises OSError with the step that failed.

    plan    from labkit.grading.sandbox.rootfs.plan
    before  the namespaces outside, none of which may still be ours
    size    of this process; MEMORY comes on top
    """
    shared = [name for name, number in namespaces().items() if number == before[name]]
    if shared:
        raise OSError(f"still in the {', '.join(shared)} namespace of the machine")
    _enter_root(plan)
    os.setresgid(INSIDE, INSIDE, INSIDE)
    os.setresuid(INSIDE, INSIDE, INSIDE)
    os.setsid()
    os.chdir(SCRATCH)
    os.environ.update(HOME=SCRATCH, TMPDIR=SCRATCH, USER="learner")
    tempfile.tempdir = None  # what a package found outside does not hold in here
    _limit(plan, size)
    _drop_capabilities()
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _deny_calls()


def _enter_root(plan: dict) -> None:
    """Change to the read-only root that labkit.grading.sandbox.rootfs laid out."""
    root = plan["root"]
    _mount("none", "/", MS_REC | MS_PRIVATE)
    _mount(root, root, MS_BIND | MS_REC)
    for source in plan["binds"]:
        _mount(source, root + source, MS_BIND | MS_REC)
    for hidden in plan["hidden"]:
        _mount(root + SCRATCH, root + hidden, MS_BIND)  # still empty
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    done = libc.syscall(
        442, AT_FDCWD, root.encode(), AT_RECURSIVE, attributes, len(attributes)
    )
    _check(done, "mount_setattr")
    options = f"size={SCRATCH_SIZE},nr_inodes=4096,mode=700,uid={INSIDE},gid={INSIDE}"
    _mount("tmpfs", root + SCRATCH, MS_NOSUID | MS_NODEV, "tmpfs", options)
    os.chdir(root)
    pivot_root = CALLS["pivot_root"][MACHINES[platform.machine()][0]]
    _check(libc.syscall(pivot_root, b".", b"."), "pivot_root")
    _check(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def _mount(source: str, target: str, flags: int, kind=None, options=None) -> None:
    texts = [t.encode() if t else None for t in (source, target, kind, options)]
    done = libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _check(done, f"mounting {source}")


def _limit(plan: dict, size: int) -> None:
    limits = {
        resource.RLIMIT_AS: size + MEMORY,
        resource.RLIMIT_DATA: size + MEMORY,
        resource.RLIMIT_CPU: plan["cpu"],
        resource.RLIMIT_NPROC: PROCESSES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_FSIZE: FILE_SIZE,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def _drop_capabilities() -> None:
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            break  # the kernel knows no more
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    _check(libc.capset(header, struct.pack("6I", *[0] * 6)), "capset")


def _deny_calls() -> None:
    """Load a seccomp filter; libc sees a denied call as "not permitted"."""
    code = _filter()
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    _prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(program))


def _filter() -> bytes:
    """A program of the classic Berkeley packet filter over struct seccomp_data."""
    column, architecture = MACHINES[platform.machine()]
    load, equal, at_least, any_of, give = 0x20, 0x15, 0x35, 0x45, 0x06
    kill, allow, error = 0x80000000, 0x7FFF0000, 0x00050000
    number, arch, argument = 0, 4, 16  # offsets; an argument's low half comes first
    permission, no_such_call, family = 1, 38, 97  # EPERM, ENOSYS, EAFNOSUPPORT

    def line(code, value, yes=0, no=0):
        return struct.pack("HBBI", code, yes, no, value)

    lines = [
        line(load, arch),
        line(equal, architecture, yes=1),
        line(give, kill),  # another machine's numbers mean other calls
        line(load, number),
        line(at_least, 0x40000000, no=1),
        line(give, kill),  # x32's numbers too
        line(equal, CLONE3[column], no=1),
        line(give, error | no_such_call),  # its flags lie in memory; libc uses clone
        line(equal, CLONE[column], no=4),
        line(load, argument),
        line(any_of, sum(NAMESPACES.values()) | 0x02000000, no=1),
        line(give, error | permission),
        line(give, allow),
        line(equal, SOCKET[column], no=4),
        line(load, argument),
        line(equal, socket.AF_UNIX, yes=1),
        line(give, error | family),
        line(give, allow),
    ]
    for numbers in CALLS.values():
        lines.append(line(equal, numbers[column], no=1))
        lines.append(line(give, error | permission))
    return b"".join([*lines, line(give, allow)])


def _prctl(option: int, value: object, more: object = 0) -> None:
    if isinstance(value, int):
        value = ctypes.c_ulong(value)
    _check(libc.prctl(option, value, more, 0, 0), f"prctl({option})")


def _check(returned: int, what: str) -> None:
    if returned == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
