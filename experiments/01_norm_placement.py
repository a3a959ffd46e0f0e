"""S1.1: does the place of the norm decide whether a deep network trains?

Varied: the norm and its place, the depth, the size of the residual branches at the
start, the learning rate, warm-up, the budget. A row is one network, trained on digits.

Map    every norm at depths 4 and 12, three sizes of the branches × five rates or six,
       300 steps, seeds 100 to 102
Read   seeds 0 to 7 at depth 12: each norm at the size and rate that did best on the
       validation images of seeds 100 to 102, and in three cells that all share;
       the harder two also with 1,200 steps, and post-norm with warm-up half the time
Must not work   the same with shuffled labels
"""

import itertools

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions
from labkit.training import train

ARMS, Encoder = definitions("01_layer_normalization", "ARMS", "Encoder")
FACTORS = ("norm", "depth", "labels", "steps", "warmup", "scale", "lr", "seed")
TOGETHER = ("scale", "lr", "seed")
TOLERANCE = {"start": 1e-3, "train": 0.03, "valid": 0.03, "test": 0.03}
RESTS_ON = {"start": 0.01, "train": 0.1, "valid": 0.1, "test": 0.1}

SCALES, RATES = (0.2, 1.0, 3.0), (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
COMMON = ((1.0, 3e-3), (1.0, 1e-2), (3.0, 3e-3))  # (scale, lr)
CHOOSE, READ = (100, 101, 102), range(8)


def settings(record):
    """The map first; then what is read from it."""
    for norm in ARMS:
        for depth in (4, 12):
            yield from _rows(norm, depth, SCALES, _rates(record, norm, depth), CHOOSE)
        yield from _at(norm, COMMON, READ)
        if best := _best(record, norm):
            yield from _at(norm, [best], READ)
    for norm in ("post", "none"):
        yield from _at(norm, COMMON[1:], READ, steps=1200)
    yield from _at("post", COMMON, READ, warmup=0.5)
    yield from _at("pre", COMMON[:1], READ, labels="shuffled")


def _rows(norm, depth, scales, rates, seeds, labels="true", steps=300, warmup=0.0):
    arm = dict(norm=norm, depth=depth, labels=labels, steps=steps, warmup=warmup)
    for scale, lr, seed in itertools.product(scales, rates, seeds):
        yield arm | dict(scale=scale, lr=lr, seed=seed)


def _at(norm, cells, seeds, **more):
    for scale, lr in cells:
        yield from _rows(norm, 12, [scale], [lr], seeds, **more)


def _rates(record, norm, depth):
    """Five rates; a sixth where the best of the five is the last."""
    best = _best(record, norm, depth)
    return RATES if best and best[1] >= RATES[4] else RATES[:5]


def _best(record, norm, depth=12):
    """(scale, lr) with the best mean on the validation images; None before the map."""
    if record.empty:
        return None
    rows = record[
        (record.norm == norm)
        & (record.depth == depth)
        & (record.steps == 300)
        & record.seed.isin(CHOOSE)
    ]
    if rows.empty:
        return None
    return rows.groupby(["scale", "lr"]).valid.mean().idxmax()


def run(settings):
    digits, first = data.digits(), settings[0]
    tokens, labels = digits.train_x.reshape(-1, 4, 16), digits.train_y
    if first["labels"] == "shuffled":
        generator = torch.Generator().manual_seed(0)
        labels = labels[torch.randperm(1400, generator=generator)]
    sets = {  # the last 280 images of the 1,400 are for choosing
        "train": (tokens[:1120], labels[:1120]),
        "valid": (tokens[1120:], labels[1120:]),
        "test": (digits.test_x.reshape(-1, 4, 16), digits.test_y),
    }
    scales = iter([setting["scale"] for setting in settings])

    def make():
        return Encoder(first["depth"], *ARMS[first["norm"]], scale=next(scales))

    def draw(generator):
        pick = torch.randint(1120, (16,), generator=generator)
        return tokens[pick], labels[pick]

    runs = train(
        make,
        draw,
        lambda net, x, y: F.cross_entropy(net(x), y),
        steps=first["steps"],
        warmup=first["warmup"],
        lr=[setting["lr"] for setting in settings],
        seeds=[setting["seed"] for setting in settings],
    )
    columns = {name: _right(runs, x, y) for name, (x, y) in sets.items()}
    columns["start"] = runs.losses[:3].log().mean(0)  # of the first three steps
    columns["converged"] = runs.converged
    return [
        {name: values[n].item() for name, values in columns.items()}
        for n in range(len(settings))
    ]


def _right(runs, x, y):
    return (runs(x).argmax(-1).cpu() == y).float().mean(1)


def checked(row):
    """What must come again: at rates where a run is chaotic, only how it starts."""
    calm = row["test"] > 0.9 and row["steps"] == 300
    return ["start", "train", "valid", "test"] if calm else ["start"]
