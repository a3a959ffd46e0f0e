r"""Mathematics, rendered while the book is built.

KaTeX runs inside the build (QuickJS, a JavaScript engine in a Python wheel), so a page
carries finished HTML and MathML: no script, no request, nothing to wait for. Renderer,
style sheet and fonts lie in vendor/katex, out of one release of KaTeX. A formula that
KaTeX refuses is a warning at its line, which the strict build turns into a failure.
"""

import json
import re
from pathlib import Path

import quickjs
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)

KATEX = Path(__file__).parent / "vendor" / "katex"
OPTIONS = {"throwOnError": True, "strict": "error", "output": "htmlAndMathml"}
# Sphinx numbers the equation; KaTeX must not number it a second time.
NUMBERED = re.compile(r"\\(begin|end)\{(equation|align|alignat|gather)\}")
OLD_FONTS = re.compile(r',url\([^)]*\.(?:woff|ttf)\) format\("[^"]*"\)')


class Renderer:
    """KaTeX in a JavaScript engine; one per build, each formula rendered once."""

    def __init__(self) -> None:
        self.engine = quickjs.Context()
        self.engine.eval("var console = {warn() {}, error() {}, log() {}};")
        self.engine.eval((KATEX / "katex.min.js").read_text("utf-8"))
        self.seen: dict[tuple[str, bool], str] = {}

    def __call__(self, tex: str, display: bool) -> str:
        """HTML of a formula. Raises quickjs.JSException with KaTeX's own message."""
        key = (tex, display)
        if key not in self.seen:
            options = OPTIONS | {"displayMode": display}
            call = f"katex.renderToString({json.dumps(tex)}, {json.dumps(options)})"
            # As JSON, because the engine hands over no string it has yet to join.
            self.seen[key] = json.loads(self.engine.eval(f"JSON.stringify({call})"))
        return self.seen[key]


render: Renderer | None = None


def to_html(node: nodes.Node, display: bool) -> str:
    """HTML of a math node; a refused formula is logged and shown as its TeX."""
    global render
    render = render or Renderer()
    tex = NUMBERED.sub(r"\\\1{\2*}", node.astext())
    if display and r"\\" in tex and r"\begin{" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    try:
        return render(tex, display)
    except quickjs.JSException as error:
        reason = str(error).splitlines()[0]
        log.warning("formula: %s in %s", reason, tex, location=node, type="katex")
        return "<code>formula that KaTeX refused</code>"


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write an inline formula."""
    self.body.append(f'<span class="math">{to_html(node, False)}</span>')
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula, with its number if it has a label."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    # The theme's script lets the keyboard scroll what carries its container's class.
    self.body.append('<div class="formula pst-scrollable-table-container">')
    self.body.append(f"{to_html(node, True)}</div>")
    if node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    self.body.append("</div>")
    raise nodes.SkipNode


def copy_assets(app: Sphinx) -> None:
    """Put style sheet and woff2 fonts into the built book."""
    target = Path(app.outdir) / "_static" / "katex"
    (target / "fonts").mkdir(parents=True, exist_ok=True)
    css = OLD_FONTS.sub("", (KATEX / "katex.min.css").read_text("utf-8"))
    (target / "katex.min.css").write_text(css, "utf-8")
    for font in (KATEX / "fonts").glob("*.woff2"):
        (target / "fonts" / font.name).write_bytes(font.read_bytes())


def setup(app: Sphinx) -> None:
    """Make `html_math_renderer: katex` known."""
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.connect("builder-inited", copy_assets)
    app.add_css_file("katex/katex.min.css", priority=800)
