"""What a lab notebook is: its headings, its cells' names and marks, a learner's copy.

A lab is written once, with answers, as a percent script (`labkit.build` reads it). An
exercise is a heading, cells to answer in, and one check:

    ## Exercise 1.2 — Normalize a layer (2 points)

Its number has one spelling in each place, made and read here and nowhere else: "1.2" in
words, "exercise-1-2" and "check-1-2" as the names of its cells; and lab 4.2 is
"lab_04_2_…" in the names of files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from symtable import SymbolTable, symtable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # nbformat takes a second, and most who come here want a number
    from nbformat import NotebookNode

HEADING = re.compile(
    r"^## Exercise (?P<number>\d+(?:\.\d+)+) — (?P<title>.+) \((?P<details>[^()]+)\)$",
    re.MULTILINE,
)
# What may stand in the brackets of a heading, with commas between.
DETAIL = re.compile(r"(?P<points>\d+) points?|bonus")
# A line below the heading. Grading gives an exercise its own answer, and these.
BUILDS_ON = re.compile(
    r"^Builds on (?P<numbers>\d+(?:\.\d+)+(?:(?:, | and )\d+(?:\.\d+)+)*)", re.MULTILINE
)
CHECK = re.compile(r'^check\("(?P<number>[\d.]+)", [\w, ]+\)$')
NAMED = re.compile(r"(?:lab_)?(?P<section>\d+(?:_\d+)*)(?:_|$)")


class SourceError(ValueError):
    """A source that breaks the rules; the message starts with file:line."""


class EditedError(RuntimeError):
    """A notebook that somebody has worked in, which the build would overwrite."""


class UnknownLab(ValueError):
    """A name that means no lab, or too many; str() lists those that there are."""


# -------------------------------------------------------------- numbers and the names


def exercise_id(number: str, cell: int = 1) -> str:
    """The name of an exercise's first, second … answer cell: exercise-1-2_2."""
    return f"exercise-{number.replace('.', '-')}{f'_{cell}' if cell > 1 else ''}"


def check_id(number: str) -> str:
    """The name of an exercise's check cell: check-1-2."""
    return f"check-{number.replace('.', '-')}"


def number_of(cell_id: str) -> str:
    """The exercise that a cell of either name belongs to: "1.2"; of any other: ""."""
    if not cell_id.startswith(("exercise-", "check-")):
        return ""
    return re.sub(r"^(exercise|check)-|_\d+$", "", cell_id).replace("-", ".")


def section_of(name: str) -> str:
    """The section that a file's or a folder's name begins with.

    "4.2" of "lab_04_2_model_structure" and of "04_2_model_structure"; "" if the name
    begins with no number.
    """
    named = NAMED.match(name)
    return ".".join(str(int(n)) for n in named["section"].split("_")) if named else ""


def stem_of(name: str) -> str:
    """The name that a lab shares with its chapter: "02_feed_forward"."""
    return name.removeprefix("lab_")


def select(names: Iterable[str], wanted: str) -> list[str]:
    """Those of the names that a person means: what `--lab` does in every command.

    wanted  a number as in text or in names ("2", "02", "4.2", "04_2"; "4" means 4.1
            too) or a name or its beginning, all with or without "lab_"

    Raises UnknownLab if that is none of them.
    """
    names = sorted(names)
    short = stem_of(wanted).rstrip("_")
    if wanted in names:
        return [wanted]
    if re.fullmatch(r"\d+([._]\d+)*", short):
        section = section_of(short.replace(".", "_"))
        found = [n for n in names if f"{section_of(n)}.".startswith(f"{section}.")]
    else:
        found = [n for n in names if short and stem_of(n).startswith(short)]
    if not found:
        raise UnknownLab(f"no lab {wanted!r}; there are: {', '.join(names)}")
    return found


def select_one(names: Iterable[str], wanted: str) -> str:
    """The one name that a person means. Raises UnknownLab if that is not one."""
    first, *others = select(names, wanted)
    if others:
        several = ", ".join([first, *others])
        raise UnknownLab(f"{wanted!r} may be any of: {several}")
    return first


# ------------------------------------------------------------- from a source to a lab


@dataclass(frozen=True)
class Heading:
    """What the heading of an exercise says; a bonus gives no points."""

    number: str
    title: str
    points: int

    @classmethod
    def read(cls, text: str) -> Heading | None:
        """The heading in a text cell, or None if none is there as it should be."""
        found = HEADING.search(text)
        if not found:
            return None
        details = [DETAIL.fullmatch(part) for part in found["details"].split(", ")]
        if not all(details):
            return None
        points = sum(int(detail["points"] or 0) for detail in details)
        return cls(found["number"], found["title"], points)


@dataclass
class Exercise:
    """An exercise while its cells are read, one after the other."""

    heading: Heading
    where: str  # file:line of the heading
    cells: int = 0
    checked: bool = False


def begin_exercise(source: str, where: str) -> Exercise | None:
    """The exercise that a text cell begins. Raises SourceError for a bad heading."""
    heading = Heading.read(source)
    if "## Exercise" in source and not heading:
        raise SourceError(
            f"{where}: an exercise heading reads "
            "'## Exercise 1.2 — Title (2 points)' or '… (bonus)'"
        )
    return Exercise(heading, where) if heading else None


def require_checked(exercise: Exercise | None) -> None:
    """Raise SourceError for an exercise that ends without a check."""
    if exercise and not exercise.checked:
        raise SourceError(
            f"{exercise.where}: exercise {exercise.heading.number} has no check"
        )


def mark_for_nbgrader(
    cell: NotebookNode, tags: list[str], exercise: Exercise | None, where: str
) -> None:
    """Give an answer or check cell its name and the metadata that nbgrader reads.

    Raises SourceError where the cell is not what its tag says.
    """
    if exercise is None:
        raise SourceError(f"{where}: an exercise or a check without a heading before")
    number = exercise.heading.number
    if "exercise" in tags:
        if "BEGIN SOLUTION" not in cell.source:
            raise SourceError(f"{where}: exercise {number} marks no solution")
        exercise.cells += 1
        cell.id = exercise_id(number, exercise.cells)
        grading = {"grade": False, "locked": False, "solution": True}
    else:
        call = CHECK.match(cell.source)
        if not call or call["number"] != number or not exercise.cells:
            raise SourceError(
                f"{where}: the check of exercise {number} is one line after its cell: "
                f'check("{number}", name)'
            )
        exercise.checked = True
        cell.id = check_id(number)
        points = exercise.heading.points
        grading = {"grade": True, "locked": True, "points": points, "solution": False}
    cell.metadata.nbgrader = {
        "cell_type": "code",
        "grade_id": cell.id,
        "schema_version": 3,
        "task": False,
        **grading,
    }


def name_cells(notebook: NotebookNode) -> None:
    """Give every cell a lasting id: the exercise's, or a hash of what it says."""
    taken: set[str] = set()
    for cell in notebook.cells:
        name = cell.id if "nbgrader" in cell.metadata else text_id(cell)
        while name in taken:
            name += "x"
        taken.add(name)
        cell.id = name


def text_id(cell: NotebookNode) -> str:
    """The id of a cell that belongs to no exercise."""
    return hashlib.sha256(cell.source.encode()).hexdigest()[:8]


# ------------------------------------------------------- labs: the answers taken out


def lab_from_solution(solution: NotebookNode, name: str) -> NotebookNode:
    """What the learner opens: the solution notebook through nbgrader's preprocessors.

    The notebook carries a digest of its cells, by which the build tells later
    whether somebody has worked in it.
    """
    from nbformat import from_dict
    from nbgrader import preprocessors as nbgrader

    lab = from_dict(json.loads(json.dumps(solution)))
    resources: dict = {}
    for step in (
        nbgrader.LockCells,
        numbered_stubs(),
        nbgrader.ClearOutput,
        nbgrader.CheckCellMetadata,
        nbgrader.ComputeChecksums,
    ):
        lab, resources = step().preprocess(lab, resources)
    let_all_run(lab)
    lab.metadata.labkit = {"lab": name, "digest": digest(lab)}
    return lab


def let_all_run(lab: NotebookNode) -> None:
    """Tag what fails while an answer is missing, so that *Run All* goes on.

    That is each check, and each given cell that uses an answer or what was made of one.
    """
    unwritten: set[str] = set()
    for cell in lab.cells:
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        # a stub is valid Python before it is filled in
        names = symtable(cell.source, cell.id, "exec")
        waits = "check" in tags or not unwritten.isdisjoint(_used(names))
        if "exercise" in tags or waits:
            unwritten |= {n.get_name() for n in names.get_symbols() if n.is_assigned()}
        if waits and "exercise" not in tags:
            cell.metadata.tags = sorted({*tags, "raises-exception"})


def _used(names: SymbolTable) -> set[str]:
    """The names that a cell takes from other cells, inside its functions too."""
    inner = set().union(*map(_used, names.get_children()))
    if names.get_type() == "module":
        return inner | {n.get_name() for n in names.get_symbols() if n.is_referenced()}
    return inner | {n.get_name() for n in names.get_symbols() if n.is_global()}


@cache
def numbered_stubs() -> type:
    """nbgrader's ClearSolutions, with the exercise's number in each stub.

    Made when first wanted, because nbgrader takes seconds to import.
    """
    from nbgrader.preprocessors import ClearSolutions

    class NumberedStubs(ClearSolutions):
        def preprocess_cell(self, cell, resources, cell_index):
            number = number_of(cell.metadata.get("nbgrader", {}).get("grade_id", ""))
            self.code_stub = {
                "python": "# YOUR CODE HERE\n"
                f'raise NotImplementedError("Exercise {number}")'
            }
            return super().preprocess_cell(cell, resources, cell_index)

    return NumberedStubs


def digest(notebook: NotebookNode) -> str:
    """A fingerprint of what stands in the cells, whatever their outputs."""
    content = [[cell.cell_type, cell.source] for cell in notebook.cells]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def was_edited(stored: NotebookNode, fresh: NotebookNode) -> bool:
    """Whether somebody has worked in a stored notebook, which `fresh` would replace.

    Its cells are then neither those that the build wrote, by the digest that it left,
    nor those that it would write now. Without a digest it is not ours to overwrite.
    """
    mark = stored.metadata.get("labkit") or {}
    return digest(stored) not in (mark.get("digest"), digest(fresh))


# ------------------------------------------------------------------- its questions


@dataclass(frozen=True)
class Question:
    """One exercise of a lab, as its master notebook has it."""

    number: str
    title: str
    points: float
    answers: tuple[str, ...]  # grade ids of its answer cells
    check: str  # grade id of its check cell
    builds_on: tuple[str, ...] = ()  # other exercises, and what they build on


@dataclass(frozen=True)
class Master:
    """A lab without answers, the questions in it, and the course's own answers.

    solutions  by the grade id of an answer cell
    """

    lab: str
    notebook: NotebookNode
    questions: tuple[Question, ...]
    solutions: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_solution(cls, path: Path) -> Master:
        """Take the answers out of a solution notebook, as the release does."""
        from nbformat import read

        solution = read(path, as_version=4)
        notebook = lab_from_solution(solution, path.stem)
        answers = {grade_id(c, "solution"): c.source for c in solution.cells}
        return cls(path.stem, notebook, tuple(_questions(notebook)), answers)

    @property
    def digest(self) -> str:
        return self.notebook.metadata.labkit.digest

    @property
    def max_score(self) -> float:
        return sum(question.points for question in self.questions)

    @property
    def own_cells(self) -> list[str]:
        """The sources of its code cells that are neither answers nor checks."""
        return [
            cell.source
            for cell in self.notebook.cells
            if cell.cell_type == "code"
            and not grade_id(cell, "solution")
            and not grade_id(cell, "grade")
        ]


def grade_id(cell: dict, kind: str) -> str:
    """The cell's grade id if it is of this kind ("solution" or "grade"), else ""."""
    label = cell["metadata"].get("nbgrader", {})
    return label.get("grade_id", "") if label.get(kind) else ""


def _questions(notebook: NotebookNode) -> Iterator[Question]:
    """Raises SourceError for an exercise that builds on one that is not before it."""
    titles, answers, wanted, known = {}, [], [], {}
    for cell in notebook.cells:
        if heading := Heading.read(cell.source):
            titles[heading.number] = heading.title
        if cell.cell_type == "markdown" and (line := BUILDS_ON.search(cell.source)):
            wanted = re.split(", | and ", line["numbers"])
        if answer := grade_id(cell, "solution"):
            answers.append(answer)
        if check := grade_id(cell, "grade"):
            number = number_of(check)
            if unknown := set(wanted) - set(known):
                raise SourceError(
                    f"exercise {number} builds on {', '.join(sorted(unknown))}, which "
                    "is not before it"
                )
            points = cell.metadata.nbgrader.points
            needed = {n for base in wanted for n in (base, *known[base])}
            known[number] = tuple(n for n in known if n in needed)
            of = number, titles.get(number, ""), points, tuple(answers), check
            yield Question(*of, known[number])
            answers, wanted = [], []
