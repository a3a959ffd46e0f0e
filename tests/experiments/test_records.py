"""What the verdicts rest on: every record is there, holds, and can be run again."""

import ast
from pathlib import Path

import pytest

from labkit.build import read_source, sources
from labkit.experiment.check import compared
from labkit.experiment.records import read, record
from labkit.experiment.script import experiments

ROOT = Path(__file__).parents[2]
EXPERIMENTS = experiments()
HOURS = 3600 * 2  # of processor time: two cores
every_experiment = pytest.mark.parametrize("made", EXPERIMENTS, ids=lambda e: e.name)
every_source = pytest.mark.parametrize("path", sources(ROOT), ids=lambda p: p.stem)


@every_experiment
def test_every_script_has_a_record_that_holds(made):
    assert made.stale() is None, f"labkit experiment {made.name}"
    assert made.script.read_text("utf-8").startswith('"""'), "say what is varied"


def test_every_record_has_its_script():
    scripts = {made.script.stem for made in EXPERIMENTS}
    assert {path.stem for path in ROOT.glob("experiments/*.csv")} == scripts


def differences(made):
    """(column, difference) of all that a verdict rests on, as the record has them."""
    runs = record(made.name)
    for column, rests_on in made.module.RESTS_ON.items():
        if isinstance(rests_on, int | float):  # a bound, where no two arms are compared
            yield column, rests_on
            continue
        for arms in rests_on:
            rows = [runs.query(f"seed < 8 and ({arm})") for arm in arms]
            assert all(len(row) >= 8 for row in rows), f"eight seeds of {arms}"
            means = [row[column].mean() for row in rows]
            yield column, abs(means[0] - means[1])


@every_experiment
def test_a_row_run_again_may_miss_by_less_than_half_of_what_it_decides(made):
    """So no rerun that passes the check can turn a verdict round."""
    found = list(differences(made))
    assert found, "say which differences the verdict rests on"
    for column, difference in found:
        assert 0 < made.module.TOLERANCE[column] < difference / 2, column


@every_experiment
def test_what_a_verdict_rests_on_is_run_again_and_compared(made):
    """Every column that is compared says how far it may miss, or is a whole number."""
    rows = read(made.record)[1]
    seen = set()
    for row in rows:
        for column in compared(made, row):
            assert column in made.module.TOLERANCE or isinstance(row[column], int)
            seen.add(column)
    assert seen >= set(made.module.RESTS_ON), "compared in no row"
    assert set(made.module.TOLERANCE) <= set(rows[0])


def test_the_experiments_keep_to_their_time():
    """Half an hour each on two cores, four hours together."""
    seconds = [float(read(made.record)[0]["seconds"]) for made in EXPERIMENTS]
    assert max(seconds, default=0) <= HOURS / 2
    assert sum(seconds) <= 4 * HOURS


def calls(path):
    """(name, call) of every call in a source's code."""
    for cell in read_source(path).cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Call):
                    yield ast.unparse(node.func).removeprefix("labkit."), node


@every_source
def test_a_number_that_may_move_stays_within_its_record(path):
    """about(value, *around(runs)): three standard deviations, by construction."""
    found = list(calls(path))
    ranges = [node.args[1:] for name, node in found if name == "about"]
    for given in ranges:
        assert len(given) == 1 and isinstance(given[0], ast.Starred), path
        inner = ast.unparse(given[0].value).removeprefix("labkit.")
        assert inner.startswith("around("), inner
    if ranges:
        assert "record" in {name for name, _ in found}, "around() what?"


@every_source
def test_only_about_writes_the_sign_that_masks_a_number(path):
    for cell in read_source(path).cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert "≈" not in node.value, node.value
