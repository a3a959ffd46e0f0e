"""A result is current as long as what decided it is as it was: nothing less or more."""

import ast
import shutil

import nbformat
import pytest

from labkit import commands, paths
from labkit.grading import version
from labkit.grading.version import grader_version, sources_of
from labkit.lab import Master

from .conftest import LAB

OTHER = "lab_02_feed_forward"
BUILDS_ON_IT = "lab_04_2_model_structure"
LOOKED_AT = (LAB, OTHER, BUILDS_ON_IT)
LABS = sorted(path.stem for path in (paths.root() / "solutions").glob("*.ipynb"))


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the package whose sources count instead of its own."""
    copy = tmp_path / "labkit"
    shutil.copytree(version.PACKAGE, copy)
    monkeypatch.setattr(version, "PACKAGE", copy)
    grader_version.cache_clear()
    yield copy
    grader_version.cache_clear()


@pytest.mark.usefixtures("one_warm_process")
def test_what_is_graded_again(course, copied):
    """Two labs are; then one file after the other is changed."""
    assert commands.main(["release", str(course), "--lab", OTHER]) == 0
    for lab in (LAB, OTHER):
        folder = course / "submitted" / "ada" / lab
        folder.mkdir(parents=True)
        blank = Master.from_solution(course / "source" / lab / f"{lab}.ipynb").notebook
        nbformat.write(blank, folder / f"{lab}.ipynb")
    results = {lab: course / "results" / lab / "ada.json" for lab in (LAB, OTHER)}

    def graded_again():
        before = {lab: p.exists() and p.stat().st_ino for lab, p in results.items()}
        grader_version.cache_clear()
        assert commands.main(["grade", str(course)]) == 0
        return {lab for lab, p in results.items() if p.stat().st_ino != before[lab]}

    assert graded_again() == {LAB, OTHER}
    for path, expected in {
        copied / "grading" / "report.py": set(),
        own_file(LAB): {LAB},
        copied / "grading" / "judge.py": {LAB, OTHER},
    }.items():
        change(path)
        assert graded_again() == expected, path
    assert graded_again() == set()


def test_what_decides_a_labs_verdicts(copied):
    """Each file is changed, and the versions of three labs are looked at."""
    decides = {
        "checks/exercise.py": {*LOOKED_AT},
        "checks/probes.py": {*LOOKED_AT},
        "grading/flags.py": {*LOOKED_AT},
        "grading/judge.py": {*LOOKED_AT},
        "grading/submission.py": {*LOOKED_AT},
        "grading/rebuild.py": {*LOOKED_AT},
        "grading/source.py": {*LOOKED_AT},
        "grading/grade.py": {*LOOKED_AT},
        "grading/sandbox/process.py": {*LOOKED_AT},
        own_file(LAB): {LAB},
        own_file(OTHER): {OTHER},
        own_file(LABS[-1]): set(),
        f"exercises/{OTHER}/blocks.py": {OTHER, BUILDS_ON_IT},
        "grading/report.py": set(),
        "grading/gradebook.py": set(),
        "runtime.py": set(),
    }
    for path, expected in decides.items():
        before = {lab: grader_version(lab) for lab in LOOKED_AT}
        change(copied / path)
        grader_version.cache_clear()
        found = {lab for lab in before if grader_version(lab) != before[lab]}
        assert found == expected, path


def own_file(lab):
    """One that no other lab has."""
    others = set(LABS) - {lab}
    return min(set(sources_of(lab)).difference(*map(sources_of, others)))


def change(path):
    path.write_text(path.read_text("utf-8") + "# changed\n")


@pytest.mark.parametrize("lab", LABS)
def test_each_lab_has_exercises_of_its_own(lab):
    """What it shares with another lab is what all labs share, or is imported."""
    assert own_file(lab)
    elsewhere = set(sources_of(lab)) - set(sources_of("no lab"))
    elsewhere -= set((version.PACKAGE / "exercises" / lab).iterdir())
    assert elsewhere <= {
        version.PACKAGE / f"{name}.py"
        for path in sources_of(lab)
        for name in imported(path)
    }


@pytest.mark.parametrize("lab", LABS)
def test_nothing_that_decides_is_left_out(lab):
    """The checks and exercises import nothing of this package that may change."""
    counted = set(sources_of(lab))
    for path in counted - {version.PACKAGE / name for name in version.DECIDING}:
        for name in imported(path):
            source = version.PACKAGE / name
            module, package = source.with_suffix(".py"), source / "__init__.py"
            assert {module, package} & counted or name in NEUTRAL, f"{path}: {name}"


NEUTRAL = {"runtime"}  # on which device a learner's own check runs


def imported(path):
    """The modules of labkit that a file imports, as paths without an ending."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "")[:7] == "labkit.":
            whole = node.module.removeprefix("labkit.").replace(".", "/")
            for name in node.names:
                inner = f"{whole}/{name.name}"
                is_module = (version.PACKAGE / f"{inner}.py").exists()
                yield inner if is_module else whole
