"""Where the checkout lies, and writing a file whole or not at all."""

import os
from pathlib import Path


class NoCheckout(RuntimeError):
    """There is no checkout of the course here; str() says so, for a person."""


def root() -> Path:
    """The checkout: the nearest folder at or above this one that holds _toc.yml.

    Raises NoCheckout when there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "_toc.yml").exists() and (folder / "solutions").exists():
            return folder
    raise NoCheckout("run this inside a checkout of the course (no _toc.yml).")


def sources(checkout: Path) -> list[Path]:
    """Every percent script of the course, chapters first."""
    folders = ("chapters", "solutions")
    return [path for f in folders for path in sorted((checkout / f).glob("*.py"))]


def write(path: Path, data: str | bytes, mode: int | None = None) -> None:
    """Replace a file at once, and its folder if need be: whoever is killed meanwhile,
    or loses power, leaves the old one whole.

    mode  its permissions; None for those that a new file has here
    """
    data = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "wb") as file:
            if mode is not None:
                temporary.chmod(mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as problem:
        temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError) and not problem.filename:  # a full disk
            problem.filename = str(path)
        raise
