"""`labkit doctor` names what is wrong; each fault is planted."""

import json
import socket
import sys
from types import SimpleNamespace

import pytest

from labkit.commands import main
from labkit.learning import doctor, trust


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """Nothing of whoever runs the tests: no kernels, no signatures."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def wrong(folder):
    return {
        f.about: f"{f.said} → {f.remedy}" for f in doctor.examine(folder) if f.remedy
    }


def test_a_machine_that_is_well(machine, capsys):
    assert main(["doctor", str(machine / "work")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(doctor.CHECKS)
    assert all(line.startswith("✓ ") for line in said)
    assert not (machine / "work").exists()


def test_an_old_python(machine, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 2, "final", 0))
    assert wrong(machine) == {
        "Python": "this is 3.10.2, and the labs need 3.11 → install a newer Python, "
        "delete .venv and call make lab again"
    }


def test_a_package_that_the_course_asks_for_since(machine, monkeypatch):
    project = doctor._project()
    project["dependencies"] += ["no-such-thing>=1", "numpy>=99"]
    monkeypatch.setattr(doctor, "_project", lambda: project)
    said = wrong(machine)["packages"]
    assert "no-such-thing is not there; numpy is " in said and "want >=99 → pip" in said


def test_a_gpu_that_is_not_there(machine, monkeypatch):
    monkeypatch.setenv("LABKIT_DEVICE", "tpu")
    assert "LABKIT_DEVICE=cpu, which is enough" in wrong(machine)["PyTorch"]


def test_a_kernel_of_another_python(machine, monkeypatch):
    """It stands before the environment's own."""
    monkeypatch.setenv("JUPYTER_PATH", str(machine / "other"))
    folder = machine / "other" / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["/usr/bin/python2", "-m", "ipykernel"], "display_name": "Python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    said = wrong(machine)["kernel"]
    assert (
        "run in /usr/bin/python2, not in" in said
        and f"delete the folder {folder}" in said
    )


def test_a_full_disk(machine, monkeypatch):
    usage = SimpleNamespace(free=3 * 2**20)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    said = f"3 MiB free in {machine} → make room for 200 MiB, or name another folder"
    assert wrong(machine) == {"disk": said}


def test_a_folder_that_cannot_be_written(machine, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.paths, "write", refuse)
    assert f"{machine}: Permission denied → name another" in wrong(machine)["writing"]


def test_a_localhost_that_does_not_answer(machine, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert "127.0.0.1" in wrong(machine)["ports"]


def test_signatures_that_are_locked(machine):
    trust.sign([])
    holder = trust.sqlite3.connect(machine / "data" / "nbsignatures.db")
    holder.execute("BEGIN IMMEDIATE")
    assert "locked" in wrong(machine)["figures"]
    holder.close()
