"""Somebody who reads the book in a browser and notes what is wrong with it."""

from pathlib import Path

import pytest

SET_THEME = "for (const key of ['mode', 'theme']) localStorage.setItem(key, '{}')"
TOO_WIDE = "document.documentElement.scrollWidth - innerWidth"
OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"
LOAD_ALL = "document.querySelectorAll('img').forEach(i => i.loading = 'eager')"
LOADED = """document.fonts.status === 'loaded' &&
    [...document.images].every(image => image.complete)"""
FINISH = "document.getAnimations().forEach(animation => animation.finish())"
# Code and formulas are thousands of spans in a few dozen looks. One of each look stays:
# in code the text of the others joins what is around it, formulas with no new look are
# hidden. Axe then takes a tenth of the time.
KEEP_ONE_OF_EACH_LOOK = """() => {
    const seen = new Set(), none = 'rgba(0, 0, 0, 0)';
    const ground = e => {
        const colour = getComputedStyle(e).backgroundColor;
        return colour == none && e.parentElement ? ground(e.parentElement) : colour; };
    const known = span => {
        const s = getComputedStyle(span);
        const look = [ground(span), s.color, s.fontSize, s.fontWeight].join();
        return seen.has(look) || !seen.add(look); };
    const code = [...document.querySelectorAll('pre span')].filter(known);
    const formulas = [...document.querySelectorAll('.katex-html')].filter(formula =>
        [...formula.querySelectorAll('span')].map(known).every(Boolean));
    code.forEach(span => span.replaceWith(...span.childNodes));
    formulas.forEach(formula => formula.style.visibility = 'hidden'); }"""
RUN_AXE = """async where => (await axe.run(where, {
    preload: false, resultTypes: ['violations'],
    rules: {'label-content-name-mismatch': {enabled: true}}
})).violations"""


class Reader:
    """One tab in light or dark, what it has asked for, and what went wrong in it."""

    def __init__(self, browser, theme):
        package = pytest.importorskip("axe_playwright_python")
        axe = Path(package.__file__).parent / "axe.min.js"
        self.axe = axe.read_text("utf-8")
        self.context = browser.new_context(reduced_motion="reduce")
        self.context.add_init_script(SET_THEME.format(theme))
        self.tab = self.context.new_page()
        self.urls, self.faults = set(), []
        self.tab.on("console", self._listen)
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.on("request", lambda request: self.urls.add(request.url))

    def _listen(self, message):
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def open(self, path, width=1280):
        """Load a page with every picture of it, and unfold what is folded."""
        self.tab.goto("about:blank")
        self.urls.clear()
        self.faults.clear()
        self.tab.set_viewport_size({"width": width, "height": 800})
        self.tab.goto(path.as_uri())
        self.measure()
        self.tab.evaluate(f"{OPEN_ALL}; {LOAD_ALL}")
        self.tab.wait_for_function(LOADED)

    def measure(self, width=None):
        """Note what is wider than the window, at another width if one is given."""
        if width:
            self.tab.set_viewport_size({"width": width, "height": 800})
        if (pixels := self.tab.evaluate(TOO_WIDE)) > 0:
            self.faults.append(f"{pixels} px too wide")

    def check(self, where="html", state=""):
        """Note what axe finds in a part of the page."""
        if not self.tab.evaluate("'axe' in window"):
            self.tab.evaluate(self.axe)
        self.tab.evaluate(FINISH)
        for found in self.tab.evaluate(RUN_AXE, where):
            html = [node["html"][:150] for node in found["nodes"]]
            self.faults.append(f"{state} axe {found['id']} at {html[:3]}")

    def local(self):
        """Addresses of the book's own files that the page has loaded."""
        return {url for url in self.urls if url.startswith("file:")}

    def wrong(self):
        """Everything noted, and every request that left the book."""
        asked = [u for u in self.urls if not u.startswith(("file:", "data:", "about:"))]
        return [*self.faults, *(f"asks for {url}" for url in asked)]
