"""labkit experiment: the records that verdicts rest on."""

import argparse

from labkit.commands.problems import Problem

HELP = "run the experiments that verdicts rest on, or a sample of their records again"
EXAMPLE = "labkit experiment 01_norm_placement"
STOPPED = "stopped; the same command goes on from here."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="of scripts in experiments/")
    add("--all", action="store_true", help="all of them")
    add("--check", action="store_true", help="run a sample of the rows again, compare")
    add("--seconds", type=float, default=60, help="of the sample; default: 60")
    add("--workers", type=int, metavar="N", help="default: all cores")


def run(args: argparse.Namespace) -> int:
    from labkit.experiment.check import run_again
    from labkit.experiment.run import make
    from labkit.experiment.script import experiments

    if not (args.names or args.all or args.check):
        there = ", ".join(e.name for e in experiments()) or "none yet"
        raise Problem(f"say which, or --all: {there}")
    chosen = experiments(args.names)
    if args.check:
        return run_again(chosen, args.seconds, args.workers)
    for experiment in chosen:
        if experiment.stale() is None:
            print(f"{experiment.name}: complete")
            continue
        done = make(experiment, args.workers)
        print(f"{experiment.name}: {len(done.rows):,} rows, {done.seconds:,.0f} s")
    return 0
