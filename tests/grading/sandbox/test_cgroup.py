"""Limits on a submission as a whole: taken only where they are lent, and they hold."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from labkit.grading.sandbox import cgroup, confine, rootfs

from ..conftest import reachable
from ..test_course import labkit, submit
from .test_confine import attempt

V2 = Path("/sys/fs/cgroup")


@pytest.fixture
def lent(tmp_path):
    """A folder that looks like a group lent to this process; not the kernel's."""
    group = tmp_path / "mount" / "lent"
    group.mkdir(parents=True)
    (group / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    return group


def claim(group):
    lines = "3:name=systemd:/elsewhere\n0::/lent\n"
    return cgroup.claim((str(group.parents[1]), str(group.parent)), lines)


def test_a_lent_group_is_divided(lent):
    assert claim(lent) == str(lent)
    ours = lent / cgroup.GRADER
    assert (ours / "cgroup.procs").read_text() == str(os.getpid())
    assert (lent / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    (ours / "cgroup.controllers").touch()  # claimed again, it is the same one
    assert cgroup.claim((str(lent.parent),), f"0::/lent/{ours.name}\n") == str(lent)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda group: (group / "cgroup.procs").write_text(f"1\n{os.getpid()}\n"),
        lambda group: (group / "cgroup.controllers").write_text("cpu memory\n"),
        lambda group: (group / "cgroup.controllers").unlink(),
        lambda group: (group / "cgroup.subtree_control").mkdir(),
        lambda group: (group / cgroup.GRADER).touch(),
        lambda group: shutil.rmtree(group),
    ],
    ids=["a shell in it", "no pids", "not v2", "not ours", "no folder", "none"],
)
def test_another_is_left_alone(lent, spoil):
    spoil(lent)
    assert claim(lent) == ""


def test_a_submission_gets_its_limits(lent):
    (lent / "submission-7").mkdir()
    with pytest.raises(FileExistsError):
        cgroup.enter(str(lent), 7, 1, 1)
    cgroup.leave(str(lent), 7)
    cgroup.leave(str(lent), 7)  # what is gone stays gone
    cgroup.enter(str(lent), 7, confine.MEMORY, confine.PROCESSES)
    written = {p.name: p.read_text() for p in (lent / "submission-7").iterdir()}
    assert written == {  # and what else this kernel would have
        "memory.max": str(2**31),
        "pids.max": "64",
        "cgroup.procs": "7",
    }


def test_limits_that_do_not_hold_are_noticed(lent, sandboxed):
    """This folder is not the kernel's, so nothing written to it holds anything back."""
    assert cgroup.failures(str(lent)) == ["control groups: no limit on processes"]
    assert "No such file" in cgroup.failures("/does/not/exist")[0]
    with reachable() as home:
        rootfs.lay_out(home)
        answer = attempt(rootfs.plan(home, 60, group=str(lent)))
    assert "refused: the self-test found: control groups: no limit on" in answer


def test_the_run_says_whether_they_are_on(
    course, hand_in, capsys, monkeypatch, one_warm_process
):
    submit(course, "ada", hand_in())
    for group, said in (("", "without control groups"), ("/x", "a control group for")):
        monkeypatch.setattr(cgroup, "claim", lambda group=group: group)
        assert labkit("grade", course) == 0
        assert said in capsys.readouterr().out


# ------------------------------------------------------------------------ the kernel's


@pytest.fixture
def borrowed():
    """The beginning of a command that runs it alone in a group lent to it."""
    controllers = V2 / "cgroup.subtree_control"
    if os.geteuid() == 0 and controllers.exists():
        group = V2 / f"labkit-test-{os.getpid()}"
        try:
            controllers.write_text("+memory +pids")
            group.mkdir()
        except OSError:
            pass  # a container's, that may only look
        else:
            yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
            for folder in (*group.glob("*/"), group):
                folder.rmdir()
            return
    scope = ["systemd-run", "--user", "--scope", "--property", "Delegate=yes"]
    if not shutil.which(scope[0]) or subprocess.run([*scope, "true"]).returncode:
        pytest.skip("this machine lends no control groups")
    yield scope


CLAIMING = "plan['group'] = confine.cgroup.claim()\nassert plan['group'], 'not lent'"


def test_they_hold_where_they_are_lent(borrowed, sandboxed):
    """The self-test, which tries one process and one page too many, for real."""
    with reachable() as home:
        rootfs.lay_out(home)
        answer = attempt(rootfs.plan(home, 60), CLAIMING, borrowed)
    assert answer.endswith("shut in\n")
