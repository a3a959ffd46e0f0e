"""What labkit grade prints when it is done."""

from collections import Counter
from statistics import median

from labkit.grading.result import ExerciseResult, Outcome, Result, Status


def counted(number: int, thing: str) -> str:
    """1 submission, 3 submissions."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def opening(terms: dict) -> str:
    """The first line of a run: under what terms it grades."""
    if not terms["sandbox"]:
        return f"Without a sandbox, on {terms['device']}."
    if terms["control_groups"]:
        return "In the sandbox, with a control group for each submission."
    return "In the sandbox, without control groups: this process is lent none."


def table(results: list[Result]) -> str:
    """A class's results in one lab: a line for each exercise, then what to look at."""
    if not results:
        return "No submissions."
    scores = sorted(r.score for r in results)
    first = results[0]
    width = max(len(_heading(exercise)) for exercise in first.exercises)
    lines = [
        "",
        f"{first.lab}: {counted(len(results), 'submission')}, points "
        f"{scores[0]:g} to {scores[-1]:g}, median {median(scores):g} "
        f"of {first.max_score:g}",
        "",
        f"{'exercise':<{width}} {'points':>7} {'right':>7}  most frequent mistake",
    ]
    for column in zip(*(r.exercises for r in results), strict=True):
        mistakes = Counter(e.mistake for e in column if e.mistake)
        name, count = mistakes.most_common(1)[0] if mistakes else ("", 0)
        right = sum(e.right for e in column)
        lines.append(
            f"{_heading(column[0]):<{width}} {column[0].points:>7g} "
            f"{f'{right}/{len(column)}':>7}  {f'{name} ({count})' if name else ''}"
        )
    odd = [r for r in results if r.notes]
    if odd:
        lines += ["", f"To look at ({len(odd)}):"]
        for result in odd:
            lines += [f"  {result.student}: {note}" for note in result.notes]
    return _printable(lines)


def single(result: Result) -> str:
    """One submission: a line for each exercise, with the feedback under it."""
    if result.status is Status.UNREADABLE:
        return result.notes[0]
    width, lines = max(map(len, map(_heading, result.exercises))), []
    for exercise in result.exercises:
        points = f"{exercise.score:g}/{exercise.points:g}"
        said = f"{exercise.outcome:<9} {exercise.mistake or ''}"
        lines.append(f"{_heading(exercise):<{width}} {points:>6}  {said}")
        if exercise.outcome not in (Outcome.RIGHT, Outcome.BLANK):
            feedback = exercise.feedback.split("\n")
            lines += [f"    {line.strip()}" for line in feedback[1:] or feedback]
    lines += [f"Note: {note}" for note in result.notes]
    lines += ["", f"{result.score:g} of {result.max_score:g} points"]
    return _printable(lines)


def as_json(graded: dict[str, list[Result]], terms: dict) -> dict:
    """What labkit grade --json prints: for each lab its submissions, without the
    feedback, which is in the files in results/, and under what terms it graded."""
    return {
        lab: {
            "submissions": [
                {
                    "student": result.student,
                    "status": result.status,
                    "score": result.score,
                    "max_score": result.max_score,
                    "notes": result.notes,
                    "exercises": [e.brief_json() for e in result.exercises],
                }
                for result in results
            ],
            "graded": sum(r.status is Status.GRADED for r in results),
            "not_graded": sum(r.status is not Status.GRADED for r in results),
            **terms,
        }
        for lab, results in graded.items()
    }


def _printable(lines: list[str]) -> str:
    """Text for a terminal: what a learner wrote must not steer it."""
    return "\n".join("".join(filter(str.isprintable, x)).rstrip() for x in lines)


def _heading(exercise: ExerciseResult) -> str:
    return f"{exercise.number} {exercise.title}"
