"""Notebooks from their one source.

    chapters/NAME.py  → chapters/NAME.ipynb     executed, outputs stored
    solutions/NAME.py → solutions/NAME.ipynb    executed, outputs stored
                      → labs/NAME.ipynb         answers taken out by nbgrader

A source is a percent-format script (jupytext). Content decides what is stale, never
file times; the same source gives the same bytes; nothing flows back from a notebook,
and none that somebody has worked in is overwritten.
"""

import copy
import json
import re
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from labkit.lab import (
    EditedError,
    Exercise,
    SourceError,
    begin_exercise,
    digest,
    lab_from_solution,
    mark_for_nbgrader,
    name_cells,
    require_checked,
    text_id,
    was_edited,
)
from labkit.paths import sources, write

TAGS = {
    "exercise",  # the learner writes here
    "check",  # one line: check("1.2", layer_norm)
    "definition",  # experiments execute it too (labkit.experiment.definitions)
    "hide-input",  # the book folds the code
    "nbval-ignore-output",  # at most one a notebook, with its reason in the line above
    "raises-exception",  # the error is the lesson
}
# Colab has PyTorch and all else that a notebook needs, but not this package.
COLAB = """\
# In Colab only: fetch what comes with the course.
import importlib.util
import sys

if "google.colab" in sys.modules and not importlib.util.find_spec("labkit"):
    get_ipython().run_line_magic("pip", "install --quiet --no-deps git+{address}")
"""
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


# ------------------------------------------------------------------ reading a source


def read_source(path: Path) -> NotebookNode:
    """The notebook that a percent script describes, not yet executed.

    Raises SourceError, with file and line, where the script breaks a rule.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    starts = [n for n, line in enumerate(lines) if line.startswith("# %%")]
    parsed = jupytext.reads(text, fmt="py:percent")
    if len(parsed.cells) != len(starts):
        raise SourceError(f"{path}:1: the script must begin with a '# %%' line")

    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    exercise: Exercise | None = None  # the one we are in
    ends = [*starts[1:], len(lines)]
    for cell, start, end in zip(parsed.cells, starts, ends, strict=True):
        where = f"{path}:{start + 1}"
        cell.metadata = _clean_metadata(cell, where)
        tags = cell.metadata.get("tags", [])
        _require_markers_balance(path, lines[start:end], start, "exercise" in tags)
        if cell.cell_type == "markdown":
            if begun := begin_exercise(cell.source, where):
                require_checked(exercise)
                exercise = begun
        else:
            cell.execution_count, cell.outputs = None, []
        if "exercise" in tags or "check" in tags:
            mark_for_nbgrader(cell, tags, exercise, where)
        notebook.cells.append(cell)
    require_checked(exercise)
    name_cells(notebook)
    return notebook


def _clean_metadata(cell: NotebookNode, where: str) -> NotebookNode:
    """Tags, and the figure options ('#| alt: …') as the book's extension wants them."""
    metadata = NotebookNode()
    tags = cell.metadata.get("tags", [])
    if unknown := set(tags) - TAGS:
        raise SourceError(f"{where}: unknown tag {unknown.pop()!r}; known: {TAGS}")
    if tags:
        metadata.tags = sorted(tags)
    options = _take_options(cell, where)
    if options:
        alt = options.pop("alt", None)
        if alt is None:
            raise SourceError(f"{where}: a figure needs '#| alt: …'")
        metadata.mystnb = {"image": {"alt": alt}}
        if options:
            metadata.mystnb["figure"] = options
    return metadata


def _take_options(cell: NotebookNode, where: str) -> dict[str, str]:
    """Remove the leading '#| key: value' lines from a cell and return them."""
    if cell.cell_type != "code":
        return {}
    lines = cell.source.split("\n")
    options: dict[str, str] = {}
    while lines and lines[0].startswith("#|"):
        line = lines.pop(0)[2:]
        option = re.match(r" (name|caption|alt): (.+)$", line)
        if option:
            options[option[1]] = option[2]
        elif options and line.startswith("   "):
            options[list(options)[-1]] += " " + line.strip()
        else:
            raise SourceError(f"{where}: cannot read the figure option '#|{line}'")
    cell.source = "\n".join(lines)
    return options


def _require_markers_balance(
    path: Path, lines: list[str], start: int, allowed: bool
) -> None:
    """Solution markers come in pairs, and only in exercise cells."""
    opened = 0  # the line of the BEGIN that waits for its END
    for number, line in enumerate(lines, start + 1):
        where = f"{path}:{number}"
        begins, ends = "BEGIN SOLUTION" in line, "END SOLUTION" in line
        if (begins or ends) and not allowed:
            raise SourceError(
                f"{where}: a solution marker in a cell that is not tagged 'exercise'"
            )
        if begins and opened:
            raise SourceError(f"{where}: BEGIN SOLUTION inside a solution")
        if ends and not opened:
            raise SourceError(f"{where}: END SOLUTION without BEGIN SOLUTION")
        opened = number if begins else 0 if ends else opened
    if opened:
        raise SourceError(f"{path}:{opened}: BEGIN SOLUTION without END SOLUTION")


# ------------------------------------------------------------- notebooks in the cloud


def repository(root: Path) -> str | None:
    """The public address of the course, `Repository` of pyproject.toml, if it has one.

    It stands there and nowhere else; without it the course speaks of no address.
    """
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    except FileNotFoundError:
        return None
    return project.get("urls", {}).get("Repository", "").removesuffix("/") or None


def set_up_in_colab(notebook: NotebookNode, address: str) -> None:
    """Begin a notebook with a cell that installs the course where Colab lacks it."""
    source = COLAB.format(address=address).strip()
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["remove-cell"]})
    first = next(n for n, c in enumerate(notebook.cells) if c.cell_type == "code")
    notebook.cells.insert(first, cell)
    name_cells(notebook)


# ----------------------------------------------------------- executing and comparing


def execute(notebook: NotebookNode, path: Path) -> None:
    """Run all cells in a fresh kernel and keep their outputs, nothing about the run."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    metadata = copy.deepcopy(notebook.metadata)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise SourceError(f"{path}: a cell failed\n{error}") from None
    # The kernel writes its own language_info and execution details: drop them.
    notebook.metadata = metadata
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def _essence(notebook: NotebookNode) -> str:
    """Everything but the outputs, as text to compare."""
    cells = [[c.id, c.cell_type, c.source, c.metadata] for c in notebook.cells]
    return json.dumps([cells, notebook.metadata], sort_keys=True)


def is_current(stored: NotebookNode | None, fresh: NotebookNode) -> bool:
    """Whether a stored notebook says what its source says and has been executed."""
    return (
        stored is not None
        and all(c.execution_count for c in stored.cells if c.cell_type == "code")
        and _essence(stored) == _essence(fresh)
    )


def keep_outputs(stored: NotebookNode | None, fresh: NotebookNode) -> bool:
    """Give a notebook the outputs stored for the same code; False if it is not.

    A change of the text or of a caption then runs nothing.
    """
    if stored is None:
        return False
    old, new = (
        [cell for cell in notebook.cells if cell.cell_type == "code"]
        for notebook in (stored, fresh)
    )
    if [c.source for c in old] != [c.source for c in new]:
        return False
    if not all(cell.execution_count for cell in old):
        return False
    for cell, before in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    return True


# ------------------------------------------------------- what lies there already


def read_stored(path: Path, name: str) -> NotebookNode | None:
    """The notebook that a new one would replace; None if there is none.

    Raises EditedError for a file that is no notebook: a merge may have left it so.
    """
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return nbformat.reads(text, as_version=4)
    except Exception:  # of many kinds, for JSON and for what it says
        if re.search(r"^<<<<<<< ", text, re.MULTILINE):
            raise EditedError(
                f"{name} has a merge's conflicts in it; take either side "
                f"(git checkout --ours {name}), then build again."
            ) from None
        raise EditedError(
            f"{name} is no whole notebook and is left as it is; "
            "move it away, then build again."
        ) from None


def refuse_edited(
    stored: NotebookNode | None, fresh: NotebookNode, name: str, source: str
) -> None:
    """Raise EditedError, which says how to go on, if somebody has worked in `stored`.

    name, source  of both files, as a person may write them
    """
    if stored is None or not was_edited(stored, fresh):
        return
    if "lab" in fresh.metadata.labkit:
        raise EditedError(
            f"{name} holds somebody's work and is left as it is; "
            "move it away (labkit lab makes copies to work in), then build again."
        )
    raise EditedError(
        f"{name} was edited by hand ({_edits(stored, fresh)}) and is left as it is; "
        f"copy the edit to {source}, or move the notebook away, then build again."
    )


def _edits(stored: NotebookNode, fresh: NotebookNode) -> str:
    """Which cells were edited. One that was not is still called by what it says."""
    known = {cell.source for cell in fresh.cells}
    found = [
        f"cell {number}: {cell.source.strip().partition(chr(10))[0]!r}"
        for number, cell in enumerate(stored.cells, 1)
        if cell.source not in known and not cell.id.startswith(text_id(cell))
    ]
    if not found:
        return "cells were taken out or moved"
    return found[0] + (f", and {len(found) - 1} more" if found[1:] else "")


# --------------------------------------------------------------------------- the build


def build(
    root: Path,
    only: list[Path] | None = None,
    check: bool = False,
    force: bool = False,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Bring the notebooks up to date; return what was stale, one line each.

    only   these sources instead of all
    check  write nothing
    force  execute again what is current too

    Raises SourceError for a source that breaks a rule, EditedError instead of
    overwriting a notebook that somebody has worked in, whatever `force` says.
    """
    stale = []
    known, address = sources(root), repository(root)
    for source in only or known:
        if source not in known:
            raise SourceError(
                f"{source} is no source of a notebook; those are chapters/*.py and "
                "solutions/*.py."
            )
        fresh = read_source(source)
        if address:
            set_up_in_colab(fresh, address)
        fresh.metadata.labkit = {"digest": digest(fresh)}
        stale += _build_executed(root, source, fresh, check, force, say)
        if source.parent.name == "solutions":
            stale += _build_lab(root, source, fresh, check, say)
    if only is None:
        stale += [f"{path.relative_to(root)} has no source" for path in _orphans(root)]
    return stale


def _build_executed(root, source, fresh, check, force, say) -> list[str]:
    """A chapter or a solution: beside its source, with outputs."""
    path = source.with_suffix(".ipynb")
    name = str(path.relative_to(root))
    stored = read_stored(path, name)
    if is_current(stored, fresh) and not force:
        return []
    refuse_edited(stored, fresh, name, str(source.relative_to(root)))
    if not check:
        finished = copy.deepcopy(fresh)
        if force or not keep_outputs(stored, finished):
            say(f"{name}: running {len(fresh.cells)} cells …")
            start = time.perf_counter()
            execute(finished, path)
            say(f"  finished after {time.perf_counter() - start:.0f} s")
        write(path, _text(finished))
        say(f"{name}: written")
    return [f"{name} is not what {source.name} makes"]


def _build_lab(root, source, solution, check, say) -> list[str]:
    """A lab: the solution without answers, in a folder of its own, never executed."""
    path = root / "labs" / source.with_suffix(".ipynb").name
    name = str(path.relative_to(root))
    fresh = lab_from_solution(solution, source.stem)
    text = _text(fresh)
    if path.exists() and path.read_bytes() == text.encode():
        return []
    refuse_edited(read_stored(path, name), fresh, name, str(source.relative_to(root)))
    if not check:
        write(path, text)
        say(f"{name}: written")
    return [f"{name} is not what {source.name} makes"]


def _text(notebook: NotebookNode) -> str:
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4) + "\n"


def _orphans(root: Path) -> list[Path]:
    """Notebooks that no source makes."""
    made = {s.with_suffix(".ipynb") for s in sources(root)}
    made |= {root / "labs" / p.name for p in made if p.parent.name == "solutions"}
    folders = ("chapters", "labs", "solutions")
    return [
        p for f in folders for p in sorted((root / f).glob("*.ipynb")) if p not in made
    ]
