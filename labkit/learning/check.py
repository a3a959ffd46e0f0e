"""What a check cell of a lab calls:

check("1.2", layer_norm)
"""

from labkit import exercises
from labkit.learning import progress
from labkit.runtime import device


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
        exercise = exercises.find(number)
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
    progress.keep(report)
    if not report.passed:
        raise CheckFailed(report.text())
    progress.passed(number, report.text())
