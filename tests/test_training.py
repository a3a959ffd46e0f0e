"""Runs trained side by side: the same numbers as alone, and as PyTorch's own loop."""

import math
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.training import BATCHES, train
from labkit.validate import VARIANTS


class Net(nn.Module):
    """Everything a chapter's network has: a norm, a parameter of its own, a buffer."""

    def __init__(self, frozen=False):
        super().__init__()
        self.fc1, self.norm, self.fc2 = (
            nn.Linear(3, 8),
            nn.LayerNorm(8),
            nn.Linear(8, 2),
        )
        self.position = nn.Parameter(torch.randn(4, 3), requires_grad=not frozen)
        self.register_buffer("offset", torch.randn(3))

    def forward(self, x):
        return self.fc2(F.gelu(self.norm(self.fc1(x + self.position + self.offset))))


def draw(generator):
    x = torch.randn(5, 4, 3, generator=generator)
    return x, x.sum(-1).gt(0).long()


def loss(net, x, y):
    return F.cross_entropy(net(x).movedim(-1, 1), y)


def plain_loop(make, steps, rate, seed, optimizer=torch.optim.Adam, factor=None):
    """What one run must come to, in the most ordinary PyTorch."""
    torch.manual_seed(seed)
    net = make()
    generator = torch.Generator().manual_seed(BATCHES + seed)
    free = [p for p in net.parameters() if p.requires_grad]
    step, losses = optimizer(free, lr=rate), []
    for number in range(steps):
        if factor:
            step.param_groups[0]["lr"] = rate * factor(number)
        value = loss(net, *draw(generator))
        step.zero_grad()
        value.backward()
        step.step()
        losses.append(value.item())
    return net, torch.tensor(losses)


def assert_same(net, other):
    for (name, one), two in zip(
        net.state_dict().items(), other.state_dict().values(), strict=True
    ):
        assert torch.allclose(one, two, atol=1e-5), name


OPTIMIZERS = {
    "Adam": torch.optim.Adam,
    "AdamW": partial(torch.optim.AdamW, betas=(0.9, 0.99), weight_decay=0.1),
    "momentum": partial(torch.optim.SGD, momentum=0.9),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("rates", [1e-2, [1e-2, 3e-3, 1e-3]], ids=["one", "own"])
def test_side_by_side_is_the_ordinary_loop(name, rates):
    optimizer = OPTIMIZERS[name]
    options = dict(steps=30, lr=rates, seeds=(3, 0, 7), decay=None, optimizer=optimizer)
    runs = train(Net, draw, loss, **options)
    each = rates if isinstance(rates, list) else [rates] * 3
    for n, (seed, rate) in enumerate(zip((3, 0, 7), each, strict=True)):
        net, losses = plain_loop(Net, 30, rate, seed, optimizer)
        assert torch.allclose(runs.losses[:, n], losses, atol=1e-5)
        assert_same(runs.nets[n], net)


def test_a_run_gives_the_same_numbers_alone():
    together = train(Net, draw, loss, steps=40, lr=1e-2, seeds=(0, 1, 2))
    alone = train(Net, draw, loss, steps=40, lr=1e-2, seeds=(1,))
    assert torch.allclose(together.losses[:, 1:2], alone.losses, atol=1e-5)
    assert_same(together.nets[1], alone.nets[0])
    assert not torch.allclose(together.losses[0, 0], together.losses[0, 1])


def test_the_rate_climbs_and_falls():
    def factor(step):
        rise, fallen = min(1, (step + 1) / 5), max(0, step - 5) / 15
        return rise * (1 + math.cos(math.pi * fallen)) / 2

    runs = train(Net, draw, loss, steps=20, lr=1e-2, seeds=(2,), warmup=0.25)
    net, losses = plain_loop(Net, 20, 1e-2, 2, factor=factor)
    assert torch.allclose(runs.losses[:, 0], losses, atol=1e-5)
    assert_same(runs.nets[0], net)


def test_what_is_frozen_stays_and_buffers_do():
    make = partial(Net, frozen=True)
    torch.manual_seed(1)
    untrained = make()
    runs = train(make, draw, loss, steps=10, lr=1e-2, seeds=(0, 1))
    assert torch.equal(runs.nets[1].position, untrained.position)
    assert torch.equal(runs.nets[1].offset, untrained.offset)
    assert not torch.equal(runs.nets[1].fc1.weight, untrained.fc1.weight)


def test_running_statistics_belong_to_each_run():
    def make():
        # no bias: the norm takes its gradient, and Adam would follow the rounding
        linear = nn.Linear(12, 6, bias=False)
        return nn.Sequential(nn.Flatten(), linear, nn.BatchNorm1d(6))

    def loss(net, x, y):
        return F.cross_entropy(net(x), y[:, 0])

    together = train(make, draw, loss, steps=5, lr=1e-2, seeds=(0, 1))
    alone = train(make, draw, loss, steps=5, lr=1e-2, seeds=(1,))
    assert together.nets[1][2].num_batches_tracked == 5
    assert_same(together.nets[1], alone.nets[0])
    before = together.nets[0][2].running_mean.clone()
    together(torch.randn(9, 4, 3))  # as in eval(): looking changes nothing
    assert torch.equal(together.nets[0][2].running_mean, before)
    assert together.nets[0].training


def test_runs_answer_for_all_and_are_watched_as_they_learn():
    seen = []

    def watch(step, runs):
        x = torch.ones(2, 4, 3)
        assert torch.allclose(runs(x)[1], runs.nets[1](x), atol=1e-6)
        seen.append((step, runs(x)))

    runs = train(Net, draw, loss, steps=3, lr=1e-2, seeds=(0, 1), watch=watch)
    assert [step for step, _ in seen] == [1, 2, 3]
    assert seen[0][1].shape == (2, 2, 4, 2) and not seen[0][1].requires_grad
    assert not torch.equal(seen[0][1], seen[2][1])
    assert torch.equal(runs(torch.ones(2, 4, 3)), seen[2][1])
    assert runs.losses.shape == (3, 2) and runs.losses.dtype == torch.float32


def test_the_loss_has_the_network_with_its_methods():
    class Named(Net):
        def score(self, x):
            return self(x).square().mean()

    runs = train(
        Named, draw, lambda net, x, y: net.score(x), steps=20, lr=1e-2, seeds=(0,)
    )
    assert runs.losses[-1] < runs.losses[0]


def test_the_global_random_numbers_are_left_as_they_were():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train(Net, draw, loss, steps=1, lr=1e-2)
    assert torch.equal(torch.rand(3), wanted)


def test_converged_is_the_last_quarter_flat_to_a_percent():
    runs = train(Net, draw, loss, steps=4, lr=1e-2, seeds=(0, 1))
    flat, falling = torch.full((80,), 0.5), torch.linspace(1, 0.5, 80)
    runs.losses = torch.stack([flat, falling], 1)
    assert runs.converged.tolist() == [True, False]


def made_of(*widths):
    """A make() whose networks have these widths in turn."""
    turns = iter(widths)
    return lambda: nn.Linear(3, next(turns))


def careless(generator):
    return torch.randn(5, 4, 3), torch.zeros(5, 4, dtype=torch.long)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"make": made_of(2, 3)}, "the networks of the runs differ in bias, weight"),
        ({"lr": [1e-2]}, "1 learning rates for 2 seeds"),
        ({"seeds": ()}, "for 0 seeds"),
        ({"draw": careless}, "must take its random numbers from the given generator"),
        ({"draw": lambda g: torch.rand(2, generator=g)}, "must return a tuple"),
        ({"loss": lambda net, x, y: net(x)}, r"one number, got the shape \(5, 4, 2\)"),
        ({"decay": "linear"}, "want 'cosine' or None"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(given, message):
    make, loss_, draw_ = (
        given.pop(name, default)
        for name, default in (("make", Net), ("loss", loss), ("draw", draw))
    )
    options = {"steps": 2, "lr": 1e-2, "seeds": (0, 1), **given}
    with pytest.raises(ValueError, match=message):
        train(make, draw_, loss_, **options)


ON_A_STAND_IN = """
import torch
from tests.test_training import Net, draw, loss
from labkit.training import train
import labkit
device = labkit.device()
for lr in (1e-2, [1e-2, 3e-3]):
    runs = train(Net, draw, loss, steps=20, lr=lr, seeds=(0, 1))
    assert runs.losses.device.type == "cpu"
    assert runs(torch.ones(2, 4, 3)).device.type == device.type
    print(*(f"{value:.4f}" for value in runs.losses[-1].tolist()))
"""


def test_stand_ins_for_other_machines_train_the_same():
    said = set()
    for changes in ({}, VARIANTS["elsewhere"], VARIANTS["perturb"]):
        done = subprocess.run(
            [sys.executable, "-c", ON_A_STAND_IN],
            env=os.environ | {"LABKIT_DEVICE": "cpu"} | changes,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        said.add(done.stdout)
    assert len(said) == 1
