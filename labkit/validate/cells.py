"""A pytest plugin for the processes in which nbval runs cells: what it leaves open.

It starts kernels as the machine that LABKIT_VARIANT names (labkit.validate.stand_ins).
Without it a dead kernel is waited for until the cell's time is up, a cell that was
never run passes, and nothing says how much processor time a cell takes.
"""

import os
import time
from functools import partial
from queue import Empty

import psutil
import pytest
from nbval import kernel as nbval_kernel
from nbval.kernel import RunningKernel

# A kernel that cannot become the machine does not start.
AS_VARIANT = [
    "--IPKernelApp.extra_extensions=labkit.validate.stand_ins",
    "--IPKernelApp.reraise_ipython_extension_failures=True",
]
if os.environ.get("LABKIT_VARIANT"):
    nbval_kernel.start_new_kernel = partial(
        nbval_kernel.start_new_kernel, extra_arguments=AS_VARIANT
    )


class KernelDied(Exception):
    """The process that ran the notebook is gone."""


def _noticing_death(get_message):
    """Wait for a kernel's message a second at a time, and look whether it lives."""

    def wait(kernel, stream, timeout=None):
        end = time.monotonic() + (timeout or float("inf"))
        while True:
            try:
                return get_message(kernel, stream, min(1, timeout or 1))
            except Empty:
                if not kernel.is_alive():
                    raise KernelDied("the kernel died in this cell") from None
                if time.monotonic() >= end:
                    raise

    return wait


RunningKernel.get_message = _noticing_death(RunningKernel.get_message)


def _seconds(kernel: RunningKernel) -> float:
    """Processor time of a kernel since its start; none if it is dead."""
    try:
        used = psutil.Process(kernel.km.provisioner.pid).cpu_times()
    except (AttributeError, psutil.Error):
        return 0.0
    return used.user + used.system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Run a cell; tell the table how long it took and how it begins."""
    notebook = item.parent
    before = getattr(notebook, "seconds", 0.0)  # the first cell pays for the start
    if item.cell.execution_count is None:
        pytest.fail("This cell was never run: there is no output to compare with.")
    try:
        return (yield)
    finally:
        notebook.seconds = max(before, _seconds(notebook.kernel))
        line = item.cell.source.strip().partition("\n")[0]
        item.user_properties += [
            ("seconds", notebook.seconds - before),
            ("line", line),
        ]
