"""The book as a reader has it: every page in Chromium, straight from the disk."""

import gzip
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

PAGE_LIMIT_KIB = 500
SET_THEME = "for (const key of ['mode', 'theme']) localStorage.setItem(key, '{}')"
TOO_WIDE = "document.documentElement.scrollWidth - innerWidth"
OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"
LOAD_ALL = "document.querySelectorAll('img').forEach(i => i.loading = 'eager')"
RUN_AXE = """async () => (await axe.run({
    preload: false, rules: {'label-content-name-mismatch': {enabled: true}}
})).violations"""


@cache
def compressed_kib(url):
    """Size of a file as a server would send it; fonts and pictures are packed."""
    path = Path(unquote(urlsplit(url).path))
    data = path.read_bytes()
    packed = path.suffix in {".woff2", ".png", ".jpg"}
    return len(data if packed else gzip.compress(data, 6)) / 1024


@pytest.fixture(scope="session")
def axe():
    """The script of axe-core."""
    package = pytest.importorskip("axe_playwright_python")
    return (Path(package.__file__).parent / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def table(request):
    """Rows (page, view, KiB, requests, faults), printed when all pages are done."""
    rows = []
    yield rows
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        row = "{:<42} {:<11} {:>5} {:>9} {:>7}"
        print("\n" + row.format("page", "view", "KiB", "requests", "faults"))
        for name, view, kib, requests, faults in rows:
            print(row.format(name, view, round(kib), requests, faults))


def visit(context, path, axe):
    """Load a page; return what it asked for and what is wrong with it."""
    page, urls, faults = context.new_page(), set(), []

    def listen(message):
        if message.type in ("error", "warning"):
            faults.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: urls.add(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("document.fonts.status === 'loaded'")
    if (pixels := page.evaluate(TOO_WIDE)) > 0:
        faults.append(f"{pixels} px too wide")
    page.evaluate(OPEN_ALL)
    page.evaluate(LOAD_ALL)
    page.wait_for_load_state("networkidle")
    page.evaluate(axe)
    for found in page.evaluate(RUN_AXE):
        html = [node["html"][:150] for node in found["nodes"]]
        faults.append(f"axe {found['id']} at {html[:3]}")
    page.close()
    faults += [f"asks for {url}" for url in urls if url.startswith(("http", "ws"))]
    return {url for url in urls if url.startswith("file:")}, faults


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page(book, browser, axe, table, theme, width):
    """No request elsewhere, no error, no sideways scroll, nothing from axe, light."""
    context = browser.new_context(viewport={"width": width, "height": 800})
    context.add_init_script(SET_THEME.format(theme))
    wrong = []
    for path in sorted(book.rglob("*.html")):
        if "_static" in path.parts or path == book / "index.html":
            continue
        urls, faults = visit(context, path, axe)
        if (kib := sum(map(compressed_kib, urls))) > PAGE_LIMIT_KIB:
            faults.append(f"{kib:.0f} KiB, the limit is {PAGE_LIMIT_KIB}")
        name = str(path.relative_to(book))
        table.append((name, f"{theme} {width}", kib, len(urls), len(faults)))
        wrong += [f"{name}: {fault}" for fault in faults]
    context.close()
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_the_root_leads_to_the_front_page(book, browser):
    page = browser.new_page()
    page.goto((book / "index.html").as_uri())
    page.wait_for_url("**/README.html")
    page.close()


@pytest.mark.parametrize("word", ["variance", "batch", "eps", "层归一化", "LayerNorm"])
def test_search_finds(book, browser, word):
    page = browser.new_page()
    page.goto((book / "search.html").as_uri() + f"?q={word}")
    page.wait_for_selector("#search-results li a")
    page.close()


def test_interactive_figures_answer_to_keyboard_and_mouse(book, browser):
    page, seen = browser.new_page(), 0
    for path in sorted(book.glob("chapters/*.html")):
        page.goto(path.as_uri())
        for figure in page.locator("form.lk").all():
            sliders = figure.locator("input[type=range]").all()
            texts = _slide(page, figure, sliders) if sliders else _choose(page, figure)
            assert len(set(texts)) == len(texts), f"{path.name}: nothing changes"
            seen += 1
    assert seen >= 3
    page.close()


def _choose(page, figure):
    """What the figure says first, after an arrow key, after a click on the last."""
    options = figure.locator("fieldset").first.locator("label")
    texts = [figure.inner_text()]
    options.first.locator("input").focus()
    page.keyboard.press("ArrowRight")
    texts.append(figure.inner_text())
    options.last.click()
    return [*texts, figure.inner_text()]


def _slide(page, figure, sliders):
    """What it says first, after a key on each slider, and after a click on the last."""
    texts = [figure.inner_text()]
    for slider in sliders:
        slider.focus()
        page.keyboard.press("End")
        texts.append(figure.inner_text())
    sliders[-1].click(position={"x": 2, "y": 5})
    return [*texts, figure.inner_text()]
