"""The attention explorer: self-contained, the same bytes, right in words."""

import re

import pytest
import torch

from labkit.explore import attention_explorer

TOKENS = ["one", "two", "three"]
HEADS = {
    "before": torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]]),
    "even": torch.full((3, 3), 1 / 3),
}


@pytest.fixture(scope="module")
def html() -> str:
    return attention_explorer(HEADS, TOKENS, 3).data


def test_nothing_comes_from_elsewhere(html):
    assert not re.search(
        r"https?:|//|url\(|@import|src=|href=|<script| id=| on[a-z]+=", html
    )


def test_same_bytes_and_noise_below_a_per_cent_does_not_show(html):
    noisy = {name: w + 1e-6 for name, w in HEADS.items()}
    assert attention_explorer(noisy, TOKENS, 3).data == html


def test_two_figures_do_not_meet(html):
    other = attention_explorer({"even": HEADS["even"]}, TOKENS, 3).data
    scopes = [re.search(r'<div class="(a\w{8})"', data)[1] for data in (html, other)]
    assert scopes[0] != scopes[1]
    weights = [rule for rule in html.split("\n") if "--k0:" in rule]
    assert len(weights) == 3 * 2
    assert all(f".lk .{scopes[0]}:has" in rule for rule in weights)


def test_every_query_is_a_named_radio_button(html):
    assert re.findall(r'aria-label="query (\w+)"', html) == TOKENS
    assert html.count(" checked>") == 1
    assert html.index("<fieldset>") < html.index('class="heads"')


def test_says_in_words_what_it_shows(html):
    assert 'role="status"' in html and html.count('aria-hidden="true"') == 2
    third = re.search(r'<div class="q2">(.*?)</div>', html)[1]
    assert "Query <b>three</b>" in third and "before: two (100 %)" in third
    assert "even: all tokens alike, 33 % each" in third


def test_wrong_weights_are_refused():
    with pytest.raises(ValueError, match=r"got weights \(2, 3\); want \(3, 3\)"):
        attention_explorer({"a": torch.ones(2, 3) / 3}, TOKENS, 3)
    with pytest.raises(ValueError, match="the softmax ran over another axis"):
        attention_explorer({"a": HEADS["before"].T}, TOKENS, 3)
