"""Exercise 1.1: legitimate answers that must pass, and wrong ones in other words."""

import torch

# -------------------------------------------------------------- legitimate alternatives


def batch_norm_by_loop(x, eps=1e-5):
    columns = []
    for c in range(x.shape[-1]):
        values = x[:, :, c]
        spread = ((values - values.mean()) ** 2).mean()
        columns.append((values - values.mean()) / (spread + eps) ** 0.5)
    return torch.stack(columns, dim=-1)


def batch_norm_flat(x, eps=1e-5):
    variance, mean = torch.var_mean(x.reshape(-1, x.shape[-1]), 0, correction=0)
    return ((x - mean) * torch.rsqrt(variance + eps)).reshape(x.shape)


def batch_norm_einsum(x, eps=1e-5):
    n = x.shape[0] * x.shape[1]
    x = x - torch.einsum("btc->c", x) / n
    return x / torch.sqrt(torch.einsum("btc,btc->c", x, x) / n + eps)


ALTERNATIVES = [
    batch_norm_by_loop,
    batch_norm_flat,
    batch_norm_einsum,
]


# ---------------------------------------------------- the same mistakes, in other words


def batch_norm_root_plus_eps(x, eps=1e-5):
    flat = x.flatten(0, 1)
    return (x - flat.mean(0)) / (flat.var(0).sqrt() + eps)


IN_OTHER_WORDS = [
    (batch_norm_root_plus_eps, "batch_std_plus_eps"),
]
