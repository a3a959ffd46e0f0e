"""The gradebook in PostgreSQL: a real server, started here on a socket of its own."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from labkit import commands
from labkit.grading.course import Course

from .conftest import LAB, reachable


def programs() -> Path | None:
    """Where PostgreSQL's programs lie: not always on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if elsewhere := shutil.which("initdb"):
        found.append(Path(elsewhere).resolve())
    return found[-1].parent if found else None


@pytest.fixture(scope="module")
def server():
    """The address of an empty database."""
    if not programs():
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed")
        pytest.skip("PostgreSQL is not installed")
    with reachable() as folder:
        yield from serving(folder)


def serving(folder):
    """Start a server in this folder, yield its address, stop it."""
    user = []
    if os.geteuid() == 0:  # the server refuses to run as root
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres")
    data = folder / "data"

    def pg(name, *arguments):
        command = [*user, programs() / name, *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    pg("initdb", "-D", data, "-U", "grader", "--auth=trust", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    pg("pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
    try:
        pg("createdb", "-h", folder, "-U", "grader", "course")
        yield f"postgresql+psycopg://grader@/course?host={folder}"
    finally:
        pg("pg_ctl", "-D", data, "-m", "immediate", "stop")


def test_grades_go_to_the_configured_database(
    server, tmp_path, hand_in, all_but, one_warm_process
):
    root = tmp_path / "course"
    assert commands.main(["release", str(root), "--lab", LAB]) == 0
    (root / "gradebook.db").unlink()
    with open(root / "nbgrader_config.py", "a") as config:
        config.write(f'\nc.CourseDirectory.db_url = "{server}"\n')
    assert commands.main(["release", str(root), "--lab", LAB]) == 0

    for student, notebook in {"ada": hand_in(), "ben": hand_in({"1.4": None})}.items():
        folder = root / "submitted" / student / LAB
        folder.mkdir(parents=True)
        (folder / f"{LAB}.ipynb").write_text(json.dumps(notebook))
    assert commands.main(["grade", str(root)]) == 0
    assert commands.main(["grade", str(root), "--force"]) == 0  # nothing counts twice

    assert not (root / "gradebook.db").exists()
    with Course(root).gradebook() as book:
        assert book.engine.dialect.name == "postgresql"
        found = {s.student_id: s.score for s in book.assignment_submissions(LAB)}
    assert found == {"ada": all_but(), "ben": all_but("1.4")}
    page = root / "feedback" / "ben" / LAB / f"{LAB}.html"
    assert "not answered" in page.read_text()
