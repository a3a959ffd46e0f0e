"""The theme's icon fonts, cut down to the icons that this book shows.

Font Awesome's fonts weigh 300 KB, more than the rest of a page; the book shows about
twenty of their two thousand icons.
"""

import re
from pathlib import Path

from fontTools import subset
from sphinx.application import Sphinx

RULE = re.compile(r'((?:\.fa-[\w-]+::?before,?)+)\{content:"\\([0-9a-f]+)"\}')
NAME = re.compile(r"\bfa-([a-z][\w-]*)")
ESCAPED = re.compile(r'"\\([ef][0-9a-f]{3})"')
PRIVATE_USE = re.compile("[\ue000-\uf8ff]")


def shown_icons(book: Path) -> set[int]:
    """Code points of the icons that pages, scripts and style sheets ask for."""
    css = _text(book.rglob("*.css"))
    scripts = (p for p in book.rglob("*.js") if not p.name.startswith("fontawesome"))
    used = set(NAME.findall(_text(book.rglob("*.html")) + _text(scripts)))
    named = {
        int(code, 16)
        for names, code in RULE.findall(css)
        if used & set(NAME.findall(names))
    }
    rest = RULE.sub("", css)
    escaped = {int(code, 16) for code in ESCAPED.findall(rest)}
    return named | escaped | set(map(ord, PRIVATE_USE.findall(rest)))


def cut_fonts(app: Sphinx, error: Exception | None) -> None:
    """Write each icon font anew, from the full TrueType font that lies beside it."""
    if error or app.builder.format != "html":
        return
    keep = shown_icons(Path(app.outdir))
    for full in Path(app.outdir, "_static").rglob("fa-*.ttf"):
        options = subset.Options(flavor="woff2")
        font = subset.load_font(full, options)
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=keep)
        cutter.subset(font)
        subset.save_font(font, full.with_suffix(".woff2"), options)


def _text(paths) -> str:
    return "".join(path.read_text("utf-8") for path in paths)


def setup(app: Sphinx) -> None:
    """Run when every page is written."""
    app.connect("build-finished", cut_fonts)
