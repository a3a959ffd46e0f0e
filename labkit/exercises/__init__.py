"""What "right" means in each exercise, and the usual ways of being wrong.

A folder a lab, with the lab's name; a module an exercise. They are listed nowhere: a
module is found because it is there, and takes the place that its number gives it.
"""

import pkgutil
from functools import cache
from importlib import import_module

from labkit.checks.exercise import Exercise
from labkit.lab import section_of


def find(number: str) -> Exercise:
    """The exercise of this number. Raises KeyError with a sentence if there is none."""
    for lab in labs():
        if section_of(lab) == number.rpartition(".")[0]:
            if number in (found := _by_number(lab)):
                return found[number]
    known = ", ".join(exercise.number for exercise in exercises())
    raise KeyError(f"There is no exercise {number}; there are {known}.")


def exercises(lab: str | None = None) -> list[Exercise]:
    """All exercises of "lab_04_2_model_structure", or of every lab, in order."""
    wanted = labs() if lab is None else [lab]
    return [exercise for name in wanted for exercise in _by_number(name).values()]


def labs() -> list[str]:
    """The labs' names, in order."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if m.ispkg]
    return sorted(found, key=lambda lab: _order(section_of(lab)))


@cache
def _by_number(lab: str) -> dict[str, Exercise]:
    """A lab's exercises; no other lab's are imported."""
    package = import_module(f"labkit.exercises.{lab}")
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = import_module(f"labkit.exercises.{lab}.{info.name}")
        for kind in vars(module).values():
            if _is_exercise(kind) and kind.__module__ == module.__name__:
                found[kind.number] = kind()
    return {number: found[number] for number in sorted(found, key=_order)}


def _is_exercise(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, Exercise)


def _order(number: str) -> tuple[int, ...]:
    """4.1.10 comes after 4.1.9."""
    return tuple(map(int, number.split(".")))
