"""A learner's first hour, in JupyterLab, in a browser: nothing on the way breaks.

Opens lab 1, follows links, looks at figures, runs all, answers wrong and right, closes,
updates the course and comes back.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from labkit.learning import place

ROOT = Path(__file__).parents[2]
LAB = "lab_01_layer_normalization"
WAIT = 120_000  # ms, for a kernel on a busy machine
# What a script in the page calls to write an answer and run it, as fingers would.
EDIT = """([id, source]) => {
    const panel = window.jupyterapp.shell.currentWidget, cells = panel.content.widgets;
    const at = cells.findIndex(cell => cell.model.id === id);
    if (source !== null) cells[at].model.sharedModel.setSource(source);
    panel.content.activeCellIndex = at;
    return window.jupyterapp.commands.execute("notebook:run-cell");
}"""
SAID = """id => {
    const cells = window.jupyterapp.shell.currentWidget.content.widgets;
    const outputs = cells.find(cell => cell.model.id === id).model.outputs;
    return Array.from({length: outputs.length}, (_, i) => outputs.get(i).toJSON())
        .map(o => o.text || o.data?.["text/plain"] || o.traceback.join("\\n"))
        .join("\\n");
}"""

ALL_RUN = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === "code")
    .every((cell, at) => cell.model.executionCount === at + 1)"""


@pytest.fixture
def course(tmp_path):
    """A checkout of its own: it will be updated."""
    root = tmp_path / "course"
    for folder in ("labs", "chapters"):
        shutil.copytree(ROOT / folder, root / folder)
    (root / "solutions").mkdir()
    shutil.copy(ROOT / "_toc.yml", root)
    return root


@pytest.fixture
def labkit_lab(course, tmp_path):
    """Function that calls `labkit lab` as a learner does; its server's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = tmp_path / "settings"
    own.mkdir()
    server = {"open_browser": False, "port": port, "token": "", "allow_root": True}
    exposed = {"ServerApp": server, "LabApp": {"expose_app_in_browser": True}}
    (own / "jupyter_server_config.json").write_text(json.dumps(exposed))
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(own),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "LABKIT_DEVICE": "cpu",
    }
    address = f"http://127.0.0.1:{port}"
    running = []

    def stop():
        for process in running:
            process.terminate()
            process.wait(60)
        running.clear()

    def start():
        stop()
        said, log = tmp_path / "said", tmp_path / "log"
        with said.open("w") as out, log.open("w") as errors:
            command = [sys.executable, "-u", "-m", "labkit", "lab"]
            streams = {"stdout": out, "stderr": errors}
            running.append(
                subprocess.Popen(command, cwd=course, env=environment, **streams)
            )
        for _ in range(240):
            try:
                urlopen(f"{address}/api", timeout=5)
                return said.read_text("utf-8"), address
            except (URLError, ConnectionError):
                time.sleep(0.5)
        raise AssertionError(log.read_text("utf-8"))

    yield start
    stop()


def answered(number, wrong=None):
    """The cell of an exercise with its right answer, or with another."""
    solution = place.read(ROOT / "solutions" / f"{LAB}.ipynb")
    name = f"exercise-{number.replace('.', '-')}"
    (right,) = (cell.source for cell in solution.cells if cell.id == name)
    return name, right if wrong is None else wrong(right)


class Learner:
    """Somebody at work in a browser."""

    def __init__(self, page, address):
        self.page, self.address = page, address
        page.set_default_timeout(WAIT)

    def open(self, path):
        self.page.goto(f"{self.address}/lab/tree/{path}?reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.here(path)

    def here(self, path):
        """Wait until this notebook is the one in front, and its kernel ready."""
        self.page.wait_for_function(
            "path => { const panel = window.jupyterapp.shell.currentWidget;"
            " return panel?.context?.path === path && panel.context.isReady"
            " && panel.sessionContext.session?.kernel?.status === 'idle' }",
            arg=path,
        )

    def follow(self, words):
        front = ".jp-NotebookPanel:not(.lm-mod-hidden)"
        self.page.locator(
            f"{front} .jp-RenderedMarkdown a", has_text=words
        ).first.click()

    def do(self, command):
        return self.page.evaluate(
            "command => window.jupyterapp.commands.execute(command).then(() => null)",
            command,
        )

    def run(self, cell, source=None):
        """Write into a cell, if there is something to write, run it; its output."""
        self.page.evaluate(EDIT, [cell, source])
        return self.page.evaluate(SAID, cell)


def test_the_first_hour(labkit_lab, course, browser):
    said, address = labkit_lab()
    assert said.count(": ready") == len(list((ROOT / "labs").glob("*.ipynb"))) + len(
        list((ROOT / "chapters").glob("*.ipynb"))
    )
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    missing = []
    page.on("response", lambda got: missing.append(got.url) if got.status == 404 else 0)
    learner = Learner(page, address)
    learner.open(f"labs/{LAB}.ipynb")
    for of_nbgraders in ("Validate", "Nbgrader", "Create Assignment"):
        assert page.get_by_text(of_nbgraders, exact=True).count() == 0

    # A link of each kind: from a lab to its chapter, and back.
    learner.follow("chapter 1")
    learner.here("chapters/01_layer_normalization.ipynb")
    figures_are_shown(page)
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").first.click()
    learner.follow("Lab 1")
    learner.here(f"labs/{LAB}.ipynb")
    assert not [url for url in missing if "/api/contents/" in url]

    # Nothing is written, and Run All goes to the end.
    learner.do("notebook:run-all-cells")
    page.wait_for_function(ALL_RUN)
    assert "1.2 layer_norm: not written yet" in learner.run("check-1-2")

    # A wrong answer is told which mistake it makes; a right one passes.
    mistake = "You divided the sum of squares by C − 1"
    learner.run(
        *answered("1.2", lambda right: right.replace("correction=0", "correction=1"))
    )
    assert mistake in " ".join(learner.run("check-1-2").split())
    learner.run(*answered("1.2"))
    assert learner.run("check-1-2").startswith("✓ 1.2 layer_norm")
    learner.do("docmanager:save")
    page.close()

    # The course is updated: nothing is lost, and the answer is in the new edition.
    changed = place.read(course / "labs" / f"{LAB}.ipynb")
    changed.cells[0].source += "\n\nNow with one more sentence."
    changed.metadata.labkit.digest = place.digest(changed)
    place.save(course / "labs" / f"{LAB}.ipynb", changed)
    mine = (course / "work/labs" / f"{LAB}.ipynb").read_bytes()
    said, address = labkit_lab()
    assert f"{LAB}-2.ipynb is the new one, with your answers to 1.2\n" in said
    assert (course / "work/labs" / f"{LAB}.ipynb").read_bytes() == mine
    learner = Learner(browser.new_page(), address)
    learner.open(f"labs/{LAB}-2.ipynb")
    learner.do("notebook:run-all-cells")
    assert learner.run("check-1-2").startswith("✓ 1.2 layer_norm")
    learner.page.close()


def figures_are_shown(page):
    """On first opening: line art, and the interactive ones alive; no raw roles."""
    front = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    notebook = place.read(ROOT / "chapters/01_layer_normalization.ipynb")
    kinds = [
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    ]
    seen = page.evaluate(
        "() => { const cells = window.jupyterapp.shell.currentWidget.content.widgets;"
        " return cells.filter(c => c.model.type === 'code').map(c => c.model.trusted) }"
    )
    assert all(seen), "a chapter is not trusted"
    front.locator(".jp-RenderedSVG").first.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => document.querySelector('.jp-RenderedSVG img')?.naturalWidth > 200"
    )
    assert kinds.count("image/svg+xml") >= 4 and "text/html" in kinds
    assert "{cite}" not in front.inner_text()
