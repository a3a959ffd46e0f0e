"""The figure of costs: right numbers, for every reader, without a network."""

import re
from itertools import product

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from labkit.explore import costs


@pytest.fixture(scope="module")
def html() -> str:
    return costs.cost_explorer().data


@pytest.mark.parametrize(("tokens", "width"), [(50, 192), (197, 768), (1536, 768)])
def test_counts_are_those_of_pytorch(tokens, width):
    """A block of PyTorch on the meta device, its operations counted by PyTorch."""
    with torch.device("meta"):
        x = torch.empty(tokens, width)
        square, up = torch.empty(width, width), torch.empty(width, 4 * width)
    with FlopCounterMode(display=False) as projections:
        for _ in range(4):
            x @ square
    with FlopCounterMode(display=False) as matrix:
        (x @ x.T) @ x
    with FlopCounterMode(display=False) as feed:
        (x @ up) @ up.T
    counters = {"feed": feed, "proj": projections, "matrix": matrix}
    flops = {part: counter.get_total_flops() for part, counter in counters.items()}
    assert flops == {p: 2 * n for p, n in costs.costs(tokens, width).items()}


def test_attention_and_network_are_even_at_twice_the_width():
    for _, width in enumerate(w for w, _ in costs.WIDTHS):
        assert costs._text(2 * width, width)["more"] == "as much as"
        assert costs._text(2 * width - 1, width)["more"] == "less than"
        assert costs._text(2 * width + 1, width)["more"] == "more than"


def test_nothing_comes_from_elsewhere(html):
    assert not re.search(r"https?:|url\(|@import|src=|href=|fetch|import\(", html)
    assert "<script" not in html
    assert " id=" not in html  # two figures on one page would share it


def test_same_bytes_every_time(html):
    assert costs.cost_explorer().data == html
    assert costs.cost_explorer(50177, 12288).data != html


def test_the_first_view_needs_no_script(html):
    """A viewer that removes handlers still shows the sizes and the shares."""
    for words in ("ViT-B/16", "64 %", "32 %", "4 %", "1.45 giga", "1,536"):
        assert words in html.split("<svg")[0].split("</style>")[1]


def test_sliders_have_names_and_say_where_they_stand(html):
    for label, value in (("Tokens T", "197 (ViT-B/16"), ("Width D", "768 (ViT-B)")):
        slider = re.search(f'<input type="range"[^>]*aria-label="{label}"[^>]*>', html)
        assert f'aria-valuetext="{value}' in slider[0]
    assert html.count('role="status"') == 1
    assert 'aria-hidden="true"' in html  # the picture says nothing more than the text


def test_a_number_between_the_stops_is_refused():
    with pytest.raises(ValueError, match="got tokens=198; want one of"):
        costs.cost_explorer(tokens=198)
    with pytest.raises(ValueError, match="got width=1; want one of"):
        costs.cost_explorer(width=1)


# ------------------------------------------------------------------- in a real browser

SET = """([n, m]) => {
  const figure = document.querySelector('.lk');
  figure.querySelector('.tokens').value = n;
  figure.querySelector('.width').value = m;
  figure.querySelector('.width').dispatchEvent(new Event('input', {bubbles: true}));
  return figure.innerText.replace(/\\s+/g, ' ');
}"""


def test_script_and_python_agree_at_every_stop(page):
    """What the handler writes is what `cost_explorer` writes for the same sizes."""
    stops = product(enumerate(costs.TOKENS), enumerate(costs.WIDTHS))
    for (n, (tokens, _)), (m, (width, _)) in stops:
        shown = page.evaluate(SET, [n, m])
        text = costs._text(tokens, width)
        assert f"Tokens T: {tokens:,}" in shown and f"Width D: {width:,}" in shown
        for part, name in costs.PARTS.items():
            assert f"{name} {text[part]}" in shown, (tokens, width)
        assert f"{text['sum']}-MACs" in shown
        assert f"costs {text['more']} the" in shown
        assert f"2D = {text['even']} tokens" in shown
        first = costs._curves(tokens, width)
        for place in (r'class="here" x1="([-\d.]+)"', r"translate\(([-\d.]+) 0\)"):
            drawn = re.search(place, page.inner_html("svg"))[1]
            assert abs(float(drawn) - float(re.search(place, first)[1])) < 0.11


def test_arrow_keys_move_the_sliders(page):
    page.evaluate(SET, [0, 0])
    page.focus(".tokens")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    said = [page.get_attribute(s, "aria-valuetext") for s in (".tokens", ".width")]
    assert said == ["50 (ViT-B/32, 224 × 224 pixels)", "12,288 (GPT-3)"]


def test_it_fits_a_phone(page):
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
