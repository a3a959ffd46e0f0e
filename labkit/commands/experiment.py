"""labkit experiment: the records that verdicts rest on."""

import argparse

HELP = "run the experiments that verdicts rest on, or a sample of their records again"
EXAMPLE = "labkit experiment 01_norm_placement"
STOPPED = "stopped; the next run goes on where this one was."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="of scripts in experiments/")
    add("--all", action="store_true", help="all of them")
    add("--check", action="store_true", help="run a sample of the rows again, compare")
    add("--seconds", type=float, default=60, help="of the sample; default: 60")
    add("--workers", type=int, metavar="N", help="default: all cores")


def run(args: argparse.Namespace) -> int:
    from labkit.experiment import main

    return main(args.names, args.all, args.check, args.seconds, args.workers)
