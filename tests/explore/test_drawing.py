"""The drawing pad: what it makes of a drawing, for every reader, offline."""

import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from labkit.explore import drawing

SEVEN = [(60, 50), (190, 50), (110, 210)]
TEXT = "00124700 00000000 00000000 00000000 00000000 00000000 00000000 0000000g"


@pytest.fixture(scope="module")
def html() -> str:
    return drawing.pad().data


def image_of(points, ground=255, ink=0, size=256, width=30) -> Image.Image:
    image = Image.new("L", (size, size), ground)
    ImageDraw.Draw(image).line(points, fill=ink, width=width, joint="curve")
    return image


# ----------------------------------------------------------------------- text and files


def test_text_goes_there_and_back():
    ink = drawing.read(TEXT)
    assert ink.shape == (8, 8) and ink.dtype == torch.float32
    assert ink[0].tolist() == [0, 0, 1, 2, 4, 7, 0, 0] and ink[7, 7] == 16
    assert drawing.write(ink) == TEXT
    assert torch.equal(drawing.read(TEXT.replace(" ", "\n").upper()), ink)


@pytest.mark.parametrize(
    ("text", "said"),
    [(TEXT[:-1], "63 characters; want 64"), ("", "0 char"), (TEXT[:-1] + "h", "'h'")],
)
def test_other_texts_are_refused(text, said):
    with pytest.raises(ValueError, match=said):
        drawing.read(text)


def test_an_image_file_is_read_dark_on_light_and_light_on_dark(tmp_path):
    texts = []
    for name, ground, ink in (("a.png", 255, 0), ("b.png", 10, 240)):
        image_of(SEVEN, ground, ink).save(tmp_path / name)
        texts.append(drawing.from_image(tmp_path / name))
    assert texts[0] == texts[1]
    ink = drawing.read(texts[0])
    assert ink.max() == 16 and ink[-1, -3:].sum() == 0
    assert ink[0].sum() > ink[-1].sum() > 0


def test_place_and_size_do_not_matter():
    small = [(x / 2 + 100, y / 2 + 20) for x, y in SEVEN]
    drawings = [
        drawing._shrink(np.asarray(image_of(points, width=width)) < 128)
        for points, width in ((SEVEN, 30), (small, 15))
    ]
    assert (drawings[0] - drawings[1]).abs().max() <= 2


def test_an_empty_image_is_refused(tmp_path):
    Image.new("L", (40, 40), 200).save(tmp_path / "empty.png")
    with pytest.raises(ValueError, match="without a drawing"):
        drawing.from_image(tmp_path / "empty.png")


# ------------------------------------------------------------------------------ the pad


def test_nothing_comes_from_elsewhere(html):
    assert not re.search(r"https?:|url\(|@import|src=|href=|fetch|import\(", html)
    assert "<script" not in html
    assert " id=" not in html  # two figures on one page would share it
    assert drawing.pad().data == html


def test_the_pad_says_how_to_use_it(html):
    shown = re.sub(r"<style>.*?</style>|<[^>]*>", "", html)
    assert "copy the text into the next cell" in shown and "arrow keys" in shown
    assert 'aria-label="Your drawing as text"' in html
    assert html.count('role="status"') == 1


# ------------------------------------------------------------------- in a real browser

BITMAP = """() => { const c = document.querySelector('.large');
  const d = c.getContext('2d').getImageData(0, 0, 256, 256).data;
  return Array.from({length: 65536}, (_, n) => d[4 * n + 3] > 127); }"""


def text_of(page) -> str:
    return page.input_value(".text")


def draw(page, points):
    box = page.locator(".large").bounding_box()
    scale = box["width"] / 256
    places = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def test_script_and_python_agree(page):
    for points in (SEVEN, [(40, 128), (220, 120)], [(100, 100), (101, 100)]):
        draw(page, points)
        bitmap = np.array(page.evaluate(BITMAP)).reshape(256, 256)
        assert drawing.write(drawing._shrink(bitmap)) == text_of(page)
        page.click(".clear")
        assert text_of(page) == ""


def test_the_pad_and_a_file_with_the_same_lines_agree(page):
    draw(page, SEVEN)
    pad, file = (
        drawing.read(text_of(page)),
        drawing._shrink(np.asarray(image_of(SEVEN)) < 128),
    )
    assert (pad - file).abs().max() <= 4 and (pad - file).abs().mean() < 0.8


def test_keys_draw_lift_and_clear(page):
    page.focus(".large")
    page.keyboard.press("ArrowDown")
    assert text_of(page) == ""
    page.keyboard.press("Space")
    assert page.inner_text(".said") == "Pen down."
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    drawn = text_of(page)
    ink = drawing.read(drawn)
    assert ink[:, 3:5].min() > 8 and ink[:, :2].sum() == ink[:, 6:].sum() == 0
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    assert text_of(page) == drawn and page.inner_text(".said") == ""
    page.keyboard.press("Delete")
    assert text_of(page) == "" and page.inner_text(".said") == "Nothing drawn."


def test_copy_selects_the_text(page):
    draw(page, SEVEN)
    page.click(".copy")
    page.wait_for_function("document.querySelector('.said').textContent != ''")
    chosen = "(t => t.value.slice(t.selectionStart, t.selectionEnd))"
    assert page.evaluate(f"{chosen}(document.querySelector('.text'))") == text_of(page)


def test_it_fits_a_phone(page):
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
