"""S4.2.3, S4.2.6: do positions have to be learned, and where does the answer stand?

A ViT with a [class] token reads digits in 16 patches. Its table of positions is
`fixed` (random numbers, never trained), `learned` (the same numbers, trained) or
`sines`; `start` is the root mean square of its numbers, 0 means none. Scores are shares
of wrong answers: on the 1,120 training images, on 280 for choosing, on 397 test images.
`others`: the same head reads the patches' tokens of the last layer instead of [class];
`even`: a linear map, least squares on the training images, reads from y whether a digit
is even.

Varied: kind × start, the learning rate of each arm, the seed; where a table starts
small, four times the steps. Control: no table.
"""

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions, tuned
from labkit.training import train

with_positions = definitions("04_2_model_structure", "with_positions")
FACTORS = ("kind", "start", "steps", "lr", "seed")
TOGETHER = ("start", "lr", "seed")
TOLERANCE = {"loss_20": 0.02, "train": 0.03, "valid": 0.03, "test": 0.03}
TOLERANCE |= {"others": 0.15, "even": 0.05}
RESTS_ON = {"test": 0.1, "others": 0.4, "even": 0.2}
ARMS = (("fixed", 0.0), ("sines", 0.7)) + tuple(
    (kind, start) for kind in ("fixed", "learned") for start in (0.02, 0.3, 0.7)
)


def settings(record):
    arms = [dict(kind=kind, start=start, steps=200) for kind, start in ARMS]
    chosen = list(tuned(record, arms, "valid", slack=0.005))
    yield from chosen
    for setting in chosen:  # four times the steps, at the same rate
        if setting["start"] <= 0.02 and setting["seed"] < 8:
            yield setting | dict(steps=800)


def run(settings):
    first, digits = settings[0], data.digits()
    x, y = digits.train_x[:, None], digits.train_y
    sets = {
        "train": (x[:1120], y[:1120]),
        "valid": (x[1120:], y[1120:]),
        "test": (digits.test_x[:, None], digits.test_y),
    }
    starts = iter([setting["start"] for setting in settings])

    def draw(generator):
        pick = torch.randint(1120, (32,), generator=generator)
        return x[pick], y[pick]

    runs = train(
        lambda: with_positions(first["kind"], next(starts)),
        draw,
        lambda net, x, y: F.cross_entropy(net(x), y),
        steps=first["steps"],
        lr=[setting["lr"] for setting in settings],
        seeds=[setting["seed"] for setting in settings],
    )
    columns = {name: wrong(runs, *pair) for name, pair in sets.items()}
    columns |= {"loss_20": runs.losses[19], "converged": runs.converged}
    columns["others"] = torch.tensor([others(net, *sets["test"]) for net in runs.nets])
    columns["even"] = torch.tensor([even(net, sets) for net in runs.nets])
    return [
        {name: values[n].item() for name, values in columns.items()}
        for n in range(len(settings))
    ]


def wrong(runs, x, y):
    """Share of wrong answers of each run."""
    return (runs(x).argmax(-1).cpu() != y).float().mean(1)


@torch.no_grad()
def others(net, x, y):
    """Share of wrong answers where the head reads the patches' tokens, not [class]."""
    z = net.norm(net.blocks(net.embed(x.to(net.position.device))))
    return (net.head(z[:, 1:]).argmax(-1).cpu() != y[:, None]).float().mean().item()


@torch.no_grad()
def even(net, sets):
    """Share of test digits whose parity a linear map of y gets wrong."""
    seen, unseen = (_with_one(net, sets[name][0]) for name in ("train", "test"))
    signs, true = (1.0 - 2 * (sets[name][1] % 2).double() for name in ("train", "test"))
    weights = torch.linalg.lstsq(seen, signs[:, None]).solution
    return ((unseen @ weights)[:, 0].sign() != true).double().mean().item()


def _with_one(net, x):
    y = net.encode(x.to(net.position.device)).double().cpu()
    return torch.cat([y, torch.ones(len(y), 1, dtype=torch.float64)], 1)
