"""What a record allows to say: intervals, and whether one arm is better than another.

In the spirit of Agarwal et al. 2021 (arXiv:2108.13264): means with intervals instead of
single runs. *Better* is decided by an exact paired sign-flip test, since at eight seeds
a percentile bootstrap of the difference raises twice the alarms that it promises.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas

RESAMPLES = 10_000
EXACT = 16  # pairs: up to 65,536 ways to set the signs, all of them are tried

Values = Sequence[float] | np.ndarray


def interval(values: Values, level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high): the mean and its percentile bootstrap interval.

    The runs are drawn again with replacement 10,000 times, from the same seed each
    time: the same values give the same interval (Efron 1979). At eight values it is
    somewhat too narrow; it is for figures, `better` decides.

    Raises ValueError without values, or for one that is not a number.
    """
    values = _numbers(values)
    picks = np.random.default_rng(0).integers(
        len(values), size=(RESAMPLES, len(values))
    )
    edges = (1 - level) / 2, (1 + level) / 2
    low, high = np.quantile(values[picks].mean(1), edges)
    return float(values.mean()), float(low), float(high)


def sign_flip(first: Values, second: Values) -> float:
    """Two-sided p of the paired sign-flip test of `first` against `second`.

    If the arms do not differ, each pair's difference is as likely as its negative: p is
    the share of all 2^n choices of signs whose sum is at least as far from 0 as the
    observed one (Fisher 1935, The Design of Experiments, §21). Above 16 pairs 100,000
    random choices stand in for all, from the same seed each time. The smallest p at
    n pairs is 2 / 2^n: fewer than six can never give 0.05.

    Raises ValueError where the arms have different numbers of runs.
    """
    first, second = _numbers(first), _numbers(second)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} runs against {len(second)}: these are no pairs")
    difference, n = first - second, len(first)
    if n <= EXACT:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(0).integers(2, size=(10 * RESAMPLES, n))
        bits[0] = 0  # the observed one belongs to them
    sums = np.abs((1 - 2 * bits) @ difference)
    rounding = 1e-12 * np.abs(difference).sum()
    return float((sums >= abs(difference.sum()) - rounding).mean())


def better(first: Values, second: Values, alpha: float = 0.05) -> str:
    """Which arm has the larger values: "first", "second" or "cannot tell".

    first, second   one value a run, in the same order of seeds
    """
    if sign_flip(first, second) > alpha:
        return "cannot tell"
    return "first" if np.mean(first) > np.mean(second) else "second"


def around(values: Values) -> tuple[float, float]:
    """(low, high): three standard deviations of the runs to each side of their mean.

    For `about`: print(about(live, *around(record("…").query("…").accuracy))).
    """
    values = _numbers(values)
    if len(values) < 3:
        raise ValueError(f"{len(values)} runs say nothing of a spread; want three")
    middle, spread = values.mean(), values.std(ddof=1)
    return float(middle - 3 * spread), float(middle + 3 * spread)


def summary(
    runs: "pandas.DataFrame",
    by: str,
    *columns: str,
    scale: float = 1,
    digits: int = 2,
) -> str:
    """What the runs of a record say, arm by arm: mean, 95 % interval, rate, budget.

    runs     rows of a record
    by       what names an arm, in the order of the record: a column, or a text with
             columns in braces, as in "h = {heads}, {steps} steps"
    columns  whose means are shown, times `scale`, with so many `digits` after the
             point; several have a line each
    """
    found = arms(runs, by)
    width = max(map(len, (*found, *(f"    {name}" for name in columns))))
    lines = []
    for name, arm in found.items():
        said = [] if "{lr" in by else [f"rate {arm.lr.iloc[0]:g}"]
        if "converged" in arm:
            said.append(f"{arm.converged.sum()} of {len(arm)} converged")
        rate = ", ".join(said)
        means = []
        for column in columns:
            mean, low, high = (
                f"{scale * value:.{digits}f}" for value in interval(arm[column])
            )
            means.append(f"{mean:>{digits + 4}} [{low}, {high}]")
        if len(columns) == 1 and width <= 30:
            lines.append(f"{name:{width}} {means[0]}  {rate}")
            continue
        lines.append(f"{name}: {rate}")
        for column, mean in zip(columns, means, strict=True):
            lines.append(f"{'    ' + column:{width}} {mean}")
    return "\n".join(lines)


def arms(runs: "pandas.DataFrame", by: str) -> dict[str, "pandas.DataFrame"]:
    """The runs with seeds 0 to 7, by the name of their arm, in the order of the record.

    by   a column, or a text with columns in braces
    """
    read = runs[runs.seed < 8].sort_values("seed", kind="stable")
    text = by if "{" in by else f"{{{by}}}"
    names = {n: text.format(**row) for n, row in runs.to_dict("index").items()}
    order = dict.fromkeys(names[n] for n in runs.index[runs.seed < 8])
    groups = dict(list(read.groupby(names)))
    return {name: groups[name] for name in order}


def _numbers(values: Values) -> np.ndarray:
    """The values as float64, (n,)."""
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or not len(numbers):
        raise ValueError(f"want values one a run, got the shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"not every value is a number: {numbers.tolist()}")
    return numbers
