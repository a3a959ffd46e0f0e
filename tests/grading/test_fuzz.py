"""No file crashes the grader: every one is graded, or refused in one sentence."""

import copy
import json
import time

import nbformat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labkit.grading.grade import grade
from labkit.grading.result import Status
from labkit.grading.sandbox.client import Cell, StepResult

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["code", "markdown", "exercise-1-2", "check-1-2", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cells", "source", "metadata", "nbgrader", "id", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)
KEYS = ("cell_type", "source", "metadata", "id", "outputs", "execution_count")
CELL = st.fixed_dictionaries({}, optional={key: VALUES for key in KEYS})
MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class NoProcess:
    """Stands in for the warm process: what it would run is not the point here."""

    def run(self, steps, timeout, latest=None):
        assert all(isinstance(s.source, str) for s in steps if isinstance(s, Cell))
        return [StepResult(lost="skipped") for _ in steps]


def survives(data, judge):
    result, notebook = grade(data, judge, NoProcess())
    assert result.score == 0
    if result.status is Status.UNREADABLE:
        (reason,) = result.notes
        assert "\n" not in reason and reason.endswith(".") and len(reason) < 300
    nbformat.validate(notebook)
    json.dumps(result.to_json()).encode()
    nbformat.writes(notebook).encode()


@MANY
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode()))
@example(data=b"[" * 100_000)
@example(data=b'{"cells":' * 50_000)
@example(data=b'{"cells": [{"cell_type": "code", "source": "' + b"x" * 10**7 + b'"}]}')
@example(data=b'{"cells": [' + b'{"cell_type": "code"},' * 10_000 + b"0]}")
@example(data=b'{"cells": [{"cell_type": "code", "id": ' + b"9" * 5_000 + b"}]}")
@example(data=b'{"cells": [{"cell_type": "code", "source": "' + b"(" * 10**5 + b'"}]}')
@example(data=b'{"cells": NaN}')
def test_any_bytes(judge, data):
    survives(data, judge)


@MANY
@given(notebook=VALUES | st.fixed_dictionaries({"cells": st.lists(CELL | VALUES)}))
def test_any_json(judge, notebook):
    survives(json.dumps(notebook).encode(), judge)


@MANY
@given(data=st.data())
def test_any_notebook_with_parts_exchanged(judge, hand_in, data):
    """The real lab, with any values at any places."""
    notebook = json.loads(json.dumps(copy.deepcopy(hand_in())))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(notebook["cells"]) - 1))
        key = data.draw(st.sampled_from([*KEYS, ""]))
        value = data.draw(VALUES)
        if key and isinstance(notebook["cells"][place], dict):
            notebook["cells"][place][key] = value
        else:
            notebook["cells"][place] = value
    for key in data.draw(st.lists(st.sampled_from(["metadata", "nbformat"]))):
        notebook[key] = data.draw(VALUES)
    survives(json.dumps(notebook).encode(), judge)


@MANY
@given(source=st.text() | st.sampled_from(["(" * 3000, "%%bash", "\0", "\x1b[2J", "%"]))
def test_any_source_in_an_answer(judge, hand_in, source):
    survives(json.dumps(hand_in({"1.2": source})).encode(), judge)


def test_what_takes_long_to_parse_is_passed_over(judge, hand_in):
    """A file of the size allowed, full of what Python's parsers are slow at."""
    notebook = hand_in()
    slow = {"cell_type": "code", "source": "[" * 19_000 + "]" * 900}
    notebook.cells += [slow] * 1000
    start = time.monotonic()
    result, _ = grade(json.dumps(notebook).encode(), judge, NoProcess())
    assert result.status is Status.GRADED
    assert time.monotonic() - start < 120  # seconds; hours, without the limit
