"""What "right" means in each exercise, and the usual ways of being wrong.

One module a lab. In a lab notebook:

    check("1.2", layer_norm)
"""

from functools import cache
from importlib import import_module

from labkit.checks.exercise import Exercise, Report
from labkit.runtime import device

# The section of the source that a lab belongs to, and its module here.
MODULES = {
    "1": "layer_normalization",
    "2": "feed_forward",
    "3": "multi_head_attention",
    "4.1": "image_to_sequence",
    "4.2": "model_structure",
    "4.3": "class_token",
}


class CheckFailed(AssertionError):
    """An answer that is not right yet. Shown as its message, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback."""
        return str(self).split("\n")


def check(number: str, *answers: object) -> None:
    """Check an exercise: print one line if it is right, say what is wrong if not.

    number   the exercise, "1.2"
    answers  what the exercise asks to define, in its order: the function or class
             itself, not the result of calling it

    Raises CheckFailed, so that nbgrader and Run All notice.
    """
    try:
        exercise = find(number)
    except KeyError as unknown:
        raise CheckFailed(unknown.args[0]) from None
    wanted = ", ".join(exercise.names)
    if len(answers) != len(exercise.names) or not all(map(callable, answers)):
        raise CheckFailed(
            f"✗ {number}: hand over the definitions themselves, without calling them: "
            f'check("{number}", {wanted})'
        )
    objects = dict(zip(exercise.names, answers, strict=True))
    report = exercise.examine(objects, device=device())
    if not report.passed:
        raise CheckFailed(report.text())
    print(report.text())


def find(number: str) -> Exercise:
    """The exercise of this number. Raises KeyError with a sentence if there is none."""
    section = number.rpartition(".")[0]
    exercises = _exercises(section) if section in MODULES else {}
    if number not in exercises:
        known = [n for s in MODULES for n in _exercises(s)]
        raise KeyError(f"There is no exercise {number}; there are {', '.join(known)}.")
    return exercises[number]


def section_exercises(section: str) -> list[Exercise]:
    """All exercises of a section ("1", "4.2"), in order."""
    return list(_exercises(section).values())


@cache
def _exercises(section: str) -> dict[str, Exercise]:
    module = import_module(f"labkit.checks.{MODULES[section]}")
    return {kind.number: kind() for kind in module.EXERCISES}


__all__ = ["CheckFailed", "Exercise", "Report", "check", "find", "section_exercises"]
