"""The learner's process: the only place where learners' code runs.

    python -m labkit.grading.sandbox.process FD     (started by client.py)

It imports what a lab needs once, then forks one child for each submission and has it
shut in (confine.py). A child runs cells in an IPython shell and puts the check's
cases to what the cells defined; it knows neither the reference nor the seed, and what
it answers is plain data.

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
import tempfile
from contextlib import redirect_stderr, redirect_stdout

import torch
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from labkit.checks import plain, probes
from labkit.grading.sandbox import confine, protocol, selftest

TEXT_LIMIT = 20_000  # characters of printed output or traceback kept for a cell
IMAGE_LIMIT = 500_000  # characters of images kept for a cell
FILE_LIMIT = confine.FILE_SIZE


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
        # since Python 3.13 half a statement is an _IncompleteInputError
        known = next(kind for kind in etype.__mro__ if kind.__name__[:1] != "_")
        self.failure = {
            "output_type": "error",
            "ename": str(known.__name__)[:100],
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
    left = IMAGE_LIMIT
    for shown in shell.display_pub.outputs:
        data = {k: shown["data"].get(k) for k in ("image/png", "text/plain")}
        data = {k: v for k, v in data.items() if isinstance(v, str)}
        left -= sum(map(len, data.values()))
        if data and left >= 0:
            outputs.append(
                {"output_type": "display_data", "data": data, "metadata": {}}
            )
    return outputs + ([shell.failure] if shell.failure else [])


def ask(shell: Shell, request: dict, device: str) -> tuple[dict, bytes]:
    """Put a check's cases to the learner's objects; the records travel as bytes."""
    missing = [name for name in request["names"] if name not in shell.user_ns]
    if missing:
        return {"missing": missing}, b""
    objects = {name: shell.user_ns[name] for name in request["names"]}
    try:
        with redirect_stdout(CappedText()), redirect_stderr(CappedText()):
            records = probes.run(
                request["probe"],
                objects,
                request["cases"],
                request["off_limits"],
                device,
            )
        return {}, plain.dumps(records)
    except BaseException as error:  # exit() in an answer, or what plain data cannot say
        return {"raised": f"{type(error).__name__}: {error}"[:1000]}, b""


def serve(channel: socket.socket, shell: Shell, device: str, cells: list[str]) -> None:
    """In the child: answer the grader until it hangs up.

    cells   the lab's own, to be run again where they would have begun on another device
    """
    os.environ["LABKIT_DEVICE"] = device
    for cell in cells if device != "cpu" else ():
        run_cell(shell, cell)
    own = channel.fileno()
    os.closerange(3, own)
    os.closerange(own + 1, 65536)
    while True:
        header, body = protocol.receive(channel)
        if "source" in header:
            protocol.send(channel, {"outputs": run_cell(shell, header["source"])})
        else:
            protocol.send(channel, *ask(shell, plain.loads(body), device))


def settle(folder: str) -> None:
    """Without a sandbox: at least a folder and a process group of its own."""
    os.setsid()  # one signal to the group ends everything it starts
    os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder)
    tempfile.tempdir = None  # what a package found before is not this folder
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    limit = FILE_LIMIT if hard == resource.RLIM_INFINITY else min(hard, FILE_LIMIT)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def warm_up(cells: list[str]) -> Shell:
    """Import and use everything once, so that no child has to.

    cells   the lab's own: every child is forked with what they define
    """
    torch.set_num_threads(1)
    builtins.input = lambda prompt="": print(prompt) or ""  # nobody is there to answer
    config = Config()
    config.HistoryManager.enabled = False  # no thread
    shell = Shell.instance(config=config)
    run_cell(shell, "print(1 / 0)")  # IPython imports what formats tracebacks late
    for cell in cells:  # those that need answers end in an error
        run_cell(shell, cell)
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


class Parent:
    """The warm process: starts and ends children as the grader asks.

    order   the plan of the sandbox (without one there is none: a child can do all that
            the instructor can), the device where children compute, the lab's cells
    """

    def __init__(self, control: socket.socket, shell: Shell, order: dict):
        self.control, self.shell, self.plan = control, shell, order["plan"]
        self.work = shell, order["device"], order["cells"]
        self.children: set[int] = set()

    def obey(self) -> None:
        """Do what the grader says until it hangs up, and then leave nothing behind."""
        try:
            protocol.send(self.control, {"ready": os.getpid()})
            while True:
                order, _ = protocol.receive(self.control)
                if "end" in order:
                    protocol.send(self.control, {"status": self.end(order["end"])})
                else:
                    protocol.send(self.control, {"pid": self.start(order["folder"])})
        except (EOFError, ConnectionError):
            for pid in tuple(self.children):
                self.end(pid)
            shutil.rmtree(os.getcwd(), ignore_errors=True)

    def start(self, folder: str) -> int:
        """Fork a child that serves the grader on the socket that comes with an order;
        `folder` is its own where there is no sandbox."""
        _, (descriptor,), _, _ = socket.recv_fds(self.control, 1, 1)
        with socket.socket(fileno=descriptor) as channel:
            if self.plan is not None:
                pid = confine.spawn(self.plan, lambda: serve(channel, *self.work))
            elif (pid := os.fork()) == 0:
                try:
                    settle(folder)
                    serve(channel, *self.work)
                finally:
                    os._exit(0)
        self.children.add(pid)
        return pid

    def end(self, pid: int) -> int | None:
        """Kill a child with all it started; return how it ended (a negative signal)."""
        if pid not in self.children:
            return None
        self.children.discard(pid)
        done, status = os.waitpid(pid, os.WNOHANG)
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            if not done:
                os.kill(pid, signal.SIGKILL)
        if not done:
            _, status = os.waitpid(pid, 0)
        if self.plan is not None:
            confine.clear(self.plan, pid)
        return os.waitstatus_to_exitcode(status)


def main(control: socket.socket) -> None:
    """Warm up, prove the sandbox, obey."""
    order, _ = protocol.receive(control)
    shell = warm_up(order["cells"])
    if order["plan"] is not None:
        try:
            confine.adopt()
            selftest.run(order["plan"])
        except (confine.Refused, OSError) as reason:
            protocol.send(control, {"refused": str(reason)})
            return
    Parent(control, shell, order).obey()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
