"""Rebuild a submission from its master.

Only the answer cells come from the learner. Everything else (text, set-up, checks,
metadata) is the master's, so that damage or tricks outside the answers change nothing.
"""

import copy
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import nbformat

from labkit.grading.source import (
    DEFINING,
    cell_magic,
    defined_names,
    used_names,
    without_magics,
)
from labkit.grading.submission import READ_LIMIT, SubmittedCell, Unreadable
from labkit.lab import Master, Question, grade_id, number_of


@dataclass
class Rebuilt:
    """The master with a learner's answers in it.

    blank    grade ids of answer cells that are as they were handed out, or missing
    helpers  names that only the learner's own, ungraded cells define
    again    by exercise, names of its answer that another cell defines once more below
    notes    what an instructor may want to look at, one sentence each
    """

    notebook: nbformat.NotebookNode
    blank: set[str] = field(default_factory=set)
    helpers: set[str] = field(default_factory=set)
    again: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def answers(self, question: Question) -> list[str]:
        """The sources of a question's answer cells that are filled in."""
        wanted = set(question.answers) - self.blank
        cells = [c for c in self.notebook.cells if grade_id(c, "solution") in wanted]
        return [cell.source for cell in cells]

    def used_by(self, question: Question) -> set[str]:
        """Names that the answers to a question read."""
        return set().union(*map(used_names, self.answers(question)))


@dataclass(frozen=True)
class _Found:
    """The cells that may answer one of the master's.

    how   "label", or "name" where only the names that they define say so
    """

    cells: list[SubmittedCell]
    how: str


class _HandedIn:
    """A submission's cells by what can tell whose answer they are."""

    def __init__(self, cells: list[SubmittedCell]):
        self.cells = cells
        self.place = {cell: place for place, cell in enumerate(cells)}
        self.code = [cell for cell in cells if cell.kind == "code"]
        self.by_label, self.by_id = defaultdict(list), defaultdict(list)
        self.by_name = defaultdict(list)
        for cell in cells:
            self.by_label[cell.grade_id].append(cell)
            self.by_id[cell.id].append(cell)
            for name in cell.defines - cell.imports:
                self.by_name[name].append(cell)

    def naming(self, wanted: Iterable[str]) -> list[SubmittedCell]:
        """Code cells that define any of these names, in order."""
        found = {cell for name in wanted for cell in self.by_name[name]}
        return sorted(found, key=self.place.__getitem__)

    def candidates(self, cell, wanted: frozenset[str]) -> _Found:
        """Cells that may answer the master's `cell`: those of the best kind that
        together define all that it asks for. Code comes before text, into which a
        cell is turned by a key pressed too many."""
        name, blank = grade_id(cell, "solution"), " ".join(cell.source.split())
        tiers = [
            ("label", self.by_label[name]),
            ("label", self.by_id[cell.id] if cell.id else []),
            ("name", self.naming(wanted)),
        ]
        filled = [
            (how, code or [c for c in tier if c.words and c.words != blank])
            for how, tier in tiers
            for code in [
                [c for c in tier if c.kind == "code" and c.words != blank],
            ]
        ]
        complete = [
            (how, tier)
            for how, tier in filled
            if wanted <= set().union(*(c.defines for c in tier))
        ]
        for how, tier in complete + filled + tiers:
            if tier:
                return _Found(tier, how)
        return _Found([], "label")


def rebuild(master: Master, cells: list[SubmittedCell]) -> Rebuilt:
    """Put the learner's answers into a copy of the master.

    An answer is found by its grade id, then by its cell's id, then by the names it
    defines; of several, the last that is filled in counts, as it would when run, with
    what it needs of those before it.
    Raises Unreadable if no cell belongs to the lab.
    """
    rebuilt = Rebuilt(copy.deepcopy(master.notebook))
    owner = {a: q.number for q in master.questions for a in q.answers}
    handed_in, chosen, any_found = _HandedIn(cells), set(), False
    taken: dict[str, tuple] = {}  # by answer: the candidates, what counts, its names
    for cell in rebuilt.notebook.cells:
        name = grade_id(cell, "solution")
        if not name:
            continue
        wanted, blank = defined_names(cell.source), " ".join(cell.source.split())
        found = handed_in.candidates(cell, wanted)
        any_found = any_found or bool(found.cells)
        chosen |= set(found.cells)
        filled = [c for c in found.cells if c.words != blank]
        if not filled:
            rebuilt.blank.add(name)
            if not found.cells:
                rebuilt.notes.append(f"No answer cell for exercise {owner[name]}.")
            continue
        kept = _needed(filled, wanted)
        parts = [c.source for c in kept]
        if len(parts) > 1:  # a cell magic stands at the top or nowhere
            parts = [without_magics(p) if cell_magic(p) else p for p in parts]
        cell.source = "\n\n\n".join(parts)
        number = owner[name]
        rebuilt.notes += _remarks(number, found.how, filled, kept, wanted, owner)
        taken[name] = set(found.cells), kept, wanted
    if not any_found:
        raise Unreadable(_foreign(master, cells))
    stubs = {
        " ".join(c.source.split())
        for c in master.notebook.cells
        if grade_id(c, "solution")
    }
    counting = {c for _, kept, _ in taken.values() for c in kept}
    for name, (candidates, kept, wanted) in taken.items():
        below = handed_in.place[kept[-1]] + 1
        mine = candidates | counting
        others = [c for c in cells[below:] if c not in mine and c.words not in stubs]
        if again := wanted & set().union(*(c.defines for c in others)):
            rebuilt.again.setdefault(owner[name], []).extend(sorted(again))
    _compare_checks(master, handed_in.code, rebuilt)
    if sum(len(c.source) for c in handed_in.code) > READ_LIMIT:
        rebuilt.notes.append(
            f"More than {READ_LIMIT:,} characters of code; of cells behind them only "
            "the labels were looked at."
        )
    kept = [c for c in rebuilt.notebook.cells if c.cell_type == "code"]
    known = set().union(*(defined_names(c.source) for c in kept))
    extra = [c for c in handed_in.code if c not in chosen]
    rebuilt.helpers = set().union(*(c.defines for c in extra)) - known
    return rebuilt


def _needed(filled: list[SubmittedCell], wanted: frozenset[str]) -> list[SubmittedCell]:
    """The parts of one answer: the last cell that defines each wanted name, and those
    above it that define what it reads, since an answer may have been cut in pieces by
    JupyterLab's Split Cell, which gives all of them the same label."""
    kept, defined, read = [], set(), set(wanted)
    for cell in reversed(filled):
        if read & (cell.defines - defined):
            kept.append(cell)
            defined |= cell.defines
            read |= used_names(cell.source)
    return kept[::-1] or filled[-1:]


def _remarks(number, how, filled, kept, wanted, owner) -> Iterable[str]:
    """What an instructor may want to know of where an answer was found."""
    copies = {c.words for c in filled if c.defines & wanted} - {c.words for c in kept}
    if copies:
        count = len(copies) + len(kept)
        yield f"{count} cells answer exercise {number}; the last counts."
    if texts := sorted({c.kind for c in kept} - {"code"}):
        yield f"The answer to {number} stands in a {texts[0]} cell; graded as code."
    labels = {owner.get(c.grade_id, number) for c in kept} - {number}
    if labels:
        yield (
            f"The answer to {number} stands in a cell with the label of "
            f"{', '.join(sorted(labels))}."
        )
    elif how == "name":
        yield f"The answer to {number} was found by the names that it defines."


def magic_told(sources: list[str]) -> str:
    """Why a cell under a magic defines nothing, or ""."""
    for name in set(map(cell_magic, sources)) - DEFINING - {""}:
        if name == "writefile":
            return (
                "The cell begins with %%writefile: what stands in it goes into a file "
                "and is not defined."
            )
        return (
            f"The cell begins with %%{name}; take that line away if it defines names."
        )
    return ""


def _foreign(master: Master, cells: list[SubmittedCell]) -> str:
    """Why no cell of a notebook belongs to the lab."""
    said = f"No cell of {master.lab} is in this notebook."
    if numbers := sorted({number_of(c.grade_id)[:20] for c in cells} - {""}):
        said += f" Its cells belong to {', '.join(numbers[:5])}."
    return said


def _compare_checks(master: Master, cells, rebuilt: Rebuilt) -> None:
    checks = [c for c in master.notebook.cells if grade_id(c, "grade")]
    handed_in = {c.source.strip() for c in cells}
    changed = [c for c in checks if c.source.strip() not in handed_in]
    if changed:
        rebuilt.notes.append(
            f"{len(changed)} check cells were edited or deleted "
            "(grading does not use them)."
        )
