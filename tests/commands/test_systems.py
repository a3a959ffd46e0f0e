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
sys.modules |= {"fcntl": None, "resource": None}
del os.fork
"""


def python(code, *arguments, **environment):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "code",
    [
        "from labkit import check",
        "from labkit.commands import main; main(sys.argv[1:])",
        "from labkit.commands import main; main(['build', '--help'])",
        "from labkit.commands import main; main(['validate', '--help'])",
    ],
)
def test_learners_may_have_windows(tmp_path, code):
    done = python(AS_ON_WINDOWS + code, "lab", tmp_path, "--no-browser")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["release", "grade", "report"])
def test_what_needs_another_system_says_so(tmp_path, verb):
    done = python(AS_ON_WINDOWS + RUN, verb, tmp_path)
    assert done.returncode == 2
    assert done.stderr == "labkit: this needs Linux or a Mac; on Windows use WSL.\n"


def test_a_terminal_that_knows_few_characters(tmp_path):
    folder = tmp_path / "…"
    done = python(RUN, "lab", folder, "--no-browser", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert r"\u2026" in done.stdout
