"""Exercise 4.1.1: legitimate answers that must pass, and wrong ones in other words."""

import numpy as np
import pytest

# -------------------------------------------------------------- legitimate alternatives


def length_by_divmod(height, width, patch):
    (rows, below), (columns, right) = divmod(height, patch), divmod(width, patch)
    if below or right:
        raise ValueError(
            f"cannot cut {height} × {width} pixels into patches of {patch}"
        )
    return rows * columns


def length_by_area(height, width, patch):
    wrong = [side for side in (height, width) if side % patch != 0]
    if wrong:
        raise ValueError(f"sides {wrong} do not divide by {patch}")
    return int(height * width / patch**2)


def length_by_counting(height, width, patch):
    for side in (height, width):
        if side not in range(0, side + 1, patch):
            message = f"patch {patch} does not fit into {side}\nchoose another"
            raise ValueError(message)
    return sum(1 for _ in range(0, height, patch) for _ in range(0, width, patch))


class PatchError(ValueError):
    """A learner's own error is a ValueError if it derives from it."""


def length_with_its_own_error(height, width, patch):
    for side in (height, width):
        if side % patch:
            raise PatchError(f"a side of {side} pixels, patches of {patch}")
    return height // patch * (width // patch)


def length_by_numpy(height, width, patch):
    length_by_divmod(height, width, patch)
    return np.prod([height // patch, width // patch])


ALTERNATIVES = [
    length_by_divmod,
    length_by_area,
    length_by_counting,
    length_with_its_own_error,
    length_by_numpy,
]


# ---------------------------------------------------- the same mistakes, in other words


def length_floored(height, width, patch):
    return len(range(patch, height + 1, patch)) * len(range(patch, width + 1, patch))


def length_of_a_square(height, width, patch):
    if height % patch or width % patch:
        raise ValueError(f"{height}x{width}? {patch} does not go into that!")
    return (height // patch) ** 2


def length_printed(height, width, patch):
    if height % patch or width % patch:
        print("patches do not fit")
    else:
        return height * width // patch**2


IN_OTHER_WORDS = [
    (length_floored, "rounded_down"),
    (length_of_a_square, "taken_for_square"),
    (length_printed, "none_returned"),
]


# ------------------------------------------------------ what is said, and what is right


@pytest.mark.parametrize("message", [(), ("",), ("does not divide",), ("427 of 16",)])
def test_an_error_that_does_not_name_the_numbers_is_sent_back(message, told):
    def sequence_length(height, width, patch):
        if height % patch or width % patch:
            raise ValueError(*message)
        return height * width // patch**2

    said = told("4.1.1", sequence_length)
    assert "fails on: the error names the numbers" in said
    assert "the side that does not fit" in said


def test_another_error_than_asked_for_is_sent_back(told):
    def sequence_length(height, width, patch):
        if height % patch or width % patch:
            raise TypeError(f"{height} × {width} does not fit {patch}")
        return height * width // patch**2

    said = told("4.1.1", sequence_length)
    assert "should raise ValueError" in said and "it raised TypeError" in said


def test_a_length_that_is_a_float_is_sent_back(told):
    def sequence_length(height, width, patch):
        length_by_divmod(height, width, patch)
        return height / patch * (width / patch)

    assert "a float. A length must be an int" in told("4.1.1", sequence_length)
