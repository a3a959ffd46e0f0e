"""The figure of sequence lengths: right numbers, for every reader, offline."""

import re
from itertools import product

import pytest
import torch
from torch import nn

from labkit.explore import sequence


@pytest.fixture(scope="module")
def html() -> str:
    return sequence.sequence_explorer().data


@pytest.mark.parametrize(("side", "patch"), [(32, 16), (64, 14), (112, 16), (32, 2)])
def test_sizes_are_those_of_pytorch(side, patch):
    """Patches of a strided convolution, bytes of the matrix that attention makes."""
    size = sequence.sizes(side, patch)
    cut = nn.functional.unfold(torch.zeros(1, 3, side, side), patch, stride=patch)
    assert cut.shape == (1, size["each"], size["patches"])
    tokens = torch.zeros(1, size["patches"] + 1, 8)
    weights = nn.MultiheadAttention(8, 1, batch_first=True)(*[tokens] * 3)[1]
    assert (weights.numel(), weights.nbytes) == (size["entries"], size["bytes"])
    assert size["grid"] * patch + size["left"] == side


def test_the_numbers_of_the_chapter(html):
    assert sequence._text(224, 16)["entries"] == "38,809"
    assert sequence._text(224, 16)["size"] == "155 kB"
    assert sequence._text(224, 1)["size"] == "10.1 GB"
    assert sequence._text(224, 1)["matrix"] == "92 %"
    assert sequence._text(384, 14)["left"].startswith("14 does not divide 384")


def test_nothing_comes_from_elsewhere(html):
    assert not re.search(r"https?:|url\(|@import|src=|href=|fetch|import\(", html)
    assert "<script" not in html
    assert " id=" not in html  # two figures on one page would share it


def test_same_bytes_every_time(html):
    assert sequence.sequence_explorer().data == html
    assert sequence.sequence_explorer(384, 14).data != html


def test_the_first_view_needs_no_script(html):
    """A viewer that removes handlers still shows the sizes and the shares."""
    shown = re.sub(r"<style>.*?</style>|<[^>]*>", "", html)
    for words in ("ViT-B/16", "14 × 14 = 196 patches of 768 numbers", "64 %", "4 %"):
        assert words in shown
    assert "38,809 entries, 155 kB in float32" in shown


def test_sliders_have_names_and_say_where_they_stand(html):
    for label, value in (("Image side", "224"), ("Patch side", "16 (ViT")):
        slider = re.search(
            f'<input type="range"[^>]*aria-label="{label}, in pixels"[^>]*>', html
        )
        assert f'aria-valuetext="{value}' in slider[0]
    assert html.count('role="status"') == 1
    assert 'aria-hidden="true"' in html  # the picture says nothing more than the text


def test_a_number_between_the_stops_is_refused():
    with pytest.raises(ValueError, match="got side=225; want one of"):
        sequence.sequence_explorer(side=225)
    with pytest.raises(ValueError, match="got patch=3; want one of"):
        sequence.sequence_explorer(patch=3)


# ------------------------------------------------------------------- in a real browser

SET = """([n, m]) => {
  const figure = document.querySelector('.lk');
  figure.querySelector('.side').value = n;
  figure.querySelector('.patch').value = m;
  figure.querySelector('.patch').dispatchEvent(new Event('input', {bubbles: true}));
  return figure.innerText.replace(/\\s+/g, ' ');
}"""


def test_script_and_python_agree_at_every_stop(page):
    """What the handler writes and draws is what `sequence_explorer` does."""
    stops = product(enumerate(sequence.SIDES), enumerate(sequence.PATCHES))
    for (n, (side, _)), (m, (patch, _)) in stops:
        shown = page.evaluate(SET, [n, m])
        text = sequence._text(side, patch)
        assert f"Image side, in pixels: {side:,}" in shown
        assert f"Patch side, in pixels: {patch:,}" in shown
        for part, name in sequence.PARTS.items():
            assert f"{name} {text[part]}" in shown, (side, patch)
        cut = f"{text['grid']} = {text['count']} patches of {text['each']} numbers"
        assert f"{cut}. {text['left']}" in shown
        assert f"{text['entries']} entries, {text['size']} in float32" in shown
        first = sequence.sequence_explorer(side, patch).data
        drawn = page.get_attribute(".image", "style").replace(" ", "").rstrip(";")
        for style in re.search(r'class="image[^>]*style="([^"]*)"', first)[1].split(
            ";"
        ):
            name, _, value = style.partition(":")
            now = re.search(rf"{name}:([\d.]+)%", drawn)[1]
            assert float(now) == pytest.approx(float(value[:-1]), abs=0.011)
        fine = "fine" in page.get_attribute(".image", "class").split()
        assert fine == ('class="image fine"' in first)


def test_arrow_keys_move_the_sliders(page):
    page.evaluate(SET, [0, 0])
    page.focus(".side")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    said = [page.get_attribute(s, "aria-valuetext") for s in (".side", ".patch")]
    assert said == ["64", "32 (ViT-B/32)"]


def test_it_fits_a_phone(page):
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
