"""The book as a reader has it: every page in Chromium, straight from the disk."""

import gzip
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from .conftest import PAGES
from .reading import KEEP_ONE_OF_EACH_LOOK

PAGE_LIMIT_KIB = 500
DESKTOP, PHONE = 1280, 360
CHAPTERS = [page for page in PAGES if page.startswith("chapters/0")]


@cache
def compressed_kib(url):
    """Size of a file as a server would send it; fonts and pictures are packed."""
    path = Path(unquote(urlsplit(url).path))
    data = path.read_bytes()
    packed = path.suffix in {".woff2", ".png", ".jpg"}
    return len(data if packed else gzip.compress(data, 6)) / 1024


def fail_if(wrong):
    """Fail with what is wrong, a line each, and nothing else."""
    if text := "\n".join(wrong):
        pytest.fail(text, pytrace=False)


@pytest.mark.parametrize("name", PAGES)
def test_every_page(book, reader, record_property, name):
    """No request elsewhere, no error, no sideways scroll, nothing from axe, light.

    Axe looks once in each theme, at another width; what only the other widths show,
    menus and side bars, it sees in `test_what_opens`.
    """
    for width in (DESKTOP, PHONE):
        reader.open(book / f"{name}.html", width)
        if width == (DESKTOP if reader.theme == "light" else PHONE):
            reader.tab.evaluate(KEEP_ONE_OF_EACH_LOOK)
            reader.check()
        urls, faults = reader.local(), reader.wrong()
        if (kib := sum(map(compressed_kib, urls))) > PAGE_LIMIT_KIB:
            faults.append(f"{kib:.0f} KiB, the limit is {PAGE_LIMIT_KIB}")
        row = (f"{name}.html", f"{reader.theme} {width}", round(kib), len(urls))
        record_property("book page", [*row, len(faults)])
        fail_if(f"{width} px: {fault}" for fault in faults)


def test_the_root_leads_to_the_front_page(book, browser):
    page = browser.new_page()
    page.goto((book / "index.html").as_uri())
    page.wait_for_url("**/README.html")
    page.close()


LONG, SHORT = "chapters/01_layer_normalization", "chapters/set_up"
OPENED = {
    "download menu": (LONG, DESKTOP, [".dropdown-download-buttons > button"]),
    "another theme": (SHORT, DESKTOP, [".theme-switch-button"]),
    "the third theme": (SHORT, DESKTOP, [".theme-switch-button"] * 2),
    "search": (SHORT, DESKTOP, [".search-button-field"]),
    "search on a phone": (SHORT, PHONE, [".bd-header-article .search-button"]),
    "side bar on a phone": (SHORT, PHONE, [".primary-toggle"]),
    "contents on a phone": (LONG, PHONE, [".secondary-toggle"]),
}
STATE = "document.body.innerText + document.documentElement.dataset.mode"


@pytest.mark.parametrize("what", OPENED)
def test_what_opens(book, reader, what):
    """Menus, dialogs and side bars, once open, are right too."""
    name, width, clicks = OPENED[what]
    reader.open(book / f"{name}.html", width)
    reader.tab.evaluate(KEEP_ONE_OF_EACH_LOOK)
    before = (
        reader.tab.inner_text("body"),
        reader.tab.get_attribute("html", "data-mode"),
    )
    for button in clicks:
        reader.tab.click(button)
    reader.measure()
    reader.check(state=f"{what}:")
    assert reader.tab.evaluate(STATE) != before, "nothing opens"
    fail_if(reader.wrong())


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_a_term_says_what_it_means(book, reader, way):
    """In a tooltip, which Escape closes; the link leads to the glossary."""
    reader.open(book / "chapters/01_layer_normalization.html")
    reader.tab.evaluate(KEEP_ONE_OF_EACH_LOOK)
    term = reader.tab.locator("#use-token")
    term.hover() if way == "mouse" else term.focus()
    tooltip = reader.tab.get_by_role("tooltip")
    tooltip.wait_for()
    assert "One position of a sequence" in tooltip.inner_text()
    reader.check(state="tooltip:")
    term.click()
    reader.tab.wait_for_url("**/glossary.html#term-token")
    fail_if(reader.wrong())


PRINTED = """() => {
    dispatchEvent(new Event('beforeprint'));
    const shown = s => [...document.querySelectorAll(s)].some(e => e.offsetHeight);
    const wide = [...document.querySelectorAll('pre, table, form, .math, img')].filter(
        e => e.offsetHeight && e.scrollWidth > e.parentElement.clientWidth + 1);
    return {title: document.querySelector('article h1').offsetHeight > 0,
        theme: document.documentElement.dataset.theme,
        around: shown('.bd-sidebar, .bd-header-article, .prev-next-footer, .handout'),
        wide: wide.map(e => e.outerHTML.slice(0, 150))}; }"""
LIKE_A4 = {"width": 660, "height": 980}  # 174 mm between the margins


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_is_fit_for_paper(book, reader, name):
    """Light whatever the screen is, the article alone, nothing cut off."""
    reader.open(book / f"{name}.html")
    reader.tab.set_viewport_size(LIKE_A4)
    reader.tab.emulate_media(media="print")
    paper = reader.tab.evaluate(PRINTED)
    reader.tab.evaluate("dispatchEvent(new Event('afterprint'))")
    reader.tab.emulate_media(media="screen")
    assert paper["theme"] == "light" and paper["title"] and not paper["around"]
    assert not paper["wide"]
    assert reader.tab.get_attribute("html", "data-theme") == reader.theme


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_has_its_handout(book, browser, name):
    """A PDF with the page's title and as many pages as a chapter has."""
    pdf = (book / f"{name}.pdf").read_bytes()
    page = BeautifulSoup((book / f"{name}.html").read_text("utf-8"), "html.parser")
    pages = max(map(int, re.findall(rb"/Count (\d+)", pdf)))
    assert pdf[:5] == b"%PDF-" and 2 <= pages <= 30
    title = bytes.fromhex(re.search(rb"/Title\s*<([0-9A-F]+)>", pdf)[1].decode())
    assert title.decode("utf-16") == page.title.get_text(strip=True)
    links = [a["href"] for a in page.select("a[href$='.pdf']")]
    assert links == [Path(name).name + ".pdf"] * 2  # in the menu, under the title


@pytest.mark.parametrize("word", ["variance", "batch", "eps", "层归一化", "LayerNorm"])
def test_search_finds(book, browser, word):
    page = browser.new_page()
    page.goto((book / "search.html").as_uri() + f"?q={word}")
    page.wait_for_selector("#search-results li a")
    page.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_interactive_figures_answer_to_keyboard_and_mouse(book, reader, name):
    """Each says something new after each key and click; used, it is still right."""
    if '<form class="lk"' not in (book / f"{name}.html").read_text("utf-8"):
        return
    reader.open(book / f"{name}.html", PHONE)
    for figure in reader.tab.locator("form.lk").all():
        sliders = figure.locator("input[type=range]").all()
        use = _slide if sliders else _choose
        texts = use(reader.tab, figure, sliders)
        assert len(set(texts)) == len(texts), "nothing changes"
    reader.measure()
    reader.check(".lk", "after use:")
    fail_if(reader.wrong())


def test_there_are_interactive_figures(book):
    pages = [path.read_text("utf-8") for path in book.glob("chapters/*.html")]
    assert sum(page.count('<form class="lk"') for page in pages) >= 3


def _choose(page, figure, _):
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
