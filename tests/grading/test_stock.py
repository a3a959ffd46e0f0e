"""Honest work gets from labkit grade what stock nbgrader autograde gives it."""

import ast
import copy
import inspect
import json
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbgrader.apps import NbGraderAPI

from labkit import commands, paths
from labkit.exercises import exercises, find
from labkit.grading.course import Course
from labkit.grading.gradebook import Writer
from labkit.grading.release import release
from labkit.grading.result import Result
from labkit.lab import Master, check_id, grade_id

from .conftest import planted

LABS = sorted(path.stem for path in (paths.root() / "labs").glob("lab_*.ipynb"))
TESTS = Path(__file__).parents[1] / "exercises"
CLASS = {  # what each learner hands in, exercise by exercise, over and over
    "ada": ["other 0"],
    "ben": ["wrong", "other 1", "blank", "right", "other 2"],
}


def submission(lab, kinds):
    """A notebook whose answers are in turn "right" (the solution's), "wrong" (with a
    mistake), "blank", or "other N" (the Nth of the legitimate alternatives)."""
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
            last.source += f"\n{planted(find(question.number).mistakes[0])}"
        elif kind == "other" and (others := alternatives(lab)[question.number]):
            last.source += f"\n{others[int(which) % len(others)]}"
    return notebook


@cache
def alternatives(lab):
    """Sources of the alternatives that tests/exercises proves legitimate, by exercise.

    They may build on those of an exercise before them in the same lab.
    """
    statements, found = [], {q.number: [] for q in questions(lab)}
    for exercise in exercises(lab):
        module = inspect.getmodule(type(exercise)).__name__.rpartition(".")[2]
        text = (TESTS / lab / f"test_{module}.py").read_text("utf-8")
        body = ast.parse(text).body
        statements += [n for n in body if not getattr(n, "level", 0)]  # from .test_…
        statements.sort(key=lambda n: not isinstance(n, ast.Import | ast.ImportFrom))
        by_name = {name: node for node in statements for name in bound(node)}
        for one in by_name["ALTERNATIVES"].value.elts:
            answers = one.elts if isinstance(one, ast.Tuple) else [one]
            needed = {id(n): n for answer in answers for n in behind(answer, by_name)}
            lines = [ast.unparse(node) for node in statements if id(node) in needed]
            for name, answer in zip(exercise.names, answers, strict=True):
                lines.append(f"{name} = {ast.unparse(answer)}")
            source = "\n".join(lines)
            if "labkit" not in source:  # a learner's process has none to look into
                found[exercise.number].append(source)
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
def test_scores_are_the_same(lab, tmp_path, sandboxed):
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
    for student in CLASS:  # stock nbgrader knows no errors that follow from others
        for exercise in Result.read(course.result(lab, student)).exercises:
            if exercise.given:
                ours[student][check_id(exercise.number)] = 0.0
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
