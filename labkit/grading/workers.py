"""Grade many submissions: in this process, in several, or on a Dask cluster.

    for submission, result, notebook in graded(setup, submissions, workers=2):
        …

What travels is a notebook's bytes one way and plain JSON the other. A worker that is
lost costs time and no result: what it was grading is given to another.
"""

import atexit
import json
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import ExitStack
from dataclasses import dataclass

import nbformat

from labkit.grading.course import CourseError, Submission
from labkit.grading.grade import grade, refuse
from labkit.grading.judge import Judge
from labkit.grading.result import Result, Status
from labkit.grading.sandbox.client import Warm
from labkit.grading.settings import Settings
from labkit.lab import Master

PAYS = 20  # submissions from which several processes earn their start
ATTEMPTS = 3  # at a submission during which workers get lost
LOST = "The grader's own process ended {} times while it was grading this."

Graded = tuple[Submission, Result, nbformat.NotebookNode]


@dataclass(frozen=True)
class Setup:
    """What a worker has to know to grade a lab; travels to other machines."""

    master: Master
    settings: Settings

    def judge(self) -> Judge:
        return Judge(self.master, self.settings)

    def warm(self) -> Warm:
        return Warm(self.master.own_cells, self.settings)

    @property
    def key(self) -> tuple:
        return self.master.lab, self.master.digest, self.settings


def cores() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def graded(
    setup: Setup,
    submissions: Iterable[Submission],
    workers: int = 1,
    scheduler: str | None = None,
) -> Iterator[Graded]:
    """Grade them, and yield each when it is done; at most a few are held at a time.

    workers    processes on this machine
    scheduler  the address of a Dask scheduler, to use its workers instead

    Raises confine.Refused where there is no sandbox, and CourseError for a cluster
    that cannot be reached.
    """
    if workers <= 1 and not scheduler:
        judge = setup.judge()
        with setup.warm() as warm:
            for one in submissions:
                yield one, *_grade(one, judge, warm)
        return
    with ExitStack() as stack:
        if scheduler:
            start, at_once = _cluster(scheduler, stack)
        else:
            start, at_once = lambda: _processes(workers, stack), 2 * workers
        yield from _Line(setup, start, at_once).graded(submissions)


def _grade(
    one: Submission, judge: Judge, warm: Warm
) -> tuple[Result, nbformat.NotebookNode]:
    if one.reason:
        return refuse(one.reason, judge, student=one.student)
    return grade(one.data, judge, warm, one.student)


# ---------------------------------------------------------------------- the main side


class _Line:
    """Submissions on their way through an executor, a few at a time."""

    def __init__(self, setup: Setup, start: Callable[[], Executor], at_once: int):
        self.setup, self.start, self.at_once = setup, start, at_once
        self.executor = start()
        self.broken = False
        self.again: deque[tuple[Submission, int]] = deque()
        self.at_work: dict[Future, tuple[Submission, int]] = {}

    def graded(self, submissions: Iterable[Submission]) -> Iterator[Graded]:
        waiting = iter(submissions)
        while True:
            while len(self.at_work) < self.at_once and not self.broken:
                submission, tries = next(waiting, None), 0
                if submission is None:
                    if not self.again:
                        break
                    submission, tries = self.again.popleft()
                self._hand_out(submission, tries + 1)
            if self.at_work:
                yield from self._collect()
            elif self.broken:
                self.executor, self.broken = self.start(), False
            else:
                return

    def _hand_out(self, submission: Submission, tries: int) -> None:
        try:
            task = self.executor.submit(work, self.setup, submission)
            self.at_work[task] = submission, tries
        except BrokenExecutor:
            self.again.append((submission, tries))
            self.broken = True

    def _collect(self) -> Iterator[Graded]:
        for task in wait(self.at_work, return_when=FIRST_COMPLETED).done:
            submission, tries = self.at_work.pop(task)
            if not _is_lost(task):
                result, notebook = map(json.loads, task.result())
                notebook = nbformat.from_dict(notebook)
                yield submission, Result.from_json(result), notebook
                continue
            self.broken |= isinstance(task.exception(), BrokenExecutor)
            if tries < ATTEMPTS:
                self.again.append((submission, tries))
            else:
                why, judge = LOST.format(tries), self.setup.judge()
                yield (
                    submission,
                    *refuse(why, judge, Status.INCOMPLETE, submission.student),
                )


def _is_lost(task: Future) -> bool:
    """Whether the worker is gone, rather than the task done or at fault."""
    problem = task.exception()
    return (
        isinstance(problem, BrokenExecutor) or type(problem).__name__ == "KilledWorker"
    )


def pool(workers: int, first: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """Processes on this machine. They are forked from one that has done nothing but
    import: to fork this one, with its threads, would not be safe.

    first   is called in each process when it starts
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(workers, context, first)


def _processes(workers: int, stack: ExitStack) -> Executor:
    executor = pool(workers, _end_with_parent)
    stack.callback(executor.shutdown, cancel_futures=True)
    return executor


def _end_with_parent() -> None:
    """In a worker: a grader that is killed must not leave it behind."""
    from labkit.grading.sandbox import confine

    if not confine.supported():
        confine.end_with_parent()


def _cluster(address: str, stack: ExitStack) -> tuple[Callable[[], Executor], int]:
    try:
        from distributed import Client
    except ImportError:
        raise CourseError(
            "--scheduler needs Dask, here and on the workers: "
            "pip install 'labkit[scale]'"
        ) from None
    try:
        client = stack.enter_context(Client(address, timeout=20))
    except (OSError, ValueError) as problem:
        raise CourseError(
            f"no Dask scheduler answers at {address}: {problem}"
        ) from None
    threads = sum(client.nthreads().values())
    if not threads:
        raise CourseError(f"the Dask scheduler at {address} has no workers.")
    executor = client.get_executor(pure=False, retries=ATTEMPTS)
    return lambda: executor, 2 * threads


# -------------------------------------------------------------------- a worker's side

_ready: dict[int, tuple[tuple, Judge, Warm]] = {}  # by thread


def work(setup: Setup, submission: Submission) -> tuple[str, str]:
    """Grade one submission in a worker: its result and its notebook as JSON. The judge
    and the warm process stay for the next; learners' code runs in neither this process
    nor any that returns pickles."""
    import threading

    import torch

    torch.set_num_threads(1)
    thread = threading.get_ident()
    if thread not in _ready or _ready[thread][0] != setup.key:
        if thread in _ready:
            _ready.pop(thread)[2].__exit__()
        judge, warm = setup.judge(), setup.warm().__enter__()
        _ready[thread] = setup.key, judge, warm
        atexit.register(warm.__exit__)
    _, judge, warm = _ready[thread]
    result, notebook = _grade(submission, judge, warm)
    return json.dumps(result.to_json()), json.dumps(notebook)
