"""Options that several commands have, so that they mean the same in all of them."""

import argparse

LAB = "only this one: 2, 02, 4.2, lab_02 or the whole name; 4 means 4.1, 4.2 and so on"


def add_lab(parser: argparse.ArgumentParser, **more) -> None:
    """--lab, which labkit.lab.select understands."""
    parser.add_argument("--lab", help=LAB, **more)
