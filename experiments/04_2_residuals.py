"""S4.2.7: what do residuals and norms do for the model?

A ViT reads digits in four patches, whole or with a part taken out: the residuals, the
last norm, all norms. Scores are shares of wrong answers: on the 1,120 training images,
on 280 for choosing, on 397 test images.

Varied: the part, 2 or 8 layers, how matrices start (PyTorch's way; Xavier), the
learning rate of each arm, the budget, the seed. Control: shuffled labels, which nothing
can learn.
"""

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions, tuned
from labkit.training import train

without = definitions("04_2_model_structure", "without")
FACTORS = ("part", "depth", "start", "labels", "steps", "lr", "seed")
TOGETHER = ("start", "lr", "seed")
TOLERANCE = {"loss_20": 0.02, "train": 0.03, "valid": 0.03, "test": 0.03}
RESTS_ON = {"loss_20": 0.05, "test": 0.1}


def settings(record):
    arms = [_arm(part, depth) for depth in (2, 8) for part in PARTS]
    arms.append(_arm("residuals", 8, "Xavier"))
    chosen = list(tuned(record, arms, "valid", slack=0.005))
    yield from chosen
    for setting in chosen:  # the whole model: the same rate, four times the steps
        if setting["part"] == "nothing" and setting["depth"] == 8:
            if setting["seed"] < 8:
                yield setting | dict(steps=800)
    for start in ("PyTorch", "Xavier"):  # without residuals: a rate of its own again
        longer = _arm("residuals", 8, start) | dict(steps=800)
        yield from tuned(record, [longer], "valid", 0.01, rates=(3e-4, 1e-3, 3e-3))
    for seed in range(8):
        yield _arm("nothing", 2) | dict(labels="shuffled", lr=1e-2, seed=seed)


PARTS = ("nothing", "last norm", "all norms", "residuals")


def _arm(part, depth, start="PyTorch"):
    return dict(part=part, depth=depth, start=start, labels="true", steps=200)


def run(settings):
    first, digits = settings[0], data.digits()
    x, y = digits.train_x[:, None], digits.train_y
    if first["labels"] == "shuffled":
        y = y[torch.randperm(1400, generator=torch.Generator().manual_seed(0))]
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
        lambda: without(first["part"], first["depth"], next(starts)),
        draw,
        lambda net, x, y: F.cross_entropy(net(x), y),
        steps=first["steps"],
        lr=[setting["lr"] for setting in settings],
        seeds=[setting["seed"] for setting in settings],
    )
    columns = {name: wrong(runs, *pair) for name, pair in sets.items()}
    columns |= {"loss_20": runs.losses[19], "converged": runs.converged}
    return [
        {name: values[n].item() for name, values in columns.items()}
        for n in range(len(settings))
    ]


def wrong(runs, x, y):
    """Share of wrong answers of each run."""
    return (runs(x).argmax(-1).cpu() != y).float().mean(1)


def checked(row):
    """Where a run is neither stuck nor done its end is chance: only how it starts."""
    return ["loss_20", *(["test"] if row["test"] < 0.1 else [])]
