"""Trust: JupyterLab shows the figures of notebooks that are known to be one's own.

Their signatures lie in a database of the learner's account. A notebook that somebody
else has written shows no drawing and runs no script until it is signed there.
"""

import sqlite3
from pathlib import Path

from labkit.learning.place import Damaged, read

BY_HAND = (
    "figures stay hidden until you trust a chapter: in JupyterLab, "
    "View → Activate Command Palette → Trust Notebook"
)


class Untrusted(RuntimeError):
    """Why nothing could be signed; str() says it, and what to do."""


def sign(notebooks: list[Path], data: Path | None = None) -> None:
    """Sign notebooks for the servers of this account.

    data  where Jupyter keeps its data; None for where it does by itself

    Raises Untrusted where the database of signatures cannot be written.
    """
    from jupyter_core.paths import jupyter_data_dir
    from nbformat.sign import NotebookNotary

    data = data or Path(jupyter_data_dir())
    require_writable(data / "nbsignatures.db")
    with NotebookNotary(data_dir=str(data)) as notary:
        for path in notebooks:
            try:
                notary.sign(read(path))
            except (Damaged, FileNotFoundError):
                continue


def require_writable(database: Path) -> None:
    """Raise Untrusted for a database that is locked, as on NFS, or out of reach.

    Jupyter would move it away and begin another, and forget what was trusted before.
    """
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(database, timeout=2)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as problem:
        raise Untrusted(f"{database}: {problem}; {BY_HAND}.") from None
