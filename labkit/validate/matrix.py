"""Every variant, one after the other, on the notebooks and on the checks."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from labkit.validate import VARIANTS, at_once, settings

# Of the exercises' tests those that compute, with one seed of three.
CHECKS = ["-q", "-m", "not more_seeds", "-k", "every_mistake or right or pass"]


def matrix(root: Path, parts: Sequence[str] = ()) -> int:
    """Run all variants, each in processes of its own; 0 if all pass.

    parts  chapters with their labs; all notebooks if empty. The checks are always all
    """
    rows = []
    for variant in VARIANTS:
        for what, command in _commands(variant, parts).items():
            print(f"\n=== {variant}, {what}", flush=True)
            start = time.monotonic()
            run = [sys.executable, "-m", *command]
            done = subprocess.run(run, cwd=root, env=os.environ | settings(variant))
            verdict = "fails" if done.returncode else "passes"
            rows.append((variant, what, verdict, time.monotonic() - start))
    print(f"\n{'variant':12}  {'what':9}  verdict  seconds")
    for variant, what, verdict, seconds in rows:
        print(f"{variant:12}  {what:9}  {verdict:7}  {seconds:7.0f}")
    return int(any("fails" in row for row in rows))


def _commands(variant: str, parts: Sequence[str]) -> dict[str, list[str]]:
    """What to run, as modules with their arguments; processes as for the notebooks."""
    threads = VARIANTS[variant].get("OMP_NUM_THREADS", "1")
    named = [f"--lab={part}" for part in parts]
    return {
        "notebooks": ["labkit", "validate", f"--variant={variant}", *named],
        "checks": ["pytest", f"-n{at_once(int(threads))}", *CHECKS, "tests/exercises"],
    }
