"""Whatever goes wrong, in whatever command: one sentence, exit status 2."""

import shlex
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from labkit import paths
from labkit.commands import COMMANDS, build, grade, main, problems, validate
from labkit.lab import SourceError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "problem, sentence",
    [
        (problems.Problem("not so."), "not so."),
        (SourceError("a.py:3: no check"), "a.py:3: no check"),
        (FileNotFoundError(2, "No such file", "a"), "a: No such file"),
        (OSError(28, "No space left"), "No space left"),
        (
            OperationalError("select", {}, Exception("no server\nat all")),
            "the gradebook cannot be used: (builtins.Exception) no server",
        ),
        (KeyError("x"), "KeyError: 'x' (LABKIT_DEBUG=1 shows where)"),
        (
            ValueError("first line\nsecond"),
            "ValueError: first line (LABKIT_DEBUG=1 shows where)",
        ),
    ],
)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_its_problem_in_a_sentence(
    monkeypatch, capsys, name, problem, sentence
):
    def fail(_):
        raise problem

    monkeypatch.delenv("LABKIT_DEBUG", raising=False)
    command = import_module(f"labkit.commands.{name}")
    monkeypatch.setattr(command, "run", fail)
    assert main(shlex.split(command.EXAMPLE)[1:]) == 2
    assert capsys.readouterr() == ("", f"labkit: {sentence}\n")


def test_who_wants_to_see_where_sees_it(monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_DEBUG", "1")
    monkeypatch.setattr(build, "run", lambda _: 1 / 0)
    assert main(["build"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and "test_problems.py" in said
    assert said.splitlines()[-1].startswith("labkit: ZeroDivisionError")


@pytest.mark.parametrize("module", [build, grade, validate])
def test_whoever_stops_a_command_is_told_what_is_left(monkeypatch, capsys, module):
    def stop(_):
        raise KeyboardInterrupt

    name = module.__name__.rpartition(".")[2]
    monkeypatch.setattr(module, "run", stop)
    assert main([name, *(["there"] if name == "grade" else [])]) == 130
    assert capsys.readouterr().err.startswith("labkit: stopped")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["build", "nosuch.py"], "nosuch.py is no source of a notebook"),
        (["build", "tests/conftest.py"], "conftest.py is no source of a notebook"),
        (["build", "chapters/02_feed_forward.ipynb"], "ipynb is no source of a note"),
        (["lab", "README.md/inside", "--no-browser"], "README.md/inside: Not a dir"),
        (["validate", "--lab", "99"], "no lab '99'; there are: 01_layer_norm"),
        (["release", "chapters"], "lies inside the course's repository"),
        (["grade", "nosuch"], "nosuch does not exist"),
        (["grade", "README.md", "--lab", "04"], "'04' may be any of: lab_04_1_"),
        (["grade", "README.md", "--lab", "99"], "no lab '99'; there are: lab_01_"),
        (["report", "nosuch"], "nosuch is no course directory"),
    ],
)
def test_bad_input_gets_one_clear_sentence(monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(ROOT)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("labkit: ") and sentence in said and said.count("\n") == 1


def test_outside_a_checkout(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "a" / "paths.py"))
    for arguments in (["build"], ["lab", "work", "--no-browser"], ["validate"]):
        assert main(arguments) == 2
        assert "run this inside a checkout" in capsys.readouterr().err
