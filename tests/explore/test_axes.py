"""Interactive figures are one self-contained string that works for every reader."""

import re
from collections import Counter
from html.parser import HTMLParser

import pytest
import torch

from labkit.explore import axes

VOID = {"input", "br", "hr", "img", "meta", "link"}


class Page(HTMLParser):
    """Tags in order, and a complaint about any that is not closed."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def html() -> str:
    return axes.which_axes().data


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_every_tag_is_closed(page):
    assert page.open == []


def test_nothing_comes_from_elsewhere(html, page):
    assert not re.search(r"https?:|//|url\(|@import", html)
    assert not page.all("script") and not page.all("link") and not page.all("img")
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    assert not [attrs for _, attrs in page.tags if {"src", "href"} & set(attrs)]


def test_same_bytes_every_time(html):
    assert axes.which_axes().data == html
    assert axes.which_axes(B=2).data != html


def test_two_on_a_page_do_not_meet(html):
    """No id to collide, and each figure's radio buttons belong to its own form."""
    both = Page(html + html)
    ids = Counter(attrs["id"] for _, attrs in both.tags if "id" in attrs)
    assert all(count == 1 for count in ids.values())
    assert len(both.all("form")) == 2
    style = html[html.index("<style>") : html.index("</style>")]
    for rule in re.sub(r"@media[^{]*\{|<style>", "", style).split("}"):
        selectors = re.sub(r"\([^()]*\)", "", rule.split("{")[0])  # commas inside :is()
        for selector in filter(str.strip, selectors.split(",")):
            assert ".lk" in selector, f"a rule that reaches outside: {selector.strip()}"


def test_every_control_is_a_named_radio_button(page):
    inputs = page.all("input")
    assert {attrs["type"] for attrs in inputs} == {"radio"}
    cells = [attrs for attrs in inputs if attrs["name"] == "cell"]
    assert len(cells) == 3 * 4 * 5
    assert len({attrs["aria-label"] for attrs in cells}) == len(cells)
    for group in ("norm", "cell"):
        chosen = [a for a in inputs if a["name"] == group and "checked" in a]
        assert len(chosen) == 1
    assert len(page.all("fieldset")) == 2
    assert page.open == [] and sum(tag == "legend" for tag, _ in page.tags) == 2


def test_says_in_words_what_it_shows(page):
    assert page.all("form")[0]["aria-label"]
    assert {"role": "status", "class": "answer"} in [
        {k: attrs[k] for k in ("role", "class") if k in attrs}
        for attrs in page.all("div")
    ]
    x = torch.zeros(3, 4, 5)
    for norm in axes.NORMS.values():
        mean = x.mean(norm.dims, keepdim=True)
        assert norm.name in page.words
        assert str(tuple(mean.shape)) in page.words
        assert f"{x.numel() // mean.numel()} numbers per mean" in page.words
        assert f"{mean.numel()} means" in page.words


def test_each_rule_lights_the_cells_that_share_a_mean(html):
    """Read the style as a browser would, for every normalization and every cell."""
    norm_is = r'\.lk:has\(\[value="(\w+)"\]:checked\)'
    lit = re.findall(norm_is + r":has\(([.\w]+) :checked\) ([.\w]+) label", html)
    assert all(chosen == filled for _, chosen, filled in lit)
    sizes = torch.zeros(3, 4, 5)
    for key, norm in axes.NORMS.items():
        groups = [set(group[1:].split(".")) for name, group, _ in lit if name == key]
        assert len(groups) == sizes.mean(norm.dims, keepdim=True).numel()
        free = {"btc"[dim] for dim in norm.dims}
        assert all(free.isdisjoint(part[0] for part in group) for group in groups)


def test_dark_in_the_book_and_in_jupyterlab(html):
    assert 'html[data-theme="dark"] .lk' in html
    assert '[data-jp-theme-light="false"] .lk' in html


def test_an_unknown_choice_is_an_error():
    with pytest.raises(ValueError, match="got chosen='group'; want one of layer"):
        axes.which_axes(chosen="group")
