"""The line with the time left: for a person, and never in what is stored."""

import io

import nbformat
import pytest
from nbclient import NotebookClient

from labkit import waiting
from labkit.waiting import Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    return now


def steps(clock, seconds, total=100, **options):
    with Progress(total, **options) as progress:
        for step in range(1, total + 1):
            clock[0] += seconds / total
            progress.at(step)


def test_a_person_in_a_terminal_sees_the_time_left(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(waiting.sys, "stderr", terminal)
    steps(clock, 100, label="training")
    lines = terminal.getvalue().split("\r\033[K")[1:]
    assert lines[0] == "training: step 2 of 100, 98 s left"
    assert lines[-2] == "training: step 100 of 100, 0 s left"
    assert lines[-1] == "", "it is still there"


def test_what_is_soon_over_needs_no_word(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(waiting.sys, "stderr", terminal)
    steps(clock, 1.9)
    assert terminal.getvalue() == ""


def test_in_a_log_a_command_says_a_line_now_and_then(clock, capsys):
    steps(clock, 100)
    assert capsys.readouterr().err == ""
    steps(clock, 100, unit="group", log=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "group 2 of 100, 98 s left" and len(lines) == 4


@pytest.mark.parametrize(
    "seconds, said",
    [(0.4, "0 s"), (99, "99 s"), (720, "12 min"), (3900, "1 h 5 min")],
)
def test_time_is_said_as_a_person_does(seconds, said):
    assert duration(seconds) == said


CELL = """
from labkit import waiting
waiting.AFTER = waiting.EVERY = 0
with waiting.Progress(2, "training") as progress:
    progress.at(1)
    progress.at(2)
print("trained")
"""


@pytest.mark.parametrize("person", [False, True])
def test_a_notebook_that_is_built_stores_nothing_of_it(person, monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client = NotebookClient(notebook, timeout=60)
    client.allow_stdin = person
    with client.setup_kernel():
        client.kc.allow_stdin = person
        client.execute_cell(notebook.cells[0], 0)
    outputs = [output.output_type for output in notebook.cells[0].outputs]
    assert outputs == (["display_data", "stream"] if person else ["stream"])
    if person:
        assert notebook.cells[0].outputs[0].data["text/plain"] == ""
