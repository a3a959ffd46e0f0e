"""What is stored of grading: as the schema has it, and read back as it was written."""

import json
import shutil

import pytest
from jsonschema import Draft202012Validator, ValidationError

from labkit import commands
from labkit.exercises import find
from labkit.grading.result import FORMAT, Outcome, Result, Status
from labkit.grading.version import PACKAGE

from .conftest import LAB, planted, sharing

SCHEMA = json.loads((PACKAGE / "grading" / "result.schema.json").read_text("utf-8"))
Draft202012Validator.check_schema(SCHEMA)
valid = Draft202012Validator(SCHEMA).validate
LOOP = "while True: pass"
FORGED = "from labkit.checks import probes\nprobes.run = lambda *a: []\n"


@pytest.fixture(scope="module")
def stored(tmp_path_factory, released, hand_in, master, sandboxed):
    """The files of a class in which everything happens that can become of an answer,
    by student."""
    root = tmp_path_factory.mktemp("class") / "course"
    shutil.copytree(released, root)
    mistake = planted(find("1.2").mistakes[0])
    work = {
        "ada": hand_in(),
        "ben": master.notebook,
        "cem": hand_in(
            {
                "1.1": "def norm(x): return x",
                "1.2": lambda right: f"{right}\n{mistake}",
                "1.5": "1 / 0",
                "1.6": "import os\nos._exit(1)",
                "1.7": lambda right: FORGED + right,
            }
        ),
        "dee": hand_in(dict.fromkeys(("1.1", "1.2", "1.3", "1.4", "1.5", "1.6"), LOOP)),
        "eva": {"cells": "none"},
        "<flo>": hand_in({"1.1": lambda right: right + "\nimport os"}),
    }
    for student, notebook in work.items():
        folder = root / "submitted" / student / LAB
        folder.mkdir(parents=True)
        (folder / f"{LAB}.ipynb").write_text(json.dumps(notebook))
    (root / "submitted" / "gus" / LAB).mkdir(parents=True)  # no notebook in it
    with sharing(sandboxed), pytest.MonkeyPatch.context() as patch:
        patch.setattr("labkit.grading.sandbox.client.REPLAYS", 4)
        assert commands.main(["grade", str(root), "--timeout", "3"]) == 1
    return {path.stem: path for path in (root / "results" / LAB).glob("*.json")}


def test_what_is_stored_is_as_the_schema_has_it(stored):
    outcomes, states = set(), set()
    for path in stored.values():
        data = json.loads(path.read_text("utf-8"))
        valid(data)
        states.add(data["status"])
        outcomes |= {exercise["outcome"] for exercise in data["exercises"]}
    assert len(stored) == 7
    assert outcomes == set(Outcome) and states == set(Status)


def test_what_is_stored_is_read_back(stored):
    for path in stored.values():
        assert Result.read(path).to_json() == json.loads(path.read_text("utf-8"))


def test_the_schema_knows_every_field_and_word(stored):
    exercise = SCHEMA["$defs"]["exercise"]
    data = Result.read(stored["ada"]).to_json()
    assert set(data) == set(SCHEMA["properties"])
    assert set(data["exercises"][0]) == set(exercise["properties"])
    assert set(exercise["properties"]["outcome"]["enum"]) == set(Outcome)
    assert set(SCHEMA["properties"]["status"]["enum"]) == set(Status)
    assert SCHEMA["properties"]["format"]["const"] == FORMAT


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("fingerprint"),
        lambda data: data.update(format=FORMAT + 1),
        lambda data: data.update(status="done"),
        lambda data: data.update(note="transient"),
        lambda data: data.update(seed=-1),
        lambda data: data["exercises"][0].update(outcome="good"),
        lambda data: data["exercises"][0].pop("verdicts"),
        lambda data: data["exercises"][0]["verdicts"][0].update(passed="yes"),
    ],
)
def test_the_schema_takes_nothing_else(stored, spoil):
    data = json.loads(stored["ada"].read_text("utf-8"))
    valid(data)
    spoil(data)
    with pytest.raises(ValidationError):
        valid(data)


@pytest.mark.parametrize("data", [None, [], {}, {"exercises": 3}, {"status": "done"}])
def test_what_is_no_result_is_said(data):
    with pytest.raises(ValueError):
        Result.from_json(data)


@pytest.mark.usefixtures("one_warm_process")
@pytest.mark.parametrize("change", [{"format": 1}, {"exercises": None}, "{"])
def test_what_cannot_be_used_is_graded_again(course, hand_in, capsys, change):
    folder = course / "submitted" / "ada" / LAB
    folder.mkdir(parents=True)
    (folder / f"{LAB}.ipynb").write_text(json.dumps(hand_in()))
    assert commands.main(["grade", str(course)]) == 0
    path = course / "results" / LAB / "ada.json"
    right = json.loads(path.read_text("utf-8"))
    spoiled = change if isinstance(change, str) else json.dumps(right | change)
    path.write_text(spoiled)
    capsys.readouterr()
    assert commands.main(["grade", str(course)]) == 0
    assert "unchanged" not in capsys.readouterr().out
    assert json.loads(path.read_text("utf-8")) | {"seconds": right["seconds"]} == right
