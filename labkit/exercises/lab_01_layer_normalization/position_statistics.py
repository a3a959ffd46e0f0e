"""Exercise 1.5: what batch norm would know at each position of sequences that end."""

import torch

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case


def masked_statistics(x, alive):
    """Count (T,), mean and biased variance (T, C) where alive (B, T)."""
    count = alive.sum(0)
    n = count[:, None].to(x)
    kept = torch.where(alive[..., None], x, 0.0)
    mean = kept.sum(0) / n
    squares = torch.where(alive[..., None], (x - mean) ** 2, 0.0)
    return count, mean, squares.sum(0) / n


def living(x, lengths):
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]


def padding_ignored(cases: Cases, replies: Replies) -> str | None:
    before, after = (
        replies[name]["output"] for name in ("unequal lengths", "other padding")
    )
    same = [
        torch.equal(a.nan_to_num(), b.nan_to_num())
        for a, b in zip(before, after, strict=True)
    ]
    if all(same):
        return None
    what = ("count", "mean", "var")[same.index(False)]
    return (
        f"Only the padding was changed, yet {what} changed: entries at t ≥ length are "
        "not part of the sample."
    )


class PositionStatistics(Exercise):
    """position_statistics(x, lengths): what batch norm would know at each position."""

    number = "1.5"
    fixed = {"length": "the lengths say where samples end inside x"}
    properties = (padding_ignored,)

    @staticmethod
    def position_statistics(x, lengths):
        return masked_statistics(x, living(x, lengths))

    reference = {"position_statistics": position_statistics}

    def draw_cases(self, draw: Draw):
        B, T, C = draw.sizes(3, low=4)
        lengths = draw.integers(1, T - 2, B)
        lengths[0], lengths[1] = T - 1, 1  # one sample alone near the end, then none
        x = draw.normal(B, T, C, mean=3, std=2)
        other = torch.where(living(x, lengths)[..., None], x, draw.normal(B, T, C))
        unset = torch.where(living(x, lengths)[..., None], x, torch.nan)
        for name, values, size in (
            ("unequal lengths", x, lengths),
            ("other padding", other, lengths),
            ("all of full length", x, torch.full((B,), T)),
            ("NaN as padding", unset, lengths),
        ):
            args = {"x": values, "lengths": size}
            edge = values is unset
            yield Case(name, "position_statistics", args, gradients=False, edge=edge)


@PositionStatistics.mistake
def padding_counted(x, lengths):
    """You averaged over all samples, padding included. Only samples longer than t have
    a token at position t."""
    return masked_statistics(x, torch.ones_like(x[..., 0], dtype=torch.bool))


@PositionStatistics.mistake
def padding_multiplied(x, lengths):
    """Your padding still takes part in the sums, multiplied by 0, perhaps; and 0 · NaN
    is NaN. It may hold anything: leave it out with torch.where, masked_fill or an
    index."""
    alive = living(x, lengths)
    count, keep = alive.sum(0), alive[..., None].to(x)
    mean = (x * keep).sum(0) / count[:, None]
    return count, mean, ((x - mean) ** 2 * keep).sum(0) / count[:, None]


@PositionStatistics.mistake
def padding_as_zeros(x, lengths):
    """You set the padding to zero but still divided by the number of samples. Divide by
    the number still alive at each position."""
    alive = living(x, lengths)
    kept = torch.where(alive[..., None], x, 0.0)
    return alive.sum(0), kept.mean(0), kept.var(0, correction=0)


@PositionStatistics.mistake
def one_position_too_many(x, lengths):
    """You count a sample as alive at position t = length. Positions start at 0, so the
    last one is length − 1: alive where t < length."""
    alive = torch.arange(x.shape[1], device=x.device) <= lengths[:, None]
    return masked_statistics(x, alive)


@PositionStatistics.mistake
def one_position_too_few(x, lengths):
    """You drop the last token of every sample. Positions start at 0: alive where
    t < length."""
    alive = torch.arange(x.shape[1], device=x.device) < lengths[:, None] - 1
    return masked_statistics(x, alive)


@PositionStatistics.mistake
def position_unbiased(x, lengths):
    """You divided by count − 1. Here, as in the norm itself, divide by the count: one
    sample alone then has variance 0, not NaN."""
    count, mean, var = masked_statistics(x, living(x, lengths))
    n = count[:, None].to(x)
    return count, mean, var * n / (n - 1)


@PositionStatistics.mistake
def zeros_where_none(x, lengths):
    """You return 0 where no sample is alive. There is no statistic there: NaN says so,
    and nobody mistakes it for a mean of 0."""
    count, mean, var = masked_statistics(x, living(x, lengths))
    return count, mean.nan_to_num(), var.nan_to_num()


@PositionStatistics.mistake
def positions_pooled(x, lengths):
    """You pooled all positions into one mean and one variance per channel. The question
    here is each position by itself."""
    alive = living(x, lengths)
    mean = x[alive].mean(0).expand(x.shape[1:])
    return alive.sum(0), mean, x[alive].var(0, correction=0).expand(x.shape[1:])


@PositionStatistics.mistake
def deviation_instead(x, lengths):
    """You returned the standard deviation; return the variance, its square."""
    count, mean, var = masked_statistics(x, living(x, lengths))
    return count, mean, var.sqrt()
