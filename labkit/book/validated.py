"""The `{validated}` directive: where the stored outputs were run again, and when.

Its table has a row for each kind of device, read from the validation log that
`labkit validate --record` writes (labkit.validate.log). A kind without a log says so,
and a log says how many notebooks have changed since.
"""

from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from labkit.validate import log

KINDS = {"cpu": "CPU", "cuda": "GPU"}
HEADER = ("Where", "Device", "Date", "Python", "PyTorch", "Notebooks")


def row(root: Path, kind: str) -> tuple[str, ...]:
    """What the table says of one kind of device."""
    entry = log.read(root, kind)
    if entry is None:
        return (KINDS[kind], "not yet validated", *[""] * (len(HEADER) - 2))
    versions = entry["versions"]
    notebooks = f"{len(entry['notebooks'])}, all the same"
    if changed := log.changed(root, entry):
        notebooks += f"; {len(changed)} changed since"
    return (
        KINDS[kind],
        entry["device"],
        entry["date"],
        versions["python"],
        versions["torch"],
        notebooks,
    )


class ValidatedDirective(SphinxDirective):
    """The table of the validation log."""

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        for path in (root / log.FOLDER).glob("*.json"):
            self.env.note_dependency(str(path))
        rows = [HEADER, ["---"] * len(HEADER), *(row(root, kind) for kind in KINDS)]
        lines = ["| " + " | ".join(cells) + " |" for cells in rows]
        box = nodes.container()
        self.state.nested_parse(StringList(lines, self.get_source_info()[0]), 0, box)
        return box.children


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("validated", ValidatedDirective)
