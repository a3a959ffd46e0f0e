"""What experiments take from a chapter, so that nothing is written twice."""

from pathlib import Path
from typing import Any

from labkit.experiment import records
from labkit.experiment.pieces import Pieces
from labkit.experiment.records import ExperimentError


def definitions(chapter: str, *names: str) -> Any:
    """Objects that a chapter defines: one, or a tuple in the order of the names.

    Executes, of the chapter's cells tagged `definition`, the statements that the names
    need, and of its set-up cell the imports and assignments that those need.

    Raises ExperimentError for a name that no such cell defines.
    """
    pieces = Pieces.of_chapter(chapter_source(chapter))
    if missing := set(names) - pieces.names:
        raise ExperimentError(
            f"chapters/{chapter}.py defines no {missing.pop()} in a cell tagged "
            "`definition`"
        )
    namespace: dict[str, Any] = {"__name__": f"chapters.{chapter}"}
    exec(pieces.reached_by(names).code(f"chapters/{chapter}.py"), namespace)
    found = tuple(namespace[name] for name in names)
    return found[0] if len(found) == 1 else found


def chapter_source(chapter: str) -> Path:
    """The source of a chapter."""
    path = records.ROOT / "chapters" / f"{chapter}.py"
    if not path.exists():
        raise ExperimentError(f"there is no chapters/{chapter}.py")
    return path
