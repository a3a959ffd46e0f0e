"""S2.3: does a benchmark notice how a block is wired?

Two pre-norm blocks read digits as four tokens of two rows each: sequential, parallel,
without attention, without the feed-forward network. If the last two are as good, the
benchmark cannot tell the first two apart.

Varied: the learning rate of each arm, chosen on 280 images held back; the seed. Test
images are of the training writers (random split).
"""

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions, tuned
from labkit.training import train

Encoder = definitions("02_feed_forward", "Encoder")
FACTORS = ("form", "steps", "lr", "seed")
TOGETHER = ("lr", "seed")
TOLERANCE = {"valid": 0.03, "train": 0.03, "test": 0.03}
RESTS_ON = {"valid": 0.1, "train": 0.1, "test": 0.1}


def settings(record):
    forms = ("sequential", "parallel", "no attention", "no network")
    arms = [dict(form=form, steps=300) for form in forms]
    yield from tuned(record, arms, "valid", slack=0.002)


def run(settings):
    digits, first = data.digits(), settings[0]
    x, y = digits.train_x.reshape(-1, 4, 16), digits.train_y
    sets = {
        "train": (x[:1120], y[:1120]),
        "valid": (x[1120:], y[1120:]),
        "test": (digits.test_x.reshape(-1, 4, 16), digits.test_y),
    }

    def draw(generator):
        pick = torch.randint(1120, (32,), generator=generator)
        return x[pick], y[pick]

    runs = train(
        lambda: Encoder(16, 10, form=first["form"], depth=2),
        draw,
        lambda net, x, y: F.cross_entropy(net(x).mean(1), y),
        steps=first["steps"],
        lr=[setting["lr"] for setting in settings],
        seeds=[setting["seed"] for setting in settings],
    )
    columns = {name: wrong(runs, *pair) for name, pair in sets.items()}
    columns["converged"] = runs.converged
    return [
        {name: values[n].item() for name, values in columns.items()}
        for n in range(len(settings))
    ]


def wrong(runs, x, y):
    """Share of wrong answers of each run."""
    return (runs(x).mean(2).argmax(-1).cpu() != y).float().mean(1)
