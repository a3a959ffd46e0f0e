"""Go deeper: a feed-forward network as a memory, and many of which one is asked.

A book of 1,024 facts, the same for all runs: a question of 16 random numbers, an answer
out of 16. Networks learn it by heart; `hidden` is the width that one token uses, and
with four experts a router chooses one of four such networks for each question.

silenced    facts still known when the four hidden numbers that speak most for the
            fact's own answer are put to zero
elsewhere   the same with the four of another fact: the control

Varied: width, experts, the learning rate of each arm, the seed.
"""

import torch
from torch.nn import functional as F

from labkit.experiment import definitions, tuned
from labkit.training import train

Experts = definitions("02_feed_forward", "Experts")
FACTORS = ("hidden", "experts", "steps", "lr", "seed")
TOGETHER = ("lr", "seed")
TOLERANCE = {"loss": 0.06, "known": 0.03, "silenced": 0.05, "elsewhere": 0.05}
NARROW, WIDE, FOUR = "hidden == 32 and experts == 1", "hidden == 128", "experts == 4"
RESTS_ON = {
    "known": [(NARROW, WIDE), (NARROW, FOUR)],
    "silenced": 0.4,  # against `elsewhere`, in every arm
    "elsewhere": 0.4,
}
FACTS = 1024


def settings(record):
    sizes = ((32, 1), (128, 1), (32, 4))
    arms = [dict(hidden=h, experts=e, steps=1200) for h, e in sizes]
    yield from tuned(record, arms, "loss", slack=0.01, rates=(3e-3, 1e-2, 3e-2))


def run(settings):
    first = settings[0]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(FACTS, 16, generator=generator)
    y = torch.randint(16, (FACTS,), generator=generator)

    def draw(generator):
        pick = torch.randint(FACTS, (128,), generator=generator)
        return x[pick], y[pick]

    runs = train(
        lambda: Experts(16, first["hidden"], 16, first["experts"]),
        draw,
        lambda net, x, y: F.cross_entropy(net(x), y),
        steps=first["steps"],
        lr=[setting["lr"] for setting in settings],
        seeds=[setting["seed"] for setting in settings],
    )
    rows = []
    for net, converged in zip(runs.nets, runs.converged, strict=True):
        with torch.no_grad():
            row = memory(net.cpu(), x, y)
        rows.append(row | {"converged": converged.item()})
    return rows


def memory(net, x, y, units=4):
    """What a network knows, and what it forgets when it is silenced."""
    hidden = net.hidden(x)  # (FACTS, experts · hidden)
    speaks = hidden * (net.fc2.weight[y] - net.fc2.weight.mean(0))
    top = torch.zeros_like(hidden).scatter(1, speaks.topk(units).indices, 1.0)

    def known(hidden):
        return (net.fc2(hidden).argmax(-1) == y).float().mean().item()

    busiest = torch.bincount(net.router(x).argmax(-1), minlength=4).max() / len(x)
    return {
        "loss": F.cross_entropy(net.fc2(hidden), y).item(),
        "known": known(hidden),
        "silenced": known(hidden * (1 - top)),
        "elsewhere": known(hidden * (1 - top.roll(1, 0))),
        "busiest": busiest.item(),
    }
