"""Device and seeds."""

import subprocess
import sys

import pytest
import torch

from labkit import device, seed_everything


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


def test_a_learner_imports_no_stand_ins():
    cell = (
        "import sys; from labkit import check, data, device, explore, plots; device();"
        "print([name for name in sys.modules if name.startswith('labkit.validate')])"
    )
    command = [sys.executable, "-c", cell]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
