"""Feedback pages for learners, made by nbgrader's own converter."""

import logging
import warnings
from pathlib import Path

from nbgrader.converters import GenerateFeedback
from nbgrader.converters.base import NbGraderException
from sqlalchemy.exc import SAWarning

from labkit.grading.course import Course, CourseError
from labkit.grading.page import Page
from labkit.grading.workers import pool

PART = 50  # pages that one process writes in one go


class _Feedback(GenerateFeedback):
    """nbgrader's converter for given students, with one exporter for all of them."""

    def _exporter_class_default(self):
        return Page

    def __init__(self, course: Course, lab: str, students: list[str]):
        super().__init__(coursedir=course.directory, config=course.config, force=True)
        self.coursedir.assignment_id = lab
        self.folders = [course.path("autograded", s, lab) for s in students]

    def init_notebooks(self) -> None:
        self.notebooks = []
        self.assignments = {
            str(folder): [str(folder / f"{folder.name}.ipynb")]
            for folder in self.folders
        }


def stale(course: Course, lab: str, students: list[str]) -> list[str]:
    """Students whose page is missing or older than their graded notebook."""

    def outdated(student: str) -> bool:
        page = course.path("feedback", student, lab) / f"{lab}.html"
        graded = course.path("autograded", student, lab) / f"{lab}.ipynb"
        if not graded.exists():
            return False
        return not page.exists() or page.stat().st_mtime_ns < graded.stat().st_mtime_ns

    return [student for student in students if outdated(student)]


def write_pages(course: Course, lab: str, students: list[str], workers: int = 1):
    """Make feedback/STUDENT/LAB/LAB.html. Raises CourseError if nbgrader cannot."""
    if workers <= 1:
        _write_pages(course.root, lab, students)
        return
    parts = [students[first : first + PART] for first in range(0, len(students), PART)]
    with pool(workers) as processes:
        done = [
            processes.submit(_write_pages, course.root, lab, part) for part in parts
        ]
        for part in done:
            part.result()


def _write_pages(root: Path, lab: str, students: list[str]) -> None:
    warnings.filterwarnings("ignore", category=SAWarning, module="nbgrader")
    try:
        converter = _Feedback(Course(root), lab, students)
        converter.log.setLevel(logging.ERROR)
        converter.start()
    except NbGraderException as problem:
        raise CourseError(f"nbgrader could not write all feedback: {problem}") from None
