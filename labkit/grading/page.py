"""A feedback page: nbgrader's own, but whole in itself and quicker to write.

nbgrader's asks a server elsewhere for MathJax. In this one formulas are set already, as
MathML, which browsers show by themselves. What all learners' pages have in common, the
text and code of the lab, is converted once.
"""

import re
from functools import cache, lru_cache
from html import escape

from jinja2 import DictLoader, pass_context
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter

NO_MATHJAX = DictLoader({"mathjax.html.j2": "{% macro mathjax() %}{% endmacro %}"})
KEPT = 500  # cells: those of a lab, and the answers of a few learners
HEAD = """<html lang="en">
<head>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
.highlight pre, .output_text pre, math[display="block"] { overflow-x: auto; }
.highlight pre, .output_text pre { white-space: pre; word-wrap: normal; }
</style>"""


class Page(HTMLExporter):
    """What nbgrader's GenerateFeedback exports with; see release.CONFIGURATION."""

    def __init__(self, **kwargs):
        super().__init__(extra_loaders=[NO_MATHJAX], **kwargs)
        highlight = Highlight2HTML(pygments_lexer="ipython3", parent=self)
        self._code = lru_cache(KEPT)(lambda source: highlight(source))
        self._markdown = lru_cache(KEPT)(MarkdownWithMath(renderer=_Text()).render)

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        return self._markdown(source)

    def from_notebook_node(self, nb, resources=None, **kw):
        """As HTMLExporter does, but that then parses the page to describe images,
        which takes as long as all the rest; sandbox/client.py describes them."""
        resources = self._init_resources(resources)
        widgets = WidgetsDataTypeFilter(
            notebook_metadata=self._nb_metadata, parent=self, resources=resources
        )
        self.register_filter("highlight_code", lambda code, metadata: self._code(code))
        self.register_filter("filter_data_type", widgets)
        made = super(HTMLExporter, self).from_notebook_node(nb, resources, **kw)
        return re.sub(r"<html>\s*<head>", HEAD, made[0], count=1), made[1]


class _Text(IPythonRenderer):
    """Markdown to HTML, formulas to MathML."""

    def __init__(self):
        super().__init__(escape=False)
        self.formula = _formulas()

    def inline_math(self, body: str) -> str:
        return self.formula(body, False)

    def block_math(self, body: str) -> str:
        return self.formula(body, True)

    def latex_environment(self, name: str, body: str) -> str:
        return self.formula(rf"\begin{{{name}}}{body}\end{{{name}}}", True)


@cache
def _formulas():
    """A function that makes MathML of TeX; where nothing runs KaTeX (labkit[book]
    does) or it knows no such formula, the TeX stands on the page."""
    try:
        from labkit.book.katex import Renderer

        render = Renderer()
    except Exception:  # labkit[book] is not installed
        render = None

    def formula(tex: str, display: bool) -> str:
        try:
            return re.search(r"<math.*</math>", render(tex, display), re.DOTALL)[0]
        except Exception:
            return f"<code>{escape(tex)}</code>"

    return formula
