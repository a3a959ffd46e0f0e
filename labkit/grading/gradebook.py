"""Results into nbgrader's gradebook, through nbgrader's own code.

The notebook in autograded/ carries each verdict as the output of its check cell, in
the form that nbgrader scores; nbgrader's SaveAutoGrades then reads it from there. So
formgrader, feedback and export find what they expect, and manual grades and comments
stay as they are.
"""

import warnings
from contextlib import contextmanager
from datetime import timedelta

import nbformat
from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    Gradebook,
    MissingEntry,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.preprocessors import AssignLatePenalties, SaveAutoGrades
from nbgrader.utils import parse_utc
from sqlalchemy.exc import SAWarning

from labkit.grading import extensions
from labkit.grading.course import SECRET, Course, Submission
from labkit.grading.result import Result
from labkit.lab import check_id
from labkit.paths import write


class Writer:
    """The one writer of a course's gradebook.

    with Writer(course, lab) as writer:
        writer.record(submission, notebook)
    """

    def __init__(self, course: Course, lab: str):
        self.course, self.lab = course, lab

    def __enter__(self) -> "Writer":
        # nbgrader's models predate SQLAlchemy 2 and make it warn; nothing is wrong.
        warnings.filterwarnings("ignore", category=SAWarning, module="nbgrader")
        self.until = extensions.read(self.course, self.lab)
        self.gradebook: Gradebook = self.course.gradebook()
        return self

    def __exit__(self, *_) -> None:
        self.gradebook.close()

    def released(self) -> bool:
        """Whether the gradebook knows the lab."""
        try:
            self.gradebook.find_notebook(self.lab, self.lab)
        except MissingEntry:
            return False
        return True

    def recorded(self) -> set[str]:
        """Students with a grade for this lab."""
        submissions = self.gradebook.assignment_submissions(self.lab)
        return {submission.student_id for submission in submissions}

    def auto_scores(self) -> dict[str, dict[str, float | None]]:
        """What the gradebook has as automatic scores, by student and check."""
        rows = (
            self.gradebook.db.query(Student.id, BaseCell.name, Grade.auto_score)
            .select_from(Grade)
            .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
            .join(
                SubmittedAssignment,
                SubmittedNotebook.assignment_id == SubmittedAssignment.id,
            )
            .join(Student, SubmittedAssignment.student_id == Student.id)
            .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
            .join(BaseCell, Grade.cell_id == BaseCell.id)
            .filter(Assignment.name == self.lab)
        )
        found: dict[str, dict[str, float | None]] = {}
        for student, check, score in rows:
            found.setdefault(student, {})[check] = score
        return found

    def record(
        self, submission: Submission, notebook: nbformat.NotebookNode, result: Result
    ) -> None:
        """Write autograded/ and the grades; writing the same again changes nothing."""
        student = submission.student
        folder = self.course.path("autograded", student, self.lab)
        text = nbformat.writes(notebook, version=4) + "\n"
        write(folder / f"{self.lab}.ipynb", text, 0o444)
        when = parse_utc(submission.timestamp) if submission.timestamp else None
        if when:
            write(folder / "timestamp.txt", submission.timestamp + "\n", 0o444)
        else:
            (folder / "timestamp.txt").unlink(missing_ok=True)
        if submission.secret:  # feedback/ gets it too, where release_feedback looks
            write(folder / SECRET, submission.secret, 0o444)
        with self._transaction():
            late = self._save(student, notebook, {"timestamp": when})
            self._queue(student, result)
        if late:
            self._penalize(student, notebook)

    def _save(self, student: str, notebook, stamp: dict) -> bool:
        """Have nbgrader read the verdicts from the notebook; whether it came late."""
        self.gradebook.update_or_create_student(student)
        entry = self.gradebook.update_or_create_submission(self.lab, student, **stamp)
        saver = SaveAutoGrades()
        saver.gradebook = self.gradebook
        saver.notebook_id = saver.assignment_id = self.lab
        saver.student_id = student
        for index, cell in enumerate(notebook.cells):
            saver.preprocess_cell(cell, {}, index)
        self._extend(entry)
        for part in entry.notebooks:  # what came late before may be in time now
            part.late_submission_penalty = None
        return entry.total_seconds_late > 0

    def _queue(self, student: str, result: Result) -> None:
        """Put what a person should look at into nbgrader's own queue of manual grades,
        which formgrader shows; the automatic score counts until then."""
        for exercise in result.exercises:
            if exercise.needs_a_person:
                check = check_id(exercise.number), self.lab, self.lab, student
                self.gradebook.find_grade(*check).needs_manual_grade = True

    @contextmanager
    def _transaction(self):
        """One commit for all that nbgrader commits piece by piece: all of a
        submission's grades are in the gradebook, or none; and it takes a tenth of
        the time."""
        session = self.gradebook.db
        session.commit = session.flush
        try:
            yield
        finally:
            del session.commit
        session.commit()

    def penalize_again(self, students: set[str]) -> list[str]:
        """Late penalties of what was graded before, as due date, extensions and
        configuration have them now. Returns the students whose penalty changed."""
        changed = []
        for entry in self.gradebook.assignment_submissions(self.lab):
            name = entry.student_id
            self._extend(entry)
            before = entry.late_submission_penalty
            if name in students and (entry.total_seconds_late > 0 or before):
                self._penalize(name, nbformat.v4.new_notebook())
                self.gradebook.db.expire_all()
                if entry.late_submission_penalty != before:
                    changed.append(name)
        return changed

    def _extend(self, entry: SubmittedAssignment) -> None:
        """Give nbgrader's gradebook the extension that extensions.csv has."""
        due, until = entry.assignment.duedate, self.until.get(entry.student_id)
        if due and until:
            entry.extension = max(until - due, timedelta())
            self.gradebook.db.commit()

    def _penalize(self, student: str, notebook: nbformat.NotebookNode) -> None:
        """Late penalties: nbgrader's default is none; its configuration decides."""
        names = {"notebook": self.lab, "assignment": self.lab, "student": student}
        names["db_url"] = self.course.directory.db_url
        step = AssignLatePenalties(config=self.course.config)
        step.preprocess(notebook, {"nbgrader": names})
