"""Which file of a learner's folder is graded, and what is said of the others.

Whatever lies there is either graded or named: no file is passed over in silence but
those that systems make for themselves.
"""

import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from labkit.grading.submission import SIZE_LIMIT, Unreadable, read_bytes

BESIDE = ("timestamp.txt", "submission_secret.txt")  # put there by nbgrader
SYSTEMS_OWN = ("__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini")
DEEP, MANY = 4, 1000  # folders within folders, files in all of them
SHOWN = 5  # names in a sentence
NUMBER = re.compile(r"(?:\((\d+)\)|[-_ ](\d+))(?=\.[^/]*$)")


@dataclass(frozen=True)
class File:
    """A file of the folder, or one in an archive there.

    name   its path in the folder
    time   when it was changed, as the file system has it; None in an archive, whose
           times are often the download's
    inner  its name in the archive
    """

    name: str
    time: float | None
    inner: str = ""

    @property
    def rank(self) -> int | None:
        """Which kind of name comes first; None for what is no notebook by its name."""
        name = (self.inner or self.name).lower()
        for rank, endings in enumerate(((".ipynb",), (".ipynb.txt", ".json"))):
            if name.endswith(endings):
                return rank + (2 if self.inner else 0)
        return None

    @property
    def number(self) -> int:
        """2 of "lab (2).ipynb" and of "lab-2.ipynb"."""
        found = NUMBER.search(PurePosixPath(self.inner or self.name).name)
        return int((found[1] or found[2])[:9]) if found else 0

    def __str__(self) -> str:
        return f"{self.name}: {self.inner}" if self.inner else self.name


def pick(folder: Path, lab: str, below: Path) -> tuple[str, bytes, tuple[str, ...]]:
    """The name and the bytes of the notebook to grade, and what is odd about it.

    below   the folder that nothing may lie outside of

    Raises Unreadable with what is there instead of one.
    """
    exact = folder / f"{lab}.ipynb"
    if folder.is_file() and not folder.is_symlink():
        raise Unreadable(f"{folder.name} is a file; a folder of that name is wanted.")
    files = list(_files(folder, below))
    there = exact.is_symlink() or exact.exists()
    notebooks = [f for f in files if f.rank is not None]
    others = [str(f) for f in files if f.rank is None]
    if there:
        chosen, notes = File(exact.name, None), []
        if len(notebooks) > 1:
            notes.append(
                f"{len(notebooks)} notebooks handed in; graded {exact.name!r}."
            )
    elif notebooks:
        chosen, why = _choose(notebooks, lab)
        notes = [why]
    elif others:
        raise Unreadable(f"No notebook among what was handed in: {_named(others)}.")
    else:
        raise Unreadable("No notebook was handed in: the folder is empty.")
    if others:
        notes.append(f"Also handed in, and not looked at: {_named(others)}.")
    data = read_bytes(folder / chosen.name, below)
    if chosen.inner:
        data = _unzipped(data, chosen)
    return _text(str(chosen)), data, tuple(map(_text, notes))


def _choose(notebooks: list[File], lab: str) -> tuple[File, str]:
    """Of several, those of the best kind; of these the lab's own name, then the latest
    time, then the highest number."""

    def own_name(file: File) -> bool:
        name = PurePosixPath(file.inner or file.name).name
        return name.lower().removesuffix(".txt") == f"{lab}.ipynb".lower()

    def order(file: File):
        return -file.rank, own_name(file), file.time or 0.0, file.number

    first, *rest = sorted(notebooks, key=order, reverse=True)
    if not rest:
        return first, f"The notebook was found as {str(first)!r}."
    said = f"{len(notebooks)} notebooks handed in; graded {str(first)!r}"
    second = rest[0]
    if (first.rank, own_name(first)) != (second.rank, own_name(second)):
        return first, f"{said}, by its name."
    if (first.time or 0) > (second.time or 0):
        return first, f"{said}, whose file has the latest time."
    if first.number > second.number:
        return first, f"{said}, for its number: the files' times are the same."
    return first, f"{said}; which is the later cannot be told."


def _files(folder: Path, below: Path) -> Iterator[File]:
    """All files in the folder, links included, and what is in its archives."""
    left, waiting = MANY, [(folder, 0)]
    while waiting:
        inside, depth = waiting.pop()
        for entry in sorted(os.scandir(inside), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name in SYSTEMS_OWN:
                continue
            if not depth and entry.name in BESIDE:
                continue
            left -= 1
            if left < 0:
                raise Unreadable(f"More than {MANY:,} files were handed in.")
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False) and depth < DEEP:
                waiting.append((path, depth + 1))
                continue
            name = path.relative_to(folder).as_posix()
            time = entry.stat(follow_symlinks=False).st_mtime
            inner = _archived(path, below) if name.lower().endswith(".zip") else []
            if inner:
                yield from (File(name, None, one) for one in inner)
            else:
                yield File(name, time)


def _archived(path: Path, below: Path) -> list[str]:
    """The names of the notebooks in an archive; [] if there are none."""
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path, below))) as archive:
            names = [i.filename for i in archive.infolist()[:MANY] if not i.is_dir()]
    except (Unreadable, zipfile.BadZipFile, ValueError, NotImplementedError):
        return []
    parts = [(n, PurePosixPath(n).parts) for n in names]
    seen = [n for n, p in parts if not any(x[:1] == "." or x in SYSTEMS_OWN for x in p)]
    return [n for n in seen if File("", None, n).rank is not None]


def _unzipped(data: bytes, file: File) -> bytes:
    """One file of an archive. Raises Unreadable for one that is damaged or too large,
    whatever the archive says of its size."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            with archive.open(file.inner) as inner:
                found = inner.read(SIZE_LIMIT + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as why:
        why = " ".join(str(why).split())
        raise Unreadable(f"{file} cannot be unpacked: {why}.") from None
    if len(found) > SIZE_LIMIT:
        raise Unreadable(f"{file} is larger than {SIZE_LIMIT // 2**20} MB.")
    return found


def _named(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _text(name: str) -> str:
    """A file's name as text: Python spells bytes that are none as lone surrogates."""
    return name.encode("utf-8", "replace").decode()
