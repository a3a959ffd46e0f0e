"""Notebooks from their one source.

    chapters/NAME.py  → chapters/NAME.ipynb     executed, outputs stored
    solutions/NAME.py → solutions/NAME.ipynb    executed, outputs stored
                      → labs/NAME.ipynb         answers taken out by nbgrader

A source is a percent-format script (jupytext). Content decides what is stale, never
file times; the same source gives the same bytes; nothing flows back from a notebook.
"""

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
    lab_from_solution,
    mark_for_nbgrader,
    name_cells,
    require_checked,
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
    notebook.metadata = NotebookNode(
        kernelspec=KERNEL, language_info={"name": "python"}
    )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def _essence(notebook: NotebookNode) -> str:
    """Everything but the outputs, as text to compare."""
    cells = [[c.id, c.cell_type, c.source, c.metadata] for c in notebook.cells]
    return json.dumps([cells, notebook.metadata], sort_keys=True)


def is_current(stored: Path, fresh: NotebookNode) -> bool:
    """Whether a stored notebook says what its source says and has been executed."""
    if not stored.exists():
        return False
    notebook = nbformat.read(stored, as_version=4)
    executed = all(c.execution_count for c in notebook.cells if c.cell_type == "code")
    return executed and _essence(notebook) == _essence(fresh)


def keep_outputs(stored: Path, fresh: NotebookNode) -> bool:
    """Give a notebook the outputs stored for the same code; False if it is not.

    A change of the text or of a caption then runs nothing.
    """
    if not stored.exists():
        return False
    old, new = (
        [cell for cell in notebook.cells if cell.cell_type == "code"]
        for notebook in (nbformat.read(stored, as_version=4), fresh)
    )
    if [c.source for c in old] != [c.source for c in new]:
        return False
    if not all(cell.execution_count for cell in old):
        return False
    for cell, before in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    return True


def _text(notebook: NotebookNode) -> str:
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4) + "\n"


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
    overwriting a lab that somebody has worked in.
    """
    stale = []
    address = repository(root)
    for source in only or sources(root):
        fresh = read_source(source)
        if address:
            set_up_in_colab(fresh, address)
        made = source.with_suffix(".ipynb")
        if force or not is_current(made, fresh):
            stale.append(f"{made.relative_to(root)} is not what {source.name} makes")
            if not check:
                finished = nbformat.from_dict(json.loads(json.dumps(fresh)))
                if force or not keep_outputs(made, finished):
                    say(f"{made.relative_to(root)}: running {len(fresh.cells)} cells …")
                    start = time.perf_counter()
                    execute(finished, made)
                    say(f"  finished after {time.perf_counter() - start:.0f} s")
                write(made, _text(finished))
                say(f"{made.relative_to(root)}: written")
        if source.parent.name == "solutions":
            stale += _build_lab(root, source, fresh, check, say)
    if only is None:
        stale += [f"{path.relative_to(root)} has no source" for path in _orphans(root)]
    return stale


def _build_lab(root, source, solution, check, say) -> list[str]:
    path = root / "labs" / f"{source.stem}.ipynb"
    text = _text(lab_from_solution(solution, source.stem))
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return []
    if path.exists() and _edited(path):
        raise EditedError(
            f"{path.relative_to(root)} holds somebody's work and is left as it is; "
            "move it away (labkit lab makes copies to work in), then build again."
        )
    if not check:
        write(path, text)
        say(f"{path.relative_to(root)}: written")
    return [f"{path.relative_to(root)} is not what {source.name} makes"]


def _edited(path: Path) -> bool:
    try:
        return was_edited(nbformat.read(path, as_version=4))
    except Exception:  # unreadable: not ours to overwrite
        return True


def _orphans(root: Path) -> list[Path]:
    """Notebooks that no source makes."""
    made = {s.with_suffix(".ipynb") for s in sources(root)}
    made |= {root / "labs" / p.name for p in made if p.parent.name == "solutions"}
    folders = ("chapters", "labs", "solutions")
    return [
        p for f in folders for p in sorted((root / f).glob("*.ipynb")) if p not in made
    ]
