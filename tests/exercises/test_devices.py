"""Checks follow the device: the same verdicts wherever the tensors lie.

Without a GPU the pretend device of labkit.validate.stand_ins stands in for it: it
refuses to mix devices as CUDA does, and draws other random numbers.
"""

import os

import pytest
import torch
from torch import nn

from labkit.checks import probes
from labkit.checks.variations import in_float32
from labkit.exercises import exercises, find
from labkit.validate import stand_ins

EXERCISES = exercises()
DEVICES = ["elsewhere"] + ["cuda"] * torch.cuda.is_available()
# What they do depends on random numbers, which a GPU draws otherwise: rejected there,
# too, but not by name.
RANDOM = {"AttentionWithDropout"}


@pytest.fixture(params=DEVICES)
def device(request):
    """A device that is not the CPU."""
    if request.param == "cuda":
        yield torch.device("cuda")
    else:
        with stand_ins.Elsewhere():
            yield stand_ins.DEVICE


def number(exercise):
    return exercise.number


def test_this_is_the_right_machine():
    """`labkit validate --matrix` runs this, too, and asks for each of its variants."""
    assert stand_ins.installed == (os.environ.get("LABKIT_VARIANT") or None)


@pytest.mark.parametrize("exercise", EXERCISES, ids=number)
def test_verdicts_are_the_same_on_every_device(exercise, device, remembered):
    here = exercise.examine(exercise.reference)
    there = exercise.examine(exercise.reference, device=device)
    assert there.to_json() == here.to_json()
    for wrong in exercise.mistakes:
        objects = {**exercise.reference, wrong.stands_in_for: wrong}
        report = exercise.examine(objects, device=device)
        assert not report.passed, wrong.__name__
        if wrong.__name__ not in RANDOM:
            assert report.mistake == wrong.__name__, report.text()


# ------------------------------------------------------------- mistakes with devices


def statistics_counted_here(x, lengths):
    alive = torch.arange(x.shape[1]) < lengths[:, None]
    return alive.sum(0), x.mean(0), x.var(0)


def statistics_brought_home(x, lengths):
    x, lengths = x.cpu(), lengths.cpu()
    right = find("1.5").reference["position_statistics"]
    return right(x, lengths)


class NormOfPlainTensors(nn.Module):
    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return (x - x.mean(-1, keepdim=True)) * torch.ones(x.shape[-1]) * self.weight


@pytest.mark.parametrize(
    "number, answer, said",
    [
        ("1.5", statistics_counted_here, "make it where the input lies"),
        ("1.3", NormOfPlainTensors, "make it where the input lies"),
        ("1.5", statistics_brought_home, "the output lies on another device"),
    ],
)
def test_a_learner_who_mixes_devices_reads_why(number, answer, said, device):
    exercise = find(number)
    report = exercise.examine({exercise.names[0]: answer}, device=device)
    assert not report.passed
    assert said in " ".join(report.text().split())


# ---------------------------------------------------------------------------- dtypes

# Their questions fix the dtype: sums that float32 rounds too much, or modules of
# PyTorch's that are float32.
FIXED = {"3.1", "3.3", "3.4"}
# Mistakes with the dtype, or visible only with many digits: right in float32.
RIGHT_IN_FLOAT32 = {
    "always_float32",
    "pre_norm_forgotten",
    "filled_in_default_dtype",
    "image_in_default_dtype",
    "rounded_to_float32",
    "FinalNormEpsOfPyTorch",
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=number)
def test_checks_hold_in_float32(exercise, remembered):
    """The questions are in float64 nearly everywhere: those tests are in the others."""
    if exercise.number in FIXED:
        pytest.skip("its questions are of one dtype")
    cases = [in_float32(case) for case in exercise.cases()]

    def judged(objects):
        replies = probes.run(exercise.probe, objects, cases, exercise.off_limits)
        return exercise.judge(cases, replies)

    right = judged(exercise.reference)
    assert {v.property for v in right.verdicts if not v.passed} <= {"written out"}
    for wrong in exercise.mistakes:
        report = judged({**exercise.reference, wrong.stands_in_for: wrong})
        assert not report.passed or wrong.__name__ in RIGHT_IN_FLOAT32, wrong.__name__
