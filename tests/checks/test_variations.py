"""What every exercise is asked besides its author's questions."""

import pytest
import torch
from torch import nn

from labkit import paths
from labkit.checks.exercise import PUBLIC_SEED
from labkit.checks.variations import BATCH, LENGTH, ONE, SINGLE
from labkit.exercises import exercises, find


def number(exercise):
    return exercise.number


def tensors(case):
    values = {**case.args, **case.kwargs, **case.inputs}.values()
    return [v for v in values if isinstance(v, torch.Tensor)]


@pytest.mark.parametrize("exercise", exercises(), ids=number)
@pytest.mark.parametrize("seed", [PUBLIC_SEED, 1, 2, 3])
def test_every_exercise_is_asked_in_other_ways_or_says_why_not(exercise, seed):
    cases = exercise.cases(seed)
    added = [case for case in cases if case.derived]
    assert set(exercise.fixed) <= {ONE, BATCH, LENGTH, SINGLE}
    assert all(len(reason) > 10 for reason in exercise.fixed.values())
    if not any(map(tensors, cases)):  # numbers, or weights in a dict
        assert not any(case.then for case in added)
        return
    one = any(case.name.endswith("single sample") for case in added)
    assert one != bool({ONE, BATCH} & set(exercise.fixed))
    sizes_vary = {BATCH, LENGTH} - set(exercise.fixed)
    assert any(case.then for case in added) == bool(sizes_vary)
    single = any(t.dtype == torch.float32 for c in cases for t in tensors(c))
    assert single or SINGLE in exercise.fixed


@pytest.mark.parametrize("exercise", exercises(), ids=number)
def test_the_reference_answers_them(exercise):
    for seed in (PUBLIC_SEED, 5, 6):
        cases = exercise.cases(seed)
        for case, reply in zip(cases, exercise.right(cases), strict=True):
            assert not (case.derived and reply["error"]), (case.name, reply["error"])


LABS = sorted((paths.root() / "solutions").glob("lab_0[1-4]*.py"))


@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.stem)
def test_a_lab_says_in_which_dtype_its_questions_are_asked(lab):
    opening = " ".join(lab.read_text("utf-8").partition("import torch")[0].split())
    assert "The checks ask in float64 and in float32" in opening
    asked = {
        tensor.dtype
        for exercise in exercises()
        if lab.stem in type(exercise).__module__
        for case in exercise.cases()
        for tensor in tensors(case)
    }
    assert {torch.float64, torch.float32} <= asked


class RemembersTheBatch(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.kept = None

    def forward(self, x):
        if self.kept is None or self.kept.dtype != x.dtype:
            self.kept = self.class_token.expand(len(x), -1, -1)
        return torch.cat([self.kept, x], dim=1)


def squeezed(tokens, how):
    right = find("4.3.2").reference["pool"]
    return tokens[:, 0].squeeze() if how == "class" else right(tokens, how)


@pytest.mark.parametrize(
    "of, answer, said",
    [
        ("4.3.1", RemembersTheBatch, "again, with inputs of other sizes"),
        ("4.3.2", squeezed, "a single sample"),
        ("2.7", lambda *a: find("2.7").reference["swiglu"](*a).double(), "float64"),
    ],
)
def test_what_passed_before_is_refused(of, answer, said):
    exercise = find(of)
    report = exercise.examine({exercise.names[0]: answer})
    assert not report.passed
    assert said in " ".join(report.text().split()), report.text()


def test_a_mask_that_is_kept_is_refused():
    reference = find("3.1").reference["scaled_dot_product_attention"]
    kept = {}

    def attention(query, key, value, keep=None):
        sizes = (*query.shape[:-1], key.shape[-2])
        keep = kept.setdefault(sizes, keep) if keep is None else keep
        kept[sizes] = keep
        return reference(query, key, value, keep)

    report = find("3.1").examine({"scaled_dot_product_attention": attention})
    assert not report.passed
    assert "in call 3, the output[0] is wrong" in " ".join(report.text().split()), (
        report.text()
    )


def test_a_module_that_keeps_the_last_mask_is_refused():
    class KeepsTheMask(find("3.4").reference["MultiHeadAttention"]):
        kept = None

        def forward(self, x, keep=None):
            usable = self.kept is not None and self.kept.shape[-1] == x.shape[1]
            keep = self.kept if keep is None and usable else keep
            self.kept = keep
            return super().forward(x, keep)

    exercise = find("3.4")
    right = exercise.reference["from_torch"]

    def from_torch(attention):
        return right(attention, KeepsTheMask)

    answers = {"MultiHeadAttention": KeepsTheMask, "from_torch": from_torch}
    report = exercise.examine(answers)
    assert "in call 3" in report.text(), report.text()


def rounded(x, weight=None, bias=None, eps=1e-5):
    third = torch.tensor(1 / 3)  # a float32 without axes, which leaves x in float64
    right = find("1.2").reference["layer_norm"]
    return right(x, weight, bias, eps) * third * 3


def test_float32_inside_is_told_and_placed():
    report = find("1.2").examine({"layer_norm": rounded})
    said = " ".join(report.text().split())
    assert "something here is float32" in said
    assert "third = torch.tensor(1 / 3)" in said
