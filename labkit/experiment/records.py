"""Records: a header, then tidy rows."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, Any]


class ExperimentError(ValueError):
    """A script or a record that breaks the rules; the message is one sentence."""


def record(name: str) -> "pandas.DataFrame":
    """A record as a pandas table: one row a run, numbers as numbers.

    The header stands in `.attrs`. Displayed raw its HTML differs between versions:
    print or draw what you take from it.

    Raises ExperimentError, with what to type, where there is no such record.
    """
    path = ROOT / "experiments" / f"{name}.csv"
    if not path.exists():
        raise ExperimentError(f"no experiments/{name}.csv: labkit experiment {name}")
    header, rows = read(path)
    found = table(rows)
    found.attrs.update(header)
    return found


def read(path: Path) -> tuple[dict[str, str], list[Row]]:
    """Header and rows of a record, numbers as numbers."""
    lines = path.read_text("utf-8").splitlines()
    header = [line[2:].split(": ", 1) for line in lines if line.startswith("# ")]
    body = [line for line in lines if not line.startswith("# ")]
    rows = [
        {name: understood(value) for name, value in row.items()}
        for row in csv.DictReader(body)
    ]
    return dict(header), rows


def table(rows: Iterable[Row]) -> "pandas.DataFrame":
    """The rows as a pandas table, which is imported only now."""
    import pandas

    return pandas.DataFrame(list(rows))


def written(value: Any) -> str:
    """A value as it stands in a record: floats with six significant digits."""
    if hasattr(value, "item"):
        value = value.item()  # a number in a tensor or an array
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if value is None or text != text.strip() or set(text) & set("\n\r"):
        raise ExperimentError(f"{value!r} cannot stand in a record")
    return text


def understood(text: str) -> Any:
    """The value that `written` wrote."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def plain(value: Any) -> Any:
    """The value that a record gives back for this one."""
    return understood(written(value))
