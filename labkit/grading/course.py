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

from labkit.grading.handed_in import pick
from labkit.grading.submission import Unreadable, read_bytes
from labkit.grading.timestamp import read_time
from labkit.lab import Master, select
from labkit.paths import write

CONFIG = "nbgrader_config.py"
SECRET = "submission_secret.txt"
SEEDS = range(2**64)  # too many to try them all
NAME_LIMIT = 128  # characters, as many as the gradebook has room for
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


def unfit(name: str) -> str:
    """Why a folder's name can be no learner's, or ""."""
    if name.encode("utf-8", "replace").decode() != name:
        return "its name is not UTF-8; rename it."
    if not name.isprintable():
        return "its name holds a line break or another character that does not print."
    if name.startswith((".", " ")) or name.endswith((".", " ")):
        return "its name begins or ends with a dot or a space."
    if name.startswith(("=", "+", "-", "@")):
        return "a spreadsheet would take its name for a formula; rename it."
    if len(name) > NAME_LIMIT or len(name.encode()) > 2 * NAME_LIMIT - 16:
        return f"its name is longer than {NAME_LIMIT} characters."
    return ""


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
            write(path, json.dumps({"seed": secrets.randbits(64)}) + "\n", 0o600)
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
        """Whoever has a folder for this lab in submitted/, and a fit name."""
        folders = self.path("submitted", ".", ".").glob(f"*/{lab}")
        students = sorted(folder.parent.name for folder in folders)
        return [s for s in students if wanted in (None, s) and not unfit(s)]

    def left_out(self, wanted: str | None = None) -> Iterator[str]:
        """Why what lies in submitted/ is nobody's or, if all labs are wanted, no lab's,
        a sentence for each."""
        labs, submitted = set(self.labs()), self.path("submitted", ".", ".")

        def left(path: Path, why: str) -> str:
            kind = "folder" if path.is_dir() else "file"
            name = ascii(str(path.relative_to(submitted)))
            return f"the {kind} {name} in submitted/ is left out: {why}"

        for folder in sorted(submitted.glob("*")):
            if folder.name.startswith(".") and not any(folder.glob("*/*")):
                continue  # a system's own
            if not folder.is_dir():
                yield left(folder, "it is not a learner's folder.")
            elif why := unfit(folder.name):
                yield left(folder, why)
            elif not os.access(folder, os.R_OK | os.X_OK):
                yield left(folder, "it cannot be read.")
            elif wanted is None:
                for inner in sorted(folder.glob("[!.]*")):
                    if inner.name not in labs:
                        yield left(inner, "no lab of that name.")

    def submission(self, lab: str, student: str) -> Submission:
        """Read what a student handed in; never raises for what is wrong with it."""
        submitted = self.path("submitted", ".", ".")
        folder = self.path("submitted", student, lab)
        file, data, notes, reason = "", b"", (), ""
        try:
            file, data, notes = pick(folder, lab, submitted)
        except Unreadable as problem:
            reason = str(problem).encode("utf-8", "replace").decode()
        except OSError as problem:
            reason = f"The folder cannot be read: {problem.strerror}."
        stamp = ""
        if os.path.lexists(folder / "timestamp.txt"):  # False where it may not look
            stamp, problem = read_time(_beside(folder / "timestamp.txt", submitted))
            notes += (problem,) if problem else ()
        secret = _beside(folder / SECRET, submitted).decode("ascii", "replace").strip()
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


def _beside(path: Path, below: Path) -> bytes:
    """A short file that nbgrader puts beside a notebook; empty if there is none."""
    try:
        return read_bytes(path, below)[:200]
    except Unreadable:
        return b""
