"""`labkit lab`: a learner's place, and JupyterLab in it."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from jupyterlab.labapp import LabApp

from labkit.commands import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def trusted(tmp_path, monkeypatch):
    """Where Jupyter keeps signatures: apart from those of whoever runs the tests."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "nbsignatures.db"


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def test_a_copy_of_a_lab_that_breaks_off_is_made_again(work, monkeypatch, capsys):
    labs = sorted(path.name for path in (ROOT / "labs").glob("*.ipynb"))

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert main(["lab", str(work), "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert said == f"labkit: {work / 'progress.csv'}: No space left on device\n"
    assert not [path for path in work.rglob("*") if path.is_file()]
    assert main(["lab", str(work), "--no-browser"]) == 0
    assert sorted(path.name for path in (work / "labs").iterdir()) == labs


def test_signatures_that_cannot_be_kept_are_said_and_the_rest_is_done(
    work, trusted, capsys
):
    trusted.parent.mkdir()
    with sqlite3.connect(trusted) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert main(["lab", str(work), "--no-browser"]) == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "database is locked" in said
    assert (work / "chapters" / "verdicts.md").exists()


def test_a_folder_that_cannot_be_is_said_in_a_line(tmp_path, capsys):
    file = tmp_path / "work"
    file.write_text("a file")
    assert main(["lab", str(file), "--no-browser"]) == 2
    assert capsys.readouterr().err == f"labkit: {file}: File exists\n"


def test_jupyterlab_runs_here_with_the_settings_for_learners(work, monkeypatch):
    """In this process: no other Python's, and no server stays behind."""
    started = []
    monkeypatch.setattr(LabApp, "launch_instance", started.append)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "own")
    assert main(["lab", str(work)]) == 0
    assert started == [[str(work)]]
    ours, own = os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert own == "own" and (Path(ours) / "labconfig" / "page_config.json").exists()
