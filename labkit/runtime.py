"""Device, seeds and arithmetic: what every notebook sets up in its first cell."""

import math
import os
import random

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

_set_num_threads = torch.set_num_threads


def device() -> torch.device:
    """The device that notebooks and checks run on.

    The environment variable LABKIT_DEVICE ("cpu" or "cuda") decides; without it,
    CUDA if there is one. Values are compared across devices, so TF32 is switched off.

    Raises RuntimeError if LABKIT_DEVICE asks for a device that is not there.
    """
    wanted = os.environ.get("LABKIT_DEVICE", "")
    found = "cuda" if torch.cuda.is_available() else "cpu"
    name = wanted or found
    if name not in ("cpu", "cuda", "elsewhere"):
        raise RuntimeError(f"LABKIT_DEVICE is {wanted!r}; use 'cpu' or 'cuda'.")
    if name == "cuda" and found == "cpu":
        raise RuntimeError(
            "LABKIT_DEVICE is 'cuda', but PyTorch sees no GPU; "
            "usually the installed PyTorch is the CPU build."
        )
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return _test_modes(name) or torch.device(name)


def _test_modes(name: str) -> torch.device | None:
    """Stand-ins for other machines, which `labkit validate` switches on (VARIANTS).

    LABKIT_THREADS   so many threads, whatever the notebook chooses
    LABKIT_ONEDNN    "off": PyTorch's own matrix products and convolutions
    LABKIT_PERTURB   other arithmetic
    LABKIT_DEVICE    "elsewhere": the pretend device, which is then returned
    """
    if threads := os.environ.get("LABKIT_THREADS"):
        _set_num_threads(int(threads))
        torch.set_num_threads = lambda _: None
    if os.environ.get("LABKIT_ONEDNN") == "off":
        torch.backends.mkldnn.enabled = False
    if name == "elsewhere":
        from labkit.validate import elsewhere

        if elsewhere.Elsewhere.active is None:
            elsewhere.Elsewhere.active = elsewhere.Elsewhere().__enter__()
    if os.environ.get("LABKIT_PERTURB") and OtherArithmetic.active is None:
        OtherArithmetic.active = OtherArithmetic().__enter__()
    return elsewhere.DEVICE if name == "elsewhere" else None


def seed_everything(seed: int = 0) -> torch.Generator:
    """Seed Python, NumPy and PyTorch; return PyTorch's CPU generator.

    Draw random numbers on the CPU and move them (`torch.randn(3).to(device)`):
    the same seed on a GPU gives other numbers.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    return torch.manual_seed(seed)


def about(value: float, low: float, high: float, digits: int = 3) -> str:
    """A number that moves a little from machine to machine: "≈ 88.4".

    low, high   where it must lie, at most three standard deviations of a record to each
                side: `*around(values)` gives that
    digits      significant ones

    Comparing outputs masks the number behind the sign and nothing else.

    Raises ValueError where the value lies outside.
    """
    value = float(value)
    slack = 1e-6 * max(abs(low), abs(high))  # a record is rounded
    if not low - slack <= value <= high + slack:
        raise ValueError(f"{value:.{digits}g} lies outside [{low:.4g}, {high:.4g}]")
    size = math.floor(math.log10(abs(value))) if value else 0
    return f"≈ {round(value, digits - 1 - size):,.{max(0, digits - 1 - size)}f}"


class OtherArithmetic(TorchDispatchMode):
    """Puts every matrix product and convolution slightly off, forward and backward.

    It stands in for the arithmetic of another device where there is none to test on:
    with LABKIT_PERTURB=1 the stored outputs must still hold. The relative size is
    1e-6 in float32, ten times what a GPU's other order of summation makes, and 1e-15
    in float64.
    """

    SIZES = {torch.float32: 1e-6, torch.float64: 1e-15}
    active: "OtherArithmetic | None" = None

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)  # not the notebook's own

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name not in ("mm", "addmm", "bmm", "baddbmm", "convolution"):
            return out
        noise = torch.rand(out.shape, generator=self.generator).to(out) * 2 - 1
        return out + out * noise * self.SIZES.get(out.dtype, 0)
