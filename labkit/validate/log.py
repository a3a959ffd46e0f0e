"""The validation log: which complete run passed where, with which versions, and when.

One JSON file for each kind of device, tests/validation/cpu.json and cuda.json, written
by `labkit validate --record` and never by hand. Every notebook stands in it with its
digest, so that the log says itself when a notebook has changed since.
"""

import hashlib
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

FOLDER = Path("tests", "validation")
PACKAGES = ("numpy", "scikit-learn", "scikit-image", "matplotlib", "nbval")


def digest(notebook: Path) -> str:
    """Of the code and its outputs: what a run proves. The text may change."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    run = [(c["source"], c["outputs"]) for c in cells if c["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()


def write(root: Path, table) -> Path:
    """Keep a complete run (labkit.validate.table.Table) as the log of its device."""
    import torch

    from labkit.runtime import device

    kind = device().type
    gpu = kind == "cuda"
    # of PyTorch with its build ("+cpu", "+cu130"), which the package may leave out
    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    versions |= {package: version(package) for package in PACKAGES}
    notebooks = {
        name: {
            "verdict": table.verdict(name),
            "cells": table.cells[name],
            "seconds": round(table.seconds[name], 1),
            "digest": digest(root / name),
        }
        for name in sorted(table.cells)
    }
    log = {
        "device": torch.cuda.get_device_name() if gpu else _processor(),
        "cuda": torch.version.cuda if gpu else None,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": versions,
        "notebooks": notebooks,
    }
    path = root / FOLDER / f"{kind}.json"
    path.parent.mkdir(exist_ok=True, parents=True)
    text = json.dumps(log, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def read(root: Path, kind: str) -> dict | None:
    """The log of the kind of device, "cpu" or "cuda"; None if there is none."""
    path = root / FOLDER / f"{kind}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def changed(root: Path, log: dict) -> list[str]:
    """Notebooks that are not, or no longer, as the log saw them."""
    seen = {name: entry["digest"] for name, entry in log["notebooks"].items()}
    here = {
        str(path.relative_to(root)): digest(path)
        for folder in ("chapters", "solutions")
        for path in root.glob(f"{folder}/*.ipynb")
    }
    return sorted(name for name in seen | here if seen.get(name) != here.get(name))


def _processor() -> str:
    """The processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
