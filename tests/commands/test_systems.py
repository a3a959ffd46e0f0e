"""The command on systems that lack something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = "import sys; from labkit.commands import main; sys.exit(main(sys.argv[1:]))"
AS_ON_WINDOWS = """
import os, sys
import asyncio, nbformat.sign, subprocess  # they have their own ways on each system
posix_only = "fcntl resource pwd grp termios tty pty syslog crypt spwd nis"
sys.modules |= dict.fromkeys(posix_only.split())
for name in "fork geteuid getuid getpgid killpg setsid execv uname".split():
    delattr(os, name)
"""


def python(code, *arguments, **environment):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "code",
    [
        "from labkit.commands import main; main(['lab', '--help'])",
        "from labkit.commands import main; main(sys.argv[1:])",
        "from labkit.commands import main; main(['build', '--help'])",
        "from labkit.commands import main; main(['validate', '--help'])",
    ],
)
def test_learners_may_have_windows(tmp_path, code):
    data = str(tmp_path / "data")
    lab = ("lab", tmp_path / "my work", "--no-browser")
    done = python(AS_ON_WINDOWS + code, *lab, JUPYTER_DATA_DIR=data)
    assert done.returncode == 0, done.stderr


def test_learners_check_their_answers_on_windows():
    code = "from labkit import check; check('1.1', lambda x: x)"
    done = python(f"import torch{AS_ON_WINDOWS}{code}")
    assert "✗ 1.1" in done.stderr, done.stderr


@pytest.mark.parametrize("verb", ["release", "grade", "report"])
def test_what_needs_another_system_says_so(tmp_path, verb):
    done = python(AS_ON_WINDOWS + RUN, verb, tmp_path)
    assert done.returncode == 2
    assert done.stderr == "labkit: this needs Linux or a Mac; on Windows use WSL.\n"


def test_a_terminal_that_knows_few_characters(tmp_path):
    folder = tmp_path / "…"
    terminal = {"PYTHONIOENCODING": "latin-1", "JUPYTER_DATA_DIR": str(tmp_path)}
    done = python(RUN, "lab", folder, "--no-browser", **terminal)
    assert done.returncode == 0, done.stderr
    assert r"\u2026" in done.stdout
