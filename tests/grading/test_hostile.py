"""The catalogue of hostile.py, graded in one class with honest learners among them."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from labkit.grading import cli

from .conftest import LAB
from .hostile import CASES, MARK, Workshop

NAMES = {f"h{i:03}": case for i, case in enumerate(CASES)}
WITH_PAGES = ("30 MB of HTML", "half a file", "endless output")
OURS = ("results", "autograded", "feedback", "gradebook.db")


@pytest.fixture(scope="module")
def graded(tmp_path_factory, master, solution, sandboxed):
    """The course after `labkit grade`, and what it was like before."""
    root = tmp_path_factory.mktemp("class") / "course"
    assert cli.main(["release", str(root), "--lab", LAB]) == 0
    target = root / "submitted" / "ada" / LAB / f"{LAB}.ipynb"
    workshop = Workshop(master, solution, str(target))
    honest = dict.fromkeys(("ada", "hmm", "zoe"), workshop.right()) | {
        "ben": workshop.wrong()
    }
    for student, notebook in honest.items():
        hand_in(root, student, notebook)
    for student, case in NAMES.items():
        hand_in(root, student, case.make(workshop), case.name)
    before = contents(root)
    with pytest.MonkeyPatch.context() as patch:
        some = [s for s, case in NAMES.items() if case.title in WITH_PAGES]
        patch.setattr("labkit.grading.feedback.stale", lambda *_: some)
        status = cli.main(["grade", str(root), "--timeout", "6", "--workers", "2"])
    results = {
        path.stem: json.loads(path.read_text())
        for path in (root / "results" / LAB).glob("*.json")
    }
    return SimpleNamespace(
        root=root, status=status, before=before, results=results, honest=honest
    )


def hand_in(root, student, notebook, name=""):
    path = root / "submitted" / student / LAB / (name or f"{LAB}.ipynb")
    path.parent.mkdir(parents=True)
    data = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
    path.write_bytes(data)


def contents(root):
    """Every file that is not the grader's own, with its bytes."""
    return {
        path: path.read_bytes()
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
    for student in graded.honest:
        deserved = 0 if student == "ben" else master.max_score
        assert graded.results[student]["score"] == deserved
        assert graded.results[student]["notes"] == []
    assert len(graded.results) == len(NAMES) + len(graded.honest)


def test_no_file_elsewhere_was_touched(graded):
    after = contents(graded.root)
    after.pop(graded.root / "labkit.json", None)
    graded.before.pop(graded.root / "labkit.json", None)
    assert after == graded.before
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/usr/lib", graded.root):
        assert not list(Path(folder).glob("labkit-was-here"))
    assert not list(graded.root.rglob("*.bomb"))


def test_no_process_is_left(graded):
    processes = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True)
    lines = processes.stdout.decode().splitlines()
    assert not [line for line in lines if f"sleep {MARK}" in line]
    mine = [line for line in lines if line.split()[1] == str(os.getpid())]
    assert not [line for line in mine if "labkit.grading.learner" in line][1:]


def test_the_seed_stays_private(graded):
    seed = str(json.loads((graded.root / "labkit.json").read_text())["seed"])
    for student in NAMES:
        assert seed not in outputs(graded, student)


def test_every_category_of_the_study_is_there():
    assert len(CASES) >= 60
    assert len({case.category for case in CASES}) == 11
