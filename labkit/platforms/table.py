"""A CSV file of a platform, in which some cells change and all others stay as they are,
byte for byte: quotes, line ends, encoding and byte-order mark."""

import re
from collections.abc import Sequence
from pathlib import Path

FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Table:
    """Rows of cells as they are written; row 0 is the header.

    Raises ValueError for what is no table in UTF-8 or UTF-16.
    """

    def __init__(self, path: Path):
        data = path.read_bytes()
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        self.encoding = "utf-16" if wide else "utf-8"
        try:
            text = data.decode(self.encoding)
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not a table in UTF-8 or UTF-16.") from None
        self.mark = "\ufeff" if text.startswith("\ufeff") else ""
        text = text.removeprefix("\ufeff")
        first = text.partition("\n")[0]
        self.comma = max(",;\t", key=re.sub('"[^"]*"', "", first).count)
        self.rows, self.ends = _split(text, self.comma)
        if not self.rows:
            raise ValueError(f"{path} is empty.")

    @property
    def header(self) -> list[str]:
        return [self.value(0, column) for column in range(len(self.rows[0]))]

    def column(self, *names: str) -> int | None:
        """The first that bears one of these names, in any case."""
        header = [name.strip().lower() for name in self.header]
        wanted = [name.lower() for name in names]
        return next((i for i, name in enumerate(header) if name in wanted), None)

    def value(self, row: int, column: int | None) -> str:
        """What a cell says, "" where there is none."""
        if column is None or column >= len(self.rows[row]):
            return ""
        text = self.rows[row][column].strip()
        if text[:1] == '"' and text[-1:] == '"' and len(text) > 1:
            return text[1:-1].replace('""', '"')
        return text

    def put(self, row: int, column: int, value: str) -> None:
        quoted = self.comma in value or '"' in value or "\n" in value
        text = value.replace('"', '""')
        self.rows[row][column] = f'"{text}"' if quoted else text

    def to_bytes(self) -> bytes:
        lines = [
            self.comma.join(row) + end
            for row, end in zip(self.rows, self.ends, strict=True)
        ]
        return (self.mark + "".join(lines)).encode(self.encoding)


def _split(text: str, comma: str) -> tuple[list[list[str]], list[str]]:
    """The cells of each line as they are written, and how each line ends."""
    rows, ends, row, cell, quoted = [], [], [], "", False
    place = 0
    while place < len(text):
        letter = text[place]
        if letter == '"':
            quoted = not quoted
        if not quoted and letter == comma:
            row.append(cell)
            cell = ""
        elif not quoted and letter in "\r\n":
            end = "\r\n" if text[place : place + 2] == "\r\n" else letter
            rows.append([*row, cell])
            ends.append(end)
            row, cell = [], ""
            place += len(end) - 1
        else:
            cell += letter
        place += 1
    if row or cell:
        rows.append([*row, cell])
        ends.append("")
    return rows, ends


def harmless(cell: object) -> object:
    """A spreadsheet takes text that begins like a formula for one."""
    formula = isinstance(cell, str) and cell.lstrip(" ").startswith(FORMULA)
    return f"'{cell}" if formula else cell


def written(rows: Sequence[Sequence[object]]) -> str:
    """Rows as a CSV file that is safe to open in a spreadsheet."""
    import csv
    import io

    file = io.StringIO()
    csv.writer(file).writerows([map(harmless, row) for row in rows])
    return file.getvalue()
