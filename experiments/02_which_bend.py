"""S2.1: which of a block's bends makes it more than linear?

The answer is the product of two or three signs, with the logistic loss in nats (ln 2 =
0.693 is what knowing nothing costs), or a wave, with the squared error.

Alone   a feed-forward network without attention, norm and residual path. A bilinear one
        is a polynomial of degree 2, and the product of three signs is orthogonal to all
        of these: the best loss is ln 2. Two of them have degree 4
Block   one pre-norm block over four tokens, each of which answers for its own signs.
        Three bends, activation, softmax and norm, are there or not. Without all three
        the logits are affine in the signs: the best loss is ln 2, the negative control

Varied: the learning rate of each arm, the budget, the seed.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from labkit.experiment import definitions, tuned
from labkit.training import train

ALONE, Encoder, logistic, random_signs, wave, squared = definitions(
    "02_feed_forward", "ALONE", "Encoder", "logistic", "random_signs", "wave", "squared"
)
no_activation = definitions("02_feed_forward", "no_activation")
FACTORS = ("place", "task", "bends", "steps", "lr", "seed")
TOGETHER = ("lr", "seed")
TOLERANCE = {"loss": 0.02, "score": 0.03}
TWO = "place == 'alone' and task == '2 signs' and bends =="
THREE = "place == 'alone' and task == '3 signs' and bends =="
WAVE = "task == 'wave' and bends =="
IN = "place == 'block' and bends =="
RESTS_ON = {
    "loss": [
        (f"{TWO} 'linear'", f"{TWO} 'ReLU'"),
        (f"{THREE} 'bilinear'", f"{THREE} 'two bilinear'"),
        (f"{IN} 'none'", f"{IN} 'norm'"),
        (f"{IN} 'none'", f"{IN} 'softmax'"),
        (f"{IN} 'none'", f"{IN} 'softmax, norm'"),
    ],
    "score": [
        (f"{WAVE} 'bilinear'", f"{WAVE} 'two bilinear'"),
        (f"{WAVE} 'two bilinear'", f"{WAVE} 'ReLU'"),
    ],
}
IN_BLOCK = (
    "activation, softmax, norm",
    "softmax, norm",
    "activation",
    "softmax",
    "norm",
    "none",
)

LONGER = ("ReLU", "GELU", "SwiGLU", "softmax", "norm")  # not there after 400 steps


def settings(record):
    alone = [
        dict(place="alone", task=task, bends=bends, steps=steps)
        for steps in (400, 2000)
        for bends in ALONE
        for task in ("2 signs", "3 signs", "wave")
        if steps == 400 or task == "wave" and bends in LONGER
    ]
    block = [
        dict(place="block", task="3 signs", bends=bends, steps=steps)
        for steps in (400, 1200)
        for bends in IN_BLOCK
        if steps == 400 or bends in LONGER
    ]
    yield from tuned(record, alone, "loss", slack=0.005, rates=(3e-3, 1e-2, 3e-2))
    yield from tuned(record, block, "loss", slack=0.005)


def run(settings):
    first = settings[0]
    task, alone = first["task"], first["place"] == "alone"
    numbers = 1 if task == "wave" else int(task[0])
    runs = train(
        lambda: network(alone, first["bends"], numbers),
        wave if task == "wave" else lambda g: product(g, alone, numbers),
        squared if task == "wave" else logistic,
        steps=first["steps"],
        lr=[setting["lr"] for setting in settings],
        seeds=[setting["seed"] for setting in settings],
    )
    test = test_wave(runs) if task == "wave" else test_signs(runs, alone, numbers)
    columns = {"loss": test[0], "score": test[1], "converged": runs.converged}
    return [
        {name: values[n].item() for name, values in columns.items()}
        for n in range(len(settings))
    ]


def network(alone, bends, numbers):
    if alone:
        return ALONE[bends](numbers)
    activation = F.gelu if "activation" in bends else no_activation
    norm = nn.LayerNorm if "norm" in bends else nn.Identity
    softmax = "softmax" in bends
    return Encoder(numbers, 1, activation=activation, norm=norm, softmax=softmax)


def product(generator, alone, numbers, batch=32):
    shape = (batch, numbers) if alone else (batch, 4, numbers)
    x = random_signs(generator, *shape)
    return x, x.prod(-1, keepdim=True)


def test_signs(runs, alone, numbers):
    """Loss and share of right answers: of all inputs, in a block of 2,048 samples."""
    x = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=numbers)))
    y = x.prod(-1, keepdim=True)
    if not alone:
        x, y = product(torch.Generator().manual_seed(999), alone, numbers, 2048)
    logits = runs(x).cpu()
    loss = F.softplus(-y * logits).flatten(1).mean(1)
    return loss, (y * logits > 0).float().flatten(1).mean(1)


def test_wave(runs):
    """Squared error and explained share of the variance, on 1,001 points."""
    u = torch.linspace(-1, 1, 1001)[:, None]
    y = torch.sin(6 * u)
    loss = (runs(u).cpu() - y).square().flatten(1).mean(1)
    return loss, 1 - loss / y.var(correction=0)


def checked(row):
    """Between stuck and solved a run's end depends on the rounding: not compared."""
    return ["loss", "score"] if row["loss"] < 0.01 else []
