"""Read a submitted notebook safely: its bytes, and the cells in them."""

import errno
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from labkit.grading.source import defined_names

SIZE_LIMIT = 50 * 2**20  # bytes of a submitted file: outputs make notebooks large
CELL_LIMIT = 10_000  # cells of a notebook
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


@dataclass(frozen=True, eq=False)  # two cells that say the same are still two
class SubmittedCell:
    """A cell as it was handed in.

    id        its own, or the one that Colab keeps in the metadata
    kind      "code", "markdown" or "raw"
    defines   names that it binds; none where the notebook is too long to look through
    imports   those that it only imports
    """

    source: str
    id: str = ""
    grade_id: str = ""
    kind: str = "code"
    defines: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    words: str = field(default="", repr=False)  # the source without its spacing


def parse(data: bytes) -> tuple[dict, list[SubmittedCell]]:
    """The metadata and the cells of a submitted notebook.

    Takes what is odd but clear (a byte-order mark, missing fields, wrong types in
    metadata). Raises Unreadable for what is no notebook.
    """
    notebook = _loads(data)
    if not isinstance(notebook, dict) or not isinstance(
        notebook.get("cells", notebook.get("worksheets")), list
    ):
        raise Unreadable("The file is JSON, but not a Jupyter notebook.")
    if "cells" not in notebook:
        raise Unreadable(
            "The notebook has an old format (nbformat 3); "
            "open it in JupyterLab and save it again."
        )
    if len(notebook["cells"]) > CELL_LIMIT:
        raise Unreadable(f"The notebook has more than {CELL_LIMIT:,} cells.")
    metadata, cells, read = notebook.get("metadata"), [], 0
    for raw in notebook["cells"]:
        kind = raw.get("cell_type") if isinstance(raw, dict) else None
        if kind in ("code", "markdown", "raw"):
            source = _source(raw)
            read += len(source) if kind == "code" else 0
            cells.append(_cell(raw, kind, source, look=read <= READ_LIMIT))
    return metadata if isinstance(metadata, dict) else {}, cells


def _loads(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if hasattr(error, "lineno") else ""
        raise Unreadable(
            f"The file is no whole notebook: its JSON breaks off or is damaged{where}."
        ) from None


def _source(raw: dict) -> str:
    source = raw.get("source", "")
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str):
        return ""
    return source.encode("utf-8", "replace").decode()  # lone surrogates


def _cell(raw: dict, kind: str, source: str, look: bool) -> SubmittedCell:
    """What counts of a cell, whatever types it has.

    look   whether parsing it is affordable: it takes long where somebody wants it to
    """
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    label = metadata.get("nbgrader")
    grade_id = label.get("grade_id") if isinstance(label, dict) else None
    names = [raw.get("id"), metadata.get("id"), grade_id]
    own, colabs, grade_id = (n if isinstance(n, str) else "" for n in names)
    defines = made = frozenset()
    if look and kind == "code":
        defines = defined_names(source)
        made = defined_names(source, imported=False)
    words = " ".join(source.split())
    return SubmittedCell(
        source, own or colabs, grade_id, kind, defines, defines - made, words
    )
