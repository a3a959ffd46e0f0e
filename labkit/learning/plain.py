"""Chapters as JupyterLab can show them: what only the book understands, in plain words.

JupyterLab knows Markdown and formulas. The book moreover knows citations, numbered
formulas and labels, which JupyterLab would show as they are written.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.lab import digest

if TYPE_CHECKING:
    from nbformat import NotebookNode

FORMULA = re.compile(r"^```\{math\}\n(?::label:.*\n+)?(.*?)\n```$", re.M | re.S)
CITATION = re.compile(r"\{cite\}`([^`]+)`")
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s#]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
VERDICTS = re.compile(r"^## Verdicts\n+((?:\|.*(?:\n|$))+)", re.MULTILINE)
ENTRY = re.compile(r"^@\w+\{([^,]+),(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^ *(eprint|url) = \{(.*?)\}", re.MULTILINE)


def papers(bibliography: Path) -> dict[str, str]:
    """A Markdown link to each paper of a BibTeX file, by its key."""
    found = {}
    for key, fields in ENTRY.findall(bibliography.read_text("utf-8")):
        entry = dict(FIELD.findall(fields))
        name = f"arXiv:{entry['eprint']}" if "eprint" in entry else "paper"
        found[key] = f"[{name}]({entry['url']})"
    return found


def plain(notebook: "NotebookNode", cited: dict[str, str]) -> "NotebookNode":
    """A copy of a chapter without the book's own marks; outputs stay as they are.

    cited  what stands for a citation, by its key

    Its digest is that of the new text, so that a learner's change is seen later.
    """
    from nbformat import from_dict

    copy = from_dict(notebook)
    texts = [cell for cell in copy.cells if cell.cell_type == "markdown"]
    headings = HEADING.findall("\n".join(cell.source for cell in texts))
    places = {slug(heading): heading.replace(" ", "-") for heading in headings}

    def link(found: re.Match) -> str:
        words, file, label = found.groups()
        if file:
            return f"[{words}]({file})"
        return f"[{words}](#{places[label]})" if label in places else words

    for cell in texts:
        text = FORMULA.sub(lambda found: f"$$\n{found[1]}\n$$", cell.source)
        text = CITATION.sub(lambda found: references(found[1], cited), text)
        cell.source = LINK.sub(link, text)
    copy.metadata.labkit = {"digest": digest(copy)}
    return copy


def slug(heading: str) -> str:
    """The label that the book gives a heading."""
    return re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))


def references(keys: str, cited: dict[str, str]) -> str:
    return ", ".join(cited[key.strip()] for key in keys.split(","))


def verdicts(chapters: "dict[str, NotebookNode]") -> str:
    """The page with the verdict tables of all chapters, given by file name."""
    parts = ["# Every claim and its verdict\n"]
    for name, notebook in chapters.items():
        text = "\n\n".join(cell.source for cell in notebook.cells)
        if found := VERDICTS.search(text):
            title = HEADING.search(text)[1]
            parts.append(f"## [{title}]({name})\n\n{found[1].rstrip()}\n")
    return "\n".join(parts)
