"""The check cell: what it says where an answer cannot be examined at all."""

import pytest
import torch
from torch.nn import functional as F

from labkit.exercises import find
from labkit.grading.sandbox import check_stand_in
from labkit.learning.check import CheckFailed, check


def test_a_result_instead_of_a_function_is_explained():
    with pytest.raises(CheckFailed, match="without calling them"):
        check("1.1", torch.ones(2, 3, 4))


def test_an_unknown_number_is_explained():
    with pytest.raises(CheckFailed, match="no exercise 9.9; there are 1.1, 1.2"):
        check("9.9", len)


def test_a_table_of_the_known_questions_does_not_pass(capsys):
    exercise = find("4.2.4")
    count = exercise.reference["parameter_count"]
    asked = [tuple(case.args.values()) for case in exercise.cases()]
    table = {sizes: count(*sizes) for sizes in asked}
    with pytest.raises(CheckFailed, match="4.2.4"):
        check("4.2.4", lambda *sizes: table.get(sizes, 0))
    check("4.2.4", count)
    assert capsys.readouterr().out.startswith("✓ 4.2.4")


def test_a_failing_case_can_be_looked_at(capsys):
    def layer_norm(x, weight=None, bias=None, eps=1e-5):
        right = F.layer_norm(x, x.shape[-1:], weight, bias, eps)
        return torch.cat([right[..., :-1], right[..., -1:] + 1], -1)

    with pytest.raises(CheckFailed, match=r'check\.case\("1\.2"\)'):
        check("1.2", layer_norm)
    seen = check.case("1.2")
    x, weight, bias = (seen.inputs[name] for name in ("x", "weight", "bias"))
    wanted = F.layer_norm(x, x.shape[-1:], weight, bias, seen.inputs["eps"])
    assert torch.allclose(seen.expected, wanted)
    assert torch.equal(seen.output, layer_norm(**seen.inputs))
    row = "    " + "·" * (x.shape[-1] - 1) + "█"
    assert f"output differs in {x[..., 0].numel()} of {x.numel()} entries" in repr(seen)
    assert repr(seen).splitlines()[-x.shape[-2] :] == [row] * x.shape[-2]


def test_there_may_be_no_case_to_look_at(capsys):
    def gelu(x):
        return 0.5 * x * (1 + torch.erf(x / 2**0.5))

    check("2.1", gelu)
    assert check.case("2.1") is None
    assert "found no wrong case" in capsys.readouterr().out
    assert check.case("9.9") is None
    assert "not checked here yet" in capsys.readouterr().out


def test_a_case_that_raises_can_be_looked_at():
    with pytest.raises(CheckFailed):
        check("2.1", lambda x: x + [])
    seen = check.case("2.1")
    assert seen.output is None and seen.error.startswith("TypeError")
    assert seen.error in repr(seen)


def test_the_twin_in_the_sandbox_shows_nothing():
    assert set(vars(check_stand_in.check)) == {"case"}
    assert check_stand_in.check.case("1.2") is None
