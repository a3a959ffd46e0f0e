"""What a person sees while something takes long: how far it is, and the time left."""

import sys
import time
from collections.abc import Callable

AFTER = 2.0  # seconds: what is over sooner needs no word
EVERY = 0.25  # seconds between two looks
IN_A_LOG = 30.0  # seconds between two lines where nobody may be looking


class Progress:
    """A line with the time left, shown to a person after two seconds, gone at the end.

        with Progress(steps, "training") as progress:
            progress.at(step)

    In a notebook it is shown only where a person could be asked something too: nothing
    of it is stored when notebooks are built, or compared when they are validated.

    log   a command is at work: where there is no terminal, lines go to stderr
    """

    def __init__(
        self, total: int, label: str = "", unit: str = "step", log: bool = False
    ) -> None:
        self.total, self.label, self.unit = total, label, unit
        self.log = log and not sys.stderr.isatty()
        self.write: Callable[[str], None] | None = None
        self.next = 0.0

    def __enter__(self) -> "Progress":
        self.start = time.monotonic()
        self.next = self.start + AFTER
        return self

    def at(self, done: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if now < self.next or not done:
            return
        self.next = now + (IN_A_LOG if self.log else EVERY)
        self.write = self.write or (_to_log if self.log else writer())
        left = (now - self.start) / done * (self.total - done)
        name = f"{self.label}: " if self.label else ""
        place = f"{self.unit} {done:,} of {self.total:,}"
        self.write(f"{name}{place}, {duration(left)} left")

    def __exit__(self, *error: object) -> None:
        if self.write:
            self.write("")


def _to_log(line: str) -> None:
    if line:
        print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 40 s, 12 min, 1 h 5 min."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def writer() -> Callable[[str], None]:
    """What replaces one line by the next, wherever this runs; "" takes it away."""
    if sys.stderr.isatty():
        return lambda line: print(
            f"\r\033[K{line}", end="", file=sys.stderr, flush=True
        )
    if not _in_a_notebook_with_a_person():
        return lambda line: None
    from IPython.display import display

    handle = display({"text/plain": ""}, raw=True, display_id=True)
    return lambda line: handle.update({"text/plain": line}, raw=True)


def _in_a_notebook_with_a_person() -> bool:
    """Jupyter, Colab and VS Code could ask for input; a build and nbval could not."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return False
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))
