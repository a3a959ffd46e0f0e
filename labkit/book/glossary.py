"""The glossary at hand: terms linked where they are met, and an index of the places.

In every chapter and lab, the first time that running text uses a term it becomes a link
to the glossary, with the definition as a tooltip for mouse and keyboard. The directive
`{terms}` lists all terms with these places. The notebooks say nothing of it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)

GLOSSARY = "chapters/glossary"
# Running text is what stands in none of these.
APART = (
    *(nodes.title, nodes.caption, nodes.table, nodes.literal, nodes.literal_block),
    *(nodes.math, nodes.math_block, nodes.reference, nodes.raw, addnodes.pending_xref),
)
# In the singular they are everyday words too: in your head, register the parameter.
PLURAL_ONLY = {"head", "register"}
CHINESE = re.compile(r"[^.]*[\u4e00-\u9fff][^.]*(?=\.\s)")
IN_WORDS = {
    r"\\operatorname\{(\w+)\}": r"\1",
    r"\\times\b": "×",
    r"\\sqrt ": "√",
    r"\\Phi\b": "Φ",
    r" ?\\, ?": " ",
    r"\^\{-3\}": "⁻³",
    r"\^2": "²",
    r"_0": "₀",
    r"[_^](\w)": r"\1",
}


class Term(NamedTuple):
    """An entry of the glossary."""

    names: tuple[str, ...]
    anchor: str
    meaning: str
    chinese: str


class term_link(nodes.reference):  # a node's class names its visitors
    """A use of a term, linked to its entry."""


class term_index(nodes.General, nodes.Element):
    """Where the index will stand."""


class Terms:
    """The glossary of a book, and how its terms are found."""

    def __init__(self, doctree: nodes.document):
        self.all = []
        for item in doctree.findall(nodes.definition_list_item):
            names = tuple(term.astext() for term in item.findall(nodes.term))
            text = _plain(item.next_node(nodes.definition))
            chinese = CHINESE.match(text)
            anchor = item.next_node(nodes.term)["ids"][0]
            self.all.append(Term(names, anchor, text, chinese[0] if chinese else ""))
        self.forms = {}
        for term in self.all:
            for name in term.names:  # of "query, key, value" the first
                word = name.partition(",")[0].lower()
                self.forms[_plural(word)] = self.forms[word] = term
        for word in PLURAL_ONLY:
            self.forms.pop(word, None)
        longest_first = sorted(self.forms, key=len, reverse=True)
        words = "|".join(re.escape(f).replace(r"\ ", r"\s+") for f in longest_first)
        self.pattern = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.I)

    def first_uses(
        self, doctree: nodes.document
    ) -> Iterator[tuple[nodes.Text, list[tuple[re.Match, Term]]]]:
        """Texts of a page in which terms are used for the first time, and where."""
        _join_lines(doctree)
        seen = set()
        for text in list(doctree.findall(nodes.Text)):
            if not _runs(text):
                continue
            found = []
            for match in self.pattern.finditer(text):
                term = self.forms[" ".join(match[0].lower().split())]
                if term.anchor not in seen:
                    seen.add(term.anchor)
                    found.append((match, term))
            if found:
                yield text, found


def _plural(word: str) -> str:
    if word.endswith("y"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("ch", "s", "x")) else "s")


def _join_lines(doctree: nodes.document) -> None:
    """Make one text of the lines of a paragraph: a term may be broken over two."""
    for paragraph in list(doctree.findall(nodes.TextElement)):
        for at in range(len(paragraph) - 1, 0, -1):
            pair = paragraph[at - 1 : at + 1]
            if all(isinstance(node, nodes.Text) for node in pair):
                paragraph[at - 1 : at + 1] = [nodes.Text("".join(pair))]


def _runs(text: nodes.Text) -> bool:
    """Whether a text stands in a paragraph and in nothing of its own."""
    node, in_paragraph = text.parent, False
    while node is not None:
        if isinstance(node, APART):
            return False
        in_paragraph = in_paragraph or isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph


def _plain(definition: nodes.Node) -> str:
    """A definition without markup, its formulas in letters."""
    definition = definition.deepcopy()
    for formula in list(definition.findall(nodes.math)):
        text = formula.astext()
        for tex, letters in IN_WORDS.items():
            text = re.sub(tex, letters, text)
        if "\\" in text:
            log.warning("glossary: put this formula in words: %s", text, type="terms")
        formula.parent.replace(formula, nodes.Text(text))
    return " ".join(definition.astext().split())


def link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link the first use of each term on a page, and fill in the index."""
    if not _uses(app, docname) and not any(doctree.findall(term_index)):
        return
    terms = Terms(app.env.get_doctree(GLOSSARY))
    for place in list(doctree.findall(term_index)):
        place.replace_self(_index(app, docname, terms))
    if not _uses(app, docname):
        return
    home = app.builder.get_relative_uri(docname, GLOSSARY)
    for text, found in terms.first_uses(doctree):
        parts, end = [], 0
        for match, term in found:
            address = {"refuri": f"{home}#{term.anchor}", "internal": True}
            link = term_link("", match[0], ids=[_use(term)], **address)
            link["meaning"] = term.meaning
            parts += [nodes.Text(text[end : match.start()]), link]
            end = match.end()
        text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def _uses(app: Sphinx, docname: str) -> bool:
    """Whether a page is a notebook, a chapter or a lab, of a book with a glossary."""
    notebook = app.env.doc2path(docname).endswith(".ipynb")
    return notebook and GLOSSARY in app.env.found_docs


def _use(term: Term) -> str:
    return term.anchor.replace("term-", "use-", 1)


def _index(app: Sphinx, docname: str, terms: Terms) -> nodes.bullet_list:
    """Every term, its Chinese, and the pages that use it, in the order of the book."""
    places: dict[str, list] = {term.anchor: [] for term in terms.all}
    for page in _in_order(app, app.config.root_doc):
        if _uses(app, page):
            uri = app.builder.get_relative_uri(docname, page)
            number = app.env.toc_secnumbers.get(page, {}).get("")
            name = ".".join(map(str, number)) if number else _short(app, page)
            for _, found in terms.first_uses(app.env.get_doctree(page)):
                for _, term in found:
                    places[term.anchor].append((name, f"{uri}#{_use(term)}"))
    home = app.builder.get_relative_uri(docname, GLOSSARY)
    entries = nodes.bullet_list(classes=["term-index"])
    for term in sorted(terms.all, key=lambda t: t.names[0].lower().strip("[")):
        line = nodes.paragraph()
        line += _reference(", ".join(term.names), f"{home}#{term.anchor}")
        line += nodes.Text(f" {term.chinese}" if term.chinese else "")
        for name, uri in places[term.anchor]:
            line += [nodes.Text(" · "), _reference(name, uri)]
        entries += nodes.list_item("", line)
    return entries


def _reference(text: str, uri: str) -> nodes.reference:
    return nodes.reference("", text, refuri=uri, internal=True)


def _short(app: Sphinx, docname: str) -> str:
    """A lab's title up to its number, which stays on its line."""
    title = app.env.titles[docname].astext()
    return re.split(r"\s*[:—]", title)[0].replace(" ", "\N{NO-BREAK SPACE}")


def _in_order(app: Sphinx, docname: str) -> Iterator[str]:
    """Every page, as the contents have them."""
    yield docname
    for child in app.env.toctree_includes.get(docname, ()):
        yield from _in_order(app, child)


def outdated(app: Sphinx, env, added: set, changed: set, removed: set) -> list[str]:
    """Pages to read again in a later build: if the glossary changed, all its uses."""
    return [page for page in env.found_docs if GLOSSARY in changed and _uses(app, page)]


class TermsDirective(SphinxDirective):
    """The index of terms."""

    def run(self) -> list[nodes.Node]:
        """Keep its place until every page has been read."""
        self.env.note_reread()  # any page that changed may have changed it
        return [term_index()]


def visit_link(self: HTML5Translator, node: term_link) -> None:
    """Write a link whose tooltip, the theme's own, is the definition."""
    shown = {"title": node["meaning"], "data-bs-toggle": "tooltip"}
    attributes = {"CLASS": "term", "href": node["refuri"], **shown}
    self.body.append(self.starttag(node, "a", "", **attributes))


def depart_link(self: HTML5Translator, node: term_link) -> None:
    """Close it."""
    self.body.append("</a>")


def setup(app: Sphinx) -> None:
    """Register directive and link; work when a page is complete."""
    app.add_node(term_link, html=(visit_link, depart_link))
    app.add_node(term_index)
    app.add_directive("terms", TermsDirective)
    app.connect("env-get-outdated", outdated)
    app.connect("doctree-resolved", link)
