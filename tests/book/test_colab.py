"""A lab opened in Colab sets itself up, and a button leads there only where it does."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nbformat
import pytest

from labkit.book.launch import public_repository, set_buttons
from labkit.build import build as build_notebooks

ROOT = Path(__file__).parents[2]
ADDRESS = "https://github.com/someone/course"
LAB = '# %% [markdown]\n"""\n# Lab\n"""\n\n# %%\nprint("hello")\n'


def publish(folder, remote=ADDRESS, address=ADDRESS):
    """Make a folder a checkout of `remote` whose pyproject.toml names `address`."""
    subprocess.run(["git", "init", "-q", folder], check=True)
    if remote:
        command = ["git", "-C", folder, "remote", "add", "origin", remote]
        subprocess.run(command, check=True)
    urls = f'[project.urls]\nRepository = "{address}"\n' if address else ""
    (folder / "pyproject.toml").write_text(f'[project]\nname = "x"\n{urls}')


@pytest.fixture
def labs(tmp_path):
    """Function that builds a tiny course and returns the code cells of its lab."""

    def make(address):
        publish(tmp_path, address=address)
        (tmp_path / "solutions").mkdir()
        (tmp_path / "solutions/lab_01.py").write_text(LAB)
        build_notebooks(tmp_path, say=lambda _: None)
        assert build_notebooks(tmp_path, check=True) == []
        lab = nbformat.read(tmp_path / "labs/lab_01.ipynb", as_version=4)
        return [cell.source for cell in lab.cells if cell.cell_type == "code"]

    return make


def test_without_an_address_no_notebook_speaks_of_colab(labs):
    assert labs(None) == ['print("hello")']


@pytest.mark.parametrize("there", [True, False], ids=["installed", "not installed"])
@pytest.mark.parametrize("colab", [True, False], ids=["in Colab", "elsewhere"])
def test_the_first_cell_installs_where_it_must(labs, monkeypatch, colab, there):
    cell, hello = labs(ADDRESS)
    assert hello == 'print("hello")'
    said = []
    shell = SimpleNamespace(run_line_magic=lambda *words: said.append(" ".join(words)))
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: there or None)
    exec(cell, {"get_ipython": lambda: shell})
    installs = [f"pip install --quiet --no-deps git+{ADDRESS}"]
    assert said == (installs if colab and not there else [])


@pytest.mark.parametrize(
    "remote, public",
    [
        (f"{ADDRESS}.git", ADDRESS),
        ("https://name:word@gitlab.com/one/course", "https://gitlab.com/one/course"),
        ("https://git.internal/someone/course.git", None),
        ("git@github.com:someone/course.git", None),
        ("/srv/git/course.git", None),
        (None, None),
    ],
)
def test_launch_buttons_come_only_from_a_public_remote(tmp_path, remote, public):
    publish(tmp_path, remote)
    assert public_repository(tmp_path) == public


@pytest.mark.parametrize(
    "remote, address, buttons",
    [
        (ADDRESS, ADDRESS, {"binderhub_url", "colab_url"}),
        (ADDRESS, f"{ADDRESS}/", {"binderhub_url", "colab_url"}),
        (ADDRESS, "https://github.com/another/course", {"binderhub_url"}),
        (ADDRESS, None, {"binderhub_url"}),
        ("https://gitlab.com/one/x", "https://gitlab.com/one/x", {"binderhub_url"}),
        ("/srv/git/course.git", ADDRESS, set()),
    ],
)
def test_colab_is_offered_where_notebooks_can_run(tmp_path, remote, address, buttons):
    publish(tmp_path, remote, address)
    config = SimpleNamespace(html_theme_options={})
    set_buttons(SimpleNamespace(srcdir=tmp_path), config)
    offered = config.html_theme_options.get("launch_buttons", {})
    assert {name for name in offered if name.endswith("_url")} == buttons


@pytest.fixture(scope="session")
def published(build, once):
    """Page of a lab in a small published book."""

    def fill(folder):
        publish(folder)
        toc = "format: jb-book\nroot: README\nchapters:\n- file: lab\n"
        (folder / "_toc.yml").write_text(toc)
        (folder / "README.md").write_text("# Small\n\nA book of one lab.\n")
        (folder / "chapters").mkdir()
        for name in ("_config.yml", "chapters/references.bib"):
            shutil.copy(ROOT / name, folder / name)
        lab = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_markdown_cell("# Lab\n\nOne paragraph.")],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(lab, folder / "lab.ipynb")
        done = build(folder, folder / "out")
        assert done.returncode == 0, done.stderr[-2000:]

    return once("published", fill) / "out/_build/html/lab.html"


def test_the_launch_menu(published, reader):
    """It leads to Binder and Colab, loads nothing, and axe has nothing to say."""
    reader.open(published)
    reader.tab.click(".dropdown-launch-buttons > button")
    links = reader.tab.locator(".dropdown-launch-buttons .dropdown-menu a")
    colab = (
        "https://colab.research.google.com/github/someone/course/blob/main/lab.ipynb"
    )
    addresses = [link.get_attribute("href") for link in links.all()]
    assert colab in addresses and any("mybinder.org" in a for a in addresses)
    reader.check(state="launch menu open:")
    assert not reader.wrong()
