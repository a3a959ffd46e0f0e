"""Exercise 1.4: legitimate answers that must pass, and wrong ones in other words."""

import torch

# -------------------------------------------------------------- legitimate alternatives


def backward_textbook(grad_output, x, weight, eps=1e-5):
    """Path by path, as in the batch norm paper."""
    C = x.shape[-1]
    mu = x.mean(-1, keepdim=True)
    variance = ((x - mu) ** 2).mean(-1, keepdim=True)
    inverse = (variance + eps) ** -0.5
    h = grad_output * weight
    grad_variance = (h * (x - mu) * -0.5 * inverse**3).sum(-1, keepdim=True)
    grad_mu = (-h * inverse).sum(-1, keepdim=True)
    grad_x = h * inverse + grad_variance * 2 * (x - mu) / C + grad_mu / C
    x_hat = (x - mu) * inverse
    return (
        grad_x,
        (grad_output * x_hat).flatten(0, 1).sum(0),
        grad_output.flatten(0, 1).sum(0),
    )


def backward_einsum_list(grad_output, x, weight, eps=1e-5):
    """A list instead of a tuple, einsum for the sums."""
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    x_hat = (x - mean) / (variance + eps).sqrt()
    h, C = grad_output * weight, x.shape[-1]
    dot = torch.einsum("btc,btc->bt", h, x_hat)[..., None]
    grad_x = (C * h - h.sum(-1, keepdim=True) - x_hat * dot) / C
    return [
        grad_x / (variance + eps).sqrt(),
        torch.einsum("btc,btc->c", grad_output, x_hat),
        torch.einsum("btc->c", grad_output),
    ]


ALTERNATIVES = [
    backward_textbook,
    backward_einsum_list,
]


# ---------------------------------------------------- the same mistakes, in other words


def backward_missing_both(grad_output, x, weight, eps=1e-5):
    std = (x.var(-1, correction=0, keepdim=True) + eps).sqrt()
    x_hat = (x - x.mean(-1, keepdim=True)) / std
    grad_weight = (grad_output * x_hat).sum((0, 1))
    return grad_output * weight / std, grad_weight, grad_output.sum((0, 1))


IN_OTHER_WORDS = [
    (backward_missing_both, "statistics_constant"),
]
