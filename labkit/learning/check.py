"""What a check cell of a lab calls:

check("1.2", layer_norm)

and, to look at the first case that it found wrong:

check.case("1.2")
"""

import secrets

from labkit import exercises
from labkit.learning import progress
from labkit.learning.failing import Failing, failing
from labkit.runtime import device

_failed: dict[str, Failing | None] = {}  # by exercise, of its last check


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
    report, wrong = exercise.look(objects, device=device())
    if report.passed:  # asked once more, so that no table of the known questions passes
        seed = secrets.randbelow(2**31)
        again = exercise.look(objects, seed, device())
        report, wrong = (report, wrong) if again[0].passed else again
    _failed[number] = failing(*wrong) if wrong else None
    progress.keep(report)
    if not report.passed:
        look = f'\n  Look at this case: check.case("{number}")' if wrong else ""
        raise CheckFailed(report.text() + look)
    progress.passed(number, report.text())


def case(number: str) -> Failing | None:
    """The first case that the last check of an exercise found wrong: its inputs, the
    expected output and the learner's, and a picture of where they differ."""
    if wrong := _failed.get(number):
        return wrong
    known = f"the last check of {number} found no wrong case"
    print(known if number in _failed else f"{number} was not checked here yet")
    return None


check.case = case
