"""The catalogue of hostile.py, graded in one class with honest learners among them."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from labkit import commands

from .conftest import LAB
from .hostile import CASES, MARK, Workshop

NAMES = {f"h{i:03}": case for i, case in enumerate(CASES)}
WITH_PAGES = ("30 MB of HTML", "half a file", "endless output")
OURS = ("results", "autograded", "feedback", "gradebook.db")


@pytest.fixture(scope="module")
def graded(tmp_path_factory, released, master, solution, sandboxed):
    """The course after `labkit grade`, and what it was like before. Where several
    processes run the tests (pytest-xdist), one grades and the others wait for it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    root, record = shared / "hostile" / "course", shared / "hostile.json"
    with open(shared / "hostile.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            shutil.copytree(released, root)
            record.write_text(json.dumps(grade(root, Workshop(master, solution))))
    results = {
        path.stem: json.loads(path.read_text())
        for path in (root / "results" / LAB).glob("*.json")
    }
    status, before = json.loads(record.read_text())
    return SimpleNamespace(root=root, status=status, before=before, results=results)


HONEST = ("ada", "ben", "hmm", "zoe")  # of whom ben has nothing right


def grade(root, workshop):
    """Hand in everything and grade; the exit status, and what there was before."""
    target = str(root / "submitted" / "ada" / LAB / f"{LAB}.ipynb")
    workshop = replace(workshop, target=target)
    for student in HONEST:
        made = workshop.wrong() if student == "ben" else workshop.right()
        hand_in(root, student, made)
    for student, case in NAMES.items():
        hand_in(root, student, case.make(workshop), case.name)
    before = contents(root)
    some = [s for s, case in NAMES.items() if case.title in WITH_PAGES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labkit.grading.feedback.stale", lambda *_: some)
        status = commands.main(["grade", str(root), "--timeout", "6", "--workers", "2"])
    return status, before


def hand_in(root, student, notebook, name=""):
    path = root / "submitted" / student / LAB / (name or f"{LAB}.ipynb")
    path.parent.mkdir(parents=True, exist_ok=True)
    data = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
    path.write_bytes(data)


def contents(root):
    """Every file that is not the grader's own, with a digest of its bytes."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in OURS
    }


@pytest.mark.parametrize("student", NAMES, ids=lambda s: f"{s}-{NAMES[s].title}"[:60])
def test_gets_what_it_deserves(graded, master, student):
    case, result = NAMES[student], graded.results[student]
    lost = master.max_score if case.costs is None or case.kind == "cheat" else 0
    lost += sum(q.points for q in master.questions if q.number in (case.costs or ()))
    assert result["score"] == master.max_score - lost, result["notes"]
    assert (result["status"] == "unreadable") == (case.kind == "broken")
    told = " ".join([*result["notes"], *(e["feedback"] for e in result["exercises"])])
    assert case.said in told
    for exercise in result["exercises"]:  # nobody is left with an unexplained 0
        assert exercise["feedback"].startswith(("✓", "✗"))
    assert all("\n" not in note for note in result["notes"])
    page = graded.root / "feedback" / student / LAB / f"{LAB}.html"
    assert page.exists() == (case.title in WITH_PAGES)
    assert not page.exists() or page.stat().st_size < 2_000_000
    assert len(outputs(graded, student)) < 1_500_000
    assert "REACHED" not in outputs(graded, student)


def outputs(graded, student):
    path = graded.root / "autograded" / student / LAB / f"{LAB}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return json.dumps([cell.outputs for cell in code])


def test_the_others_are_graded_as_ever(graded, master):
    assert graded.status == 1  # some could not be read
    for student in HONEST:
        deserved = 0 if student == "ben" else master.max_score
        assert graded.results[student]["score"] == deserved
        assert graded.results[student]["notes"] == []
    assert len(graded.results) == len(NAMES) + len(HONEST)


def test_no_file_elsewhere_was_touched(graded):
    assert contents(graded.root) == graded.before
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/usr/lib", graded.root):
        assert not list(Path(folder).glob("labkit-was-here"))
    assert not list(graded.root.rglob("*.bomb"))


def test_no_process_is_left(graded):
    assert not [line for _, _, line in processes() if f"sleep {MARK}" in line]
    deadline = time.monotonic() + 10
    while (left := orphans()) and time.monotonic() < deadline:
        time.sleep(0.2)  # other tests, at work beside this one, end theirs too
    assert not left


def test_a_process_that_is_left_would_be_found():
    orphaned = ["sh", "-c", '"$@" >/dev/null 2>&1 & echo $!', "sh", sys.executable]
    waits = ["-c", "import time; time.sleep(60)", "labkit.grading.sandbox.process"]
    left = int(subprocess.run([*orphaned, *waits], capture_output=True).stdout)
    try:
        assert left in [pid for pid, _, _ in orphans()]
    finally:
        os.kill(left, signal.SIGKILL)


def processes():
    """The id, the parent's id and the command of each."""
    whole_lines = ["ps", "-ww", "-eo", "pid,ppid,args"]
    said = subprocess.run(whole_lines, capture_output=True).stdout.decode()
    for line in said.splitlines()[1:]:
        pid, parent, command = line.split(None, 2)
        yield int(pid), int(parent), command


def orphans():
    """Warm processes whose grader has ended: the system adopts them."""
    commands = {pid: command for pid, _, command in processes()}
    return [
        (pid, parent, command)
        for pid, parent, command in processes()
        if "labkit.grading.sandbox.process" in command and parent != os.getpid()
        if parent == 1 or not re.search("python|bwrap", commands.get(parent, ""))
    ]


def test_the_seed_stays_private(graded):
    seed = str(json.loads((graded.root / "labkit.json").read_text())["seed"])
    for student in NAMES:
        assert seed not in outputs(graded, student)


def test_every_category_of_the_study_is_there():
    assert len(CASES) >= 120
    assert len({case.category for case in CASES}) == 11
