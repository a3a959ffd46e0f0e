"""Why divide by the root of d? One head of width d finds entries by their names.

Varied: the width, whether scores are divided, how queries and keys start (variance
1, that of nn.Linear, or so small that undivided scores begin with variance 1), the
learning rate of each arm; at d = 256 four times the steps. One row: the error on fresh
entries (1 for a guess), and the entropy of the weights before and after training.
"""

import torch

from labkit.experiment import definitions, tuned
from labkit.training import train

Directory, entries, finding_error = definitions(
    "03_multi_head_attention", "Directory", "entries", "finding_error"
)

FACTORS = ("d", "divided", "start", "steps", "lr", "seed")
TOLERANCE = {"loss_20": 0.01, "error": 0.006, "entropy_start": 0.01, "entropy": 0.1}
WIDE = "d == 256 and steps == 400 and start == 'one'"
RESTS_ON = {"error": [(f"{WIDE} and divided", f"{WIDE} and not divided")]}
WAYS = [(True, "one"), (False, "one"), (False, "nn.Linear"), (False, "small")]


def checked(row):
    """Undivided, a wide head ends where chance leads it: there, how it starts."""
    steady = row["divided"] and row["lr"] == 0.01
    return ["loss_20", "entropy_start", *(["error"] if steady else [])]


def settings(record):
    arms = [(d, *way, 400) for d in (8, 64, 256) for way in WAYS[:2]]
    arms += [(256, *way, 400) for way in WAYS[2:]]
    arms += [(256, *way, 1600) for way in WAYS[:2]]
    names = ("d", "divided", "start", "steps")
    arms = [dict(zip(names, arm, strict=True)) for arm in arms]
    yield from tuned(record, arms, "error", slack=0.002, rates=(3e-3, 1e-2, 3e-2))


def run(settings):
    arm = settings[0]
    names, numbers = entries(torch.Generator().manual_seed(1000), 500)
    start = []

    def watch(step, runs):
        if step == 1:
            start.extend(entropy(net, names) for net in runs.nets)

    runs = train(
        lambda: Directory(arm["d"], arm["divided"], arm["start"]),
        entries,
        finding_error,
        steps=arm["steps"],
        lr=arm["lr"],
        seeds=[setting["seed"] for setting in settings],
        watch=watch,
    )
    with torch.no_grad():
        return [
            dict(
                error=finding_error(net, names, numbers),
                entropy_start=start[n],
                entropy=entropy(net, names),
                loss_20=runs.losses[19, n],
                converged=runs.converged[n],
            )
            for n, net in enumerate(runs.nets)
        ]


@torch.no_grad()
def entropy(net, names):
    """Mean entropy of a query's weights, at most ln 8 = 2.08."""
    return torch.special.entr(net.weights(names)).sum(-1).mean()
