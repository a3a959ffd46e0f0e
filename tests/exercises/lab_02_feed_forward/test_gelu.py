"""Exercise 2.1: legitimate answers that must pass, and wrong ones in other words."""

import math

import torch

from labkit.exercises import find

# -------------------------------------------------------------- legitimate alternatives


def gelu_by_distribution(x):
    return x * torch.distributions.Normal(0, 1).cdf(x)


def gelu_by_erfc(x):
    return x * torch.special.erfc(-x / math.sqrt(2)) / 2


def gelu_by_rounded_root(x):
    return x / 2 * (1 + torch.erf(x / torch.sqrt(torch.tensor(2.0))))


def gelu_by_ndtr(x):
    return torch.special.ndtr(x).mul(x)


ALTERNATIVES = [
    gelu_by_distribution,
    gelu_by_erfc,
    gelu_by_ndtr,
    gelu_by_rounded_root,
]


# ---------------------------------------------------- the same mistakes, in other words


def gelu_tanh_by_hand(x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + torch.tanh(inner))


IN_OTHER_WORDS = [
    (gelu_tanh_by_hand, "tanh_gelu"),
]


# ------------------------------------------------------ what is said, and what is right


def test_a_rounded_root_of_two_is_right_with_every_seed():
    for seed in range(20):
        report = find("2.1").examine({"gelu": gelu_by_rounded_root}, seed)
        assert report.passed, report.text()
