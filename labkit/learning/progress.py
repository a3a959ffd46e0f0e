"""How far a learner is: kept in their own folder, and never sent anywhere.

    work/progress.csv    a line each time an exercise was checked: its number, and
                         whether it passed

In a folder without that file, which `labkit lab` puts there, nothing is kept: in the
course itself, when it is built, or when work is graded.
"""

import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import paths
from labkit.lab import Heading
from labkit.learning.place import Damaged, read

if TYPE_CHECKING:  # the map needs no PyTorch
    from labkit.checks.exercise import Report

KEPT = "progress.csv"
TITLES = "exercise,passed\n"
SIGNS = {"passed": "✓", "tried": "·", "unwritten": " "}
# A line at the left that is seen on a light ground and on a dark one.
BOX = "border-left: 4px solid #3b9c5a; padding: 2px 12px"


@dataclass(frozen=True)
class Exercise:
    """An exercise of the course, and what a learner has made of it so far."""

    number: str
    title: str
    points: int
    tries: int = 0  # until it passed
    passed: bool = False

    @property
    def state(self) -> str:
        return "passed" if self.passed else "tried" if self.tries else "unwritten"

    @property
    def worth(self) -> str:
        return counted(self.points, "point") if self.points else "bonus"

    def __str__(self) -> str:
        tries = f", {counted(self.tries, 'try', 'tries')}" if self.tries else ""
        line = f"{SIGNS[self.state]} {self.number:<6} {self.title}"
        return f"{line} ({self.worth}): {self.state}{tries}"


@dataclass(frozen=True)
class Lab:
    """A lab of the course, as a learner's map shows it."""

    title: str
    minutes: str
    exercises: tuple[Exercise, ...]

    @property
    def points(self) -> int:
        return sum(e.points for e in self.exercises if e.passed)

    def __str__(self) -> str:
        whole = counted(sum(e.points for e in self.exercises), "point")
        bonus = [e for e in self.exercises if not e.points]
        extra = (
            f", {sum(e.passed for e in bonus)} of {len(bonus)} bonus" if bonus else ""
        )
        head = f"{self.title} ({self.minutes} minutes): {self.points} of {whole}{extra}"
        return "\n".join([head, *(f"  {exercise}" for exercise in self.exercises)])


def counted(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


# ---------------------------------------------------------------------------- keeping


def begin(folder: Path) -> None:
    """Make a folder one in which progress is kept."""
    if not (folder / KEPT).exists():
        paths.write(folder / KEPT, TITLES)


def file() -> Path | None:
    """The nearest record of progress, in this folder or above, if there is one."""
    here = Path.cwd()
    found = (folder / KEPT for folder in (here, *here.parents))
    return next((path for path in found if path.is_file()), None)


def keep(report: "Report") -> None:
    """Note that an answer was checked, where progress is kept; a stub is none yet."""
    from labkit.checks.compare import NOT_WRITTEN

    path, failure = file(), report.failure
    if path is None or (failure and failure.message.endswith(NOT_WRITTEN)):
        return
    try:
        with path.open("a", encoding="utf-8") as record:
            record.write(f"{report.number},{report.passed}\n")
    except OSError as problem:  # which says nothing about the answer
        print(f"Progress is not kept: {path}: {problem.strerror}.")


def kept(path: Path | None) -> dict[str, tuple[int, bool]]:
    """Tries until it passed, and whether it did, by exercise."""
    found: dict[str, tuple[int, bool]] = {}
    lines = path.read_text("utf-8").splitlines() if path else []
    for line in lines:
        number, _, passed = line.partition(",")
        tries, before = found.get(number, (0, False))
        if passed in ("True", "False") and not before:
            found[number] = tries + 1, passed == "True"
    return found


# -------------------------------------------------------------------------- the course


def course(path: Path | None) -> list[Lab]:
    """All labs, with what the record at `path` says of their exercises."""
    so_far = kept(path)
    return [
        Lab(
            title,
            minutes,
            tuple(
                Exercise(h.number, h.title, h.points, *so_far.get(h.number, ()))
                for h in headings
            ),
        )
        for title, minutes, headings in _labs()
    ]


@cache
def _labs() -> list[tuple[str, str, list[Heading]]]:
    """Title, minutes and the exercises' headings of each lab of the course."""
    found = []
    for path in sorted((paths.root() / "labs").glob("*.ipynb")):
        texts = [c.source for c in read(path).cells if c.cell_type == "markdown"]
        title = re.search(r"^# (.+)$", texts[0], re.MULTILINE)[1]
        minutes = re.search(r"Time:?\*\*\s(?:about\s)?(\d+)", texts[0])[1]
        headings = [heading for text in texts if (heading := Heading.read(text))]
        found.append((title, minutes, headings))
    return found


def first_to_do(labs: list[Lab]) -> Exercise | None:
    return next((e for lab in labs for e in lab.exercises if not e.passed), None)


# ----------------------------------------------------------------------------- telling


def progress() -> None:
    """Show the course as a map: what is unwritten, tried and passed."""
    path = file()
    _display(as_text(path), "".join(map(_table, course(path))))


def as_text(path: Path | None) -> str:
    """The map, from the record at `path`."""
    labs = course(path)
    text = "\n\n".join(map(str, labs))
    if path is None:
        return f"{text}\n\nNothing is kept here: call labkit lab, work in its folder."
    todo = first_to_do(labs)
    return f"{text}\n\nNext: {todo.number} {todo.title}" if todo else text


def passed(number: str, text: str) -> None:
    """Show that an exercise passed: a line of text; in a learner's place what it was
    worth, too, and what comes next."""
    try:
        path = file()
        places = [(lab, e) for lab in course(path) * bool(path) for e in lab.exercises]
    except (OSError, Damaged, paths.NoCheckout):  # the answer is right all the same
        places = []
    for lab, mine in places:
        if mine.number == number:
            said = f"{mine.worth}; {_what_next(lab, mine)}"
            box = f'<div style="{BOX}"><b>{escape(text)}</b><br>{escape(said)}</div>'
            return _display(f"{text}\n  {said}", box)
    print(text)


def _what_next(lab: Lab, mine: Exercise) -> str:
    after = lab.exercises[lab.exercises.index(mine) + 1 :]
    todo = [e for e in (*after, *lab.exercises) if not e.passed and e is not mine]
    if todo:
        return f"next: {todo[0].number} {todo[0].title}"
    return "all of this lab has passed: its end says what you built, and what it is for"


def _table(lab: Lab) -> str:
    rows = "".join(
        f"<tr><td>{SIGNS[e.state]}</td><td>{e.number}</td>"
        f'<td style="text-align: left">{escape(e.title)}</td><td>{e.worth}</td>'
        f"<td>{e.state}{f', {e.tries}' if e.tries else ''}</td></tr>"
        for e in lab.exercises
    )
    head = escape(str(lab).partition("\n")[0])
    shown = "open" * any(e.tries for e in lab.exercises)
    table = f"<summary>{head}</summary><table>{rows}</table>"
    return f"<details {shown}>{table}</details>"


def _display(text: str, html: str) -> None:
    """As HTML where a notebook can show it, as text elsewhere."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(text)
    else:
        display({"text/plain": text, "text/html": html}, raw=True)
