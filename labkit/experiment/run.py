"""Running what is missing: resumable, a process for every core, one thread in each."""

import csv
import io
import json
import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from labkit.experiment.records import ExperimentError, Row, read, written
from labkit.experiment.script import Experiment, Setting
from labkit.paths import write
from labkit.waiting import Progress

Job = tuple[Path, list[Setting]]  # a script and one of its groups


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
        write(self.experiment.record, text.getvalue())
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
    weights = experiment.weights
    taken = {"weights": f"{weights.file}, SHA-256 {weights.sha256}"} if weights else {}
    return taken | {
        "experiment": experiment.name,
        "date": date.today().isoformat(),
        "seconds": f"{seconds:.0f}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "device": os.environ.get("LABKIT_DEVICE", "cpu"),
        "digest": experiment.digest,
    }


def groups(experiment: Experiment, settings: Iterable[Setting]) -> list[list[Setting]]:
    """Settings that are trained side by side: they differ in TOGETHER, or the seed."""
    together = getattr(experiment.module, "TOGETHER", ("seed",))
    found: dict[tuple, list[Setting]] = {}
    for setting in settings:
        rest = {k: v for k, v in setting.items() if k not in together}
        found.setdefault(tuple(map(str, rest.items())), []).append(setting)
    return list(found.values())


def make(experiment: Experiment, workers: int | None = None) -> Rows:
    """Run what is missing and write the record."""
    done = Rows.load(experiment, lambda line: print(line, file=sys.stderr))
    for number in range(1, 100):
        wanted = experiment.wanted(done.rows.values())
        missing = [s for key, s in wanted.items() if key not in done.rows]
        if not missing:
            done.write(wanted)
            return done
        if reason := experiment.cannot_run():
            raise ExperimentError(f"{experiment.name}: {reason}")
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
    os.environ["OMP_NUM_THREADS"] = "1"  # before the processes import PyTorch
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
    """In a new process: its end is the parent's to say, and comes with the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@lru_cache
def _loaded(script: Path) -> Experiment:
    return Experiment(script)


def run_group(script: Path, group: list[Setting]) -> tuple[Path, list[Row], float]:
    """In a process of its own: the script, the rows of one group and their seconds."""
    return script, *_loaded(script).run(group)
