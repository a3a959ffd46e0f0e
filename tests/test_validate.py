"""`labkit validate` finds every kind of difference, and its log tells the truth."""

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
from labkit.validate import log
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
    command = [sys.executable, "-m", "labkit", "validate", "--device=cpu", *options]
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
    assert not (root / log.FOLDER).exists(), "a failed run is not logged"


def test_a_complete_run_is_logged(course):
    root = course(first=[RIGHT], second=[RIGHT])
    status, said = _labkit(root, "--record")
    assert (status, said.splitlines()[-1]) == (0, "logged in tests/validation/cpu.json")
    entry = log.read(root, "cpu")
    assert entry["versions"]["torch"] == torch.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry["date"])
    assert {n["verdict"] for n in entry["notebooks"].values()} == {"same"}
    assert log.changed(root, entry) == []
    course(second=[("print(3)", "3\n")], third=[RIGHT])
    (root / "chapters" / "first.ipynb").unlink()
    assert log.changed(root, entry) == [
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
def test_only_a_whole_run_can_be_logged(of_a_part, monkeypatch):
    monkeypatch.setattr(validate, "_nbval", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(validate.os, "environ", {})
    with pytest.raises(RuntimeError, match="only a run of all notebooks"):
        validate.validate(ROOT, record=True, **of_a_part)


def test_a_notebook_that_takes_too_long_is_said_and_not_logged(course, monkeypatch):
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
    assert not (root / log.FOLDER).exists()


def test_the_logged_run_has_every_notebook_within_its_time():
    entry = log.read(ROOT, "cpu")
    assert entry, "make one: labkit validate --record"
    for name, seen in entry["notebooks"].items():
        assert seen["verdict"] == "same", name
        assert seen["seconds"] <= validate.NOTEBOOK_SECONDS, name


def test_a_gpu_is_validated_where_there_is_one(monkeypatch):
    monkeypatch.delenv("LABKIT_DEVICE", raising=False)
    for there, wanted in ((True, ["cpu", "cuda"]), (False, ["cpu"])):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert validate.devices() == wanted


def test_the_matrix_fails_if_one_variant_fails(monkeypatch, capsys):
    def run(command, env, cwd):
        broken = env["LABKIT_VARIANT"] == "perturb" and "pytest" in command
        return subprocess.CompletedProcess(command, int(broken))

    monkeypatch.setattr(subprocess, "run", run)
    assert matrix(ROOT) == 1
    said = capsys.readouterr().out
    assert said.count("passes") == 2 * len(validate.VARIANTS) - 1
    assert re.search(r"perturb +checks +fails", said)


# -------------------------------------------------------- stand-ins for other machines

# What the kernel of a variant prints, and no other: the threads that a cell gets that
# wants three, whether PyTorch computes without vectors, whether with oneDNN, whether a
# matrix product is what its sums say, and the device.
ASKS = """\
import torch
from labkit import device
torch.set_num_threads(3)
a = torch.full((4, 4), 1 / 3)
sums = sum(a[:, k, None] * a[k] for k in range(4))
print(torch.get_num_threads(), torch.backends.cpu.get_cpu_capability() == "DEFAULT",
      torch.backends.mkldnn.enabled, torch.allclose(a @ a, sums, 4e-7, 0),
      device().type)"""
HERE = torch.backends.cpu.get_cpu_capability() == "DEFAULT"
ANSWERS = {  # of an ordinary kernel: f"3 {HERE} True True cpu"
    "one-thread": f"1 {HERE} True True cpu",
    "two-threads": f"2 {HERE} True True cpu",
    "plain-cpu": "3 True True True cpu",
    "no-onednn": f"3 {HERE} False True cpu",
    "perturb": f"3 {HERE} True False cpu",
    "elsewhere": f"3 {HERE} True True lazy",
}


@pytest.mark.parametrize("variant", validate.VARIANTS)
def test_the_cells_of_a_notebook_run_on_the_variant(variant, course):
    """The stored answer is the variant's own: without it the run would differ."""
    root = course(asks=[(ASKS, ANSWERS[variant] + "\n")])
    status, said = _labkit(root, f"--variant={variant}")
    assert status == 0, said


def test_a_kernel_that_cannot_be_the_variant_runs_no_cell(course):
    run = (
        "from pathlib import Path; from labkit import validate;"
        "validate.VARIANTS['nowhere'] = {};"
        "exit(validate.validate(Path(), variant='nowhere'))"
    )
    command = [sys.executable, "-c", run]
    root = course(right=[RIGHT])
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Kernel died before replying" in done.stdout, done.stdout + done.stderr


# ------------------------------------------------------------- the table in the book


def test_the_page_says_where_nothing_was_validated(tmp_path):
    assert validated.row(tmp_path, "cuda")[:2] == ("GPU", "not yet validated")


def test_the_page_says_what_has_changed_since(course):
    root = course(first=[RIGHT], second=[RIGHT])
    table = Table(limit=60)
    for name in ("first", "second"):
        table.cells[f"chapters/{name}.ipynb"] = 1
    log.write(root, table)
    where, _, date, _, torch_version, notebooks = validated.row(root, "cpu")
    assert (where, torch_version) == ("CPU", torch.__version__)
    assert notebooks == "2, all the same"
    course(second=[("print(2)", "2\n")])
    assert validated.row(root, "cpu")[-1] == "2, all the same; 1 changed since"


@pytest.mark.parametrize("kind", validated.KINDS)
def test_what_is_logged_is_complete(kind):
    """A log is of all notebooks of its day, each of them right."""
    entry = log.read(ROOT, kind)
    if entry is None:
        pytest.skip(f"{kind}: not yet validated")
    assert len(entry["notebooks"]) > 10 and entry["device"] and entry["date"]
    assert {entry["verdict"] for entry in entry["notebooks"].values()} == {"same"}
