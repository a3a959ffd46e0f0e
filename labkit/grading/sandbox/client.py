"""Run a rebuilt notebook in a learner's process, with a time limit for every step.

The grader's side of sandbox/process.py. Nothing here trusts what comes back.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labkit.checks import plain
from labkit.grading.sandbox import confine, protocol, rootfs
from labkit.grading.sandbox.confine import Refused
from labkit.grading.settings import Settings

START_LIMIT = 120.0  # seconds until the warm process is ready
REPLAYS = 10  # a notebook may take this many times the limit of a cell, and no longer
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")


@dataclass(frozen=True)
class Cell:
    """A step: run this source."""

    index: int
    source: str


@dataclass(frozen=True)
class Check:
    """A step: put these cases (plain data as bytes) to what the cells defined."""

    index: int
    request: bytes


@dataclass
class StepResult:
    """What became of a step.

    lost      "" or why there is no answer: "time" (over the limit), "died" (the process
              ended), "garbled" (what came is no answer of ours) or "skipped" (the
              notebook's whole time was used up)
    outputs   of a cell, as a notebook stores them
    records   of a check, from probes.run; None when there are none
    missing   names that a check asked for and nothing defines
    raised    what ended the check itself, e.g. SystemExit
    """

    lost: str = ""
    outputs: list[dict] = field(default_factory=list)
    records: list | None = None
    missing: list[str] = field(default_factory=list)
    raised: str = ""

    @property
    def error(self) -> dict | None:
        """The error that ended a cell, if one did."""
        errors = [o for o in self.outputs if o["output_type"] == "error"]
        return errors[0] if errors else None


class Lost(Exception):
    """A child gave no usable answer; str() is the reason as in StepResult.lost."""


class Warm:
    """A process with PyTorch imported that forks a child for each submission.

    with Warm(master.own_cells, settings) as warm:
        done = warm.run(steps, timeout=30)

    cells     the lab's own, run once beforehand: what they define is there in every
              child, but for those that need an answer
    settings  their time limit is the longest that run() will be given

    Raises confine.Refused where there can be no sandbox, unless they are unsafe.
    """

    def __init__(self, cells: Sequence[str], settings: Settings):
        self.cells, self.settings = list(cells), settings
        self.prefix: list[str] = []  # a command that starts the process
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Warm":
        why_not = confine.supported()
        if why_not and not self.settings.unsafe:
            raise Refused(why_not)
        self.home = tempfile.mkdtemp(prefix="labkit-grade-")
        try:
            rootfs.lay_out(Path(self.home))
            self._launch_somehow()
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_) -> None:
        self._stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def run(
        self,
        steps: list[Cell | Check],
        timeout: float,
        latest: float | None = None,
    ) -> list[StepResult]:
        """Run the steps in order in a fresh child; one result for each.

        latest   when to give up, in time.monotonic's seconds; by default after
                 REPLAYS times the timeout

        A step that takes more than `timeout` seconds, or that ends the process, is
        lost: a new child replays the cells before it and goes on with the next step.
        """
        results, finished, child = [], [], None
        if latest is None:
            latest = time.monotonic() + REPLAYS * timeout
        try:
            for step in steps:
                if time.monotonic() > latest:
                    results.append(StepResult(lost="skipped"))
                    continue
                child = child or self._start(finished, timeout)
                try:
                    results.append(child.do(step, timeout))
                    if isinstance(step, Cell):
                        finished.append(step)
                except Lost as reason:
                    results.append(StepResult(lost=str(reason)))
                    child = child.end()
        finally:
            if child:
                child.end()
        return results

    def _start(self, replay: list[Cell], timeout: float) -> "Child":
        """A child in which the cells of `replay` have run; one that fails now is
        taken off the list."""
        while True:
            child = self._fork()
            for cell in replay:
                try:
                    child.do(cell, timeout)
                except Lost:
                    replay.remove(cell)
                    child.end()
                    break
            else:
                return child

    def _fork(self) -> "Child":
        for last_try in (False, True):
            ours, theirs = socket.socketpair()
            folder = tempfile.mkdtemp(dir=self.home)
            try:
                protocol.send(self.control, {"folder": folder})
                socket.send_fds(self.control, [b"."], [theirs.fileno()])
                pid = self._answer()["pid"]
            except (OSError, EOFError):
                # Without a sandbox, a learner's code can kill its parent.
                ours.close()
                self._stop()
                self._launch()
                if last_try:
                    raise
            else:
                return Child(self, ours, pid, folder)
            finally:
                theirs.close()

    def reap(self, pid: int) -> None:
        try:
            protocol.send(self.control, {"end": pid})
            self._answer()
        except (OSError, EOFError):
            self._stop()
            self._launch()

    def _answer(self) -> dict:
        return protocol.receive(self.control, time.monotonic() + START_LIMIT)[0]

    def _launch_somehow(self) -> None:
        """Directly, or where the system keeps namespaces to itself, by bubblewrap,
        which many systems let make them."""
        try:
            self._launch()
        except Refused as reason:
            bubblewrap = shutil.which("bwrap")
            if not bubblewrap:
                raise
            self.prefix = [bubblewrap, "--unshare-user", "--dev-bind", "/", "/"]
            self.prefix += ["--die-with-parent", "--"]
            try:
                self._launch()
            except Refused:
                raise reason from None

    def _launch(self) -> None:
        self.control, theirs = socket.socketpair()
        module = ["-m", "labkit.grading.sandbox.process"]
        self.process = subprocess.Popen(
            [*self.prefix, sys.executable, "-P", *module, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=self.home,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get("LABKIT_DEBUG") else subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        plan = None
        if not self.settings.unsafe:
            seconds = 2 * REPLAYS * self.settings.timeout
            held = self.settings.hide, self.settings.group
            plan = rootfs.plan(Path(self.home), seconds, *held)
        order = {"cells": self.cells, "plan": plan, "device": self.settings.device}
        try:
            protocol.send(self.control, order)
            said = self._answer()
        except (OSError, EOFError):
            said = {"refused": "its process ended; LABKIT_DEBUG=1 shows what it says"}
        if "refused" in said:
            self._stop()
            raise Refused(said["refused"])

    def _environment(self) -> dict[str, str]:
        """A small environment: one thread, no display, nothing of the instructor's."""
        gpu = {"CUDA_VISIBLE_DEVICES": ""}
        if self.settings.device == "cuda":
            # So that asking for a GPU does not start CUDA, which no fork survives.
            gpu = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
            names = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
            gpu |= {n: os.environ[n] for n in names if n in os.environ}
        return {
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": self.home,
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.path.join(self.home, "library"),
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "agg",
            "IPYTHONDIR": self.home,
            "LABKIT_DEVICE": "cpu",  # until the fork
            "LABKIT_RUN": self.settings.mark,
            **gpu,
        }

    def _stop(self) -> None:
        """End the process, once: afterwards its id may be that of another."""
        process, self.process = self.process, None
        if process is None:
            return
        self.control.close()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


class Child:
    """One forked process, for one submission."""

    def __init__(self, warm: Warm, channel: socket.socket, pid: int, folder: str):
        self.warm, self.channel, self.pid, self.folder = warm, channel, pid, folder

    def do(self, step: Cell | Check, timeout: float) -> StepResult:
        """Run a step. Raises Lost with the reason when no usable answer comes."""
        deadline = time.monotonic() + timeout
        try:
            self.channel.settimeout(timeout)
            if isinstance(step, Cell):
                protocol.send(self.channel, {"source": step.source})
            else:
                protocol.send(self.channel, {}, step.request)
            header, body = protocol.receive(self.channel, deadline)
            return StepResult(
                outputs=list(clean(header.get("outputs", []))),
                records=plain.loads(body) if body else None,
                missing=[str(name)[:100] for name in header.get("missing", [])[:10]],
                raised=str(header.get("raised", ""))[:1000],
            )
        except TimeoutError:
            raise Lost("time") from None
        except (OSError, EOFError):
            raise Lost("died") from None
        except (ValueError, TypeError, AttributeError, KeyError):
            raise Lost("garbled") from None

    def end(self) -> None:
        self.channel.close()
        self.warm.reap(self.pid)
        shutil.rmtree(self.folder, ignore_errors=True)


def clean(outputs: object) -> Iterator[dict]:
    """Outputs rebuilt from their known fields: text and PNG images, nothing active."""
    for output in outputs:
        match output:
            case {"output_type": "stream", "text": str(text)}:
                yield {"output_type": "stream", "name": "stdout", "text": text}
            case {"output_type": "display_data", "data": dict(data)}:
                image, text = data.get("image/png"), data.get("text/plain")
                shown = {}
                if isinstance(image, str) and BASE64.fullmatch(image):
                    shown["image/png"] = image
                if isinstance(text, str):
                    shown["text/plain"] = text
                about = {"image/png": {"alt": "What this cell drew."}}
                yield {"output_type": "display_data", "data": shown, "metadata": about}
            case {
                "output_type": "error",
                "ename": str(name),
                "evalue": str(value),
                "traceback": list(lines),
            }:
                yield {
                    "output_type": "error",
                    "ename": name[:100],
                    "evalue": value[:1000],
                    "traceback": [str(line) for line in lines],
                }
