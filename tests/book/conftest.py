"""The built book."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def build():
    """Function that builds a book strictly and returns the finished process."""

    def run(source, out):
        jupyter_book = Path(sys.executable).with_name("jupyter-book")
        strict = ["build", "-W", "-n", "--keep-going", "--path-output", out]
        command = [jupyter_book, *strict, source]
        return subprocess.run(command, capture_output=True, text=True)

    return run


@pytest.fixture(scope="session")
def book(build, tmp_path_factory):
    """Folder of the book, built once, from clean."""
    out = tmp_path_factory.mktemp("book")
    done = build(ROOT, out)
    log = done.stdout + done.stderr
    assert done.returncode == 0, log[-4000:]
    assert "WARNING" not in log, log
    return out / "_build" / "html"
