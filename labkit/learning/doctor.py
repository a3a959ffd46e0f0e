"""What keeps labs from running on a machine, and what to do about it.

Each check returns what it found, or raises Fault. They are asked in the order in which
one fault would explain the next.
"""

import shutil
import socket
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from labkit import paths
from labkit.learning import trust

ENOUGH_DISK = 200 * 2**20  # bytes: work/ with every output, many times over
INSTALL = "pip install --constraint constraints.txt --editable . in the checkout"


class Fault(RuntimeError):
    """What is wrong; `remedy` says what to do."""

    def __init__(self, wrong: str, remedy: str):
        super().__init__(wrong)
        self.remedy = remedy


@dataclass(frozen=True)
class Finding:
    """What one check says: well, or wrong with a remedy."""

    about: str
    said: str
    remedy: str = ""

    def __str__(self) -> str:
        if not self.remedy:
            return f"✓ {self.about}: {self.said}"
        return f"✗ {self.about}: {self.said}\n  → {self.remedy}"


def examine(folder: Path) -> Iterator[Finding]:
    """Look at this machine and at a learner's place on it, which need not be there."""
    for about, check in CHECKS.items():
        try:
            yield Finding(about, check(folder))
        except Fault as fault:
            yield Finding(about, str(fault), fault.remedy)


def python(folder: Path) -> str:
    wanted = _project()["requires-python"].removeprefix(">=")
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < tuple(map(int, wanted.split("."))):
        raise Fault(
            f"this is {found}, and the labs need {wanted}",
            "install a newer Python, delete .venv and call make lab again",
        )
    return found


def packages(folder: Path) -> str:
    """All that pyproject.toml asks for, as it is now: the course may have changed."""
    from packaging.requirements import Requirement

    missing = []
    for line in _project()["dependencies"]:
        wanted = Requirement(line)
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            missing.append(f"{wanted.name} is not there")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            missing.append(f"{wanted.name} is {found}, want {wanted.specifier}")
    if missing:
        raise Fault("; ".join(missing), INSTALL)
    return "all that the labs need"


def torch(folder: Path) -> str:
    """PyTorch computes, on the device that notebooks would use."""
    from labkit.runtime import device

    try:
        torch = import_module("torch")
        where = device()
        torch.ones(2, 2, device=where) @ torch.ones(2, 2, device=where)
    except ImportError as problem:
        raise Fault(f"does not load: {problem}", INSTALL) from None
    except RuntimeError as problem:
        said = str(problem).partition("\n")[0]
        raise Fault(said, "set LABKIT_DEVICE=cpu, which is enough") from None
    return f"{torch.__version__} on {where}"


def kernel(folder: Path) -> str:
    """Notebooks run in this Python: another one lacks the course's package."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        raise Fault("Jupyter finds no kernel named python3", INSTALL) from None
    program = spec.argv[0]
    if Path(program).name == program or Path(program) == Path(sys.executable):
        return "notebooks run in this Python"
    raise Fault(
        f"notebooks run in {program}, not in {sys.executable}",
        f"delete the folder {spec.resource_dir}, or choose another kernel",
    )


def disk(folder: Path) -> str:
    there = _nearest(folder)
    free = shutil.disk_usage(there).free
    if free < ENOUGH_DISK:
        raise Fault(
            f"{free / 2**20:.0f} MiB free in {there}",
            f"make room for {ENOUGH_DISK / 2**20:.0f} MiB, or name another folder",
        )
    return f"{free / 2**30:.0f} GiB free"


def writing(folder: Path) -> str:
    there = _nearest(folder)
    try:
        paths.write(there / ".labkit-doctor", "")
        (there / ".labkit-doctor").unlink()
    except OSError as problem:
        raise Fault(
            f"{there}: {problem.strerror}", "name another folder: labkit lab FOLDER"
        ) from None
    return f"possible in {there}"


def ports(folder: Path) -> str:
    """A browser reaches JupyterLab, and this its kernels, by ports of localhost."""
    try:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            address = server.getsockname()
            with socket.create_connection(address, timeout=2):
                return "localhost answers"
    except OSError as problem:
        raise Fault(
            f"localhost does not answer: {problem}",
            "a firewall or a sandbox may forbid it; allow connections to 127.0.0.1",
        ) from None


def figures(folder: Path) -> str:
    try:
        trust.sign([])
    except trust.Untrusted as problem:
        raise Fault(str(problem), "call labkit lab again when it is free") from None
    return "notebooks of labkit lab show them"


CHECKS: dict[str, Callable[[Path], str]] = {
    "Python": python,
    "packages": packages,
    "PyTorch": torch,
    "kernel": kernel,
    "disk": disk,
    "writing": writing,
    "ports": ports,
    "figures": figures,
}


def _project() -> dict:
    text = (paths.root() / "pyproject.toml").read_text("utf-8")
    return tomllib.loads(text)["project"]


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.resolve()
    return next(path for path in (folder, *folder.parents) if path.is_dir())
