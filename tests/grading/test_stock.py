"""Honest work gets from labkit grade what stock nbgrader autograde gives it."""

import copy
import json

import nbformat
import pytest
from nbgrader.apps import NbGraderAPI

from labkit.checks import find
from labkit.cli import course_root
from labkit.grading import cli
from labkit.grading.course import Course
from labkit.grading.gradebook import Writer
from labkit.grading.notebook import Master, grade_id
from labkit.grading.release import release

from .conftest import planted

LABS = sorted(path.stem for path in (course_root() / "labs").glob("lab_*.ipynb"))


def submission(lab, kinds):
    """A notebook whose answers are "right", "wrong" (a misconception) or "blank", in
    turn."""
    path = course_root() / "solutions" / f"{lab}.ipynb"
    master, solution = Master.from_solution(path), nbformat.read(path, as_version=4)
    right = {grade_id(c, "solution"): c.source for c in solution.cells}
    notebook = copy.deepcopy(master.notebook)
    cells = {grade_id(c, "solution"): c for c in notebook.cells}
    for i, question in enumerate(master.questions):
        kind = kinds[i % len(kinds)]
        for name in question.answers:
            if kind != "blank":
                cells[name].source = right[name]
        if kind == "wrong":
            exercise = find(question.number)
            mistake = exercise.misconceptions[0]
            target = getattr(mistake, "stands_in_for", exercise.names[0])
            cells[question.answers[-1]].source += f"\n{planted(mistake, target)}"
    return notebook


@pytest.mark.parametrize("lab", LABS)
def test_scores_are_the_same(lab, tmp_path, one_warm_process):
    root = tmp_path / "course"
    release(root, course_root() / "solutions", lab, say=lambda _: None)
    folder = root / "submitted" / "ada" / lab
    folder.mkdir(parents=True)
    kinds = ["wrong", "right", "blank", "right"]
    (folder / f"{lab}.ipynb").write_text(json.dumps(submission(lab, kinds)))

    assert cli.main(["grade", str(root)]) == 0
    ours = grades(root, lab)
    course = Course(root)
    course.config.Execute.timeout = 120
    done = NbGraderAPI(course.directory, config=course.config).autograde(lab, "ada")
    assert done["success"], done["log"]
    assert ours == grades(root, lab)
    assert 0 < sum(ours["ada"].values()) < course.master(lab).max_score


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
