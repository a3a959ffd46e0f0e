"""`labkit lab`: copies to work in, and JupyterLab."""

import errno
import os
import sys
from pathlib import Path

from labkit.commands import main

ROOT = Path(__file__).parents[2]


def test_a_copy_of_a_lab_that_breaks_off_is_made_again(tmp_path, monkeypatch, capsys):
    labs = sorted(path.name for path in (ROOT / "labs").glob("*.ipynb"))

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert main(["lab", str(tmp_path), "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert said == "labkit: No space left on device\n"
    (tmp_path / labs[-1]).write_text("my answers")
    assert main(["lab", str(tmp_path), "--no-browser"]) == 0
    assert f"{labs[-1]}: yours, left as it is" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == labs
    first = (tmp_path / labs[0]).read_bytes()
    assert first == (ROOT / "labs" / labs[0]).read_bytes()
    assert (tmp_path / labs[-1]).read_text() == "my answers"


def test_a_folder_that_cannot_be_is_said_in_a_line(tmp_path, capsys):
    file = tmp_path / "work"
    file.write_text("a file")
    assert main(["lab", str(file), "--no-browser"]) == 2
    assert capsys.readouterr().err == f"labkit: {file}: File exists\n"


def test_jupyterlab_is_that_of_this_python(tmp_path, monkeypatch):
    """Also where its programs lie elsewhere, as after pip install --user."""
    started = []
    monkeypatch.setattr(os, "execv", lambda *given: started.append(given))
    main(["lab", str(tmp_path)])
    module = ["-m", "jupyterlab", str(tmp_path)]
    assert started == [(sys.executable, [sys.executable, *module])]
