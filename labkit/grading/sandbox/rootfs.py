"""What a learner's process sees: a labkit without answers, in a root of its own.

lay_out(home)     library/ and root/ in the folder `home`
plan(home)        what labkit.grading.sandbox.confine needs to know, as plain JSON
"""

import os
import shutil
import sys
from pathlib import Path

from labkit.grading.sandbox.confine import SCRATCH

PACKAGE = Path(__file__).parents[2]
ANSWERS = ("solutions", "tests", "build", "dist", ".git")  # beside it, in a checkout
NOTEBOOKS_IMPORT = ("__init__.py", "runtime.py", "data.py", "plots.py", "explore")
PROBE = ("__init__", "observed", "plain", "probes", "watch")
PROBES = tuple(f"checks/{name}.py" for name in PROBE)
LEARNING = "learning/__init__.py"
PROCESS = ("__init__", "cgroup", "confine", "process", "protocol", "selftest")
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
)


def lay_out(home: Path) -> None:
    """Copy what notebooks import to library/, and lay out root/ with places to bind
    to. Nothing that knows a right answer is in either."""
    library, root = home / "library", home / "root"
    process = tuple(f"grading/sandbox/{name}.py" for name in PROCESS)
    copied = (*NOTEBOOKS_IMPORT, *PROBES, LEARNING, "grading/__init__.py", *process)
    for name in copied:
        _copy(PACKAGE / name, library / "labkit" / name)
    for name in ("check", "progress"):
        stand_in = PACKAGE / "grading" / "sandbox" / f"{name}_stand_in.py"
        _copy(stand_in, library / "labkit" / "learning" / f"{name}.py")
    for source in _binds(home):
        _place(Path(source), Path(f"{root}{source}"))
    for source in SYSTEM:  # /bin and the like are links to /usr in most systems
        if os.path.islink(source) and not os.path.lexists(f"{root}{source}"):
            _link(os.readlink(source), f"{root}{source}")
    _link(SCRATCH, f"{root}/dev/shm")
    if not os.path.lexists(f"{root}/tmp"):
        _link(SCRATCH, f"{root}/tmp")
    os.makedirs(f"{root}{SCRATCH}")
    passwd = f"learner:x:1000:1000::{SCRATCH}:/bin/sh\n"
    Path(f"{root}/etc/passwd").write_text(passwd)


def plan(home: Path, cpu: float, hide: tuple[Path, ...] = (), group: str = "") -> dict:
    """The plan of the sandbox for labkit.grading.sandbox.confine.spawn.

    cpu    seconds of computing that a submission may use altogether
    hide   folders that nobody may see, besides this package and its answers
    group  from labkit.grading.sandbox.cgroup.claim
    """
    binds = _binds(home)
    checkout = PACKAGE.parent
    if (checkout / "_toc.yml").exists():
        hide += tuple(p for p in map(checkout.joinpath, ANSWERS) if p.is_dir())
    hidden = [str(path.resolve()) for path in (PACKAGE, *hide)]
    return {
        "root": str(home / "root"),
        "binds": binds,
        "hidden": [h for h in hidden if any(_within(h, bound) for bound in binds)],
        "cpu": int(cpu) + 1,
        "group": group,
        "secret": [
            *map(str, sorted(PACKAGE.iterdir())),
            str(home / "root"),
            *map(str, sorted(checkout.glob("solutions/lab_*"))[:1]),
        ],
    }


def _binds(home: Path) -> list[str]:
    """What is bound into the root, outer folders before inner ones."""
    packages = [
        p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")
    ]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *packages]
    wanted = [p for p in SYSTEM if os.path.exists(p) and not os.path.islink(p)]
    wanted += [p for p in python if os.path.isdir(p)] + [str(home / "library")]
    kept: list[str] = []
    for path in sorted({os.path.abspath(p) for p in wanted}, key=len):
        if not any(_within(path, outer) for outer in kept):
            kept.append(path)
    return kept


def _within(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _place(source: Path, target: Path) -> None:
    """A folder or an empty file to bind `source` to."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def _link(target: str, link: str) -> None:
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target, link)
