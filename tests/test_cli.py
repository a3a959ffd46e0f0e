"""The command itself: where it is called, and what it is called with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import cli

ROOT = Path(__file__).parents[1]
AS_ON_WINDOWS = """
import os, sys
sys.modules |= {"fcntl": None, "resource": None}
del os.fork
"""


def python(code, *arguments, **environment):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )


def test_a_copy_of_a_lab_that_breaks_off_is_made_again(tmp_path, monkeypatch, capsys):
    labs = sorted(path.name for path in (ROOT / "labs").glob("*.ipynb"))

    def full(source, target):
        Path(target).write_bytes(source.read_bytes()[:100])
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        assert cli.main(["lab", str(tmp_path), "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert said == f"labkit: {tmp_path}: No space left on device\n"
    (tmp_path / labs[-1]).write_text("my answers")
    assert cli.main(["lab", str(tmp_path), "--no-browser"]) == 0
    assert f"{labs[-1]}: yours, left as it is" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == labs
    first = (tmp_path / labs[0]).read_bytes()
    assert first == (ROOT / "labs" / labs[0]).read_bytes()
    assert (tmp_path / labs[-1]).read_text() == "my answers"


def test_a_folder_that_cannot_be_is_said_in_a_line(tmp_path, capsys):
    file = tmp_path / "work"
    file.write_text("a file")
    assert cli.main(["lab", str(file), "--no-browser"]) == 2
    assert capsys.readouterr().err == f"labkit: {file}: File exists\n"


def test_jupyterlab_is_that_of_this_python(tmp_path, monkeypatch):
    """Also where its programs lie elsewhere, as after pip install --user."""
    started = []
    monkeypatch.setattr(os, "execv", lambda *given: started.append(given))
    cli.main(["lab", str(tmp_path)])
    module = ["-m", "jupyterlab", str(tmp_path)]
    assert started == [(sys.executable, [sys.executable, *module])]


@pytest.mark.parametrize(
    "code",
    [
        "from labkit import check",
        "from labkit.cli import main; main(sys.argv[1:])",
        "from labkit.cli import main; main(['build', '--help'])",
        "from labkit.cli import main; main(['validate', '--help'])",
    ],
)
def test_learners_may_have_windows(tmp_path, code):
    done = python(AS_ON_WINDOWS + code, "lab", tmp_path, "--no-browser")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["release", "grade", "report"])
def test_what_needs_another_system_says_so(tmp_path, verb):
    code = AS_ON_WINDOWS + "from labkit.cli import main; sys.exit(main(sys.argv[1:]))"
    done = python(code, verb, tmp_path)
    assert done.returncode == 2
    assert done.stderr == "labkit: this needs Linux or a Mac; on Windows use WSL.\n"


def test_a_terminal_that_knows_few_characters(tmp_path):
    code = "import sys; from labkit.cli import main; sys.exit(main(sys.argv[1:]))"
    folder = tmp_path / "…"
    done = python(code, "lab", folder, "--no-browser", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert r"\u2026" in done.stdout


def test_make_takes_a_path_with_a_space():
    command = ["make", "--dry-run", "grade", "DIR=my course"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert 'labkit grade "my course"' in done.stdout


def test_ci_installs_only_what_is_missing(tmp_path):
    """Ubuntu, say, has no package of the name chromium, and often a Chrome."""
    said, programs = tmp_path / "said", tmp_path / "bin"
    for folder in (".ci", "bin"):
        (tmp_path / folder).mkdir()
    script = shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    for name in ("bash", "dirname", "cat"):
        (programs / name).symlink_to(shutil.which(name))
    stands_in = {
        "apt-get": f'echo "$@" >>{said}',
        "make": f'echo make "$@" >>{said}',
        "sudo": '"$@"',
        "tee": "cat",
    }
    for name in ("google-chrome", "git", "python3", "id", *stands_in):
        (programs / name).write_text(f"#!/bin/bash\n{stands_in.get(name, '')}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [programs / "bash", script], env={"PATH": str(programs)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    update, install, make = said.read_text().splitlines()
    assert (update, make) == ("update -qq", "make test")
    assert install.startswith("install -y") and "bubblewrap" in install
    assert not {"chromium", "git", "make", "python3-venv"} & set(install.split())
