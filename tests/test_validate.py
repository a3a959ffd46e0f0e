"""`labkit validate` finds every kind of difference, and its records tell the truth."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from nbformat import v4

from labkit import validate
from labkit.book import validated
from labkit.validate import records
from labkit.validate.matrix import matrix
from labkit.validate.table import Table

ROOT = Path(__file__).parents[1]
RIGHT = ("print(1)", "1\n")
DIES = ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", None)


@pytest.fixture
def course(tmp_path):
    """course(name=[(source, stored output or None), …]): a course of tiny notebooks."""
    for name in ("chapters", "solutions"):
        (tmp_path / name).mkdir()
    (tmp_path / "_toc.yml").touch()

    def write(**notebooks):
        for name, cells in notebooks.items():
            made = [_cell(i, *cell) for i, cell in enumerate(cells, 1)]
            text = json.dumps(v4.new_notebook(cells=made))
            (tmp_path / "chapters" / f"{name}.ipynb").write_text(text)
        return tmp_path

    return write


def _cell(count, source, stored, run=True):
    outputs = [v4.new_output("stream", text=stored)] if stored else []
    count = count if run else None
    return v4.new_code_cell(source, execution_count=count, outputs=outputs)


def _labkit(course, *options):
    command = [sys.executable, "-m", "labkit.cli", "validate", "--device=cpu", *options]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_every_kind_of_difference_is_found(course):
    """In one run, since a run takes seconds to start."""
    root = course(
        right=[RIGHT],
        altered=[RIGHT, ("print(2)", "3\n")],
        missing=[RIGHT, ("print(2)", None)],
        too_many=[RIGHT, ("2", "2\n")],
        never_run=[RIGHT, ("print(2)", None, False)],
        raises=[RIGHT, ("1 / 0", None)],
        dies=[RIGHT, DIES, RIGHT],
    )
    status, said = _labkit(root, "--record")
    assert status == 1
    rows = re.findall(r"^chapters/(\w+).ipynb +(\d) +[\d.]+  (\w+)$", said, re.M)
    assert sorted(rows) == [
        ("altered", "2", "1"),
        ("dies", "3", "2"),  # this cell, and the one behind it
        ("missing", "2", "1"),
        ("never_run", "2", "1"),
        ("raises", "2", "1"),
        ("right", "1", "none"),
        ("too_many", "2", "1"),
    ]
    for words in (
        "the slowest 10 cells",
        "the first difference: chapters/",
        "the kernel died in this cell",  # noticed at once, not by the time-out
        "This cell was never run",
        "ZeroDivisionError",
    ):
        assert words in said
    assert not (root / records.FOLDER).exists(), "a failed run is not recorded"


def test_a_complete_run_is_recorded(course):
    root = course(first=[RIGHT], second=[RIGHT])
    status, said = _labkit(root, "--record")
    assert (status, said.splitlines()[-1]) == (0, "recorded in tests/records/cpu.json")
    record = records.read(root, "cpu")
    assert record["versions"]["torch"] == torch.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
    assert {n["verdict"] for n in record["notebooks"].values()} == {"same"}
    assert records.changed(root, record) == []
    course(second=[("print(3)", "3\n")], third=[RIGHT])
    (root / "chapters" / "first.ipynb").unlink()
    assert records.changed(root, record) == [
        f"chapters/{name}.ipynb" for name in ("first", "second", "third")
    ]


def test_of_what_about_prints_the_number_is_masked_and_nothing_else(course):
    """In streams and in displays, both in what is stored and in what comes out."""
    show = "from IPython.display import display\n"
    show += "display({'text/plain': '≈ 1.23, 4 of 5'}, raw=True)"
    others = ("≈ 88.4 %", "about 88.4", "≈ 1,234.5 and 3", "≈ -0.12", "≈nothing")
    printed = "\n".join(others) + "\n"
    stored = printed.replace("88.4 %", "71 %").replace("1,234.5", "9").replace("-", "")
    text = (f"print({printed[:-1]!r})", stored)
    off = (stored.replace("3", "4"), stored.replace("about 8", "about 9"))
    root = course(
        masked=[text, (show, "≈ 9, 4 of 5")],
        off=[(text[0], off[0]), (text[0], off[1]), (show, "≈ 1.23, 4 of 6")],
    )
    _as_display(root / "chapters" / "masked.ipynb", 1)
    _as_display(root / "chapters" / "off.ipynb", 2)
    said = _labkit(root)[1]
    rows = re.findall(r"^chapters/(\w+).ipynb +\d +[\d.]+  (\w+)$", said, re.M)
    assert dict(rows) == {"masked": "none", "off": "3"}, said


def _as_display(path, number):
    """The stored text of a cell, as a display instead of a stream."""
    notebook = json.loads(path.read_text("utf-8"))
    (output,) = notebook["cells"][number]["outputs"]
    data = {"text/plain": "".join(output["text"])}
    notebook["cells"][number]["outputs"] = [v4.new_output("display_data", data)]
    path.write_text(json.dumps(notebook), "utf-8")


@pytest.mark.parametrize("of_a_part", [{"parts": ["01"]}, {"variant": "no-onednn"}])
def test_only_a_whole_run_can_be_recorded(of_a_part, monkeypatch, capsys):
    monkeypatch.setattr(validate, "_nbval", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(validate.os, "environ", {})
    assert validate.validate(ROOT, record=True, **of_a_part) == 1
    assert "only a run of all notebooks" in capsys.readouterr().err


def test_a_notebook_that_takes_too_long_is_said_and_not_recorded(course, monkeypatch):
    root = course(slow=[RIGHT])

    def ran(root, notebooks, table):
        table.cells["chapters/slow.ipynb"] = 1
        table.seconds["chapters/slow.ipynb"] = 0.002
        return 0

    monkeypatch.setenv("LABKIT_DEVICE", "cpu")  # which validate sets
    monkeypatch.setattr(validate, "NOTEBOOK_SECONDS", 0.001)
    monkeypatch.setattr(validate, "_nbval", ran)
    assert validate.validate(root) == 0
    assert validate.validate(root, record=True) == 1
    assert not (root / records.FOLDER).exists()


def test_the_recorded_run_has_every_notebook_within_its_time():
    record = records.read(ROOT, "cpu")
    assert record, "make one: labkit validate --record"
    for name, entry in record["notebooks"].items():
        assert entry["verdict"] == "same", name
        assert entry["seconds"] <= validate.NOTEBOOK_SECONDS, name


def test_a_gpu_is_validated_where_there_is_one(monkeypatch):
    monkeypatch.delenv("LABKIT_DEVICE", raising=False)
    for there, wanted in ((True, ["cpu", "cuda"]), (False, ["cpu"])):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert validate.devices() == wanted


def test_the_matrix_fails_if_one_variant_fails(monkeypatch, capsys):
    def run(command, env, cwd):
        broken = "LABKIT_PERTURB" in env and "pytest" in command
        return subprocess.CompletedProcess(command, int(broken))

    monkeypatch.setattr(subprocess, "run", run)
    assert matrix(ROOT) == 1
    said = capsys.readouterr().out
    assert said.count("passes") == 2 * len(validate.VARIANTS) - 1
    assert re.search(r"perturb +checks +fails", said)


# ------------------------------------------------------------- the table in the book


def test_the_page_says_where_nothing_was_recorded(tmp_path):
    assert validated.row(tmp_path, "cuda")[:2] == ("GPU", "not yet recorded")


def test_the_page_says_what_has_changed_since(course):
    root = course(first=[RIGHT], second=[RIGHT])
    table = Table(limit=60)
    for name in ("first", "second"):
        table.cells[f"chapters/{name}.ipynb"] = 1
    records.write(root, table)
    where, _, date, _, torch_version, notebooks = validated.row(root, "cpu")
    assert (where, torch_version) == ("CPU", torch.__version__)
    assert notebooks == "2, all the same"
    course(second=[("print(2)", "2\n")])
    assert validated.row(root, "cpu")[-1] == "2, all the same; 1 changed since"


@pytest.mark.parametrize("kind", validated.KINDS)
def test_what_is_recorded_is_complete(kind):
    """A record is of all notebooks of its day, each of them right."""
    record = records.read(ROOT, kind)
    if record is None:
        pytest.skip(f"{kind}: not yet recorded")
    assert len(record["notebooks"]) > 10 and record["device"] and record["date"]
    assert {entry["verdict"] for entry in record["notebooks"].values()} == {"same"}
