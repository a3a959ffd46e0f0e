"""The book's Sphinx extension: style, formulas, verdicts, terms, handouts, launching.

`_config.yml` names it; Jupyter Book does the rest. Nothing here is needed to do a lab.
"""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from labkit.book import (
    glossary,
    handouts,
    icons,
    katex,
    launch,
    pages,
    validated,
    verdicts,
)

HERE = Path(__file__).parent


def setup(app: Sphinx) -> dict[str, Any]:
    """Register every part of the extension; called by Sphinx."""
    app.connect("config-inited", _paths)
    app.add_css_file("course.css", priority=900)
    parts = (glossary, handouts, icons, katex, launch, pages, validated, verdicts)
    for part in parts:
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _paths(app: Sphinx, config: Config) -> None:
    config.templates_path.append(str(HERE / "templates"))
    config.html_static_path.append(str(HERE / "assets"))
    config.html_favicon = str(HERE / "assets" / "favicon.svg")
