"""Where the class stands: one page for the instructor, and the same as a table.

    write_report(course)      report.html and report.csv in the course directory

Everything comes from the files in results/; the page needs no network and no script.
"""

import csv
import inspect
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from html import escape
from pathlib import Path
from statistics import mean, median

from labkit.exercises import find
from labkit.grading.course import Course, CourseError
from labkit.grading.summary import counted
from labkit.paths import write

BINS = 10  # of the distribution of scores
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #c4cad2;
  --bar: #2f6db3; --soft: #f2f4f7; --faint: #57606a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebee; --paper: #14181d;
  --line: #48515c; --bar: #7db3ee; --soft: #1e242b; --faint: #a5aeb8; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1.5rem;
  overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
th { font-weight: 600; } thead th { background: var(--soft); }
td.n, th.n { text-align: right; white-space: nowrap; }
.bar { display: block; height: .8rem; background: var(--bar); min-width: 1px; }
.track { width: 40%; min-width: 5rem; } .faint { color: var(--faint); }
.wide { overflow-x: auto; }
a { color: var(--bar); } a:focus-visible, .wide:focus-visible {
  outline: 3px solid var(--bar); outline-offset: 2px; }
@media print { body { max-width: none; } }
"""


def write_report(course: Course, wanted: str | None = None) -> tuple[Path, Path]:
    """Write both files; return where they are. Raises CourseError without results."""
    labs = {lab: list(_results(course, lab)) for lab in course.labs(wanted)}
    labs = {lab: results for lab, results in labs.items() if results}
    if not labs:
        raise CourseError(
            f"nothing is graded in {course.root}; run labkit grade first."
        )
    page, table = course.root / "report.html", course.root / "report.csv"
    write(page, "".join(_page(labs)), 0o600)  # it names learners
    write(table, _csv(labs), 0o600)
    return page, table


def _results(course: Course, lab: str) -> Iterator[dict]:
    """The results of those whose work is still in submitted/."""
    for student in course.students(lab):
        try:
            yield json.loads(course.result(lab, student).read_text("utf-8"))
        except (OSError, ValueError):
            continue  # not graded yet


# --------------------------------------------------------------------------- the table


def _csv(labs: dict[str, list[dict]]) -> str:
    """A line for each submission and exercise."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(
        "lab student status exercise title points score outcome misconception "
        "flags".split()
    )
    for lab, results in labs.items():
        for result in results:
            for e in result["exercises"]:
                cells = [lab, result["student"], result["status"], e["number"]]
                cells += [e["title"], e["points"], e["score"], e["outcome"]]
                cells += [e["misconception"] or "", " ".join(e.get("flags", ()))]
                writer.writerow(map(_harmless, cells))
    return file.getvalue()


def _harmless(cell: object) -> object:
    """A spreadsheet takes text that begins like a formula for one."""
    formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t"))
    return f"'{cell}" if formula else cell


# ---------------------------------------------------------------------------- the page


def _page(labs: dict[str, list[dict]]) -> Iterator[str]:
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Where the class stands</title><style>{STYLE}</style></head>"
        "<body><main><h1>Where the class stands</h1>"
        '<p class="faint">For instructors: this page names learners. Points are those '
        "of the checks; what a person changed is in the gradebook.</p>"
    )
    if len(labs) > 1:
        links = [f'<li><a href="#{lab}">{escape(lab)}</a></li>' for lab in labs]
        yield f'<nav aria-label="Labs"><ul>{"".join(links)}</ul></nav>'
    for lab, results in labs.items():
        yield f'<section aria-labelledby="{lab}"><h2 id="{lab}">{escape(lab)}</h2>'
        yield _summary(results)
        yield _distribution(results)
        yield _exercises(results)
        yield _misconceptions(results)
        yield _time_outs(results)
        yield _notes(results)
        yield "</section>"
    yield "</main></body></html>\n"


def _summary(results: list[dict]) -> str:
    scores, most = [r["score"] for r in results], results[0]["max_score"]
    refused = sum(r["status"] != "graded" for r in results)
    text = (
        f"{counted(len(results), 'submission')}, median {median(scores):g} and mean "
        f"{mean(scores):.1f} of {most:g} points"
    )
    return f"<p>{text}{f'; {refused} not fully graded' if refused else ''}.</p>"


def _distribution(results: list[dict]) -> str:
    most = results[0]["max_score"] or 1
    bins = Counter(min(int(r["score"] / most * BINS), BINS - 1) for r in results)
    rows = []
    for i in range(BINS):
        low, high = i * most / BINS, (i + 1) * most / BINS
        label = f"{low:g} to {'' if i == BINS - 1 else 'below '}{high:g}"
        rows.append([label, _number(bins[i]), _bar(bins[i] / len(results))])
    return _table("Distribution of points", ["Points", "#Learners", "Share"], rows)


def _exercises(results: list[dict]) -> str:
    rows = []
    for column in zip(*(r["exercises"] for r in results), strict=True):
        right = sum(e["outcome"] == "right" for e in column)
        blank = sum(e["outcome"] == "blank" for e in column)
        name = f"{column[0]['number']} {column[0]['title']}"
        share = right / len(column)
        cells = [escape(name), _number(right), _number(blank)]
        rows.append([*cells, _number(f"{share:.0%}"), _bar(share)])
    heads = ["Exercise", "#Right", "#Not answered", "#Success", "Share"]
    return _table("Success by exercise", heads, rows)


def _misconceptions(results: list[dict]) -> str:
    who = defaultdict(list)
    for result in results:
        for e in result["exercises"]:
            if e["misconception"]:
                who[e["number"], e["misconception"]].append(result["student"])
    rows = [
        [
            escape(number),
            f"<strong>{escape(_in_words(name))}</strong><br>"
            f"{escape(_explained(number, name))}",
            _number(len(students)),
            escape(", ".join(students)),
        ]
        for (number, name), students in sorted(
            who.items(), key=lambda item: (-len(item[1]), item[0])
        )
    ]
    heads = ["Exercise", "Misconception", "#Learners", "In whose work"]
    return _table("Misconceptions, most frequent first", heads, rows)


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


def _time_outs(results: list[dict]) -> str:
    said = {"time": "stopped", "died": "process ended", "skipped": "no time left"}
    rows = [
        [escape(r["student"]), escape(e["number"]), said[e["outcome"]]]
        for r in results
        for e in r["exercises"]
        if e["outcome"] in said
    ]
    return _table("Time-outs and crashes", ["Learner", "Exercise", "What"], rows)


def _notes(results: list[dict]) -> str:
    rows = [[escape(r["student"]), escape(n)] for r in results for n in r["notes"]]
    return _table(
        "To look at (points are unchanged by these)", ["Learner", "Why"], rows
    )


def _table(caption: str, heads: list[str], rows: list[list[str]]) -> str:
    """A table in a box that can be scrolled; heads that begin with # are numbers."""
    if not rows:
        return f"<p><strong>{caption}:</strong> none.</p>"
    names = "".join(
        f'<th scope="col"{" class=n" if h[0] == "#" else ""}>{h.lstrip("#")}</th>'
        for h in heads
    )
    lines = [
        "<tr>"
        + f'<th scope="row">{row[0]}</th>'
        + "".join(c if c.startswith("<td") else f"<td>{c}</td>" for c in row[1:])
        + "</tr>"
        for row in rows
    ]
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{caption}"><table>'
        f"<caption>{caption}</caption><thead><tr>{names}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _number(value: object) -> str:
    return f"<td class=n>{value}</td>"


def _bar(share: float) -> str:
    """A bar for the eye; the numbers stand beside it."""
    bar = f'<span class=bar style="width:{share:.1%}"></span>'
    return f'<td class=track aria-hidden="true">{bar}</td>'
