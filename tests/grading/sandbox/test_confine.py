"""The sandbox is on, proves it, and refuses to run when a layer of it is missing."""

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import labkit
from labkit import commands
from labkit.exercises import exercises
from labkit.grading.sandbox import client, confine, rootfs

from ..conftest import LAB, SETTINGS, reachable

# Runs the self-test without PyTorch, after `spoil` has taken something away.
SELFTEST = """
import sys, json
from labkit.grading.sandbox import confine, selftest
plan = json.loads(sys.argv[1])
exec(sys.argv[2])
confine.adopt()
try:
    selftest.run(plan)
except confine.Refused as reason:
    print("refused:", reason)
else:
    print("shut in")
"""


WITHOUT_KEYCTL = """
whole, known = confine._filter, confine.CALLS
def _filter():
    confine.CALLS = {name: known[name] for name in known if name != "keyctl"}
    code, confine.CALLS = whole(), known
    return code
confine._filter = _filter
"""


@pytest.fixture(scope="module")
def plan(sandboxed):
    with reachable() as home:
        rootfs.lay_out(home)
        yield rootfs.plan(home, 60)


def attempt(plan, spoil="", prefix=(), **environment):
    command = [sys.executable, "-P", "-c", SELFTEST, json.dumps(plan), spoil]
    library = str(Path(plan["root"]).with_name("library"))
    done = subprocess.run(
        [*prefix, *command],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": library} | environment,
    )
    return done.stdout + done.stderr[-2000:]


def test_the_sandbox_is_on(sandboxed, plan):
    assert not sandboxed.settings.unsafe
    assert attempt(plan) == "shut in\n"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("confine._deny_calls = lambda: None", "calls: no ptrace"),
        ("confine._drop_capabilities = lambda: None", "rights: no capability"),
        ("confine._limit = lambda *a: None", "limits: memory"),
        ("confine._enter_root = lambda plan: None", "/learner"),
        ("confine.NAMESPACES.pop('pid')", "processes: sees only itself"),
        ("confine.libc.unshare = lambda flags: -1", "unshare"),
        (WITHOUT_KEYCTL, "calls: no keyctl"),
        ("plan['binds'].append('/does-not-exist')", "mounting /does-not-exist"),
        ("plan['root'] = '/'", "refused"),
        ("confine.FILE_SIZE = 0", "files: has a folder"),
        ("plan['secret'].append('/usr')", "does not see /usr"),
    ],
)
def test_a_missing_layer_is_noticed(plan, spoil, said):
    answer = attempt(plan, spoil)
    assert answer.startswith("refused:") and said in answer
    assert "\n" not in answer.strip()


def test_each_namespace_is_checked(plan):
    """One that was not made is noticed before anything runs."""
    for name in ("net", "ipc", "uts"):
        spoil = "old = confine.libc.unshare\nconfine.libc.unshare = lambda flags: old("
        spoil += f"flags - confine.NAMESPACES[{name!r}])"
        answer = attempt(plan, spoil)
        assert f"refused: still in the {name} namespace" in answer


def test_as_an_ordinary_user(plan):
    """What works for root has to work for the instructor's own account too."""
    if os.geteuid() != 0:
        pytest.skip("this is one already")
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv to become one")
    assert attempt(plan, prefix=ordinary_user(), HOME="/") == "shut in\n"


def ordinary_user():
    """A command's beginning: run it as user 12345. Where root's own folder keeps
    Python from others, it runs among mounts of its own that show it."""
    script, needed = (
        "",
        {sys.base_prefix, sys.prefix, str(Path(labkit.__file__).parents[1])},
    )
    inside = sorted(path for path in needed if Path(path).is_relative_to("/root"))
    for i, path in enumerate(inside):
        script += f"mkdir -p /mnt/kept{i} && mount --bind {path} /mnt/kept{i} && "
    if inside:
        script = f"mount -t tmpfs none /mnt && {script}"
        script += "mount -t tmpfs -o mode=755 none /root && "
    for i, path in enumerate(inside):
        script += f"mkdir -p {path} && mount --bind /mnt/kept{i} {path} && "
    script += (
        'exec setpriv --reuid 12345 --regid 12345 --clear-groups --inh-caps=-all "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


def test_inside_bubblewrap(plan):
    """What is tried where only bubblewrap may make namespaces."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    prefix = ordinary_user() if os.geteuid() == 0 else []
    prefix += ["bwrap", "--unshare-user", "--dev-bind", "/", "/"]
    assert attempt(plan, prefix=prefix) == "shut in\n"


# ------------------------------------------------------------------ where there is none


def test_a_platform_without_one_is_refused_in_a_sentence(
    monkeypatch, tmp_path, hand_in, all_but, capsys
):
    path = tmp_path / f"{LAB}.ipynb"
    path.write_text(json.dumps(hand_in()))
    monkeypatch.setattr(confine.platform, "system", lambda: "Darwin")
    assert commands.main(["grade", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Darwin" in said and "--unsafe" in said

    assert commands.main(["grade", str(path), "--unsafe"]) == 0
    said = capsys.readouterr()
    assert "without a sandbox" in said.err
    assert f"{all_but():g} of {all_but():g} points" in said.out


def test_bubblewrap_is_tried_where_namespaces_are_kept_back(monkeypatch):
    tried = []

    def launch(self):
        tried.append(self.prefix[:1])
        raise client.Refused("unshare: Operation not permitted")

    monkeypatch.setattr(client.Warm, "_launch", launch)
    monkeypatch.setattr(client.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(client.Refused, match="not permitted"):
        client.Warm([], SETTINGS).__enter__()
    assert tried == [[], ["/usr/bin/bwrap"]]


# --------------------------------------------------------------------- what lies inside


def test_a_learners_process_has_no_answers(plan):
    library = Path(plan["root"]).with_name("library")
    found = library.glob("labkit/**/*.py")
    names = {path.relative_to(library / "labkit").as_posix() for path in found}
    checks = {name for name in names if name.startswith("checks/")}
    assert checks == set(rootfs.PROBES)
    assert not {"checks/exercise.py", "checks/compare.py"} & checks
    for name in ("check", "progress"):
        stand_in = Path(rootfs.__file__).with_name(f"{name}_stand_in.py").read_bytes()
        assert (library / f"labkit/learning/{name}.py").read_bytes() == stand_in
    program = "__init__ cgroup confine process protocol selftest".split()
    assert {name for name in names if name.startswith("grading/")} == {
        "grading/__init__.py",
        *(f"grading/sandbox/{name}.py" for name in program),
    }
    rest = {name.partition("/")[0] for name in names} - {"checks", "grading"}
    notebooks = {"__init__.py", "runtime.py", "data.py", "plots.py", "explore"}
    assert rest == notebooks | {"learning"}


def test_the_self_test_looks_for_all_of_the_package(plan):
    package = Path(labkit.__file__).parent
    assert {str(path) for path in package.iterdir()} <= set(plan["secret"])


def test_the_self_test_looks_for_what_knows_answers(plan):
    known = {inspect.getfile(type(exercise)) for exercise in exercises()}
    hidden = [Path(path) for path in plan["secret"]]
    assert all(any(Path(k).is_relative_to(h) for h in hidden) for k in known)
    assert all(os.path.exists(path) for path in plan["secret"])


def test_only_python_and_the_system_are_bound(plan):
    repository = Path(labkit.__file__).parents[1]
    for bound in map(Path, plan["binds"]):
        assert not repository.is_relative_to(bound) or plan["hidden"]
        assert bound not in (Path("/"), Path.home(), Path("/etc"), Path("/proc"))


def test_the_answers_of_a_checkout_are_hidden(monkeypatch):
    """It may lie where the system does, say in /usr/src."""
    with reachable() as system, reachable() as home:
        checkout = system / "src"
        for name in ("labkit/exercises", "solutions", "chapters", ".git"):
            (checkout / name).mkdir(parents=True)
        (checkout / "_toc.yml").touch()
        solution = checkout / "solutions" / "lab_01.py"
        solution.touch()
        monkeypatch.setattr(rootfs, "SYSTEM", (*rootfs.SYSTEM, str(system)))
        rootfs.lay_out(home)
        monkeypatch.setattr(rootfs, "PACKAGE", checkout / "labkit")
        plan = rootfs.plan(home, 60)
        hidden = {Path(path).name for path in plan["hidden"]}
        assert hidden == {"labkit", "solutions", ".git"}
        assert str(solution) in plan["secret"]
        assert attempt(plan) == "shut in\n"
        plan["hidden"] = []
        assert f"does not see {solution}" in attempt(plan)


def test_a_package_installed_among_others_is_hidden(plan):
    """Where labkit is not a checkout, its answers lie beside PyTorch."""
    home = Path(plan["root"]).parent
    hidden = Path("/usr/share")
    elsewhere = rootfs.plan(home, 60, hide=(hidden,))
    assert elsewhere["hidden"] == [str(hidden)]
    elsewhere["secret"] += [str(path) for path in hidden.iterdir()]
    assert attempt(elsewhere) == "shut in\n"
