"""Read submissions safely, and rebuild each from its master.

Only the answer cells come from the learner. Everything else (text, set-up, checks,
metadata) is the master's, so that damage or tricks outside the answers change nothing.
"""

import ast
import copy
import errno
import json
import os
import re
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from labkit.lab import Master, Question, grade_id

SIZE_LIMIT = 50 * 2**20  # bytes of a submitted file: outputs make notebooks large
PARSE_LIMIT = 20_000  # characters of a cell that is looked through for names
READ_LIMIT = 500_000  # characters of a notebook's code that are looked through


class Unreadable(ValueError):
    """A submission that cannot be graded; str() says why in one sentence."""


# ----------------------------------------------------------------------------- reading


def read_bytes(path: Path, below: Path) -> bytes:
    """The bytes of a regular file under `below`, following no symbolic link.

    Raises Unreadable for a link, for anything but a file, and beyond SIZE_LIMIT.
    """
    folder = os.open(below, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *parents, name = path.relative_to(below).parts
        for part in parents:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            inner = os.open(part, flags, dir_fd=folder)
            os.close(folder)
            folder = inner
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not block
        with open(os.open(name, flags, dir_fd=folder), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable(f"{name} is not an ordinary file.")
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Unreadable(
                f"{path.name} is a symbolic link or lies behind one; links are not "
                "followed: the notebook itself has to be handed in."
            ) from None
        raise Unreadable(f"{path.name} cannot be opened: {error.strerror}.") from None
    finally:
        os.close(folder)
    if len(data) > SIZE_LIMIT:
        raise Unreadable(
            f"{path.name} is larger than {SIZE_LIMIT // 2**20} MB; "
            "clear the outputs of its cells and save it again."
        )
    return data


@dataclass(frozen=True)
class SubmittedCell:
    """A code cell as it was handed in; `defines` are the names it binds."""

    source: str
    id: str = ""
    grade_id: str = ""
    defines: frozenset[str] = frozenset()


def parse(data: bytes) -> tuple[dict, list[SubmittedCell]]:
    """The metadata and the code cells of a submitted notebook.

    Takes what is odd but clear (a byte-order mark, missing fields, wrong types in
    metadata). Raises Unreadable for what is no notebook.
    """
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if hasattr(error, "lineno") else ""
        raise Unreadable(
            f"The file is no whole notebook: its JSON breaks off or is damaged{where}."
        ) from None
    if not isinstance(notebook, dict) or not isinstance(
        notebook.get("cells", notebook.get("worksheets")), list
    ):
        raise Unreadable("The file is JSON, but not a Jupyter notebook.")
    if "cells" not in notebook:
        raise Unreadable(
            "The notebook has an old format (nbformat 3); "
            "open it in JupyterLab and save it again."
        )
    metadata = notebook.get("metadata")
    cells, read = [], 0
    for raw in notebook["cells"]:
        if isinstance(raw, dict) and raw.get("cell_type") == "code":
            cell = _cell(raw)
            read += len(cell.source)
            if read <= READ_LIMIT:  # parsing takes long where somebody wants it to
                cell = replace(cell, defines=defined_names(cell.source))
            cells.append(cell)
    return metadata if isinstance(metadata, dict) else {}, cells


def _cell(raw: dict) -> SubmittedCell:
    """What counts of a cell, whatever types it has."""
    source = raw.get("source", "")
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str):
        source = ""
    source = source.encode("utf-8", "replace").decode()  # lone surrogates
    metadata = raw.get("metadata")
    label = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = label.get("grade_id") if isinstance(label, dict) else None
    return SubmittedCell(source, str(raw.get("id", "")), str(grade_id or ""))


def defined_names(source: str) -> frozenset[str]:
    """Names that a cell binds at its top level, even if it has a syntax error."""
    try:
        tree = syntax(source)
    except Exception:
        source = source[:PARSE_LIMIT]
        found = re.findall(r"^(?:def|class)\s+(\w+)|^(\w+)\s*=[^=]", source, re.M)
        return frozenset(name for pair in found for name in pair if name)
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {a.asname or a.name.split(".")[0] for a in node.names}
            case _:
                names |= {
                    n.id
                    for n in ast.walk(node)
                    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                }
    return frozenset(names)


def used_names(source: str) -> set[str]:
    """Names that a cell reads and nowhere binds; none if it has a syntax error."""
    try:
        nodes = list(ast.walk(syntax(source)))
    except Exception:
        return set()
    names = [n for n in nodes if isinstance(n, ast.Name)]
    bound = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    return {n.id for n in names} - bound


def syntax(source: str) -> ast.Module:
    """The syntax tree of a cell, magics (%, !) included. Raises what parsing raises,
    and ValueError beyond PARSE_LIMIT."""
    if len(source) > PARSE_LIMIT:
        raise ValueError("too long to look through")
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse(TransformerManager().transform_cell(source))


# -------------------------------------------------------------------------- rebuilding


@dataclass
class Rebuilt:
    """The master with a learner's answers in it.

    blank    grade ids of answer cells that are as they were handed out, or missing
    helpers  names that only the learner's own, ungraded cells define
    again    by exercise, names of its answer that such a cell defines once more below
    notes    what an instructor may want to look at, one sentence each
    """

    notebook: nbformat.NotebookNode
    blank: set[str] = field(default_factory=set)
    helpers: set[str] = field(default_factory=set)
    again: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def used_by(self, question: Question) -> set[str]:
        """Names that the answers to a question read."""
        return used_names(self.answer(question))

    def answer(self, question: Question) -> str:
        """The source of a question's answer cells."""
        cells = self.notebook.cells
        answers = [c for c in cells if grade_id(c, "solution") in question.answers]
        return "\n".join(cell.source for cell in answers)


def rebuild(master: Master, cells: list[SubmittedCell]) -> Rebuilt:
    """Put the learner's answers into a copy of the master.

    An answer is found by its grade id, then by its cell's id, then by the names it
    defines; of several, the last that is filled in counts, as it would when run, with
    what it needs of those before it.
    Raises Unreadable if no cell belongs to the lab.
    """
    rebuilt = Rebuilt(copy.deepcopy(master.notebook))
    owner = {a: q.number for q in master.questions for a in q.answers}
    chosen, by_name, found = set(), [], False
    for cell in rebuilt.notebook.cells:
        name = grade_id(cell, "solution")
        if not name:
            continue
        candidates, labelled = _candidates(cell, name, cells, set(owner))
        found = found or bool(candidates)
        filled = [c for c in candidates if not _same(c.source, cell.source)]
        chosen |= set(candidates)
        if not filled:
            rebuilt.blank.add(name)
            if not candidates:
                rebuilt.notes.append(f"No answer cell for exercise {owner[name]}.")
            continue
        wanted = defined_names(cell.source)
        kept = _needed(filled, wanted)
        copies = {c.source for c in filled if c.defines & wanted}
        if copies := copies - {c.source for c in kept}:
            rebuilt.notes.append(
                f"{len(copies) + len(kept)} cells answer exercise {owner[name]}; "
                "the last counts."
            )
        if not labelled:
            by_name.append(owner[name])
        cell.source = "\n\n\n".join(c.source for c in kept)
        below = cells[cells.index(kept[-1]) + 1 :]
        mine = [c for c in below if not c.grade_id and c not in candidates]
        if again := wanted & set().union(*(c.defines for c in mine)):
            rebuilt.again.setdefault(owner[name], []).extend(sorted(again))
    if not found:
        raise Unreadable(f"No cell of {master.lab} is in this notebook.")
    if by_name:
        rebuilt.notes.append(
            "Cells had lost their labels; answers found by the names they define: "
            f"{', '.join(by_name)}."
        )
    _compare_checks(master, cells, rebuilt)
    kept = [c for c in rebuilt.notebook.cells if c.cell_type == "code"]
    known = set().union(*(defined_names(c.source) for c in kept))
    extra = [c for c in cells if c not in chosen]
    rebuilt.helpers = set().union(*(c.defines for c in extra)) - known
    return rebuilt


def _candidates(
    cell, name: str, cells: list[SubmittedCell], labels: set[str]
) -> tuple[list[SubmittedCell], bool]:
    """Cells that may answer `cell`, and whether they still carried its label: those of
    the best kind that together define all that it asks for."""
    wanted = defined_names(cell.source)
    others = labels - {name}
    named = [c for c in cells if wanted & c.defines and c.grade_id not in others]
    tiers = [
        (True, [c for c in cells if c.grade_id == name]),
        (True, [c for c in cells if c.id == cell.id]),
        (False, named),
    ]
    filled = [
        (labelled, [c for c in tier if not _same(c.source, cell.source)])
        for labelled, tier in tiers
    ]
    complete = [
        (labelled, tier)
        for labelled, tier in filled
        if wanted <= set().union(*(c.defines for c in tier))
    ]
    for labelled, tier in complete + filled + tiers:
        if tier:
            return tier, labelled
    return [], True


def _needed(filled: list[SubmittedCell], wanted: frozenset[str]) -> list[SubmittedCell]:
    """The parts of one answer: the last cell that defines each wanted name, and those
    above it that define what it reads, since an answer may have been cut in pieces by
    JupyterLab's Split Cell, which gives all of them the same label."""
    kept, defined, read = [], set(), set(wanted)
    for cell in reversed(filled):
        if read & (cell.defines - defined):
            kept.insert(0, cell)
            defined |= cell.defines
            read |= used_names(cell.source)
    return kept or filled[-1:]


def _same(source: str, other: str) -> bool:
    return source.split() == other.split()


def _compare_checks(master: Master, cells, rebuilt: Rebuilt) -> None:
    checks = [c for c in master.notebook.cells if grade_id(c, "grade")]
    handed_in = {c.source.strip() for c in cells}
    changed = [c for c in checks if c.source.strip() not in handed_in]
    if changed:
        rebuilt.notes.append(
            f"{len(changed)} check cells were edited or deleted "
            "(grading does not use them)."
        )
