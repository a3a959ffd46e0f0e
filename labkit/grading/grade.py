"""Grade one submission: bytes in, a result and an annotated notebook out.

Pure but for the learner's process, so it can run wherever a worker is.
"""

import hashlib
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

import nbformat

import labkit
from labkit.grading.judge import LOST, Judge
from labkit.grading.sandbox.client import Outcome, Warm
from labkit.grading.submission import Rebuilt, Unreadable, parse, rebuild
from labkit.lab import grade_id


def grade(data: bytes, judge: Judge, warm: Warm) -> tuple[dict, nbformat.NotebookNode]:
    """Grade the bytes of a submitted notebook.

    Returns the result as plain JSON, and the rebuilt notebook with the outputs of its
    cells and the verdicts at its checks. The result's status is "graded", "incomplete"
    (an exercise could not be judged) or "unreadable": no points, and the reason why.
    Nothing that a submission holds makes this raise.
    """
    start = time.perf_counter()
    try:
        metadata, cells = parse(data)
        rebuilt = rebuild(judge.master, cells)
    except Unreadable as reason:
        return refuse(str(reason), judge)
    steps = judge.steps(rebuilt)
    done = warm.run(steps, judge.timeout)
    by_index = {s.index: outcome for s, outcome in zip(steps, done, strict=True)}
    by_label = {
        cell.metadata.get("nbgrader", {}).get("grade_id"): by_index[index]
        for index, cell in enumerate(rebuilt.notebook.cells)
        if index in by_index
    }
    results = judge.verdicts(rebuilt, by_label)
    notes = [*rebuilt.notes, *_notes(results)]
    digest = metadata.get("labkit", {})
    digest = digest.get("digest") if isinstance(digest, dict) else None
    if isinstance(digest, str) and digest != judge.master.digest:
        notes.append("Written in another version of this lab.")
    unjudged = any(r["outcome"] == "unjudged" for r in results)
    result = _result(judge, results, notes, "incomplete" if unjudged else "graded")
    result["seconds"] = round(time.perf_counter() - start, 3)
    return result, annotate(rebuilt, by_index, results, judge)


def refuse(reason: str, judge: Judge) -> tuple[dict, nbformat.NotebookNode]:
    """The result of a submission that cannot be graded: no points, and the reason."""
    rebuilt = Rebuilt(nbformat.from_dict(judge.master.notebook))
    results = [
        {
            "number": q.number,
            "title": q.title,
            "points": q.points,
            "score": 0.0,
            "outcome": "unreadable",
            "misconception": None,
            "verdicts": [],
            "flags": [],
            "feedback": f"✗ {q.number}: {reason}",
        }
        for q in judge.master.questions
    ]
    result = _result(judge, results, [reason], "unreadable")
    return result, annotate(rebuilt, {}, results, judge)


def _result(judge: Judge, results: list[dict], notes: list[str], status: str) -> dict:
    return {
        "lab": judge.master.lab,
        "status": status,
        "score": sum(r["score"] for r in results),
        "max_score": judge.master.max_score,
        "exercises": results,
        "notes": notes,
        "master": judge.master.digest,
        "labkit": engine(),
        "seed": judge.seed,
    }


def _notes(results: list[dict]):
    """What an instructor may want to look at in the results."""
    for result in results:
        if note := result.pop("note", ""):
            yield f"{result['number']}: {note}"
        if names := result["flags"]:
            yield f"{result['number']}: the answer uses {', '.join(names)}; see why."
        if result["outcome"] in LOST:
            yield f"{result['number']}: {result['feedback'].partition(': ')[2]}"


def annotate(
    rebuilt: Rebuilt, outcomes: dict[int, Outcome], results: list[dict], judge: Judge
) -> nbformat.NotebookNode:
    """Store outputs and verdicts in the rebuilt notebook, as nbgrader scores them:
    an error output gives no points, anything printed gives all."""
    checks = [question.check for question in judge.master.questions]
    verdicts = dict(zip(checks, results, strict=True))
    for index, cell in enumerate(rebuilt.notebook.cells):
        if cell.cell_type != "code":
            continue
        outcome = outcomes.get(index, Outcome())
        if name := grade_id(cell, "grade"):
            cell.outputs = [_verdict_output(verdicts[name])]
        else:
            cell.outputs = [nbformat.from_dict(o) for o in outcome.outputs]
            if outcome.lost:
                text = LOST[outcome.lost].format(timeout=judge.timeout)
                cell.outputs.append(_error("NotFinished", text))
    return rebuilt.notebook


def _verdict_output(result: dict) -> nbformat.NotebookNode:
    if result["outcome"] == "right":
        text = result["feedback"] + "\n"
        return nbformat.v4.new_output("stream", name="stdout", text=text)
    return _error("CheckFailed", result["feedback"])


def _error(name: str, text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output(
        "error", ename=name, evalue=text, traceback=text.split("\n")
    )


@cache
def engine() -> str:
    """The version that graded: labkit's, with a digest of what checks."""
    digest = hashlib.sha256()
    for folder in ("checks", "exercises"):
        for path in sorted((Path(labkit.__file__).parent / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return f"{version('labkit')}+{digest.hexdigest()[:12]}"
