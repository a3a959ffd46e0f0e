"""Exercise 4.1.5: legitimate answers that must pass, and wrong ones in other words."""

import math

from .test_sequence_length import length_by_divmod

# -------------------------------------------------------------- legitimate alternatives


def bytes_step_by_step(height, width, patch, heads, bytes_per_value):
    sequence = 1 + length_by_divmod(height, width, patch)
    matrix = sequence * sequence * bytes_per_value
    return sum(matrix for _ in range(heads))


def bytes_as_a_float(height, width, patch, heads, bytes_per_value):
    sequence = height / patch * width / patch + 1
    return math.prod((heads, sequence, sequence, bytes_per_value))


ALTERNATIVES = [
    bytes_step_by_step,
    bytes_as_a_float,
]


# ---------------------------------------------------- the same mistakes, in other words


def bytes_without_class_token(height, width, patch, heads, bytes_per_value):
    N = height * width / patch**2
    return N * N * heads * bytes_per_value


IN_OTHER_WORDS = [
    (bytes_without_class_token, "class_token_forgotten"),
]
