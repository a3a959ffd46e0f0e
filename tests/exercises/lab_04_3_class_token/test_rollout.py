"""Exercise 4.3.3: legitimate answers that must pass, and wrong ones in other words."""

import torch
from torch.nn import functional as F

# -------------------------------------------------------------- legitimate alternatives


def rollout_normalized(weights):
    """A + I, its rows then divided by their sums; from the last layer back."""
    L, B, h, T, _ = weights.shape
    row = F.one_hot(torch.zeros(B, dtype=torch.int64, device=weights.device), T)
    row = row.to(weights)[:, None]
    for layer in reversed(weights):
        mixed = layer.mean(1) + torch.eye(T, dtype=layer.dtype, device=layer.device)
        row = row @ (mixed / mixed.sum(-1, keepdim=True))
    return row.squeeze(1)[:, 1:]


@torch.no_grad()
def rollout_sample_by_sample(weights):
    rows = []
    for b in range(weights.shape[1]):
        matrices = [
            0.5 * a.mean(0) + 0.5 * torch.eye(len(a[0])).to(a) for a in weights[:, b]
        ]
        total = matrices[0]
        for matrix in matrices[1:]:
            total = torch.matmul(matrix, total)
        rows.append(total[0][1:])
    return torch.stack(rows)


def rollout_by_multi_dot(weights):
    A = weights.sum(2) / weights.shape[2]
    A = A + torch.diag_embed(torch.ones_like(A[..., 0]))
    A = F.normalize(A, p=1, dim=-1).flip(0)
    return torch.stack(
        [torch.linalg.multi_dot([*A[:, b], A[0, b] * 0 + torch.eye(A.shape[-1]).to(A)])
         for b in range(A.shape[1])]
    )[:, 0, 1:]  # fmt: skip


ALTERNATIVES = [
    rollout_normalized,
    rollout_sample_by_sample,
    rollout_by_multi_dot,
]


# ---------------------------------------------------- the same mistakes, in other words


def plain_product(weights):
    R = torch.eye(weights.shape[-1]).to(weights)
    for layer in weights.mean(2):
        R = layer @ R
    return R[:, 0, 1:]


def identity_not_halved(weights):
    R = torch.eye(weights.shape[-1]).to(weights)
    for layer in weights.mean(2):
        R = R + layer @ R
    return R[:, 0, 1:]


def product_to_the_right(weights):
    R = eye = torch.eye(weights.shape[-1]).to(weights)
    for layer in weights.mean(2):
        R = R @ (0.5 * layer + 0.5 * eye)
    return R[:, 0, 1:]


def maximum(weights):
    A = (weights.max(dim=2).values + torch.eye(weights.shape[-1]).to(weights)) / 2
    R = A[0]
    for layer in A[1:]:
        R = layer @ R
    return R[:, 0, 1:]


IN_OTHER_WORDS = [
    (plain_product, "residual_forgotten"),
    (identity_not_halved, "rows_not_normalized"),
    (product_to_the_right, "earlier_on_the_left"),
    (maximum, "largest_over_heads"),
]
