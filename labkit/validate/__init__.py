"""Run the stored notebooks again and compare every output, on a named device.

nbval runs and compares, one kernel with one thread for each core; labkit.validate.cells
closes its holes. The variants are stand-ins for machines that are not at hand.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

CELL_SECONDS = 240  # without a limit a cell is waited for half an hour
SLOWER = 5  # times as long in SLOW_VARIANTS

# Of processor time, on one thread: what a reader waits for on an idle machine. Unlike
# the time on the wall it hardly depends on what else the machine is doing, but on the
# machine it does: a slow notebook is said, and keeps a run out of the log.
NOTEBOOK_SECONDS = 60
SANITIZE = Path(__file__).with_name("sanitize.cfg")  # the one rule
AT_ONCE = 4  # processes at most, for the memory of a GPU

# What the outputs must not depend on: stand-ins for other machines, each with what has
# to be in the environment before PyTorch is imported (labkit.validate.stand_ins).
VARIANTS = {
    "one-thread": {"OMP_NUM_THREADS": "1"},
    "two-threads": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    "plain-cpu": {"ATEN_CPU_CAPABILITY": "default"},  # no vector instructions
    "no-onednn": {},  # PyTorch's own matrix products and convolutions
    "perturb": {},  # matrix products slightly off
    "elsewhere": {},  # a device that is not the CPU
}
SLOW_VARIANTS = ("perturb", "elsewhere")  # every operation passes through Python


def settings(variant: str | None) -> dict[str, str]:
    """The environment of a process that is to be one of VARIANTS; None for none."""
    return {"LABKIT_VARIANT": variant or "", **VARIANTS.get(variant, {})}


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
    parts    chapters with their labs ("02_feed_forward"); all notebooks if empty
    variant  one of VARIANTS
    record   log the result in tests/validation/, if it is of all notebooks

    Raises RuntimeError where there is no such device, or nothing to record.
    """
    from labkit.lab import stem_of
    from labkit.runtime import device as pick
    from labkit.validate import log
    from labkit.validate.table import Table

    os.environ["LABKIT_DEVICE"] = device or "cpu"
    os.environ.update(settings(variant))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    notebooks = [
        path
        for folder in ("chapters", "solutions")
        for path in sorted(root.glob(f"{folder}/*.ipynb"))
        if not parts or stem_of(path.stem) in parts
    ]
    pick()
    if record and (parts or variant):
        raise RuntimeError("only a run of all notebooks as they are is logged.")
    plain = os.environ["LABKIT_DEVICE"] == "cpu" and not variant
    table = Table(NOTEBOOK_SECONDS if plain else float("inf"))
    status = _nbval(root, notebooks, table)
    table.show()
    names = {str(path.relative_to(root)) for path in notebooks}
    if status or not table.passed or set(table.cells) != names:
        return 1
    if record and table.too_slow:
        print("\nnot logged: a notebook is too slow", file=sys.stderr)
        return 1
    if record:
        print(f"\nlogged in {log.write(root, table).relative_to(root)}")
    return 0


def _nbval(root: Path, notebooks: list[Path], table) -> int:
    """pytest's exit status."""
    import pytest

    slower = SLOWER if os.environ["LABKIT_VARIANT"] in SLOW_VARIANTS else 1
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
