"""`labkit experiment --check`: a sample of the rows, run again and compared."""

import math
import random
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from labkit.experiment import records, run
from labkit.experiment.records import Row, read, written
from labkit.experiment.script import Experiment


def differences(experiment: Experiment, stored: Row, again: Row) -> dict[str, float]:
    """How far each result is off, in tolerances: above 1 it is a miss."""
    names = compared(experiment, stored)
    return {n: _off(experiment, n, stored.get(n), again.get(n)) for n in names}


def compared(experiment: Experiment, row: Row) -> list[str]:
    """Columns that must come again: all with a tolerance, or what checked() says."""
    checked = getattr(experiment.module, "checked", None)
    return list(checked(row) if checked else experiment.module.TOLERANCE)


def _off(experiment: Experiment, name: str, stored: Any, again: Any) -> float:
    if stored == again or (stored != stored and again != again):
        return 0.0
    tolerance = experiment.module.TOLERANCE.get(name, 0)
    numbers = all(isinstance(value, int | float) for value in (stored, again))
    if not numbers or not tolerance or not math.isfinite(stored - again):
        return math.inf
    return abs(stored - again) / tolerance


def sample(chosen: list[Experiment], seed: str) -> Iterator[tuple[Experiment, Row]]:
    """Rows of the records in a random order, the experiments in turn."""
    dice = random.Random(seed)
    columns = []
    for experiment in dice.sample(chosen, len(chosen)):
        rows = read(experiment.record)[1]
        columns.append([(experiment, row) for row in dice.sample(rows, len(rows))])
    for turn in range(max(map(len, columns), default=0)):
        yield from (column[turn] for column in columns if turn < len(column))


def run_again(
    chosen: list[Experiment], seconds: float = 60, workers: int | None = None
) -> int:
    """Run a sample of rows again, alone, and compare; 0 if all came out again.

    seconds   no row is begun that would probably not be finished by then, but one

    The sample is drawn from the commit's hash. A record that is stale is a miss; one
    that rests on weights which are not here is none.
    """
    stale = {e.name: reason for e in chosen if (reason := e.stale())}
    for name, reason in stale.items():
        print(f"{name}: stale: {reason}; labkit experiment {name}")
    absent = {e.name: reason for e in chosen if (reason := e.cannot_run())}
    for name, reason in absent.items():
        print(f"{name}: cannot be run again here: {reason}")
    out = stale.keys() | absent.keys()
    fresh = {e.script: e for e in chosen if e.name not in out}
    lasting = {script: _seconds_a_row(e) for script, e in fresh.items()}
    end = time.monotonic() + seconds
    stored: dict[tuple, Row] = {}

    def job(experiment: Experiment, row: Row) -> run.Job:
        stored[experiment.script, experiment.key(row)] = row
        factors = experiment.module.FACTORS
        return experiment.script, [{name: row[name] for name in factors}]

    def jobs() -> Iterator[run.Job]:
        drawn = list(sample(list(fresh.values()), _commit()))
        for experiment, row in drawn:
            if time.monotonic() + lasting[experiment.script] < end:
                yield job(experiment, row)
        if drawn and not stored:  # at least one, of those that are soonest finished
            yield job(*min(drawn, key=lambda pair: lasting[pair[0].script]))

    misses = 0
    for script, (again,), _ in run.run_all(jobs(), workers):
        experiment = fresh[script]
        row = stored[script, experiment.key(again)]
        off = differences(experiment, row, again)
        worst = max(off, key=off.get, default="")
        missed = off.get(worst, 0) > 1
        misses += missed
        setting = " ".join(written(row[name]) for name in experiment.module.FACTORS)
        how = f"{worst} off by {off[worst]:.0%} of its tolerance" if worst else "-"
        said = f"{'MISS' if missed else 'same':5} {experiment.name:28} {setting:34}"
        print(said, how, flush=True)  # a minute is long
        if missed:
            print(f"      {worst}: {row[worst]} in the record, {again[worst]} now")
    print(f"{len(stored):,} rows again, {misses:,} of them off; {len(stale):,} stale")
    return int(bool(misses or stale))


def _seconds_a_row(experiment: Experiment) -> float:
    """What a row alone may take: as long as the record says of a group."""
    header, rows = read(experiment.record)
    factors = experiment.module.FACTORS
    settings = [{name: row[name] for name in factors} for row in rows]
    return float(header["seconds"]) / max(1, len(run.groups(experiment, settings)))


def _commit() -> str:
    """The commit that is checked out; empty outside a repository."""
    command = ["git", "-C", str(records.ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
