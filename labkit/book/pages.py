"""Repairs to every page: lighter, with a description, and right for screen readers.

Each repair names a fault that a stock Jupyter Book page has. `tests/book` watches for
these faults, so a repair that a newer theme makes superfluous can be taken out.
"""

import re
from collections.abc import Callable
from html import escape
from typing import Any

import imagesize
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector

from labkit.lab import section_of

UNUSED = ("thebe", "THEBE")
THEBE = re.compile(
    r'<script type="text/x-thebe-config">.*?</script>\s*'
    r"<script>kernelName = .*?</script>",
    re.S,
)
FONTAWESOME = re.compile(r"<script[^>]*fontawesome\.js[^>]*></script>\s*")
IMAGE = re.compile(r'<img (?=[^>]*src="[^"]*_images/([^"/]+)")')
TOGGLE = ' aria-label="Toggle hidden content"'  # hides the words that are seen
LIST_ROLES = re.compile(r' role="(?:list|doc-biblioentry)"')
SUMMARY = re.compile(r"(<a [^>]*>)([^<]*)(</a>\s*<details[^>]*>\s*<summary)(?=>)")


def repair(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Change what the theme is about to write for one page."""
    body = context.get("body", "")
    unused = UNUSED if 'class="katex"' in body else (*UNUSED, "katex.min.css")
    for files in ("script_files", "css_files"):
        context[files] = [file for file in context[files] if not _says(file, *unused)]
    # docutils writes ARIA roles that ARIA 1.2 withdrew or that the element has anyway.
    body = LIST_ROLES.sub("", THEBE.sub("", body)).replace(TOGGLE, "")
    files = {name: path for path, name in app.builder.images.items()}
    context["body"] = IMAGE.sub(lambda image: _sized(files[image[1]]), body)
    if "generate_toctree_html" in context:
        context["generate_toctree_html"] = _named(context["generate_toctree_html"])
    if doctree is not None and (text := description(doctree)):
        tag = f'\n<meta name="description" content="{escape(text)}" />'
        context["metatags"] = context.get("metatags", "") + tag


def description(doctree: nodes.document) -> str:
    """First paragraph of a page, at most 160 characters, cut between words."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            text = " ".join(paragraph.astext().split())
            return text if len(text) <= 160 else text[:157].rsplit(" ", 1)[0] + " …"
    return ""


def without_fontawesome(html: str) -> str:
    """The theme's head without 1.5 MB of icons as script; a font has them already."""
    return FONTAWESOME.sub("", html)


def _sized(path: str) -> str:
    """Begin an image with its size, so that the page does not jump when it comes."""
    width, height = imagesize.get(path)
    return f'<img width="{width:.0f}" height="{height:.0f}" loading="lazy" '


def _says(script: Any, *words: str) -> bool:
    text = f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', '')}"
    return any(word in text for word in words)


def _named(toctree: Callable[..., Any]) -> Callable[..., Any]:
    """Name the arrows that unfold the side bar after the page they belong to."""

    def generate(*args: Any, **kwargs: Any) -> Any:
        html = toctree(*args, **kwargs)
        return SUMMARY.sub(r'\1\2\3 aria-label="Sections of \2"', str(html))

    return generate


def number_chapters(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number chapters as their files are called, labs and sections of a page not at
    all: labs stand among the chapters, and in a chapter the claims' numbers count.

    Returns the pages whose figures, which are numbered after them, have other numbers.
    """
    for page, numbers in env.toc_secnumbers.items():
        folder, _, name = page.rpartition("/")
        section = section_of(name) if folder == "chapters" else ""
        own = [int(number) for number in section.split(".") if number]
        numbers.update({anchor: () for anchor in numbers} | {"": tuple(own)})
        env.titles[page]["secnumber"] = own
        for link in env.tocs[page].findall(nodes.reference):
            link["secnumber"] = [] if link["anchorname"] else own
    return TocTreeCollector().assign_figure_numbers(env)


def add_filter(app: Sphinx) -> None:
    """Give the templates `without_fontawesome`."""
    filters = app.builder.templates.environment.filters
    filters["without_fontawesome"] = without_fontawesome


def setup(app: Sphinx) -> None:
    """Run after the theme has filled in its part of the page."""
    app.connect("builder-inited", add_filter)
    app.connect("env-get-updated", number_chapters, priority=900)
    app.connect("html-page-context", repair, priority=950)
