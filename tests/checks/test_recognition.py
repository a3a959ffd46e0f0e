"""Two mistakes at once are named as two."""

import time

import pytest
import torch
from torch import nn

from labkit.checks import recognition
from labkit.exercises import exercises, find

TOGETHER = [
    (exercise, pair, both)
    for exercise in exercises()
    for pair, both in recognition._pairs(exercise)
]


def names(pair):
    return " + ".join(wrong.__name__ for wrong in pair)


def unbiased_and_no_root(x, eps=1e-5):
    return (x - x.mean((0, 1))) / (x.var((0, 1)) + eps)


def layer_norm_and_eps_outside(x, eps=1e-5):
    deviation = x.std(-1, correction=0, keepdim=True)
    return (x - x.mean(-1, keepdim=True)) / (deviation + eps)


def over_two_axes_and_unbiased(x, weight=None, bias=None, eps=1e-5):
    mean = x.mean((1, 2), keepdim=True)
    y = (x - mean) / (x.var((1, 2), keepdim=True) + eps).sqrt()
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def no_root_and_no_bias(x, weight=None, bias=None, eps=1e-5):
    y = x - x.mean(-1, keepdim=True)
    y = y / (y.pow(2).mean(-1, keepdim=True) + eps)
    return y if weight is None else y * weight


def inverted_and_no_scale(query, key, value, keep=None):
    scores = query @ key.mT
    if keep is not None:
        scores = scores.masked_fill(keep, -torch.inf)
    weights = scores.softmax(-1)
    weights = weights if keep is None else weights.masked_fill(keep, 0.0)
    return weights @ value, weights


class NoRootAndNoBias(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))

    def forward(self, x):
        return no_root_and_no_bias(x, self.weight, None, self.eps)


@pytest.mark.parametrize(
    "number, answer, name",
    [
        ("1.1", unbiased_and_no_root, "batch_unbiased + batch_without_root"),
        ("1.1", layer_norm_and_eps_outside, "layer_norm_instead + batch_eps_outside"),
        ("1.2", over_two_axes_and_unbiased, "over_positions_too + unbiased"),
        ("1.2", no_root_and_no_bias, "without_root + bias_forgotten"),
        ("3.1", inverted_and_no_scale, "scale_forgotten + polarity_inverted"),
        ("1.3", NoRootAndNoBias, "without_root + bias_forgotten"),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_at_once_are_named_as_two(number, answer, name, seed):
    exercise = find(number)
    report = exercise.examine({exercise.names[0]: answer}, seed)
    assert report.mistake == name, report.text()
    assert "Likely cause: two things at once. 1. You" in report.text()
    assert " 2. You" in " ".join(report.text().split())


def test_every_pair_is_refused_and_explained():
    """Some do the same as others, or as one mistake: those may be told instead."""
    assert len(TOGETHER) > 50
    for exercise, pair, both in TOGETHER:
        answer = {**exercise.reference, pair[0].stands_in_for: both}
        report = exercise.examine(answer, seed=1)
        assert not report.passed, names(pair)
        assert report.mistake, (names(pair), report.text())


def test_what_is_neither_one_nor_two_stays_unnamed_and_takes_no_second():
    def layer_norm(x, weight=None, bias=None, eps=1e-5):
        return torch.tanh(x) * 0.123

    start = time.process_time()
    report = find("1.2").examine({"layer_norm": layer_norm})
    assert time.process_time() - start < 1
    assert report.mistake is None and report.explanation == ""
