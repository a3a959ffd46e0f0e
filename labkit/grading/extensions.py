"""Who may hand in later: extensions.csv in the course directory (lab, student, until).

nbgrader's gradebook has a place for an extension only once there is a submission. The
table holds them before; with a submission they go into the gradebook and count there.
"""

import csv
import io
from datetime import datetime

from nbgrader.utils import parse_utc

from labkit.grading.course import Course, CourseError, unfit
from labkit.grading.timestamp import read_time
from labkit.paths import write

FILE = "extensions.csv"
COLUMNS = ("lab", "student", "until")


def read(course: Course, lab: str) -> dict[str, datetime]:
    """Until when each student who has an extension may hand in, in UTC.

    Raises CourseError for a line that cannot be read.
    """
    found = {}
    for line, row in enumerate(_rows(course), 2):
        stamp, _ = read_time((row["until"] or "").encode())
        if not stamp:
            raise CourseError(
                f"{FILE}, line {line}: {row['until']!r} is no certain time; write "
                "it as 2026-12-01 10:00:00 UTC."
            )
        if row["lab"] == lab:
            found[row["student"]] = parse_utc(stamp)
    return found


def grant(course: Course, lab: str, student: str, until: str) -> str:
    """Note an extension in place of an earlier one. Returns the time in UTC; raises
    CourseError for one that is not certain, and for a name that no learner can have."""
    if why := unfit(student):
        raise CourseError(f"{student!r} is no learner: {why}")
    stamp, _ = read_time(until.encode())
    if not stamp:
        raise CourseError(
            f"{until!r} is no certain time; write it as 2026-12-01 10:00:00 UTC."
        )
    rows = [r for r in _rows(course) if (r["lab"], r["student"]) != (lab, student)]
    rows.append(dict(zip(COLUMNS, (lab, student, stamp), strict=True)))
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write(course.root / FILE, file.getvalue(), 0o600)
    return stamp


def known(course: Course, student: str) -> bool:
    """Whether submitted/ or the gradebook has a learner of that name."""
    if course.path("submitted", student, ".").is_dir():
        return True
    with course.gradebook() as gradebook:
        return student in {one.id for one in gradebook.students}


def _rows(course: Course) -> list[dict]:
    try:
        text = (course.root / FILE).read_text("utf-8-sig")
    except FileNotFoundError:
        return []
    reader = csv.DictReader(text.splitlines())
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise CourseError(f"{FILE} needs the columns {', '.join(COLUMNS)}.")
    return list(reader)
