"""How figures are shown: the same bytes each time, and nothing left of live ones."""

import base64
import io

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from labkit import plots


def drawn():
    fig, ax = plt.subplots()
    ax.plot([0, 1, 2], [1, 3, 2])
    return fig


def shown(monkeypatch, capsys, kind):
    """What `show` displays and prints: (bundle, details, text)."""
    calls = []
    monkeypatch.setattr(
        plots, "display", lambda data, **more: calls.append((data, more))
    )
    plots.show(drawn(), "three points", kind)
    ((data, more),) = calls
    return data, more["metadata"], capsys.readouterr().out


def test_lines_are_the_same_svg_every_time(monkeypatch, capsys):
    first, _, text = shown(monkeypatch, capsys, "svg")
    assert first == shown(monkeypatch, capsys, "svg")[0]
    assert text == "three points\n" and first["text/plain"] == "three points"
    assert "<dc:date>" not in first["image/svg+xml"]
    assert not plt.get_fignums(), "the figure is still open"


@pytest.mark.parametrize("kind", ["png", "photo"])
def test_maps_and_photographs_have_a_palette_and_the_size_they_are_shown_at(
    monkeypatch, capsys, kind
):
    data, details, _ = shown(monkeypatch, capsys, kind)
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.mode == "P"
    assert details["image/png"]["width"] < image.width


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="got kind 'gif'; want one of svg, png, photo"):
        plots.show(plt.figure(), "nothing", "gif")
    plt.close("all")


CELL = """
from labkit import plots
with plots.Live(2, ["train", "test"], "accuracy, %") as live:
    live.update(1, [50, 40])
    live.update(2, [90, 80])
    {more}
print("trained")
"""


@pytest.mark.parametrize("more, error", [("", False), ("1 / 0", True)])
def test_live_curves_are_gone_when_training_ends_or_fails(more, error):
    cell = nbformat.v4.new_code_cell(CELL.format(more=more))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=60, allow_errors=True).execute()
    kinds = {output.output_type for output in cell.outputs}
    assert kinds == ({"error"} if error else {"stream"})


def test_live_curves_grow_with_every_update(monkeypatch):
    pictures = []

    class Handle:
        def update(self, data, **_):
            pictures.append(data["image/png"])

    def display(data, **_):
        pictures.append(data["image/png"])
        return Handle()

    monkeypatch.setattr(plots, "display", display)
    monkeypatch.setattr(plots, "clear_output", lambda: pictures.append("cleared"))
    with plots.Live(3, ["test"], "accuracy, %") as live:
        for step in (1, 2, 3):
            live.update(step, [30.0 * step])
    assert len(set(pictures)) == 4 and pictures[-1] == "cleared"
    assert live.points == [(1, [30.0]), (2, [60.0]), (3, [90.0])]
    assert not plt.get_fignums()


def test_a_map_says_every_number_and_leaves_out_what_is_none():
    fig, ax = plt.subplots()
    values = np.array([[90.4, 10.0], [np.nan, 55.0]])
    plots.heat(ax, values, rows=[0.2, 1.0], columns=["slow", "fast"], title="pre")
    assert [text.get_text() for text in ax.texts] == ["90", "10", "55"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0.2", "1.0"]
    bright = [sum(patch.get_facecolor()[:3]) for patch in ax.patches]
    assert bright[0] < bright[2] < bright[1], "darker where higher"
    plt.close(fig)


def test_dots_stand_at_the_means_with_their_intervals():
    fig, ax = plt.subplots()
    plots.dots(ax, {"layer": [[1, 2, 3], [5, 5, 5]]}, names=("same", "longer"))
    spans = [list(line.get_xdata()) for line in ax.lines]
    assert spans[1] == [2.0] and spans[0][0] < 2 < spans[0][1]
    assert spans[2] == [5.0, 5.0] and spans[3] == [5.0]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["same", "longer"]
    plt.close(fig)
