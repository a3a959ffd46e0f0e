"""Experiments that verdicts rest on: run, resume, write the record, run a sample again.

`experiments/NAME.py` says in plain code what is varied and what one run returns:

    FACTORS = ("place", "lr", "seed")        the columns that name a row
    TOLERANCE = {"accuracy": 0.02}           absolute, when a row is run again
    RESTS_ON = {"accuracy": 0.10}            the smallest difference a verdict rests on
    def settings(record): …                  what is to run, given the rows so far
    def run(settings): …                     results of settings that differ in the seed
    def checked(row): …                      optional: the columns that must come again

`labkit experiment NAME` writes `experiments/NAME.csv`: header lines, then tidy rows.
Its digest covers all code that `run` reaches: in the script, in the chapter's cells
tagged `definition`, in labkit/training.py and labkit/data.py; comments and docstrings,
and what only chooses the settings, do not count. Rows are kept as they come: a run that
is stopped at any moment goes on where it was.
"""

import csv
import io
import json
import math
import multiprocessing
import os
import platform
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from labkit.pieces import Pieces

if TYPE_CHECKING:
    import pandas

ROOT = Path(__file__).resolve().parents[1]
Setting = dict[str, Any]
Row = dict[str, Any]
Job = tuple[Path, list[Setting]]  # a script and one of its groups


class ExperimentError(ValueError):
    """A script or a record that breaks the rules; the message is one sentence."""


# ----------------------------------------------------------------- the chapter's model


def definitions(chapter: str, *names: str) -> Any:
    """Objects that a chapter defines: one, or a tuple in the order of the names.

    Executes, of the chapter's cells tagged `definition`, the statements that the names
    need, and of its set-up cell the imports and assignments that those need.

    Raises ExperimentError for a name that no such cell defines.
    """
    pieces = Pieces.of_chapter(chapter_source(chapter))
    if missing := set(names) - pieces.names:
        raise ExperimentError(
            f"chapters/{chapter}.py defines no {missing.pop()} in a cell tagged "
            "`definition`"
        )
    namespace: dict[str, Any] = {"__name__": f"chapters.{chapter}"}
    exec(pieces.reached_by(names).code(f"chapters/{chapter}.py"), namespace)
    found = tuple(namespace[name] for name in names)
    return found[0] if len(found) == 1 else found


def chapter_source(chapter: str) -> Path:
    """The source of a chapter."""
    path = ROOT / "chapters" / f"{chapter}.py"
    if not path.exists():
        raise ExperimentError(f"there is no chapters/{chapter}.py")
    return path


LADDER = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
CHOOSE, READ = (100, 101, 102), range(8)  # seeds for choosing, seeds for reading


def tuned(
    record: "pandas.DataFrame",
    arms: Iterable[Setting],
    column: str,
    slack: float,
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2),
) -> Iterator[Setting]:
    """For settings(): every arm at its own learning rate.

    Each arm first tries the rates on seeds 100 to 102; the one with the lowest mean of
    `column` is read with seeds 0 to 7. The grid grows by a step of LADDER where only
    its first or last rate is within `slack` of the best.
    """
    for arm in arms:
        tried = [LADDER.index(rate) for rate in rates]
        while True:
            means = [_mean(record, arm | {"lr": LADDER[n]}, column) for n in tried]
            for n in tried:
                yield from (arm | {"lr": LADDER[n], "seed": seed} for seed in CHOOSE)
            if None in means:
                break  # asked again when these have been run
            good = [n for n, mean in enumerate(means) if mean <= min(means) + slack]
            inner = [n for n in good if 0 < n < len(tried) - 1]
            best = min(inner or good, key=means.__getitem__)
            low, high = tried[0], tried[-1]
            if not inner and best == 0 and low > 0:
                tried.insert(0, low - 1)
            elif not inner and best > 0 and high < len(LADDER) - 1:
                tried.append(high + 1)
            else:
                lr = LADDER[tried[best]]
                yield from (arm | {"lr": lr, "seed": seed} for seed in READ)
                break


def _mean(record: "pandas.DataFrame", setting: Setting, column: str) -> float | None:
    """Mean of a column over the seeds for choosing; None before they have been run."""
    if record.empty:
        return None
    rows = record[record.seed.isin(CHOOSE)]
    for factor, value in setting.items():
        rows = rows[rows[factor] == value]
    return None if rows.empty else float(rows[column].mean())


# ------------------------------------------------------------------ scripts and records


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
        exec(compile(source, str(self.script), "exec"), module.__dict__)
        for name in ("FACTORS", "TOLERANCE", "RESTS_ON", "settings", "run"):
            if not hasattr(module, name):
                raise ExperimentError(f"{self.script.name} does not say its {name}")
        return module

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the code that makes the numbers."""
        script = Pieces.of_file(self.script).reached_by(["run"])
        pieces = [script]
        for chapter, names in script.calls_of("definitions"):
            cells = Pieces.of_chapter(chapter_source(chapter))
            pieces.append(cells.reached_by(names))
        used = set().union(*(piece.mentions for piece in pieces))
        for module in ("training.py", "data.py"):
            pieces.append(Pieces.of_file(ROOT / "labkit" / module).reached_by(used))
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
        return {self.key(s): s for s in self.module.settings(_table(rows))}

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


def experiments(names: Iterable[str] = (), root: Path = ROOT) -> list[Experiment]:
    """The experiments of these names; all of them without names.

    Raises ExperimentError for a name without a script.
    """
    folder = root / "experiments"
    scripts = [folder / f"{Path(name).stem}.py" for name in names]
    for script in scripts:
        if not script.exists():
            raise ExperimentError(f"there is no experiments/{script.name}")
    return [Experiment(s) for s in scripts or sorted(folder.glob("[!_]*.py"))]


def record(name: str) -> "pandas.DataFrame":
    """A record as a pandas table: one row a run, numbers as numbers.

    The header stands in `.attrs`. Displayed raw its HTML differs between versions:
    print or draw what you take from it.

    Raises ExperimentError, with what to type, where there is no such record.
    """
    path = ROOT / "experiments" / f"{name}.csv"
    if not path.exists():
        raise ExperimentError(f"no experiments/{name}.csv: labkit experiment {name}")
    header, rows = read(path)
    table = _table(rows)
    table.attrs.update(header)
    return table


def read(path: Path) -> tuple[dict[str, str], list[Row]]:
    """Header and rows of a record, numbers as numbers."""
    lines = path.read_text("utf-8").splitlines()
    header = [line[2:].split(": ", 1) for line in lines if line.startswith("# ")]
    body = [line for line in lines if not line.startswith("# ")]
    rows = [
        {name: understood(value) for name, value in row.items()}
        for row in csv.DictReader(body)
    ]
    return dict(header), rows


def _table(rows: Iterable[Row]) -> "pandas.DataFrame":
    import pandas

    return pandas.DataFrame(list(rows))


def written(value: Any) -> str:
    """A value as it stands in a record: floats with six significant digits."""
    if hasattr(value, "item"):
        value = value.item()  # a number in a tensor or an array
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if value is None or text != text.strip() or set(text) & set("\n\r"):
        raise ExperimentError(f"{value!r} cannot stand in a record")
    return text


def understood(text: str) -> Any:
    """The value that `written` wrote."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


# ---------------------------------------------------------------------------- running


@dataclass
class Rows:
    """What has been run so far: from the record and from an unfinished run."""

    experiment: Experiment
    rows: dict[tuple, Row] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def load(cls, experiment: Experiment, say=print) -> "Rows":
        """Rows made by the code as it is; those of other code are left behind."""
        found = cls(experiment)
        if experiment.record.exists():
            header, rows = read(experiment.record)
            if header.get("digest") == experiment.digest:
                found.seconds = float(header["seconds"])
                found.rows = {experiment.key(row): row for row in rows}
            else:
                say(f"{experiment.name}: the code has changed: starting anew")
        for group in _groups_in(experiment.part, experiment.digest):
            found.seconds += group["seconds"]
            found.rows |= {experiment.key(row): row for row in group["rows"]}
        return found

    def add(self, rows: list[Row], seconds: float) -> None:
        """Keep a group's rows, on disk before anything else happens."""
        group = {"digest": self.experiment.digest, "seconds": seconds, "rows": rows}
        with open(self.experiment.part, "a", encoding="utf-8") as file:
            file.write(json.dumps(group) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.seconds += seconds
        self.rows |= {self.experiment.key(row): row for row in rows}

    def write(self, wanted: Iterable[tuple]) -> None:
        """The record, at once; the unfinished run is then over."""
        rows = [self.rows[key] for key in wanted]
        factors = self.experiment.module.FACTORS
        rows.sort(key=lambda row: [_order(row[factor]) for factor in factors])
        names = list(dict.fromkeys([*factors, *(n for row in rows for n in row)]))
        text = io.StringIO()
        for name, value in _header(self.experiment, self.seconds).items():
            text.write(f"# {name}: {value}\n")
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows({n: written(v) for n, v in row.items()} for row in rows)
        new = self.experiment.record.with_suffix(".csv.new")
        new.write_text(text.getvalue(), "utf-8")
        os.replace(new, self.experiment.record)
        self.experiment.part.unlink(missing_ok=True)


def _groups_in(part: Path, digest: str) -> Iterator[dict]:
    """Groups of an unfinished run; a last line that broke off is none."""
    if not part.exists():
        return
    text = part.read_text("utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        part.write_text(whole, "utf-8")
    for line in whole.splitlines():
        group = json.loads(line)
        if group["digest"] == digest:
            yield group


def _order(value: Any) -> tuple:
    return (isinstance(value, str), value)


def _header(experiment: Experiment, seconds: float) -> dict[str, str]:
    import numpy
    import torch

    return {
        "experiment": experiment.name,
        "date": date.today().isoformat(),
        "seconds": f"{seconds:.0f}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "device": os.environ.get("LABKIT_DEVICE", "cpu"),
        "digest": experiment.digest,
    }


def groups(experiment: Experiment, settings: Iterable[Setting]) -> list[list[Setting]]:
    """Settings that differ in the seed alone, trained side by side."""
    found: dict[tuple, list[Setting]] = {}
    for setting in settings:
        rest = {k: v for k, v in setting.items() if k != "seed"}
        found.setdefault(tuple(map(str, rest.items())), []).append(setting)
    return list(found.values())


def make(experiment: Experiment, workers: int | None = None) -> Rows:
    """Run what is missing and write the record."""
    from labkit.waiting import Progress

    done = Rows.load(experiment, lambda line: print(line, file=sys.stderr))
    for number in range(1, 100):
        wanted = experiment.wanted(done.rows.values())
        missing = [s for key, s in wanted.items() if key not in done.rows]
        if not missing:
            done.write(wanted)
            return done
        todo = groups(experiment, missing)
        label = f"{experiment.name}, round {number}"
        with Progress(len(todo), label, "group", log=True) as progress:
            results = run_all([(experiment.script, group) for group in todo], workers)
            for finished, (_, rows, seconds) in enumerate(results, 1):
                done.add(rows, seconds)
                progress.at(finished)
    raise ExperimentError(f"{experiment.name}: settings() always asks for more")


def run_all(
    jobs: Iterable[Job], workers: int | None = None
) -> Iterator[tuple[Path, list[Row], float]]:
    """Run groups in processes of their own, one thread each; yield what is finished.

    A job is taken from `jobs` when a process is free. Yields the script, the rows of
    the group and its seconds of processor time.
    """
    os.environ.setdefault("LABKIT_DEVICE", "cpu")
    os.environ["OMP_NUM_THREADS"] = "1"
    workers, jobs = workers or os.cpu_count() or 1, iter(jobs)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _begin) as pool:
        running = {pool.submit(run_group, *job) for job in islice(jobs, workers)}
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for job in finished:
                    yield job.result()
                running |= {
                    pool.submit(run_group, *j) for j in islice(jobs, len(finished))
                }
        except BrokenProcessPool:
            raise ExperimentError("a process was killed: too little memory?") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _begin() -> None:
    """In a new process: one thread, and an end when the parent ends."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us

    def follow() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@lru_cache
def _loaded(script: Path) -> Experiment:
    return Experiment(script)


def run_group(script: Path, group: list[Setting]) -> tuple[Path, list[Row], float]:
    """The script, the rows of one group and the processor's seconds they took.

    Raises ExperimentError, with the line of the script, for whatever goes wrong there.
    """
    experiment = _loaded(script)
    start = time.process_time()
    try:
        results = experiment.module.run(group)
        if len(results) != len(group):
            raise ExperimentError(
                f"run() returned {len(results)} results for {len(group)} settings"
            )
        rows = [
            {name: plain(value) for name, value in (setting | result).items()}
            for setting, result in zip(group, results, strict=True)
        ]
    except Exception as problem:
        raise ExperimentError(_said(problem, script, group)) from None
    return script, rows, time.process_time() - start


def plain(value: Any) -> Any:
    """The value that a record gives back for this one."""
    return understood(written(value))


def _said(problem: Exception, script: Path, group: list[Setting]) -> str:
    """One sentence: where, with which setting, what."""
    line, trace = 0, problem.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(script):
            line = trace.tb_lineno
        trace = trace.tb_next
    setting = ", ".join(f"{name}={value!r}" for name, value in group[0].items())
    return f"{script.name}:{line}: {type(problem).__name__}: {problem} ({setting})"


# ------------------------------------------------------------------ running it again


def differences(experiment: Experiment, stored: Row, again: Row) -> dict[str, float]:
    """How far each result is off, in tolerances: above 1 it is a miss."""
    checked = getattr(experiment.module, "checked", lambda row: list(row))
    names = [n for n in checked(stored) if n not in experiment.module.FACTORS]
    return {n: _off(experiment, n, stored.get(n), again.get(n)) for n in names}


def _off(experiment: Experiment, name: str, stored: Any, again: Any) -> float:
    if stored == again or (stored != stored and again != again):
        return 0.0
    tolerance = experiment.module.TOLERANCE.get(name, 0)
    numbers = all(isinstance(value, int | float) for value in (stored, again))
    if not numbers or not tolerance or not math.isfinite(stored - again):
        return math.inf
    return abs(stored - again) / tolerance


def sample(chosen: list[Experiment], seed: str) -> Iterator[tuple[Experiment, Row]]:
    """Rows of the records in a random order, the experiments in turn."""
    dice = random.Random(seed)
    columns = []
    for experiment in dice.sample(chosen, len(chosen)):
        rows = read(experiment.record)[1]
        columns.append([(experiment, row) for row in dice.sample(rows, len(rows))])
    for turn in range(max(map(len, columns), default=0)):
        yield from (column[turn] for column in columns if turn < len(column))


def run_again(
    chosen: list[Experiment], seconds: float = 60, workers: int | None = None
) -> int:
    """Run a sample of rows again, alone, and compare; 0 if all came out again.

    seconds   no row is begun that would probably not be finished by then

    The sample is drawn from the commit's hash. A record that is stale is a miss.
    """
    stale = {e.name: reason for e in chosen if (reason := e.stale())}
    for name, reason in stale.items():
        print(f"{name}: stale: {reason}; labkit experiment {name}")
    fresh = {e.script: e for e in chosen if e.name not in stale}
    lasting = {script: _seconds_a_row(e) for script, e in fresh.items()}
    end = time.monotonic() + seconds
    stored: dict[tuple, Row] = {}

    def jobs() -> Iterator[Job]:
        for experiment, row in sample(list(fresh.values()), _commit()):
            if not stored or time.monotonic() + lasting[experiment.script] < end:
                stored[experiment.script, experiment.key(row)] = row
                factors = experiment.module.FACTORS
                yield experiment.script, [{name: row[name] for name in factors}]

    misses = 0
    for script, (again,), _ in run_all(jobs(), workers):
        experiment = fresh[script]
        row = stored[script, experiment.key(again)]
        off = differences(experiment, row, again)
        worst = max(off, key=off.get, default="")
        missed = off.get(worst, 0) > 1
        misses += missed
        setting = " ".join(written(row[name]) for name in experiment.module.FACTORS)
        how = f"{worst} off by {off[worst]:.0%} of its tolerance" if worst else "-"
        print(
            f"{'MISS' if missed else 'same':5} {experiment.name:28} {setting:34} {how}"
        )
        if missed:
            print(f"      {worst}: {row[worst]} in the record, {again[worst]} now")
    print(f"{len(stored):,} rows again, {misses:,} of them off; {len(stale):,} stale")
    return int(bool(misses or stale))


def _seconds_a_row(experiment: Experiment) -> float:
    """What a row alone may take: as long as the record says of a group."""
    header, rows = read(experiment.record)
    factors = experiment.module.FACTORS
    settings = [{name: row[name] for name in factors} for row in rows]
    return float(header["seconds"]) / max(1, len(groups(experiment, settings)))


def _commit() -> str:
    """The commit that is checked out; empty outside a repository."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


# ------------------------------------------------------------------- the command line


def main(
    names: list[str], every: bool, check: bool, seconds: float, workers: int | None
) -> int:
    """`labkit experiment`: 0 if all went well."""
    try:
        if not names and not every and not check:
            there = ", ".join(e.name for e in experiments()) or "none yet"
            raise ExperimentError(f"say which, or --all: {there}")
        chosen = experiments(names)
        if check:
            return run_again(chosen, seconds, workers)
        for experiment in chosen:
            if experiment.stale() is None:
                print(f"{experiment.name}: complete")
                continue
            done = make(experiment, workers)
            print(f"{experiment.name}: {len(done.rows):,} rows, {done.seconds:,.0f} s")
    except ExperimentError as problem:
        print(f"labkit: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlabkit: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0
