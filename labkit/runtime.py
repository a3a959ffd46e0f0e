"""Device and seeds: what every notebook sets up in its first cell."""

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
