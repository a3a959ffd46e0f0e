"""What `make` and the script for a clean machine call."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_make_takes_a_path_with_a_space():
    command = ["make", "--dry-run", "grade", "DIR=my course"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert 'labkit grade "my course"' in done.stdout


def test_a_lab_opens_without_installing_anything_again(tmp_path):
    """What labs need is installed once, and not since a file is newer: also offline."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    said, programs = tmp_path / "said", tmp_path / ".venv" / "bin"
    makes = f'mkdir -p {programs}; cp {tmp_path}/pip {programs}; echo "$@" >>{said}'
    for name, does in {
        "python": makes,
        "pip": f'echo pip "$@" >>{said}; cp {tmp_path}/labkit {programs}',
        "labkit": f'echo labkit "$@" >>{said}',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    for _ in range(2):
        command = ["make", "lab", f"PYTHON={tmp_path / 'python'}"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        (tmp_path / "pyproject.toml").touch()
    assert said.read_text().splitlines() == [
        "-m venv .venv",
        "pip install --quiet --constraint constraints.txt --editable .",
        "labkit lab",
        "labkit lab",
    ]


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
