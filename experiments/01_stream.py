"""Go deeper: how large do the numbers on the residual path grow, layer by layer?

Varied: pre-norm and a norm at both ends of each sublayer, depth 12, three learning
rates, eight seeds. A row is one network: the root mean square of its stream behind the
given number of blocks, at the start and after training.
"""

import itertools

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions
from labkit.training import train

ARMS, Encoder = definitions("01_layer_normalization", "ARMS", "Encoder")
FACTORS = ("norm", "lr", "seed")
TOGETHER = ("lr", "seed")
BEHIND = (0, 3, 6, 9, 12)
TOLERANCE = {f"start_{n}": 1e-3 for n in BEHIND} | {"test": 0.03}
RESTS_ON = {f"start_{n}": 0.1 for n in BEHIND} | {"test": 0.1}


def settings(record):
    arms = ("pre", "peri"), (1e-3, 3e-3, 1e-2), range(8)
    for norm, lr, seed in itertools.product(*arms):
        yield dict(norm=norm, lr=lr, seed=seed)


def run(settings):
    digits = data.digits()
    tokens, test_x = (x.reshape(-1, 4, 16) for x in (digits.train_x, digits.test_x))
    started = []

    def make():
        net = Encoder(12, *ARMS[settings[0]["norm"]])
        started.append(_sizes(net, test_x, "start"))
        return net

    def draw(generator):
        pick = torch.randint(len(tokens), (16,), generator=generator)
        return tokens[pick], digits.train_y[pick]

    runs = train(
        make,
        draw,
        lambda net, x, y: F.cross_entropy(net(x), y),
        steps=300,
        lr=[setting["lr"] for setting in settings],
        seeds=[setting["seed"] for setting in settings],
    )
    right = (runs(test_x).argmax(-1).cpu() == digits.test_y).float().mean(1)
    return [
        started[n] | _sizes(net, test_x, "trained") | dict(test=right[n].item())
        for n, net in enumerate(runs.nets)
    ]


@torch.no_grad()
def _sizes(net, x, when):
    """Root mean square of the stream behind 0, 3, … 12 blocks."""
    x, sizes = net.patch_embed(x) + net.position, {}
    for n in range(len(net.blocks) + 1):
        if n in BEHIND:
            sizes[f"{when}_{n}"] = x.square().mean().sqrt().item()
        x = net.blocks[n](x) if n < len(net.blocks) else x
    return sizes


def checked(row):
    return [f"start_{n}" for n in BEHIND] + ["test"] * (row["test"] > 0.9)
