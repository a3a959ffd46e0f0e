"""What is noted while a learner's code runs, besides what it returns.

Watch    its calls: those off limits, the largest tensor, the first in float32
aside    what it prints and what it warns of
in_graph the second witness, for calls that the first is blind to
"""

import io
import linecache
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

PACKAGES = ("site-packages", "dist-packages")  # the latter in Debian and Colab
OURS = __file__.removesuffix("watch.py")
PRINTED = 600  # characters kept of what an answer prints
LOW = (torch.float32, torch.float16, torch.bfloat16)
# What PyTorch calls attention inside, where it has no fused kernel for it.
INSIDE = {"safe_softmax": "scaled_dot_product_attention"}


class Watch(TorchFunctionMode):
    """Notes off-limits PyTorch calls, how large the tensors get, and float32.

    Enter it around every call of the learner's code, as often as there are such calls;
    threads that the code starts meanwhile are watched, too.

    double  whether the question is in float64 throughout, so that anything less is
            the answer's own
    said    keeps what the code prints
    """

    def __init__(self, off_limits: Iterable[str], said: "Aside"):
        super().__init__()
        self.off_limits, self.double = frozenset(off_limits), False
        self.said = said
        self.seen: set[str] = set()
        self.largest = self.calls = 0
        self.single: dict | None = None

    def __enter__(self):
        self._start = start = threading.Thread.start

        def start_watched(thread: threading.Thread) -> None:
            run = thread.run

            def watched() -> None:
                with _Also(self):
                    run()

            thread.run = watched
            start(thread)

        threading.Thread.start = start_watched
        return super().__enter__()

    def __exit__(self, *raised):
        threading.Thread.start = self._start
        self.said.call_ended()
        return super().__exit__(*raised)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = _name(func)
        if name.rpartition(".")[2] in self.off_limits:
            self.seen.add(name)
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        if isinstance(result, Tensor):
            self.largest = max(self.largest, _entries(result))
        if self.double and self.single is None and _any_low(args, result):
            self.single = {"call": name, "line": _line_of_the_learner()}
        return result

    def seen_so_far(self) -> dict:
        return {
            "called": sorted(self.seen),
            "calls": self.calls,
            "largest": self.largest,
            "single": self.single,
        }

    def look_into(self, outputs: Iterable[Tensor]) -> None:
        """Note what the autograd graph of these shows and no call did."""
        if self.off_limits and not self.seen:
            self.seen |= in_graph(outputs, self.off_limits)


@cache
def _name(func: Callable) -> str:
    return resolve_name(func) or f"{func.__module__}.{func.__name__}"


class _Also(TorchFunctionMode):
    """The same watch in another thread."""

    def __init__(self, watch: Watch):
        super().__init__()
        self.watch = watch

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return self.watch.__torch_function__(func, types, args, kwargs)


def in_graph(outputs: Iterable[Tensor], off_limits: Iterable[str]) -> set[str]:
    """Off-limits operations that autograd recorded, however they were called: by
    compiled code, in a thread, or with torch functions switched off."""
    found, known = set(), set()
    todo = [t.grad_fn for t in outputs if t.grad_fn is not None]
    while todo:
        node = todo.pop()
        if node in known:
            continue
        known.add(node)
        todo += [before for before, _ in node.next_functions if before is not None]
        # a number behind it: PyTorch's own node, not one of a learner's Function
        if own := re.fullmatch(r"(?:\w+::)*(\w+)Backward\d+", node.name()):
            words = re.findall(r"[A-Z][a-z0-9]*", own[1])
            operation = "_".join(words).lower()
            operation = INSIDE.get(operation, operation)
            if any(_is_one(operation, name) for name in off_limits):
                found.add(operation)
    return found


def _is_one(operation: str, name: str) -> bool:
    """scaled_dot_product_flash_attention is one kind of scaled_dot_product_attention:
    it has all its words in the same order."""
    words = iter(operation.split("_"))
    return all(word in words for word in name.strip("_").split("_"))


def _entries(tensor: Tensor) -> int:
    """How many it has, those counted that torch.vmap hides."""
    while torch._C._functorch.is_batchedtensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.numel()


def _any_low(args: tuple, result: object) -> bool:
    return any(isinstance(v, Tensor) and v.dtype in LOW for v in (*args, result))


def _line_of_the_learner() -> str:
    frame = sys._getframe(1)
    while frame is not None and not is_the_learners(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return ""
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()[:120]


def is_the_learners(filename: str) -> bool:
    """Whether a frame's file is neither a package's nor the probe's own. A notebook
    cell's file is not on disk under a package."""
    return not filename.startswith(OURS) and not any(p in filename for p in PACKAGES)


class Aside(io.TextIOBase):
    """Keeps the beginning of what the first call says that says anything: the calls
    behind it repeat it."""

    def __init__(self):
        self.text, self.lost, self.done = "", False, False
        self.warned: list[warnings.WarningMessage] = []

    def write(self, text: str) -> int:
        if not self.done:
            kept = text[: PRINTED - len(self.text)]
            self.text += kept
            self.lost = self.lost or len(kept) < len(text)
        return len(text)

    def call_ended(self) -> None:
        """Put what was warned of behind what was printed, each once."""
        for said in dict.fromkeys(
            f"{w.category.__name__}: {_without_place(w.message)}" for w in self.warned
        ):
            start = "\n" if self.text and not self.text.endswith("\n") else ""
            self.write(f"{start}{said}\n")
        self.warned.clear()
        self.done = self.done or bool(self.text)

    def taken(self) -> str:
        """What was said since the last time; "" once it was taken."""
        text = self.text.rstrip() + (" …" if self.text and self.lost else "")
        self.text = ""
        return text


def _without_place(message: object) -> str:
    """On one line, without where in PyTorch's sources a warning comes from."""
    text = " ".join(str(message).split())
    return re.sub(r" \(Triggered internally at [^)]*\)", "", text)


@contextmanager
def aside() -> Iterator[Aside]:
    """Keep from the screen what is printed and warned of, and make exit() raise
    SystemExit in a notebook, too, where it would end the kernel."""
    kept = Aside()
    with (
        redirect_stdout(kept),
        redirect_stderr(kept),
        warnings.catch_warnings(record=True) as kept.warned,
        _exit_raises(),
    ):
        yield kept


@contextmanager
def _exit_raises() -> Iterator[None]:
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if not shell:
        yield
        return

    def ask_exit() -> None:
        raise SystemExit

    own = vars(shell).get("ask_exit")
    shell.ask_exit = ask_exit
    try:
        yield
    finally:
        if own is None:
            del shell.ask_exit
        else:
            shell.ask_exit = own
