"""Points into the columns that a platform takes back; every row is accounted for.

Canvas  the gradebook's own export, rows by ID          lib/gradebook_importer.rb
Moodle  the assignment's grading worksheet              mod/assign/feedback/offline/
others  a table of all points

What a person has to decide first, an unknown learner, or another maximum stops a row,
which then stays as it was.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from labkit.grading.course import Course, CourseError
from labkit.lab import section_of
from labkit.platforms import roster
from labkit.platforms.collect import keys_of
from labkit.platforms.table import Table, written


@dataclass(frozen=True)
class Points:
    """What a learner has in a lab, as nbgrader's gradebook counts it: manual grades
    before automatic ones, less the late penalty.

    waiting   checks that a person has to look at first
    """

    student: str
    score: float
    most: float
    waiting: tuple[str, ...] = ()


@dataclass
class Exported:
    """A file for the platform.

    written   students whose points are in it
    said      a sentence for each row that stays as it was, and each learner without one
    """

    data: bytes
    written: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def points(course: Course, lab: str) -> dict[str, Points]:
    """Everybody's, by student. Raises CourseError without grades."""
    with course.gradebook() as book:
        found = {}
        for entry in book.assignment_submissions(lab):
            score = max(0.0, entry.score - (entry.late_submission_penalty or 0.0))
            grades = [g for part in entry.notebooks for g in part.grades]
            waiting = tuple(sorted(g.name for g in grades if g.needs_manual_grade))
            of = entry.student_id, score, entry.max_score, waiting
            found[entry.student_id] = Points(*of)
    if not found:
        raise CourseError(f"nothing of {lab} is graded; run labkit grade first.")
    return found


def as_csv(found: dict[str, Points], lab: str) -> Exported:
    rows = [["lab", "student", "score", "max_score", "waits for a person"]]
    for one in found.values():
        waiting = " ".join(one.waiting)
        score = "" if waiting else _number(one.score)
        rows.append([lab, one.student, score, _number(one.most), waiting])
    made = Exported(written(rows).encode())
    for one in found.values():
        _say_or_count(made, one)
    return made


def into_canvas(
    table: Table, found: dict[str, Points], keys: dict[str, str], lab: str, title: str
) -> Exported:
    """Fill the assignment's column of a gradebook.

    keys    each student's ID in Canvas, from collecting
    title   the column's, or how it begins; "" for the one that bears the lab's number

    Raises CourseError for no such column, or another maximum.
    """
    column = _column(table, lab, title)
    most = next(iter(found.values())).most
    for row in range(1, len(table.rows)):
        if table.value(row, 0).strip() == "Points Possible":
            said = table.value(row, column)
            if _read(said) != most:
                raise CourseError(
                    f"{table.header[column]!r} has {said} points in Canvas, {lab} has "
                    f"{_number(most)}: make them equal first."
                )
    by_key = {keys.get(s, s.rpartition("_")[2]): one for s, one in found.items()}
    return _fill(table, column, by_key, roster.people(table), lambda p: p.key, ".")


def into_moodle(table: Table, found: dict[str, Points], keys: dict[str, str]):
    """Fill the grades of an assignment's worksheet.

    keys   each student's number in this assignment, from collecting

    Raises CourseError for a table that is no worksheet.
    """
    column, most = table.column(*roster.GRADE), table.column(*roster.MAXIMUM)
    if column is None or most is None or table.column(*roster.IDENTIFIER) is None:
        raise CourseError(f"this is no grading worksheet; it has: {table.header}")
    people = roster.people(table)
    maxima = {p.row: table.value(p.row, most) for p in people}
    mark = "," if any("," in text for text in maxima.values()) else "."
    by_key = {keys[s]: one for s, one in found.items() if s in keys}
    by_name = {s: one for s, one in found.items() if s not in keys}

    def key(person):
        return person.key if person.key in by_key else person.name

    def problem(person, one):
        said = maxima[person.row]
        if _read(said) != one.most:
            return f"its maximum is {said} here and {_number(one.most)} in the lab"
        return ""

    return _fill(table, column, by_name | by_key, people, key, mark, problem)


def _fill(table, column, by_key, people, key, mark, problem=lambda p, one: ""):
    """Put in each person's points, and say what becomes of every row and learner."""
    made, left = Exported(b""), dict(by_key)
    for person in people:
        one = left.pop(key(person), None)
        if one is None:
            made.said.append(f"{person.name}: no work is graded; the row stays.")
        elif why := problem(person, one):
            made.said.append(f"{one.student}: {why}; the row stays.")
        elif _say_or_count(made, one):
            table.put(person.row, column, _number(one.score).replace(".", mark))
    for one in left.values():
        made.said.append(f"{one.student} is not in the platform's table.")
    made.data = table.to_bytes()
    return made


def _say_or_count(made: Exported, one: Points) -> bool:
    """Whether a learner's points are final."""
    if one.waiting:
        waiting = ", ".join(one.waiting)
        made.said.append(f"{one.student}: {waiting} waits for a person; left out.")
        return False
    made.written.append(one.student)
    return True


def _column(table: Table, lab: str, title: str) -> int:
    """Raises CourseError for none, and for several."""
    wanted = title or rf"Lab {section_of(lab)}"
    pattern = re.compile(rf"{re.escape(wanted)}(?![\d.]*\d)", re.IGNORECASE)
    found = [i for i, name in enumerate(table.header) if pattern.search(name)]
    if len(found) != 1:
        names = ", ".join(repr(table.header[i]) for i in found) or "none"
        raise CourseError(
            f"which column is {lab}? {wanted!r} fits {names}; say --column."
        )
    return found[0]


def _number(value: float) -> str:
    return f"{round(value, 4):g}"


def _read(text: str) -> float | None:
    """A number with a point or a comma; None for what is none."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def export(
    course: Course, lab: str, kind: str, path: Path | None = None, column: str = ""
) -> Exported:
    """The file for "csv", "canvas" or "moodle"; the latter two fill in `path`."""
    found, keys = points(course, lab), keys_of(course, lab)
    if kind == "csv":
        return as_csv(found, lab)
    try:
        table = Table(path)
        if kind == "canvas":
            return into_canvas(table, found, keys, lab, column)
        return into_moodle(table, found, keys)
    except ValueError as problem:
        raise CourseError(str(problem)) from None
