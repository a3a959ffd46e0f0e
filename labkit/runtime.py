"""Device and seeds: what every notebook sets up in its first cell."""

import math
import os
import random

import numpy as np
import torch


def device() -> torch.device:
    """The device that notebooks and checks run on.

    The environment variable LABKIT_DEVICE ("cpu" or "cuda") decides; without it,
    CUDA if there is one. Values are compared across devices, so TF32 is switched off.

    Raises RuntimeError if LABKIT_DEVICE asks for a device that is not there.
    """
    wanted = os.environ.get("LABKIT_DEVICE", "")
    found = "cuda" if torch.cuda.is_available() else "cpu"
    name = wanted or found
    if name not in ("cpu", "cuda"):
        raise RuntimeError(f"LABKIT_DEVICE is {wanted!r}; use 'cpu' or 'cuda'.")
    if name == "cuda" and found == "cpu":
        raise RuntimeError(
            "LABKIT_DEVICE is 'cuda', but PyTorch sees no GPU; "
            "usually the installed PyTorch is the CPU build."
        )
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(name)


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
