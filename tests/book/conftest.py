"""The built book, and somebody who reads it in a browser."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from .reading import Reader

ROOT = Path(__file__).parents[2]
IN_CONTENTS = re.findall(
    r"^\W*(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text("utf-8"), re.M
)
PAGES = sorted([*IN_CONTENTS, "search"])


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
def once(tmp_path_factory):
    """Function that gives a folder to all workers, after one of them has filled it."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared

    def get(name, fill):
        with FileLock(shared / f"{name}.lock"):
            if not (shared / name).exists():
                (shared / name).mkdir()
                fill(shared / name)
        return shared / name

    return get


@pytest.fixture(scope="session")
def book(build, once):
    """Folder of the book, built from clean."""

    def fill(folder):
        done = build(ROOT, folder)
        log = f"rc {done.returncode}\n{done.stdout}{done.stderr}"
        (folder / "log").write_text(log, "utf-8")

    folder = once("book", fill)
    log = (folder / "log").read_text("utf-8")
    assert log.startswith("rc 0") and "WARNING" not in log, log[-4000:]
    return folder / "_build" / "html"


@pytest.fixture(scope="module", params=["light", "dark"])
def reader(request, browser):
    """A reader in each theme; who is done closes the book, which costs until then."""
    person = Reader(browser, request.param)
    person.theme = request.param
    yield person
    person.context.close()
