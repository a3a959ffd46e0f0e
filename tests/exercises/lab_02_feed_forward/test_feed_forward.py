"""Exercise 2.2: legitimate answers that must pass, and wrong ones in other words."""

import torch

# -------------------------------------------------------------- legitimate alternatives


def feed_forward_matmul(x, weight1, bias1, weight2, bias2, activation):
    return activation(x @ weight1.T + bias1) @ weight2.mT + bias2


def feed_forward_einsum(x, weight1, bias1, weight2, bias2, activation):
    hidden = activation(torch.einsum("...d,hd->...h", x, weight1) + bias1)
    return torch.einsum("...h,dh->...d", hidden, weight2) + bias2


def feed_forward_flat(x, weight1, bias1, weight2, bias2, activation):
    flat = x.reshape(-1, x.shape[-1])
    rows = [weight2 @ activation(weight1 @ row + bias1) + bias2 for row in flat]
    return torch.stack(rows).reshape(x.shape)


ALTERNATIVES = [
    feed_forward_matmul,
    feed_forward_einsum,
    feed_forward_flat,
]


# ---------------------------------------------------- the same mistakes, in other words


def feed_forward_linear(x, weight1, bias1, weight2, bias2, activation):
    weight, bias = weight2 @ weight1, weight2 @ bias1 + bias2
    return x @ weight.T + bias


def feed_forward_second_first(x, weight1, bias1, weight2, bias2, activation):
    return activation(x @ weight2.T + bias2) @ weight1.T + bias1


IN_OTHER_WORDS = [
    (feed_forward_linear, "activation_forgotten"),
    (feed_forward_second_first, "not_transposed"),
]
