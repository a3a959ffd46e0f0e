"""Exercise 4.1.1: the length of the sequence, or an error that names the numbers."""

import math
import re

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case


def count(height, width, patch):
    """The right answer; raises ValueError where the patches do not fit."""
    for name, side in (("height", height), ("width", width)):
        if side % patch:
            raise ValueError(f"{name} {side} is not divisible by patch {patch}")
    return (height // patch) * (width // patch)


def is_a_whole_number(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        output = replies[name].get("output")
        if not case.edge and type(output) is float:
            return (
                f"In the case “{name}”, sequence_length returned {output!r}, a float. "
                "A length must be an int, or PyTorch makes no tensor of it: divide by "
                "//."
            )
    return None


@looks_at("error")
def the_error_names_the_numbers(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        error = replies[name]["error"]
        if not error or error["type"] != "ValueError":
            continue
        height, width, patch = case.args.values()
        sides = [side for side in (height, width) if side % patch]
        said = {int(n) for n in re.findall(r"\d+", error["message"])}
        if sides and not (patch in said and said.intersection(sides)):
            message = error["message"]
            says = f"says “{message}”" if message else "says nothing"
            return (
                f"In the case “{name}”, your ValueError {says}. Whoever meets it wants "
                f"to know the numbers: the side that does not fit, {sides[0]}, and the "
                f"patch, {patch}."
            )
    return None


class SequenceLength(Exercise):
    """sequence_length(height, width, patch): the number of patches, or a ValueError."""

    number = "4.1.1"
    properties = (is_a_whole_number, the_error_names_the_numbers)
    reference = {"sequence_length": count}

    def draw_cases(self, draw: Draw):
        def case(height, width, patch, edge):
            given = {"height": height, "width": width, "patch": patch}
            name = ", ".join(f"{key} {value}" for key, value in given.items())
            return Case(name, "sequence_length", given, gradients=False, edge=edge)

        P, rows, columns = draw.sizes(3, low=4, high=16)
        yield case(rows * P, columns * P, P, edge=False)
        yield case(columns * P, (rows + columns) * P, P, edge=False)
        yield case(rows * P + 1, columns * P, P, edge=True)
        yield case(rows * P, columns * P - 1, P, edge=True)
        yield case(rows * P + 1, columns * P - 1, P, edge=True)
        yield case(rows * P * P, columns * P + P // 2, P, edge=True)  # the area fits
        yield case(columns * P + P // 2, rows * P * P, P, edge=True)
        yield case(rows, columns, 1, edge=True)
        yield case(P, P, P, edge=True)


@SequenceLength.mistake
def class_token_counted(height, width, patch):
    """You counted the [class] token too. It joins the sequence later (exercise 4.1.5);
    here only patches count."""
    return count(height, width, patch) + 1


@SequenceLength.mistake
def pixels_counted(height, width, patch):
    """You counted pixels. A token is a whole patch of patch × patch pixels."""
    count(height, width, patch)
    return height * width


@SequenceLength.mistake
def divided_once(height, width, patch):
    """You divided the number of pixels by patch. A patch has patch · patch pixels."""
    count(height, width, patch)
    return height * width // patch


@SequenceLength.mistake
def pixels_of_a_patch(height, width, patch):
    """You returned patch · patch, the number of pixels in a patch. Count the patches:
    there are height / patch rows of width / patch patches each."""
    count(height, width, patch)
    return patch * patch


@SequenceLength.mistake
def sides_added(height, width, patch):
    """You added the number of rows and the number of columns of patches. There is a
    patch in every row and column: multiply."""
    count(height, width, patch)
    return height // patch + width // patch


@SequenceLength.mistake
def taken_for_square(height, width, patch):
    """You took the image for a square and used its height twice. The width counts
    too."""
    count(height, width, patch)
    return (height // patch) ** 2


@SequenceLength.mistake
def width_taken_for_square(height, width, patch):
    """You took the image for a square and used its width twice. The height counts
    too."""
    count(height, width, patch)
    return (width // patch) ** 2


@SequenceLength.mistake
def grid_returned(height, width, patch):
    """You returned the rows and columns of the grid of patches. The sequence length is
    one number, their product."""
    count(height, width, patch)
    return height // patch, width // patch


@SequenceLength.mistake
def rounded_down(height, width, patch):
    """You rounded down, so the pixels at the edge that fill no whole patch vanish
    without a word. Raise a ValueError instead."""
    return (height // patch) * (width // patch)


@SequenceLength.mistake
def rounded_down_from_the_left(height, width, patch):
    """You rounded down, from left to right: a // p * b // p means ((a // p) * b) // p.
    What is left over vanishes without a word: raise a ValueError instead."""
    return height // patch * width // patch


@SequenceLength.mistake
def rounded_to_nearest(height, width, patch):
    """You rounded to the nearest number of patches. Pixels can be neither lost nor made
    up: raise a ValueError where patch does not divide a side."""
    return round(height / patch) * round(width / patch)


@SequenceLength.mistake
def rounded_up(height, width, patch):
    """You rounded up, as if the image were padded. It is not: raise a ValueError where
    patch does not divide a side."""
    return math.ceil(height / patch) * math.ceil(width / patch)


@SequenceLength.mistake
def area_rounded_down(height, width, patch):
    """You divided the area and rounded down. Patches must fit along each side: raise a
    ValueError where patch does not divide the height or the width."""
    return height * width // patch**2


@SequenceLength.mistake
def only_area_tested(height, width, patch):
    """You tested only whether the area is divisible by patch · patch. Along a side the
    patches may still not fit: test height and width each."""
    if height * width % patch**2:
        count(height, width, patch)
    return height * width // patch**2


@SequenceLength.mistake
def only_height_tested(height, width, patch):
    """You tested the height alone. The patches must fit along the width too."""
    return count(height, width // patch * patch, patch)


@SequenceLength.mistake
def only_width_tested(height, width, patch):
    """You tested the width alone. The patches must fit along the height too."""
    return count(height // patch * patch, width, patch)


@SequenceLength.mistake
def both_must_fail(height, width, patch):
    """You raise only where both sides fail to divide. One is enough: join the two
    conditions by `or`."""
    if height % patch and width % patch:
        count(height, width, patch)
    return (height // patch) * (width // patch)


@SequenceLength.mistake
def asserted(height, width, patch):
    """You used an assert, which raises AssertionError and is skipped under python -O.
    Test with `if`, then `raise ValueError(…)`."""
    assert height % patch == 0 and width % patch == 0
    return (height // patch) * (width // patch)


@SequenceLength.mistake
def zero_returned(height, width, patch):
    """You returned 0 where the patches do not fit. Whoever calls would go on with an
    empty sequence: raise a ValueError, which cannot be overlooked."""
    return 0 if height % patch or width % patch else count(height, width, patch)


@SequenceLength.mistake
def minus_one_returned(height, width, patch):
    """You returned -1 where the patches do not fit. Whoever calls may go on with it:
    raise a ValueError, which cannot be overlooked."""
    return -1 if height % patch or width % patch else count(height, width, patch)


@SequenceLength.mistake
def none_returned(height, width, patch):
    """You returned None where the patches do not fit (after printing, perhaps). A
    message on the screen stops no program: raise a ValueError."""
    return None if height % patch or width % patch else count(height, width, patch)


@SequenceLength.mistake
def error_returned(height, width, patch):
    """You returned the ValueError instead of raising it: write `raise` before it."""
    fits = height % patch == 0 and width % patch == 0
    return count(height, width, patch) if fits else ValueError("not divisible")
