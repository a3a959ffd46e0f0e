"""A learner's place: a folder with copies of the labs and chapters, kept up to date.

    work/labs/lab_01_….ipynb     yours as soon as you have worked in it
    work/labs/lab_01_…-2.ipynb   the next edition of a lab, with your answers in it
    work/chapters/01_….ipynb     to read, to run and to try things in

They lie to each other as in the course, so that links hold. What somebody has worked in
is never overwritten, whatever the course does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.lab import digest, grade_id, number_of
from labkit.learning.plain import papers, plain, verdicts
from labkit.paths import write

if TYPE_CHECKING:
    from nbformat import NotebookNode

STUB = re.compile(r'# YOUR CODE HERE\s+raise NotImplementedError\("Exercise [\d.]+"\)')


@dataclass(frozen=True)
class Copy:
    """A learner's copy of a lab or chapter, and in words what became of it."""

    path: Path
    said: str
    untouched: bool = True  # as the course wrote it, outputs too


class Damaged(ValueError):
    """A copy that is no notebook."""


def lay_out(checkout: Path, folder: Path) -> Iterator[Copy]:
    """Bring a learner's place up to date; every copy, as it comes.

    Raises OSError, with the file's name, where one cannot be written.
    """
    yield from adopt(folder)
    for original in sorted((checkout / "labs").glob("*.ipynb")):
        copy = folder / "labs" / original.name
        yield bring_up_to_date(copy, read(original))
    cited = papers(checkout / "chapters" / "references.bib")
    chapters = {}
    for original in sorted((checkout / "chapters").glob("*.ipynb")):
        copy = folder / "chapters" / original.name
        chapters[original.name] = plain(read(original), cited)
        yield bring_up_to_date(copy, chapters[original.name])
    write(folder / "chapters" / "verdicts.md", verdicts(chapters))


def adopt(folder: Path) -> Iterator[Copy]:
    """Move labs that lie in the folder itself, as they once did, into labs/."""
    for old in sorted(folder.glob("lab_*.ipynb")):
        new = folder / "labs" / old.name
        if old.stat().st_size == 0:
            old.unlink()
        elif new.exists():
            yield Copy(old, f"left as it is; the one in use is {new}", False)
        else:
            new.parent.mkdir(exist_ok=True)
            old.rename(new)
            yield Copy(old, "moved to labs/, where its links lead on", False)


def bring_up_to_date(path: Path, fresh: "NotebookNode") -> Copy:
    """Copy a notebook to `path`, or beside what somebody has worked in."""
    latest = editions(path)[-1]
    beside = edition(path, number(latest) + 1)
    try:
        stored = read(latest)
    except FileNotFoundError:
        save(latest, fresh)
        return Copy(latest, "ready")
    except Damaged:
        save(beside, fresh)
        said = f"no whole notebook, left as it is; {beside.name} is new"
        return Copy(latest, said, False)
    worked = worked_in(stored)
    if mark(stored) == mark(fresh):
        said = "yours, left as it is" if worked else "ready"
        return Copy(latest, said, stored == fresh)
    if not worked:
        save(latest, fresh)
        return Copy(latest, "brought up to date")
    carried = carry(stored, fresh)
    save(beside, fresh)
    answers = f", with your answers to {', '.join(carried)}" if carried else ""
    said = f"yours, left as it is; {beside.name} is the new one{answers}"
    return Copy(latest, said, False)


def carry(old: "NotebookNode", fresh: "NotebookNode") -> list[str]:
    """Put the answers of an old copy into a new one; the numbers of their exercises."""
    answers = {
        name: cell.source
        for cell in old.cells
        if (name := grade_id(cell, "solution")) and not STUB.search(cell.source)
    }
    carried = []
    for cell in fresh.cells:
        if (name := grade_id(cell, "solution")) in answers:
            cell.source = answers[name]
            carried.append(number_of(name))
    return list(dict.fromkeys(carried))


# ------------------------------------------------------------------ copies and editions


def mark(notebook: "NotebookNode") -> str | None:
    """The digest of what a copy was made from; None where it was never marked."""
    return (notebook.metadata.get("labkit") or {}).get("digest")


def worked_in(copy: "NotebookNode") -> bool:
    """Whether a cell says something else than when it was copied."""
    return mark(copy) != digest(copy)


def editions(path: Path) -> list[Path]:
    """The copies of a notebook that are there, oldest first; `path` where none is."""
    later = [p for p in path.parent.glob(f"{path.stem}-*.ipynb") if number(p) > 1]
    return [path, *sorted(later, key=number)]


def edition(path: Path, n: int) -> Path:
    return path.with_stem(f"{path.stem}-{n}")


def number(copy: Path) -> int:
    """2 of "lab_01_layer_normalization-2.ipynb"; 1 of the first."""
    found = re.search(r"-(\d+)$", copy.stem)
    return int(found[1]) if found else 1


def read(path: Path) -> "NotebookNode":
    """Raises FileNotFoundError, also for an empty file, and Damaged."""
    from nbformat import reads

    text = path.read_text("utf-8", errors="replace")
    if not text.strip():
        raise FileNotFoundError(path)
    try:
        return reads(text, as_version=4)
    except Exception:  # of many kinds, for JSON and for what it says
        raise Damaged(f"{path} is no whole notebook.") from None


def save(path: Path, notebook: "NotebookNode") -> None:
    from nbformat import writes

    write(path, writes(notebook, version=4) + "\n")
