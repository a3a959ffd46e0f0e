"""The command `labkit experiment`."""

import sys

from labkit.experiment.check import run_again
from labkit.experiment.records import ExperimentError
from labkit.experiment.run import make
from labkit.experiment.script import experiments


def main(
    names: list[str], every: bool, check: bool, seconds: float, workers: int | None
) -> int:
    """`labkit experiment`: 0 if all went well."""
    try:
        if not names and not every and not check:
            there = ", ".join(e.name for e in experiments()) or "none yet"
            raise ExperimentError(f"say which, or --all: {there}")
        chosen = experiments(names)
        if check:
            return run_again(chosen, seconds, workers)
        for experiment in chosen:
            if experiment.stale() is None:
                print(f"{experiment.name}: complete")
                continue
            done = make(experiment, workers)
            print(f"{experiment.name}: {len(done.rows):,} rows, {done.seconds:,.0f} s")
    except ExperimentError as problem:
        print(f"labkit: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlabkit: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0
