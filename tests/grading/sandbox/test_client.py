"""Learners' code can loop, exit, die or print: it costs its own exercise, no more."""

import os
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.checks import plain
from labkit.grading.sandbox.client import Cell, Check, Warm, clean

from ..conftest import SETTINGS


@pytest.fixture
def run(warm):
    def cells(*sources, timeout=2.0):
        steps = [Cell(i, source) for i, source in enumerate(sources)]
        return warm.run(steps, timeout)

    return cells


def text(outcome):
    return "".join(o.get("text", "") for o in outcome.outputs)


def test_cells_share_a_namespace_and_errors_do_not_end_it(run):
    a, b, c = run("x = 1\nprint(x)", "1 / 0", "print(x + 1)")
    assert text(a) == "1\n" and text(c) == "2\n"
    assert b.error["ename"] == "ZeroDivisionError" and not b.lost


@pytest.mark.parametrize("source", ["while True: pass", "import time\ntime.sleep(60)"])
def test_a_loop_is_stopped_and_the_earlier_cells_replayed(run, source):
    a, b, c = run("x = 41", source, "print(x + 1)", timeout=1.0)
    assert b.lost == "time" and not a.lost
    assert text(c) == "42\n"


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos._exit(0)",
        "import os\nos.abort()",
        "import ctypes\nctypes.string_at(0)",
        "import os\n[os.close(fd) for fd in range(3, 100)]",
    ],
)
def test_a_dead_process_is_replaced(run, source):
    a, b, c = run("x = 41", source, "print(x + 1)")
    assert b.lost == "died"
    assert text(c) == "42\n"


@pytest.mark.parametrize(
    "source", ["raise SystemExit", "exit()", "quit()", "raise KeyboardInterrupt"]
)
def test_leaving_python_is_only_an_error(run, source):
    _, b, c = run("x = 41", source, "print(x + 1)")
    assert not b.lost
    assert text(c) == "42\n"


def test_output_is_capped(run):
    (flood,) = run("for _ in range(5_000): print('spam' * 10)")
    assert len(text(flood)) < 21_000
    assert "characters cut" in text(flood)


def test_half_a_character_is_printed_as_a_question_mark(run):
    (printed,) = run("print('half: \\ud800')")
    assert text(printed) == "half: ?\n"


def test_a_forged_error_is_cut():
    forged = {"output_type": "error", "ename": "E" * 10**6, "evalue": "a" * 10**6}
    (error,) = clean([forged | {"traceback": []}])
    assert (len(error["ename"]), len(error["evalue"])) == (100, 1000)


def test_names_that_are_said_to_be_missing_are_few(run, warm):
    forge = (
        "program = type(get_ipython())._showtraceback.__globals__\n"
        "program['ask'] = lambda *a: ({'missing': ['name'] * 10**5}, b'')"
    )
    request = plain.dumps({})
    _, check = warm.run([Cell(0, forge), Check(1, request)], 2.0)
    assert len(check.missing) == 10


def test_a_process_is_ended_once(monkeypatch):
    """Its id may be that of another process by the time of a second end."""
    ended, warm = [], Warm([], SETTINGS)
    monkeypatch.setattr("os.killpg", lambda pid, _: ended.append(pid))
    warm.control, _ = socket.socketpair()
    warm.process = SimpleNamespace(pid=12, wait=lambda: None)
    warm._stop()
    warm._stop()
    assert ended == [12]


def test_what_notebooks_do(run):
    outcomes = run(
        "%matplotlib inline",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        "answer = input('Your name? ')\nprint(repr(answer))",
        "import warnings\nwarnings.warn('careful')",
        "!echo shell",
        "from IPython.display import HTML\ndisplay(HTML('<script>1</script>'))",
        timeout=10.0,
    )
    assert not any(o.lost or o.error for o in outcomes)
    assert any("image/png" in o.get("data", {}) for o in outcomes[1].outputs)
    assert "''" in text(outcomes[2])
    assert "<script>" not in str(outcomes[5].outputs)


def test_each_submission_starts_afresh_in_a_folder_of_its_own(run):
    (a,) = run(
        "import os, torch\ntorch.spoiled = mine = 1\nopen('f', 'w')\nprint(os.getcwd())"
    )
    (b,) = run(
        "import os, torch\n"
        "print(hasattr(torch, 'spoiled'), 'mine' in dir(), os.listdir())"
    )
    assert text(b) == "False False []\n"
    assert not os.path.exists(text(a).strip())


def test_the_warm_process_has_one_thread_and_children_compute(run, warm):
    (many,) = run(
        "import torch\ntorch.set_num_threads(2)\n"
        "x = torch.randn(500, 500, requires_grad=True)\n"
        "(x @ x).sum().backward()\nprint(x.grad.shape)",
    )
    assert not many.lost and "500, 500" in text(many)
    assert len(os.listdir(f"/proc/{warm.process.pid}/task")) == 1


def test_processes_that_a_submission_starts_end_with_it(run, warm):
    daemon = (
        "import os, time\n"
        "for _ in range(10):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(600)\n"
        "        os._exit(0)\n"
    )
    (a,) = run(daemon + "print('started')")
    assert "started" in text(a)
    assert not processes_below(warm.process.pid)


def processes_below(pid):
    """The process ids of the children of a process."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_the_instructors_environment_stays_outside(run):
    assert "SECRET_TOKEN" in os.environ  # set before the warm process started
    (a,) = run("import os\nprint(sorted(os.environ))")
    assert "SECRET_TOKEN" not in text(a)


def test_a_gpu_is_first_touched_by_a_learners_own_process(monkeypatch):
    """As far as that shows without one: the warm process computes on the CPU, with a
    test for GPUs that starts nothing, and its children on the device asked for."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    names = "LABKIT_DEVICE PYTORCH_NVML_BASED_CUDA_CHECK CUDA_VISIBLE_DEVICES".split()
    before = f"import os; print([os.environ.get(name) for name in {names}])"
    settings = replace(SETTINGS, unsafe=True, device="cuda")
    with Warm([], settings) as warm:
        assert warm._environment()["LABKIT_DEVICE"] == "cpu"
        (a,) = warm.run([Cell(0, before)], timeout=10)
    assert text(a) == "['cuda', '1', '1']\n"
