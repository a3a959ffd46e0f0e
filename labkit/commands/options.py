"""Options that several commands have, so that they mean the same in all of them."""

import argparse

ONE = "which lab: 2, 02, 4.2, lab_02 or the whole name"
LAB = "only this one: 2, 02, 4.2, lab_02 or the whole name; 4 means 4.1, 4.2 and so on"


def add_lab(parser: argparse.ArgumentParser, **more) -> None:
    """--lab, which labkit.lab.select understands."""
    parser.add_argument("--lab", help=LAB, **more)


def add_one_lab(parser: argparse.ArgumentParser, name: str = "lab", **more) -> None:
    """A lab that has to be named, which labkit.lab.select_one understands."""
    parser.add_argument(name, help=ONE, **more)
