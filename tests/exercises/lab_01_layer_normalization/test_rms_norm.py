"""Exercise 1.7: legitimate answers that must pass."""

import torch

# -------------------------------------------------------------- legitimate alternatives


def rms_norm_by_length(x, weight=None, eps=1e-6):
    C = x.shape[-1]
    y = x / torch.sqrt(torch.linalg.vector_norm(x, dim=-1, keepdim=True) ** 2 / C + eps)
    return y if weight is None else weight * y


def rms_norm_by_einsum(x, weight=None, eps=1e-6):
    square = torch.einsum("...c,...c->...", x, x) / x.shape[-1]
    y = x * torch.rsqrt(square + eps).unsqueeze(-1)
    return y.mul(weight) if weight is not None else y


ALTERNATIVES = [
    rms_norm_by_length,
    rms_norm_by_einsum,
]
