"""What `make` and the script for a clean machine call."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


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
