"""Where the class stands: one page for the instructor, and the same as a table.

    write_report(course)      report.html and report.csv in the course directory

Everything comes from the files in results/; the page needs no network and no script.
"""

import csv
import inspect
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median

from jinja2 import Environment, PackageLoader, StrictUndefined

from labkit.exercises import find
from labkit.grading.course import Course, CourseError
from labkit.grading.result import Outcome, Result, Status
from labkit.grading.summary import counted
from labkit.paths import write

BINS = 10  # of the distribution of scores
LOST = {
    Outcome.TIME: "stopped",
    Outcome.DIED: "process ended",
    Outcome.SKIPPED: "no time left",
}


def write_report(course: Course, wanted: str | None = None) -> tuple[Path, Path]:
    """Write both files; return where they are. Raises CourseError without results."""
    labs = {lab: list(_results(course, lab)) for lab in course.labs(wanted)}
    labs = {lab: results for lab, results in labs.items() if results}
    if not labs:
        raise CourseError(
            f"nothing is graded in {course.root}; run labkit grade first."
        )
    page, table = course.root / "report.html", course.root / "report.csv"
    write(page, _page(labs), 0o600)  # it names learners
    write(table, _csv(labs), 0o600)
    return page, table


def _results(course: Course, lab: str) -> Iterator[Result]:
    """The results of those whose work is still in submitted/."""
    for student in course.students(lab):
        try:
            yield Result.read(course.result(lab, student))
        except (OSError, ValueError):
            continue  # not graded yet


# --------------------------------------------------------------------------- the table


def _csv(labs: dict[str, list[Result]]) -> str:
    """A line for each submission and exercise."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(
        "lab student status exercise title points score outcome mistake flags".split()
    )
    for lab, results in labs.items():
        for result in results:
            for e in result.exercises:
                cells = [lab, result.student, result.status.value, e.number, e.title]
                cells += [e.points, e.score, e.outcome.value]
                cells += [e.mistake or "", " ".join(e.flags)]
                writer.writerow(map(_harmless, cells))
    return file.getvalue()


def _harmless(cell: object) -> object:
    """A spreadsheet takes text that begins like a formula for one."""
    first = cell.lstrip(" ")[:1] if isinstance(cell, str) else ""
    formula = first in ("=", "+", "-", "@", "\t", "\r")
    return f"'{cell}" if formula else cell


# ---------------------------------------------------------------------------- the page


def _page(labs: dict[str, list[Result]]) -> str:
    templates = Environment(
        loader=PackageLoader("labkit.grading"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    sections = [
        {
            "name": lab,
            "summary": _summary(results),
            "distribution": list(_distribution(results)),
            "exercises": list(_exercises(results)),
            "mistakes": list(_mistakes(results)),
            "time_outs": [
                (r.student, e.number, LOST[e.outcome])
                for r in results
                for e in r.exercises
                if e.outcome in LOST
            ],
            "notes": [(r.student, note) for r in results for note in r.notes],
        }
        for lab, results in labs.items()
    ]
    return templates.get_template("report.html").render(labs=sections)


def _summary(results: list[Result]) -> str:
    scores, most = [r.score for r in results], results[0].max_score
    refused = sum(r.status is not Status.GRADED for r in results)
    text = (
        f"{counted(len(results), 'submission')}, median {median(scores):g} and mean "
        f"{mean(scores):.1f} of {most:g} points"
    )
    return f"{text}{f'; {refused} not fully graded' if refused else ''}."


def _distribution(results: list[Result]) -> Iterator[tuple[str, int, float]]:
    """From how many points to how many, and how many learners have so many."""
    most = results[0].max_score or 1
    bins = Counter(min(int(r.score / most * BINS), BINS - 1) for r in results)
    for i in range(BINS):
        low, high = i * most / BINS, (i + 1) * most / BINS
        points = f"{low:g} to {'' if i == BINS - 1 else 'below '}{high:g}"
        yield points, bins[i], bins[i] / len(results)


def _exercises(results: list[Result]) -> Iterator[tuple[str, int, int, float]]:
    """Each exercise, and how often it was right, and how often not answered."""
    for column in zip(*(r.exercises for r in results), strict=True):
        right = sum(e.right for e in column)
        blank = sum(e.outcome is Outcome.BLANK for e in column)
        name = f"{column[0].number} {column[0].title}"
        yield name, right, blank, right / len(column)


def _mistakes(
    results: list[Result],
) -> Iterator[tuple[str, str, str, list[str]]]:
    """Each with its exercise, what learners read about it, and in whose work it is."""
    who = defaultdict(list)
    for result in results:
        for e in result.exercises:
            if e.mistake:
                who[e.number, e.mistake].append(result.student)
    for (number, name), students in sorted(
        who.items(), key=lambda item: (-len(item[1]), item[0])
    ):
        yield number, _in_words(name), _explained(number, name), students


def _in_words(name: str) -> str:
    """over_positions_too and OverPositionsToo, as one reads them."""
    return re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _explained(number: str, name: str) -> str:
    """The sentence that learners read about a mistake."""
    try:
        found = [m for m in find(number).mistakes if m.__name__ == name]
    except KeyError:
        return ""
    return " ".join(inspect.getdoc(found[0]).split()) if found else ""
