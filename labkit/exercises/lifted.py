"""A mistake of one exercise, made again in an exercise that is built on it."""

from collections.abc import Callable, Collection

from labkit.checks.exercise import Exercise


def lift(
    source: type[Exercise],
    into: type[Exercise],
    make: Callable[[Callable], Callable],
    without: Collection[str] = (),
    of: str | None = None,
) -> None:
    """Register the mistakes of `source` with `into`, under the same names and words.

    make     turns one of the mistakes into an answer to `into` that makes it
    without  names of those that show nothing there, or have a sentence of their own
    of       which of the names of `into` they stand in for; None: the first
    """

    def of_both(make_there: Callable) -> Callable:
        return lambda **switches: make(make_there(**switches))

    makes: dict[Callable, Callable] = {}
    for wrong in source.mistakes:
        if wrong.__name__ not in without:
            made = make(wrong)
            made.__name__, made.__doc__ = wrong.__name__, wrong.__doc__
            if hasattr(wrong, "switches"):
                made.make = makes.setdefault(wrong.make, of_both(wrong.make))
                made.switches = wrong.switches
            into.mistake(made, of=of)
