"""Exercise 3.5: how far a head looks, on average."""

import torch

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case


class AttentionDistance(Exercise):
    """attention_distance(weights, positions): how far each head looks, on average."""

    number = "3.5"

    @staticmethod
    def attention_distance(weights, positions):
        apart = (positions[:, None] - positions).pow(2).sum(-1)
        apart = apart.sqrt()  # (T, T); positions carry no gradient
        return (weights * apart).sum(-1).mean(-1)

    reference = {"attention_distance": attention_distance}

    def draw_cases(self, draw: Draw):
        B, h, T = draw.sizes(3)
        for name, shape, axes in (
            ("positions (T, 2)", (B, h, T, T), 2),
            ("positions (T, 1)", (B, h, T, T), 1),
            ("one image", (h, T, T), 3),
        ):
            weights = draw.normal(*shape, std=2).softmax(-1)
            args = {"weights": weights, "positions": draw.normal(T, axes, std=3)}
            # the root has no slope at 0, where a token meets itself: values only
            yield Case(
                name, "attention_distance", args, gradients=False, edge=len(shape) == 3
            )


def distances(positions):
    return torch.cdist(positions, positions)


@AttentionDistance.mistake
def distance_unweighted(weights, positions):
    """You averaged the distances without the weights."""
    mean = distances(positions).mean()
    return torch.ones_like(weights[..., 0, 0]) * mean + 0 * weights.sum((-2, -1))


@AttentionDistance.mistake
def distance_squared(weights, positions):
    """You averaged squared distances; take the distance itself."""
    return (weights * distances(positions) ** 2).sum(-1).mean(-1)


@AttentionDistance.mistake
def distance_in_steps(weights, positions):
    """You added the distances along the axes (city blocks). Take the straight line:
    the root of the sum of squares."""
    apart = torch.cdist(positions, positions, p=1)
    return (weights * apart).sum(-1).mean(-1)


@AttentionDistance.mistake
def distance_summed(weights, positions):
    """You summed over the queries; average over them."""
    return (weights * distances(positions)).sum((-2, -1))


@AttentionDistance.mistake
def distance_averaged_twice(weights, positions):
    """You averaged over the keys. The weights of a query already sum to 1: add up over
    the keys, then average over the queries."""
    return (weights * distances(positions)).mean((-2, -1))


@AttentionDistance.mistake
def distance_to_the_strongest(weights, positions):
    """You took the distance to the most attended key. Every key counts, by its
    weight."""
    apart = distances(positions).expand_as(weights)
    strongest = weights.argmax(-1, keepdim=True)
    return apart.gather(-1, strongest).squeeze(-1).mean(-1) + 0 * weights.sum((-2, -1))


@AttentionDistance.mistake
def distance_to_the_mean_position(weights, positions):
    """You took the distance to the mean attended position. A head that looks left and
    right alike would get distance 0: average the distances instead."""
    return (weights @ positions - positions).norm(dim=-1).mean(-1)


@AttentionDistance.mistake
def distance_over_all_heads(weights, positions):
    """You averaged over the heads too. Every head has its own distance."""
    return (weights * distances(positions)).sum(-1).mean((-2, -1))
