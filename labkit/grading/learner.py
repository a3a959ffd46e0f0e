"""The learner's process: the only place where learners' code runs.

    python -m labkit.grading.learner FD      (started by labkit.grading.run)

It imports what a lab needs once, then forks one child for each submission, into the
sandbox (labkit.grading.sandbox). A child runs cells in an IPython shell and puts the
check's cases to what the cells defined; it knows neither the reference nor the seed,
and what it answers is plain data.

The rules that make forking a process with PyTorch in it safe: one thread before the
first operation, no other thread ever (IPython's history keeps one: it is off), and no
GPU touched before the fork.
"""

import builtins
import gc
import io
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

import torch
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from labkit.checks import plain, probes
from labkit.grading import sandbox, trial, wire

TEXT_LIMIT = 20_000  # characters of printed output or traceback kept for a cell
IMAGE_LIMIT = 500_000  # characters of images kept for a cell
FILE_LIMIT = sandbox.FILE_SIZE


class CappedText(io.TextIOBase):
    """A text stream that keeps the first TEXT_LIMIT characters."""

    def __init__(self):
        self.kept, self.lost = "", 0

    def write(self, text: str) -> int:
        kept = text[: TEXT_LIMIT - len(self.kept)]
        self.kept += kept
        self.lost += len(text) - len(kept)
        return len(text)

    def text(self) -> str:
        return self.kept + (f"\n… {self.lost} characters cut\n" if self.lost else "")


class Shell(InteractiveShell):
    """IPython without a terminal, a history or a user to ask."""

    display_pub_class = CapturingDisplayPublisher
    failure: dict | None = None

    def enable_gui(self, gui=None):
        """Called by %matplotlib; there is no event loop to join."""

    def system(self, cmd: str) -> None:
        """Called by !command; there is no terminal to lend it."""
        done = subprocess.run(
            self.var_expand(cmd, depth=1),
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        print(done.stdout.decode(errors="replace"), end="")

    def ask_exit(self):
        """Called by exit() and quit(); the notebook goes on, as in Jupyter."""

    def _showtraceback(self, etype, evalue, stb):
        self.failure = {
            "output_type": "error",
            "ename": str(etype.__name__)[:100],
            "evalue": str(evalue)[:1000],
            "traceback": "\n".join(stb)[-TEXT_LIMIT:].split("\n"),
        }


def run_cell(shell: Shell, source: str) -> list[dict]:
    """Run one cell and return its outputs as a notebook stores them."""
    printed, shell.failure = CappedText(), None
    shell.display_pub.outputs.clear()
    with redirect_stdout(printed), redirect_stderr(printed):
        shell.run_cell(source, store_history=False)
    outputs = []
    if printed.kept:
        text = {"output_type": "stream", "name": "stdout", "text": printed.text()}
        outputs.append(text)
    room = IMAGE_LIMIT
    for shown in shell.display_pub.outputs:
        data = {k: shown["data"].get(k) for k in ("image/png", "text/plain")}
        data = {k: v for k, v in data.items() if isinstance(v, str)}
        room -= sum(map(len, data.values()))
        if data and room >= 0:
            outputs.append(
                {"output_type": "display_data", "data": data, "metadata": {}}
            )
    return outputs + ([shell.failure] if shell.failure else [])


def ask(shell: Shell, request: dict) -> tuple[dict, bytes]:
    """Put a check's cases to the learner's objects; the records travel as bytes."""
    missing = [name for name in request["names"] if name not in shell.user_ns]
    if missing:
        return {"missing": missing}, b""
    objects = {name: shell.user_ns[name] for name in request["names"]}
    try:
        with redirect_stdout(CappedText()), redirect_stderr(CappedText()):
            records = probes.run(
                request["probe"], objects, request["cases"], request["off_limits"]
            )
        return {}, plain.dumps(records)
    except BaseException as error:  # exit() in an answer, or what plain data cannot say
        return {"raised": f"{type(error).__name__}: {error}"[:1000]}, b""


def serve(channel: socket.socket, shell: Shell) -> None:
    """In the child: answer the grader until it hangs up."""
    own = channel.fileno()
    os.closerange(3, own)
    os.closerange(own + 1, 65536)
    while True:
        header, body = wire.receive(channel)
        if "source" in header:
            wire.send(channel, {"outputs": run_cell(shell, header["source"])})
        else:
            wire.send(channel, *ask(shell, plain.loads(body)))


def start(plan: dict | None, folder: str, work: Callable[[], None]) -> int:
    """Run work() in a child, in the sandbox of this plan; without a plan there is
    none: the child can do all that the instructor can."""
    if plan is not None:
        return sandbox.spawn(plan, work)
    pid = os.fork()
    if pid == 0:
        try:
            settle(folder)
            work()
        finally:
            os._exit(0)
    return pid


def settle(folder: str) -> None:
    """Without a sandbox: at least a folder and a process group of its own."""
    os.setsid()  # one signal to the group ends everything it starts
    os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    limit = FILE_LIMIT if hard == resource.RLIM_INFINITY else min(hard, FILE_LIMIT)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def warm_up(cells: list[str]) -> Shell:
    """Import and use everything once, so that no child has to.

    cells   the lab's own, which import what it needs, some of it only when they run
    """
    torch.set_num_threads(1)
    builtins.input = lambda prompt="": print(prompt) or ""  # nobody is there to answer
    config = Config()
    config.HistoryManager.enabled = False  # no thread
    shell = Shell.instance(config=config)
    run_cell(shell, "print(1 / 0)")  # IPython imports what formats tracebacks late
    names: dict[str, object] = {}
    with redirect_stdout(CappedText()), redirect_stderr(CappedText()):
        for cell in cells:
            try:
                exec(cell, names)
            except Exception:  # most need answers
                continue
    case = probes.Case("warm-up", "f", args={"x": torch.randn(4, 4)})
    function = torch.nn.Sequential(torch.nn.LayerNorm(4), torch.nn.Linear(4, 4))
    plain.loads(plain.dumps(probes.run("function", {"f": function}, [case], ["f"])))
    if "matplotlib.pyplot" in sys.modules:
        from matplotlib import pyplot

        pyplot.figure().savefig(io.BytesIO())
        pyplot.close("all")
    gc.collect()
    gc.freeze()  # the collector of a child need not touch, and so copy, these pages
    return shell


def main(control: socket.socket) -> None:
    """Start and end children as the grader asks, until it hangs up or is killed."""
    order, _ = wire.receive(control)
    plan = order["plan"]
    shell = warm_up(order["cells"])
    if plan is not None:
        try:
            sandbox.adopt()
            trial.run(plan)
        except (sandbox.Refused, OSError) as reason:
            wire.send(control, {"refused": str(reason)})
            return
    children: set[int] = set()
    try:
        wire.send(control, {"ready": os.getpid()})
        while True:
            order, _ = wire.receive(control)
            wire.send(control, obey(order, control, plan, shell, children))
    except (EOFError, ConnectionError):  # the grader is gone: leave nothing behind
        for pid in children:
            end(pid)
        shutil.rmtree(os.getcwd(), ignore_errors=True)


def obey(order: dict, control, plan, shell: Shell, children: set[int]) -> dict:
    """Start a child or end one; return the answer to the grader."""
    if "end" in order:
        pid = order["end"]
        status = end(pid) if pid in children else None
        children.discard(pid)
        return {"status": status}
    _, (descriptor,), _, _ = socket.recv_fds(control, 1, 1)
    with socket.socket(fileno=descriptor) as channel:
        pid = start(plan, order["folder"], lambda: serve(channel, shell))
    children.add(pid)
    return {"pid": pid}


def end(pid: int) -> int:
    """Kill a child with all it started; return how it ended (a negative signal)."""
    done, status = os.waitpid(pid, os.WNOHANG)
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        if not done:
            os.kill(pid, signal.SIGKILL)
    if not done:
        done, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
