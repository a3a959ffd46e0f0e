"""The check cell: what it says where an answer cannot be examined at all."""

import pytest
import torch

from labkit.learning.check import CheckFailed, check


def test_a_result_instead_of_a_function_is_explained():
    with pytest.raises(CheckFailed, match="without calling them"):
        check("1.1", torch.ones(2, 3, 4))


def test_an_unknown_number_is_explained():
    with pytest.raises(CheckFailed, match="no exercise 9.9; there are 1.1, 1.2"):
        check("9.9", len)
