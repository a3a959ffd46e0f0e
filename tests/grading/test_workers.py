"""Several workers: the same results as one, and a lost worker costs none."""

import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

from labkit import commands
from labkit.grading.course import CourseError, Submission
from labkit.grading.workers import Setup, graded

from .conftest import LAB, SETTINGS

pytestmark = pytest.mark.usefixtures("sandboxed")
SLOW = "import time\ntime.sleep(0.5)"  # in the bonus exercise, which gives no points


@pytest.fixture
def setup(master):
    return Setup(master, SETTINGS)


@pytest.fixture
def submissions(hand_in):
    """Six, of which one is half done and one cannot be read."""

    def submission(student, notebook, reason=""):
        data = json.dumps(notebook).encode() if notebook else b""
        return Submission(student, f"{LAB}.ipynb", data, "", (), reason)

    right = [submission(f"s{i}", hand_in({"1.7": SLOW})) for i in range(4)]
    half = submission("half", hand_in({"1.1": None, "1.2": None}))
    return [*right, half, submission("gone", None, "No notebook was handed in.")]


def scores(results):
    return {one.student: result.score for one, result, _ in results}


def expected(all_but):
    right = dict.fromkeys(("s0", "s1", "s2", "s3"), all_but())
    return right | {"half": all_but("1.1", "1.2"), "gone": 0}


def kill(pids, after):
    """Kill the first process that pids() finds, some seconds after it found one."""

    def watch():
        deadline = time.monotonic() + 300
        while not (found := pids()) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(after)
        os.kill(found[0], signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def test_two_processes_of_which_one_is_killed(setup, submissions, all_but):
    kill(lambda: [p.pid for p in multiprocessing.active_children()], after=4)
    results = list(graded(setup, submissions, workers=2))
    assert scores(results) == expected(all_but)
    assert len(results) == len(submissions)
    assert {r.status for _, r, _ in results} == {"graded", "unreadable"}


def test_a_cluster_of_which_one_worker_is_killed(
    course, hand_in, all_but, capsys, submissions
):
    distributed = pytest.importorskip("distributed")
    for one in submissions:
        folder = course / "submitted" / one.student / LAB
        folder.mkdir(parents=True)
        if one.data:
            (folder / one.file).write_bytes(one.data)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        workers = [worker.pid for worker in cluster.workers.values()]
        kill(lambda: workers if list((course / "results").glob("*/*")) else [], 0)
        address = cluster.scheduler_address
        arguments = ["grade", str(course), "--scheduler", address, "--json"]
        assert commands.main(arguments) == 1
    said = json.loads(capsys.readouterr().out)[LAB]
    found = {s["student"]: s["score"] for s in said["submissions"]}
    assert found == expected(all_but)
    assert (said["graded"], said["not_graded"]) == (5, 1)


def test_no_cluster_is_said_in_a_sentence(setup, submissions):
    pytest.importorskip("distributed")
    with pytest.raises(CourseError, match="no Dask scheduler"):
        list(graded(setup, submissions, scheduler="nonsense"))
