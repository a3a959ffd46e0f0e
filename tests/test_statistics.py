"""What a record allows to say, held against data whose truth is known."""

from itertools import product

import numpy as np
import pandas
import pytest

from labkit.statistics import EXACT, around, better, interval, sign_flip, summary

DRAWN = {
    "normal": lambda dice, shape: dice.normal(size=shape),
    "heavy tails": lambda dice, shape: dice.standard_t(3, size=shape),
    "skewed": lambda dice, shape: dice.exponential(size=shape),
    "shares": lambda dice, shape: dice.binomial(100, 0.9, size=shape) / 100,
}


def test_where_there_is_nothing_at_most_36_of_400_are_alarms():
    dice = np.random.default_rng(0)
    alarms = 0
    for draw in DRAWN.values():
        for first, second in draw(dice, (100, 2, 8)):
            alarms += better(first, second) != "cannot tell"
    assert 4 <= alarms <= 36


@pytest.mark.parametrize("name", DRAWN)
def test_a_large_difference_is_found_and_its_side_is_right(name):
    dice = np.random.default_rng(1)
    found = []
    for first, second in DRAWN[name](dice, (100, 2, 8)):
        further = 3 * np.std(first - second, ddof=1) + 0.01
        found.append(better(first + further, second))
    assert found.count("first") >= 95 and "second" not in found


def brute_force(first, second):
    difference = np.subtract(first, second)
    observed = abs(difference.sum())
    sums = [abs(np.dot(s, difference)) for s in product((1, -1), repeat=len(first))]
    return np.mean([total >= observed - 1e-12 for total in sums])


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_p_is_exact(n):
    dice = np.random.default_rng(n)
    first, second = dice.normal(size=(2, n))
    assert sign_flip(first, second) == brute_force(first, second)
    tied = np.round(first), np.round(second)
    assert sign_flip(*tied) == brute_force(*tied)


def test_p_of_eight_pairs_that_agree_is_the_smallest_there_is():
    first = np.arange(8) + 1.0
    assert sign_flip(first, np.zeros(8)) == 2 / 2**8
    assert better(first, np.zeros(8)) == "first"
    assert better(np.zeros(8), first) == "second"
    assert better(first[:5], np.zeros(5)) == "cannot tell"  # 2 / 2^5 > 0.05


def test_many_pairs_are_tried_by_chance_and_always_the_same():
    dice = np.random.default_rng(0)
    first = dice.normal(size=EXACT + 4) + 0.4
    second = np.zeros(EXACT + 4)
    p = sign_flip(first, second)
    assert p == sign_flip(first, second) and 0 < p < 1
    difference = first - second
    z = difference.sum() / np.sqrt((difference**2).sum())  # nearly normal under flips
    assert abs(p - 2 * (1 - _normal(abs(z)))) < 0.01


def _normal(z):
    from math import erf, sqrt

    return (1 + erf(z / sqrt(2))) / 2


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    dice = np.random.default_rng(2)
    inside = 0
    for values in dice.normal(5, 2, size=(300, 30)):
        mean, low, high = interval(values)
        assert low <= mean <= high and mean == pytest.approx(values.mean())
        inside += low <= 5 <= high
    assert 0.90 <= inside / 300 <= 0.98
    assert interval(values) == interval(values)
    wide, narrow = interval(values, 0.99), interval(values, 0.5)
    assert wide[1] < narrow[1] < narrow[2] < wide[2]


def test_around_is_three_standard_deviations_to_each_side():
    assert around([1.0, 2.0, 3.0]) == (-1.0, 5.0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: interval([]), "one a run"),
        (lambda: interval([1.0, float("nan")]), "not every value is a number"),
        (lambda: sign_flip([1, 2], [1]), "2 runs against 1"),
        (lambda: around([1.0, 2.0]), "want three"),
    ],
)
def test_what_cannot_be_computed_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_summary_has_a_line_an_arm_and_reads_the_eight_seeds_alone():
    rows = [(arm, seed, 0.1, seed + 10.0 * (arm == "b"), True)
            for arm in "ab" for seed in (*range(8), 100)]  # fmt: skip
    table = pandas.DataFrame(rows, columns=["arm", "seed", "lr", "loss", "converged"])
    first, second = summary(table, "arm", "loss", digits=1).splitlines()
    assert first.split()[:2] == ["a", "3.5"] and second.split()[:2] == ["b", "13.5"]
    assert all(line.endswith("rate 0.1, 8 of 8 converged") for line in (first, second))
    named = summary(table, "arm {arm}, rate {lr}", "loss", "seed", scale=10, digits=0)
    assert named.splitlines()[0] == "arm a, rate 0.1: 8 of 8 converged"
    assert [line.split()[:2] for line in named.splitlines()[4:]] == [
        ["loss", "135"],
        ["seed", "35"],
    ]
