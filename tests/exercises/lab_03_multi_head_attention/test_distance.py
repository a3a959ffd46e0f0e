"""Exercise 3.5: legitimate answers that must pass, and wrong ones in other words."""

import torch

# -------------------------------------------------------------- legitimate alternatives


def distance_by_einsum(weights, positions):
    apart = (positions.unsqueeze(0) - positions.unsqueeze(1)).norm(dim=-1)
    return torch.einsum("...qk,qk->...q", weights, apart).mean(-1)


def distance_by_cdist(weights, positions):
    total = (weights * torch.cdist(positions, positions)).sum((-2, -1))
    return total / len(positions)


def distance_by_loop(weights, positions):
    T = len(positions)
    total = torch.zeros_like(weights[..., 0, 0])
    for q in range(T):
        for k in range(T):
            apart = torch.linalg.vector_norm(positions[q] - positions[k])
            total += weights[..., q, k] * apart
    return total / T


ALTERNATIVES = [
    distance_by_einsum,
    distance_by_cdist,
    distance_by_loop,
]


# ---------------------------------------------------- the same mistakes, in other words


def distance_of_the_largest(weights, positions):
    nearest = torch.cdist(positions, positions)
    chosen = weights.max(-1).indices
    rows = torch.arange(len(positions))
    return nearest[rows, chosen].mean(-1)


IN_OTHER_WORDS = [
    (distance_of_the_largest, "distance_to_the_strongest"),
]
