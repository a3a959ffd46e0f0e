"""How figures are shown: the same bytes each time, and nothing left of live ones."""

import base64
import io

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

from labkit import plots
from labkit.statistics import summary


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


def test_a_map_prints_every_value_and_leaves_out_what_is_none():
    fig, ax = plt.subplots()
    plots.heat(ax, np.array([[12.4, 97.0, np.nan]]), ["pre"], ["a", "b", "c"])
    assert [text.get_text() for text in ax.texts] == ["12", "97"]
    assert len(ax.patches) == 2
    dark, light = ax.patches[1].get_facecolor(), ax.patches[0].get_facecolor()
    assert sum(dark) < sum(light)
    plt.close(fig)


def test_tiles_lie_in_order_with_an_edge_around_each():
    fig, ax = plt.subplots()
    plots.tiles(ax, torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2) / 4)
    shown = ax.images[0].get_array()
    plt.close(fig)
    assert shown.shape == (8, 8, 3)
    assert shown[1::4, 1::4, 0].tolist() == [[0, 0.25], [0.5, 0.75]]
    assert (shown[0] == 1).all()
    with pytest.raises(ValueError, match="3 pictures do not fill a square"):
        plots.tiles(ax, torch.zeros(3, 3, 2, 2))


def test_dots_show_each_mean_in_its_interval():
    fig, ax = plt.subplots()
    plots.dots(ax, {"one": [[1, 2, 3]], "two": [[5, 5, 5]]}, ["runs"])
    (low, high), mean = ax.lines[0].get_xdata(), ax.lines[1].get_xdata()[0]
    assert 1 <= low < mean == 2 < high <= 3
    assert [t.get_text() for t in ax.get_yticklabels()] == ["one", "two"]
    plt.close(fig)


def test_a_comparison_draws_an_arm_a_row_and_prints_what_it_draws(monkeypatch, capsys):
    rows = [(arm, seed, 0.1, 0.1 * row, True)
            for row, arm in enumerate("ab") for seed in (*range(8), 100)]  # fmt: skip
    table = pandas.DataFrame(rows, columns=["arm", "seed", "lr", "loss", "converged"])
    figures = []
    monkeypatch.setattr(plots, "show", lambda fig, text: figures.append((fig, text)))
    plots.compare(table, "arm {arm}", "loss", unit="nats", scale=10, lines=[0, 1])
    ((fig, text),) = figures
    assert text == summary(table, "arm {arm}", "loss", scale=10)
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["arm a", "arm b"]
    drawn = [line.get_xdata() for line in ax.lines]
    assert [0, 0] in map(list, drawn) and [1, 1] in map(list, drawn), "the two lines"
    plt.close(fig)


def test_maps_show_a_table_for_every_name(monkeypatch):
    places = pandas.MultiIndex.from_product([("a", "b", "c"), (1, 2), (3, 4)])
    figures = []
    monkeypatch.setattr(plots, "show", lambda fig, text: figures.append(fig))
    plots.maps(pandas.Series(range(12), places), ["c", "a", "b"])
    titles = [ax.get_title(loc="left") for ax in figures[0].axes]
    assert titles == ["c", "a", "b", ""]
    assert [t.get_text() for t in figures[0].axes[0].texts] == ["8", "9", "10", "11"]
    plt.close(figures[0])


def test_a_band_holds_every_run():
    fig, ax = plt.subplots()
    curves = torch.tensor([[1.0, 3.0], [2.0, 6.0], [4.0, 4.0]])
    plots.band(ax, [1, 2, 3], curves, color=plots.RED)
    assert ax.lines[0].get_ydata().tolist() == [2, 4, 4]
    corners = ax.collections[0].get_paths()[0].vertices
    assert {(1, 1), (1, 3), (2, 2), (2, 6)} <= {tuple(c) for c in corners.tolist()}
    plt.close(fig)


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
