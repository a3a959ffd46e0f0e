"""The built book, and a browser to read it with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


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


@pytest.fixture(scope="session")
def browser():
    """A Chromium of the system; without one these tests are skipped, but not in CI."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        missing = "no chromium on this machine: install it to test the pages in it"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    with sync_playwright() as run:
        # As root, in a container, Chromium cannot make its own sandbox.
        chromium = run.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()
