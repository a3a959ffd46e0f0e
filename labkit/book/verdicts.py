"""The `{verdicts}` directive: every chapter's table of claims, on one page.

A chapter ends with a section `## Verdicts` and the Markdown table

    | Claim | What the source says | Verdict | Why | Varied | Overturned by |

whose last two columns a chapter may leave out. The directive reads these tables from
the chapter notebooks in the order of `_toc.yml`, and counts the verdicts. A chapter
without the table, or with a row that does not fit, stops the build.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

SECTION = re.compile(r"^## Verdicts$(.*?)(?=^## |\Z)", re.M | re.S)
HEADER = ["Claim", "What the source says", "Verdict", "Why"]
CONTROLS = ["Varied", "Overturned by"]
VERDICTS = ("holds", "holds with conditions", "does not hold")
CLAIM = re.compile(r"S\d+(\.\d+)+")
CELL = re.compile(r"(?<!\\)\|")


class Row(NamedTuple):
    """One claim of the source and what the chapter found."""

    claim: str
    says: str
    verdict: str
    why: str
    varied: str = ""
    overturned_by: str = ""


def chapters(folder: Path) -> list[Path]:
    """Chapter notebooks, in the order of `_toc.yml`."""

    def files(entry: dict) -> Iterator[str]:
        if "file" in entry:
            yield entry["file"]
        for key in ("parts", "chapters", "sections"):
            for child in entry.get(key, ()):
                yield from files(child)

    toc = yaml.safe_load((folder / "_toc.yml").read_text("utf-8"))
    paths = [folder / f"{name.removesuffix('.ipynb')}.ipynb" for name in files(toc)]
    return [path for path in paths if path.parent.name == "chapters" and path.exists()]


def read_verdicts(notebook: Path) -> list[Row]:
    """Rows of a chapter's verdict table, none where the chapter judges no claim.

    Raises ExtensionError for a malformed table, or for claims without one.
    """

    def fail(message: str) -> ExtensionError:
        return ExtensionError(f"{notebook.name}, section Verdicts: {message}")

    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    section = SECTION.search("\n\n".join(texts))
    if section is None and not any("**Claim.**" in text for text in texts):
        return []
    if section is None:
        raise fail("there is none; end the chapter with `## Verdicts` and its table")
    lines = [line for line in section[1].splitlines() if line.startswith("|")]
    table = [[c.strip() for c in CELL.split(line.strip()[1:-1])] for line in lines]
    if len(table) < 3 or table[0] not in (HEADER, HEADER + CONTROLS):
        raise fail(f"want a table headed {HEADER}, got {table[:1]}")
    rows = []
    for cells in table[2:]:
        if len(cells) != len(table[0]):
            raise fail(f"want {len(table[0])} cells, got {cells}; write a bar as \\|")
        row = Row(*cells)
        if not CLAIM.fullmatch(row.claim):
            raise fail(f"want a claim such as S1.2, got {row.claim!r}")
        if row.verdict not in VERDICTS:
            raise fail(f"{row.claim}: want one of {VERDICTS}, got {row.verdict!r}")
        rows.append(row)
    return rows


def counts(rows: list[Row]) -> list[int]:
    """How many claims there are, and how many of them got each verdict."""
    return [len(rows), *(sum(r.verdict == v for r in rows) for v in VERDICTS)]


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines] + [""]


class VerdictsDirective(SphinxDirective):
    """How many claims got which verdict, and all verdict tables as one."""

    def run(self) -> list[nodes.Node]:
        """Build the tables as Markdown, so that formulas and citations in them work."""
        found = {path: read_verdicts(path) for path in chapters(Path(self.env.srcdir))}
        sums, claims = [], []
        for notebook, rows in found.items():
            self.env.note_dependency(str(notebook))
            page = f"(/chapters/{notebook.name})"
            if rows:
                sums.append([f"[]{page}", *(str(n or "–") for n in counts(rows))])
            for row in rows:
                linked = row._replace(claim=f"[{row.claim}]{page}")
                claims.append([cell or "–" for cell in linked])
        total = counts([row for rows in found.values() for row in rows])
        sums.append(["**all**", *(f"**{n}**" for n in total)])
        lines = _table(["Chapter", "Claims", *VERDICTS], sums)
        lines += _table(HEADER + CONTROLS, claims)
        box = nodes.container()
        self.state.nested_parse(StringList(lines, self.get_source_info()[0]), 0, box)
        return box.children


def mark(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give verdict cells a class, and point each claim at its place in the chapter."""
    for table in doctree.findall(nodes.table):
        rows = [list(row.children) for row in table.findall(nodes.row)]
        if [cell.astext() for cell in rows[0]][: len(HEADER)] != HEADER:
            continue
        table["classes"].append("verdicts")
        for row in rows[1:]:
            verdict = row[2].astext()
            row[2]["classes"].append("verdict-" + verdict.replace(" ", "-"))
            for link in row[0].findall(nodes.reference):
                page = link.get("refuri", "").split("#")[0]
                link["refuri"] = page + _anchor(app, page, link.astext())


def _anchor(app: Sphinx, page: str, claim: str) -> str:
    """`#id` of the section of a chapter whose title names the claim, or nothing."""
    number = re.compile(re.escape(claim) + r"\b")
    docname = f"chapters/{Path(page).stem}"
    if docname in app.env.found_docs:
        for section in app.env.get_doctree(docname).findall(nodes.section):
            if number.search(section.next_node(nodes.title).astext()):
                return "#" + section["ids"][0]
    return ""


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("verdicts", VerdictsDirective)
    app.connect("doctree-resolved", mark)
