"""Run the stored notebooks again and compare every output, on a named device."""

import os
import sys
from collections import defaultdict
from pathlib import Path

CELL_SECONDS = 120  # without a limit a dead kernel is waited for half an hour
PERTURBED = 5  # times as long: every operation then passes through Python


class Table:
    """A pytest plugin: what nbval found, notebook by notebook."""

    def __init__(self) -> None:
        self.cells: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)
        self.failures: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report) -> None:
        notebook, _, cell = report.nodeid.partition("::")
        self.seconds[notebook] += report.duration
        self.cells[notebook] += report.when == "call"
        # nbval marks the cells behind a dead kernel as expected failures
        if report.failed or hasattr(report, "wasxfail"):
            self.failures[notebook].append(f"{cell}\n{report.longreprtext}")

    def show(self) -> None:
        width = max(map(len, self.cells), default=8)
        print(f"\n{'notebook':{width}}  cells  seconds  differences")
        for notebook, count in self.cells.items():
            wrong = len(self.failures[notebook])
            print(
                f"{notebook:{width}}  {count:5}  {self.seconds[notebook]:7.1f}  "
                f"{wrong or 'none'}"
            )
        first = next((f[0] for f in self.failures.values() if f), None)
        if first:
            print(f"\nthe first difference: {first}")


def validate(
    root: Path, device: str | None, labs: list[str], perturb: bool = False
) -> int:
    """nbval over chapters and solutions; 0 if every output is as stored.

    device  "cpu", "cuda" or None for what LABKIT_DEVICE says, else the CPU
    labs    parts of names ("01", "layer"); all notebooks if empty
    perturb with every matrix product slightly off (labkit.runtime.OtherArithmetic)
    """
    import pytest

    from labkit.runtime import device as pick

    os.environ["LABKIT_DEVICE"] = device or os.environ.get("LABKIT_DEVICE") or "cpu"
    os.environ["LABKIT_PERTURB"] = "1" if perturb else ""
    try:
        pick()
    except RuntimeError as missing:
        print(missing, file=sys.stderr)
        return 1
    notebooks = sorted(root.glob("chapters/*.ipynb")) + sorted(
        root.glob("solutions/*.ipynb")
    )
    notebooks = [
        n for n in notebooks if not labs or any(part in n.stem for part in labs)
    ]
    if not notebooks:
        print(f"no notebook is called anything like {', '.join(labs)}", file=sys.stderr)
        return 1
    limit = CELL_SECONDS * (PERTURBED if perturb else 1)
    table = Table()
    code = pytest.main(
        [
            "--nbval",
            "--nbval-current-env",
            f"--nbval-cell-timeout={limit}",
            "-p",
            "no:cacheprovider",
            "-q",
            "--no-header",
            "--timeout=900",
            f"--rootdir={root}",
            *map(str, notebooks),
        ],
        plugins=[table],
    )
    table.show()
    ran = set(table.cells) == {str(n.relative_to(root)) for n in notebooks}
    return int(code) or int(any(table.failures.values())) or int(not ran)
