"""An nbgrader course directory: where things lie in it, and what is handed in.

nbgrader_config.py   source/  release/       made by labkit release
submitted/           STUDENT/LAB/LAB.ipynb   collected by nbgrader, a person, an LMS
results/             LAB/STUDENT.json        made by labkit grade, and
autograded/ feedback/ gradebook.db           in nbgrader's own form
labkit.json          the private seed of the checks' cases
"""

import fcntl
import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config, PyFileConfigLoader

from labkit.grading.submission import Unreadable, read_bytes
from labkit.lab import Master, select
from labkit.paths import write

CONFIG = "nbgrader_config.py"
SECRET = "submission_secret.txt"
SEEDS = range(2**31)
DAY = 86_400  # seconds: the longest time-out


class CourseError(RuntimeError):
    """Something is wrong with the course directory; str() says what, for a person."""


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one lab.

    reason   why there is nothing to grade, or ""
    secret   with which nbgrader's exchange returns the feedback, or ""
    """

    student: str
    file: str
    data: bytes
    timestamp: str
    notes: tuple[str, ...] = ()
    reason: str = ""
    secret: str = ""


def lone_submission(path: Path) -> Submission:
    """A notebook that lies outside a course; never raises for what is wrong with it."""
    path = path.absolute()
    try:
        return Submission("", path.name, read_bytes(path, path.parent), "")
    except Unreadable as problem:
        return Submission("", path.name, b"", "", reason=str(problem))


class Course:
    """An existing course directory. Raises CourseError if it is none."""

    def __init__(self, root: Path):
        self.root = root.resolve()
        if not (self.root / CONFIG).is_file():
            raise CourseError(
                f"{root} is no course directory (it has no {CONFIG}); "
                "labkit release makes one."
            )

    @cached_property
    def config(self) -> Config:
        try:
            return PyFileConfigLoader(CONFIG, path=str(self.root)).load_config()
        except Exception as problem:  # it is a program, which may raise anything
            why = f"{type(problem).__name__}: {problem}"
            raise CourseError(f"{self.root / CONFIG} has a fault: {why}") from None

    @cached_property
    def directory(self) -> CourseDirectory:
        """nbgrader's own view of the course."""
        return CourseDirectory(config=self.config, root=str(self.root))

    @property
    def timeout(self) -> float:
        """Seconds that a cell may take, as the configuration has it for nbgrader."""
        limit = self.config.Execute.get("timeout", 30)
        given = isinstance(limit, int | float) and limit > 0
        return float(min(limit, DAY)) if given else 30.0

    def gradebook(self) -> Gradebook:
        # A new one makes nbgrader call `alembic` by name: find this environment's.
        scripts = str(Path(sys.executable).parent)
        if scripts not in os.environ["PATH"].split(os.pathsep):
            os.environ["PATH"] = os.pathsep.join((scripts, os.environ["PATH"]))
        return Gradebook(self.directory.db_url, self.directory.course_id)

    def path(self, step: str, student: str, lab: str) -> Path:
        """Of "submitted", "autograded", "feedback", "source" or "release"."""
        folder = getattr(self.directory, f"{step}_directory")
        return Path(self.directory.format_path(folder, student, lab))

    def result(self, lab: str, student: str) -> Path:
        return self.root / "results" / lab / f"{student}.json"

    def seed(self) -> int:
        """The private seed, the same for all submissions; drawn when first wanted."""
        path = self.root / "labkit.json"
        if not path.exists():
            write(path, json.dumps({"seed": secrets.randbits(31)}) + "\n", 0o600)
        try:
            seed = int(json.loads(path.read_text())["seed"])
        except (ValueError, KeyError, TypeError, OverflowError):
            seed = -1
        if seed not in SEEDS:
            raise CourseError(
                f"{path} holds no seed; without the file a new one is drawn, and "
                "everything graded again."
            )
        return seed

    def labs(self, wanted: str | None = None) -> list[str]:
        """The labs in source/, or those that `wanted` means (labkit.lab.select)."""
        folder = self.path("source", ".", ".")
        labs = sorted(p.parent.name for p in folder.glob("*/*.ipynb"))
        return labs if wanted is None else select(labs, wanted)

    def master(self, lab: str) -> Master:
        path = self.path("source", ".", lab) / f"{lab}.ipynb"
        try:
            master = Master.from_solution(path)
        except (ValueError, KeyError, AttributeError):
            master = None
        if not (master and master.questions):
            raise CourseError(f"{path} is damaged; labkit release makes it again.")
        return master

    def students(self, lab: str, wanted: str | None = None) -> list[str]:
        """Whoever has a folder for this lab in submitted/, and a name that is text."""
        folders = self.path("submitted", ".", ".").glob(f"*/{lab}")
        students = sorted(folder.parent.name for folder in folders)
        students = [s for s in students if s[0] != "." and s == _text(s)]
        return [s for s in students if wanted in (None, s)]

    def left_out(self, wanted: str | None = None) -> Iterator[str]:
        """Why folders in submitted/ are nobody's or, if all labs are wanted, no lab's,
        a sentence for each."""
        labs = set(self.labs())
        for folder in sorted(self.path("submitted", ".", ".").glob("[!.]*")):
            what = f"the folder {folder.name!r} in submitted/ is left out"
            if _text(folder.name) != folder.name:
                yield f"{what}: its name is not UTF-8; rename it."
            elif folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
                yield f"{what}: it cannot be read."
            elif wanted is None:
                for inner in sorted(folder.glob("[!.]*")):
                    if inner.is_dir() and inner.name not in labs:
                        what = f"the folder {str(inner.relative_to(folder.parent))!r}"
                        yield f"{what} in submitted/ is left out: no lab of that name."

    def submission(self, lab: str, student: str) -> Submission:
        """Read what a student handed in; never raises for what is wrong with it."""
        submitted = self.path("submitted", ".", ".")
        folder = self.path("submitted", student, lab)
        file, data, notes, reason = "", b"", (), ""
        try:
            path, notes = _pick(folder, lab)
            file = _text(path.name)
            data = read_bytes(path, submitted)
        except Unreadable as problem:
            reason = _text(str(problem))
        except OSError as problem:
            reason = f"The folder cannot be read: {problem.strerror}."
        stamp = _beside(folder / "timestamp.txt", submitted)
        secret = _beside(folder / SECRET, submitted)
        return Submission(student, file, data, stamp, notes, reason, secret)

    @contextmanager
    def lock(self):
        """Keep a second grader out while this one writes."""
        path = self.root / "results" / ".lock"
        path.parent.mkdir(exist_ok=True)
        with open(path, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CourseError(
                    f"another labkit grade is at work in {self.root}"
                ) from None
            yield


def _beside(path: Path, below: Path) -> str:
    """The text of a short file that nbgrader puts beside a notebook, or ""."""
    try:
        return read_bytes(path, below)[:200].decode("ascii", "replace").strip()
    except Unreadable:
        return ""


def _text(name: str) -> str:
    """A file's name as text: Python spells bytes that are none as lone surrogates."""
    return name.encode("utf-8", "replace").decode()


def _pick(folder: Path, lab: str) -> tuple[Path, tuple[str, ...]]:
    """The notebook to grade, and what is odd about it."""
    right = folder / f"{lab}.ipynb"
    there = right.is_symlink() or right.exists()
    found = [p for p in sorted(folder.glob("*.ipynb")) if not p.name.startswith(".")]
    if there:
        note = f"{len(found)} notebooks handed in; graded {right.name!r}."
        return right, (note,) if len(found) > 1 else ()
    if not found:
        raise Unreadable("No notebook was handed in.")
    newest = max(found, key=lambda path: path.lstat().st_mtime)
    note = f"The file was renamed to {newest.name!r}."
    if len(found) > 1:
        note = f"{len(found)} notebooks handed in; graded the newest, {newest.name!r}."
    return newest, (note,)
