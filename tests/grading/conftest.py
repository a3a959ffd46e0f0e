"""Submissions made from the real lab 1, by replacing the source of answer cells."""

import ast
import contextlib
import copy
import inspect
import json
import os
import re
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from labkit import commands, paths
from labkit.checks.exercise import Exercise
from labkit.grading.grade import grade
from labkit.grading.judge import Judge
from labkit.grading.sandbox.client import Refused, Warm
from labkit.grading.settings import Settings
from labkit.lab import Master, grade_id

LAB = "lab_01_layer_normalization"
SEED = 20_260
TIMEOUT = 5.0  # seconds: honest cells take milliseconds, even on a busy machine
SETTINGS = Settings(SEED, TIMEOUT)


@pytest.fixture(scope="session")
def solution():
    return nbformat.read(paths.root() / "solutions" / f"{LAB}.ipynb", as_version=4)


@pytest.fixture(scope="session")
def master():
    return Master.from_solution(paths.root() / "solutions" / f"{LAB}.ipynb")


@pytest.fixture(scope="session")
def judge(master):
    return Judge(master, SETTINGS)


@pytest.fixture(scope="session")
def sandboxed(master):
    """A warm process in whose sandbox learners' code runs. Where there is none, tests
    are skipped, but not in CI: there the sandbox has to be on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_TOKEN", "s3cret")
        try:
            process = Warm(master.own_cells, SETTINGS).__enter__()
        except Refused as reason:
            if os.environ.get("CI"):
                pytest.fail(f"the sandbox is off: {reason}")
            pytest.skip(f"this machine has no sandbox: {reason}")
        yield process
        process.__exit__()


@contextlib.contextmanager
def reachable():
    """A temporary folder that other users reach too; pytest keeps its own closed."""
    with tempfile.TemporaryDirectory(prefix="labkit-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def warm(sandboxed):
    return sandboxed


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """A course directory with lab 1 released; not to be changed."""
    root = tmp_path_factory.mktemp("released") / "course"
    assert commands.main(["release", str(root), "--lab", LAB]) == 0
    return root


@pytest.fixture
def course(released, tmp_path):
    """One's own."""
    return shutil.copytree(released, tmp_path / "course")


@contextlib.contextmanager
def sharing(warm):
    """Let all runs share one warm process, whose start takes seconds."""
    shared = contextlib.nullcontext(warm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labkit.grading.workers.Warm", lambda *_: shared)
        yield


@pytest.fixture
def one_warm_process(warm):
    with sharing(warm):
        yield


@pytest.fixture(scope="session")
def hand_in(master, solution):
    """hand_in({"1.2": source}) is a right submission but for these answers.

    Sources: a string replaces the answer, a function of the right answer makes it,
    None leaves the stub.
    """
    right = {grade_id(c, "solution"): c.source for c in solution.cells}

    def make(answers=None, everything_else_blank=False):
        notebook = copy.deepcopy(master.notebook)
        for cell in notebook.cells:
            name = grade_id(cell, "solution")
            if not name:
                continue
            number = next(q.number for q in master.questions if name in q.answers)
            answer = None if everything_else_blank else right[name]
            if number in (answers or {}):
                change = answers[number]
                answer = change(right[name]) if callable(change) else change
            cell.source = cell.source if answer is None else answer
        return notebook

    return make


@pytest.fixture
def mark(judge, warm):
    """mark(notebook or bytes): the result, with exercises by number."""

    def run(submitted):
        if not isinstance(submitted, bytes):
            submitted = json.dumps(submitted).encode()
        result, notebook = grade(submitted, judge, warm)
        result = result.to_json()
        by_number = {e["number"]: e for e in result["exercises"]}
        return SimpleNamespace(**result, by_number=by_number, notebook=notebook)

    return run


@pytest.fixture
def all_but(master):
    """The points of all exercises but these."""
    return lambda *lost: sum(q.points for q in master.questions if q.number not in lost)


def planted(mistake):
    """Source that makes this mistake, in a process that cannot import its module."""
    source = STANDING_IN + by_itself(inspect.getmodule(mistake))
    return (
        "mistakes = {}\n"
        f"exec({source!r}, mistakes)\n"
        "for made in list(mistakes.values()):\n"
        "    for wrong in getattr(made, 'mistakes', ()):\n"
        f"        if wrong.__name__ == {mistake.__name__!r}:\n"
        f"            {mistake.stands_in_for} = wrong"
    )


def by_itself(module):
    """A module's source, with that of the exercises that it imports from."""
    lines = []
    for node in ast.parse(inspect.getsource(module)).body:
        origin = getattr(node, "module", None) or ""
        if origin.startswith("labkit.exercises."):
            lines.append(by_itself(import_module(origin)))
        elif not re.match(r"labkit\.checks(?!\.probes)", origin):
            lines.append(ast.unparse(node))
    return "\n".join(lines)


def registering():
    """The source of an Exercise that only registers mistakes."""
    methods = (Exercise.mistake, Exercise.slip, Exercise.written_with)
    sources = "\n".join(inspect.getsource(method) for method in methods)
    return f"class Exercise:\n    mistakes, written = (), None\n{sources}"


STANDING_IN = f"""
from collections.abc import Callable
from functools import partial
Cases = Draw = Replies = dict
looks_at = lambda *names: lambda function: function
{registering()}
"""
