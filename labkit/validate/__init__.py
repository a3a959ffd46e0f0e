"""Run the stored notebooks again and compare every output, on a named device.

nbval runs and compares, one kernel with one thread for each core; labkit.validate.cells
closes its holes. The variants are stand-ins for machines that are not at hand.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

CELL_SECONDS = 240  # without a limit a cell is waited for half an hour
SLOWER = 5  # times as long in some variants: every operation passes through Python

# Of processor time, on one thread: what a reader waits for on an idle machine. Unlike
# the time on the wall it hardly depends on what else the machine is doing, but on the
# machine it does: a slow notebook is said, and keeps a run from being recorded.
NOTEBOOK_SECONDS = 60
SANITIZE = Path(__file__).with_name("sanitize.cfg")  # the one rule
AT_ONCE = 4  # processes at most, for the memory of a GPU

# What the outputs must not depend on, each with the environment that changes it
# (labkit.runtime reads LABKIT_…, PyTorch the rest).
VARIANTS = {
    "one-thread": {"LABKIT_THREADS": "1"},
    "two-threads": {"LABKIT_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    "plain-cpu": {"ATEN_CPU_CAPABILITY": "default"},  # no vector instructions
    "no-onednn": {"LABKIT_ONEDNN": "off"},
    "perturb": {"LABKIT_PERTURB": "1"},  # matrix products slightly off
    "elsewhere": {"LABKIT_DEVICE": "elsewhere"},  # labkit.validate.elsewhere
}


def devices() -> list[str]:
    """What LABKIT_DEVICE says, else the CPU, and the GPU where there is one."""
    import torch

    if named := os.environ.get("LABKIT_DEVICE"):
        return [named]
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def at_once(threads: int) -> int:
    """Processes with so many threads that run side by side."""
    return max(1, min(AT_ONCE, (os.cpu_count() or 1) // threads))


def validate(
    root: Path,
    device: str | None = None,
    parts: Sequence[str] = (),
    variant: str | None = None,
    record: bool = False,
) -> int:
    """nbval over chapters and solutions; 0 if every output is as stored.

    device   "cpu", "cuda", or None for the CPU
    parts    of names ("01", "layer"); all notebooks if empty
    variant  one of VARIANTS
    record   keep the result in tests/records/, if it is of all notebooks
    """
    from labkit.runtime import device as pick
    from labkit.validate import records
    from labkit.validate.table import Table

    os.environ["LABKIT_DEVICE"] = device or "cpu"
    os.environ.update(VARIANTS.get(variant, {}))
    os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("LABKIT_THREADS", "1"))
    notebooks = [
        path
        for folder in ("chapters", "solutions")
        for path in sorted(root.glob(f"{folder}/*.ipynb"))
        if not parts or any(part in path.stem for part in parts)
    ]
    try:
        if variant != "elsewhere":
            pick()
        if not notebooks:
            raise RuntimeError(f"no notebook is called like {' or '.join(parts)}")
        if record and (parts or variant):
            raise RuntimeError("only a run of all notebooks as they are is recorded")
    except RuntimeError as problem:
        print(problem, file=sys.stderr)
        return 1
    plain = os.environ["LABKIT_DEVICE"] == "cpu" and not variant
    table = Table(NOTEBOOK_SECONDS if plain else float("inf"))
    status = _nbval(root, notebooks, table)
    table.show()
    names = {str(path.relative_to(root)) for path in notebooks}
    if status or not table.passed or set(table.cells) != names:
        return 1
    if record and table.too_slow:
        print("\nnot recorded: a notebook is too slow", file=sys.stderr)
        return 1
    if record:
        print(f"\nrecorded in {records.write(root, table).relative_to(root)}")
    return 0


def _nbval(root: Path, notebooks: list[Path], table) -> int:
    """pytest's exit status."""
    import pytest

    slow = {"LABKIT_PERTURB": "1", "LABKIT_DEVICE": "elsewhere"}
    slower = SLOWER if slow.items() & os.environ.items() else 1
    workers = min(at_once(int(os.environ["OMP_NUM_THREADS"])), len(notebooks))
    options = [
        "--nbval",
        "--nbval-current-env",
        f"--nbval-sanitize-with={SANITIZE}",
        f"--nbval-cell-timeout={CELL_SECONDS * slower}",
        f"--timeout={2 * CELL_SECONDS * slower}",
        f"--numprocesses={workers}",
        "--dist=loadfile",
        f"--rootdir={root}",
        "--quiet",
        "--color=no",
        "--no-header",
        "-pno:cacheprovider",
        "-plabkit.validate.cells",
    ]
    return int(pytest.main([*options, *map(str, notebooks)], plugins=[table]))
