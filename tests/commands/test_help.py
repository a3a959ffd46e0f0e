"""What the command says of itself: one style, and examples that work."""

import argparse
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from labkit import commands
from labkit.commands import COMMANDS

FOLDER = Path(commands.__file__).parent
SHARED = {"__init__", "options", "problems"}


def parsers():
    """Every command's parser, by name."""
    actions = commands._parser()._actions
    (sub,) = (a for a in actions if isinstance(a, argparse._SubParsersAction))
    return sub.choices


def test_every_module_is_a_command():
    assert {p.stem for p in FOLDER.glob("*.py")} - SHARED == set(COMMANDS)
    assert list(parsers()) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_one_style(name):
    """As argparse's own: it begins in lower case and ends without a full stop."""
    parser = parsers()[name]
    for text in (parser.description, *(a.help for a in parser._actions)):
        assert not text[0].isupper() or text.split()[0].isupper(), text
        assert not text.endswith("."), text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_it_understands(name):
    command = import_module(f"labkit.commands.{name}")
    program, *arguments = shlex.split(command.EXAMPLE)
    assert (program, arguments[0]) == ("labkit", name)
    assert commands._parser().parse_args(arguments).command is command


def test_lab_means_the_same_everywhere():
    having = {
        name: action
        for name, parser in parsers().items()
        for action in parser._actions
        if action.dest == "lab"
    }
    several = {"validate", "release", "grade", "report"}
    one = {"collect", "export", "explain", "extend"}
    assert set(having) == several | one
    for alike in several, one:
        assert len({having[name].help for name in alike}) == 1
