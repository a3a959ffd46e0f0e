"""Exercise 2.6: legitimate answers that must pass."""

import torch

# -------------------------------------------------------------- legitimate alternatives


def sequential_steps(x, norm1, attention, norm2, feed_forward):
    for norm, sublayer in ((norm1, attention), (norm2, feed_forward)):
        x = torch.add(sublayer(norm(x)), x)
    return x


def parallel_sum(x, norm, attention, feed_forward):
    return sum(layer(norm(x)) for layer in (attention, feed_forward)) + x


def sequential_in_one_line(x, norm1, attention, norm2, feed_forward):
    return (y := x + attention(norm1(x))) + feed_forward(norm2(y))


def parallel_normalized_once(x, norm, attention, feed_forward):
    normed = norm(x)
    return torch.stack([x, attention(normed), feed_forward(normed)]).sum(0)


ALTERNATIVES = [
    (sequential_steps, parallel_sum),
    (sequential_in_one_line, parallel_normalized_once),
]
