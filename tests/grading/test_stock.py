"""Honest work gets from labkit grade what stock nbgrader autograde gives it."""

import ast
import copy
import json
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbgrader.apps import NbGraderAPI

from labkit import commands, paths
from labkit.checks import find
from labkit.grading.course import Course
from labkit.grading.gradebook import Writer
from labkit.grading.release import release
from labkit.lab import Master, grade_id

from .conftest import planted

LABS = sorted(path.stem for path in (paths.root() / "labs").glob("lab_*.ipynb"))
CHECKS = Path(__file__).parents[1] / "checks"
CLASS = {  # what each learner hands in, exercise by exercise, over and over
    "ada": ["other 0"],
    "ben": ["wrong", "other 1", "blank", "right", "other 2"],
}


def submission(lab, kinds):
    """A notebook whose answers are in turn "right" (the solution's), "wrong" (with a
    misconception), "blank", or "other N" (the Nth of the legitimate alternatives)."""
    path = paths.root() / "solutions" / f"{lab}.ipynb"
    master, solution = Master.from_solution(path), nbformat.read(path, as_version=4)
    right = {grade_id(c, "solution"): c.source for c in solution.cells}
    notebook = copy.deepcopy(master.notebook)
    cells = {grade_id(c, "solution"): c for c in notebook.cells}
    for i, question in enumerate(master.questions):
        kind, _, which = kinds[i % len(kinds)].partition(" ")
        if kind == "blank":
            continue
        for name in question.answers:
            cells[name].source = right[name]
        last = cells[question.answers[-1]]
        if kind == "wrong":
            exercise = find(question.number)
            mistake = exercise.misconceptions[0]
            target = getattr(mistake, "stands_in_for", exercise.names[0])
            last.source += f"\n{planted(mistake, target)}"
        elif kind == "other" and (others := alternatives(lab)[question.number]):
            last.source += f"\n{others[int(which) % len(others)]}"
    return notebook


@cache
def alternatives(lab):
    """Sources of the alternatives that tests/checks proves legitimate, by exercise."""
    part = "_".join(p for p in lab.split("_") if p.isdigit())
    tree = ast.parse((CHECKS / f"test_lab_{part}.py").read_text("utf-8"))
    by_name = {name: node for node in tree.body for name in bound(node)}
    found = {e: [] for e in (q.number for q in questions(lab))}
    for one in by_name["ALTERNATIVES"].value.elts:
        number, *answers = one.elts
        needed = {id(n): n for answer in answers for n in behind(answer, by_name)}
        lines = [ast.unparse(node) for node in tree.body if id(node) in needed]
        names = find(number.value).names
        for name, answer in zip(names, answers, strict=True):
            lines.append(f"{name} = {ast.unparse(answer)}")
        source = "\n".join(lines)
        if "labkit" not in source:  # a learner's process has no checks to look into
            found[number.value].append(source)
    return found


def questions(lab):
    return Master.from_solution(paths.root() / "solutions" / f"{lab}.ipynb").questions


def bound(node):
    """Names that a statement binds."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Import() | ast.ImportFrom():
            return [a.asname or a.name for a in node.names]
        case ast.Assign(targets=[ast.Name(id=name)]):
            return [name]
    return []


def behind(expression, by_name, seen=()):
    """The statements of the module that an expression needs."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Name) and node.id in by_name and node.id not in seen:
            seen = (*seen, node.id)
            yield by_name[node.id]
            yield from behind(by_name[node.id], by_name, seen)


@pytest.mark.parametrize("lab", LABS)
def test_scores_are_the_same(lab, tmp_path, one_warm_process):
    root = tmp_path / "course"
    release(root, paths.root() / "solutions", lab, say=lambda _: None)
    for student, kinds in CLASS.items():
        folder = root / "submitted" / student / lab
        folder.mkdir(parents=True)
        text = json.dumps(submission(lab, kinds))
        (folder / f"{lab}.ipynb").write_text(text)

    assert commands.main(["grade", str(root), "--workers", "1"]) == 0
    ours = grades(root, lab)
    course = Course(root)
    assert sum(ours["ada"].values()) == course.master(lab).max_score
    assert 0 < sum(ours["ben"].values()) < sum(ours["ada"].values())

    course.config.Execute.timeout = 120
    course.config.Execute.shutdown_kernel = "immediate"  # nothing else is quicker
    api = NbGraderAPI(course.directory, config=course.config)
    for student in CLASS:
        done = api.autograde(lab, student)
        assert done["success"], done["log"]
    assert ours == grades(root, lab)


def grades(root, lab):
    """Points by student and check cell."""
    with Writer(Course(root), lab) as writer:
        book = writer.gradebook
        return {
            submission.student_id: {
                grade.cell.name: grade.auto_score
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in book.assignment_submissions(lab)
        }
