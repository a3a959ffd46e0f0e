"""Every arm at its own learning rate, chosen on other seeds than it is read on."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from labkit.experiment.script import Setting

if TYPE_CHECKING:
    import pandas

LADDER = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
CHOOSE, READ = (100, 101, 102), range(8)  # seeds for choosing, seeds for reading


def tuned(
    record: "pandas.DataFrame",
    arms: Iterable[Setting],
    column: str,
    slack: float,
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2),
) -> Iterator[Setting]:
    """For settings(): every arm at its own learning rate.

    Each arm first tries the rates on seeds 100 to 102; the one with the lowest mean of
    `column` is read with seeds 0 to 7. The grid grows by a step of LADDER where only
    its first or last rate is within `slack` of the best.
    """
    for arm in arms:
        tried = [LADDER.index(rate) for rate in rates]
        while True:
            means = [_mean(record, arm | {"lr": LADDER[n]}, column) for n in tried]
            for n in tried:
                yield from (arm | {"lr": LADDER[n], "seed": seed} for seed in CHOOSE)
            if None in means:
                break  # asked again when these have been run
            good = [n for n, mean in enumerate(means) if mean <= min(means) + slack]
            inner = [n for n in good if 0 < n < len(tried) - 1]
            best = min(inner or good, key=means.__getitem__)
            low, high = tried[0], tried[-1]
            if not inner and best == 0 and low > 0:
                tried.insert(0, low - 1)
            elif not inner and best > 0 and high < len(LADDER) - 1:
                tried.append(high + 1)
            else:
                lr = LADDER[tried[best]]
                yield from (arm | {"lr": lr, "seed": seed} for seed in READ)
                break


def _mean(record: "pandas.DataFrame", setting: Setting, column: str) -> float | None:
    """Mean of a column over the seeds for choosing; None before they have been run."""
    if record.empty:
        return None
    rows = record[record.seed.isin(CHOOSE)]
    for factor, value in setting.items():
        rows = rows[rows[factor] == value]
    return None if rows.empty else float(rows[column].mean())
