"""Exercise 2.4: legitimate answers that must pass."""

import torch
from torch.nn import functional as F

# -------------------------------------------------------------- legitimate alternatives


def merge_by_probing(weight1, bias1, weight2, bias2):
    def both(x):
        return F.linear(F.linear(x, weight1, bias1), weight2, bias2)

    zero = torch.zeros_like(weight1[0])
    bias = both(zero)
    return (both(torch.eye(len(zero)).to(zero)) - bias).T, bias


def merge_by_einsum(weight1, bias1, weight2, bias2):
    bias = (weight2 * bias1).sum(1) + bias2
    return [torch.einsum("oh,hd->od", weight2, weight1), bias]


ALTERNATIVES = [
    merge_by_probing,
    merge_by_einsum,
]
