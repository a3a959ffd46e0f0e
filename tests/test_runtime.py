"""Device, seeds, and the stand-in for another device's arithmetic."""

import os
import subprocess
import sys

import pytest
import torch

from labkit import device, seed_everything
from labkit.runtime import OtherArithmetic


def test_the_environment_chooses_the_device(monkeypatch):
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    assert device() == torch.device("cpu")
    assert not torch.backends.cuda.matmul.allow_tf32
    monkeypatch.setenv("LABKIT_DEVICE", "tpu")
    with pytest.raises(RuntimeError, match="LABKIT_DEVICE is 'tpu'; use 'cpu' or"):
        device()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setenv("LABKIT_DEVICE", "cuda")
    with pytest.raises(RuntimeError, match="PyTorch sees no GPU"):
        device()
    command = [sys.executable, "-m", "labkit", "validate", "--device", "cuda"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "no GPU" in done.stderr


def test_one_seed_for_all_generators():
    import random

    import numpy as np

    def numbers():
        seed_everything(3)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert numbers() == numbers()


@pytest.mark.parametrize("dtype, size", [(torch.float32, 1e-6), (torch.float64, 1e-15)])
def test_other_arithmetic_is_slightly_off_forward_and_backward(dtype, size):
    x = torch.rand(4, 64, dtype=dtype) + 1
    weight = torch.rand(64, 8, dtype=dtype, requires_grad=True)
    right = x @ weight
    (gradient,) = torch.autograd.grad(right.sum(), weight)
    state = torch.get_rng_state()
    with OtherArithmetic():
        off = x @ weight
        (off_gradient,) = torch.autograd.grad(off.sum(), weight)
    for a, b in ((right, off), (gradient, off_gradient)):
        error = ((a - b) / a).abs().max().item()
        assert 0 < error < 3 * size + torch.finfo(dtype).eps
    assert torch.equal(torch.get_rng_state(), state), "the notebook's random numbers"


def test_a_variant_overrules_the_notebook():
    """labkit.validate.VARIANTS: what the set-up cell then meets."""
    cell = (
        "import torch; from labkit import device; device = device();"
        "torch.set_num_threads(1);"
        "print(device.type, torch.get_num_threads(), torch.backends.mkldnn.enabled)"
    )
    variant = {
        "LABKIT_THREADS": "2",
        "LABKIT_ONEDNN": "off",
        "LABKIT_DEVICE": "elsewhere",
    }
    command = [sys.executable, "-c", cell]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | variant
    )
    assert done.stdout.split() == ["lazy", "2", "False"], done.stderr
