"""The map of attention: self-contained, right numbers, right in words."""

import re

import pytest
import torch

from labkit.explore import attention_map

IMAGES = torch.arange(2 * 16.0).view(2, 4, 4)
MAPS = {
    "first": torch.tensor([[4.0, 3, 2, 1], [0, 0, 0, 1]]),
    "even": torch.ones(2, 4),
}
ANSWERS = {
    "first": torch.tensor([[7, 7, 1], [5, 5, 5]]),
    "even": torch.tensor([[7, 2, 1], [5, 5, 3]]),
}


def make(maps=MAPS, answers=ANSWERS, images=IMAGES) -> str:
    return attention_map(images, maps, answers, [7, 5], (0, 1, 2)).data


@pytest.fixture(scope="module")
def html() -> str:
    return make()


def test_nothing_comes_from_elsewhere(html):
    assert not re.search(r"https?:|//|url\(|@import|src=|href=|<script", html)
    assert not re.search(r" on[a-z]+=| id=", html)


def test_same_bytes_and_noise_below_a_per_cent_does_not_show(html):
    assert make({name: m * (1 + 1e-6) for name, m in MAPS.items()}) == html


def test_every_choice_is_a_radio_button_and_one_of_each_is_chosen(html):
    for name, count in (("image", 2), ("map", 2), ("delete", 3)):
        buttons = re.findall(rf'<input type="radio" name="{name}"[^>]*>', html)
        assert len(buttons) == count
        assert sum("checked" in button for button in buttons) == 1
    assert html.count("<legend>") == 3


def test_says_in_words_what_it_shows(html):
    assert 'role="status"' in html and html.count('aria-hidden="true"') == 1
    said = dict(re.findall(r'<p class="(n\d m\d k\d)">(.*?)</p>', html))
    assert len(said) == 2 * 2 * 3
    assert "<b>Nothing deleted: the network says 7</b>, right" in said["n0 m0 k0"]
    assert "<b>2 deleted: the network says 1</b>, it is a 7" in said["n0 m0 k2"]
    assert "row 1 column 1 (40 %), row 1 column 2 (30 %)" in said["n0 m0 k1"]
    assert "row 2 column 2 (100 %)" in said["n1 m0 k0"]


def test_deletes_the_most_important_first_and_shows_the_right_pixels(html):
    chosen = r'\[name="image"\]\[value="{}"\]:checked\)'
    both = chosen.format(1) + r':has\(\[name="map"\]\[value="0"\]:checked\) {{ (.*?) }}'
    values = re.search(both.replace("{{", "{").replace("}}", "}"), html)[1].split(";")
    assert "--w3:100" in values and "--r3:0" in values and "--r0:1" in values
    pixels = re.search(chosen.format(1) + r" { (--p0:.*?) }", html)[1].split(";")
    grey = [round(100 * value / 31) for value in (16, 17, 20, 21, 18)]  # row by row
    assert pixels[:5] == [f"--p{n}:{value}" for n, value in enumerate(grey)]


def test_two_figures_do_not_meet(html):
    other = make({"first": MAPS["even"], "even": MAPS["first"]})
    scopes = [re.search(r'<div class="(m\w{8})"', data)[1] for data in (html, other)]
    assert scopes[0] != scopes[1]
    rules = [line for line in html.split("\n") if "--p0:" in line or "--w0:" in line]
    assert rules and all(line.startswith(f".lk .{scopes[0]}") for line in rules)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="N a square number"):
        make({name: m[:, :3] for name, m in MAPS.items()})
    with pytest.raises(ValueError, match=r"want \(2, 3\)"):
        make(answers={name: said[:, :2] for name, said in ANSWERS.items()})
