"""S3.1: one head and two neighbours, when a code can help and when it cannot.

The ring of `03_heads`, two neighbours wanted. Varied: what a token carries (4 numbers
or one of four symbols), whether a network stands behind attention, the number of heads.
One row: the share of symbols named rightly, or the error of numbers (variance 1), on
fresh samples, and the two largest weights of a query.
"""

import torch

from labkit.experiment import definitions, tuned
from labkit.training import train

LookUp, symbols, naming_error, numbers, near_error, named = definitions(
    "03_multi_head_attention",
    "LookUp",
    "symbols",
    "naming_error",
    "numbers",
    "near_error",
    "named",
)

FACTORS = ("carries", "heads", "hidden", "lr", "seed")
TOLERANCE = {"loss_20": 1e-3, "missed": 0.03, "first": 0.1, "second": 0.1}
ALONE = "carries == 'symbols' and heads == 1"
RESTS_ON = {
    "missed": [
        (f"{ALONE} and hidden == 64", f"{ALONE} and hidden == 0"),
        (f"{ALONE} and hidden == 64", "carries == 'numbers'"),
        (f"{ALONE} and hidden == 0", "carries == 'symbols' and heads == 2"),
    ]
}
ARMS = [("symbols", 1, 0), ("symbols", 1, 64), ("symbols", 2, 0), ("numbers", 1, 64)]


def checked(row):
    """Two heads, or a large rate, may miss one neighbour more or less by chance."""
    steady = row["heads"] == 1 and row["lr"] < 0.03
    return ["loss_20", *(["missed"] if steady else [])]


def settings(record):
    arms = [dict(carries=c, heads=h, hidden=n) for c, h, n in ARMS]
    yield from tuned(record, arms, "missed", slack=0.005, rates=(3e-3, 1e-2, 3e-2))


def run(settings):
    arm = settings[0]
    of_symbols = arm["carries"] == "symbols"
    draw, loss = (symbols, naming_error) if of_symbols else (numbers, near_error)
    runs = train(
        lambda: LookUp(arm["heads"], 16 // arm["heads"], 8, arm["hidden"]),
        draw,
        loss,
        steps=1000,
        lr=arm["lr"],
        seeds=[setting["seed"] for setting in settings],
    )
    rows = []
    fresh = torch.Generator().manual_seed(1000)
    x = torch.cat([draw(fresh)[0] for _ in range(15)])
    for net, loss_20, converged in zip(
        runs.nets, runs.losses[19], runs.converged, strict=True
    ):
        with torch.no_grad():
            missed = 1 - named(net, x) if of_symbols else near_error(net, x)
            top = net.weights().topk(2).values.mean((0, 1))
        rows.append(dict(missed=missed, first=top[0], second=top[1], loss_20=loss_20))
        rows[-1]["converged"] = converged
    return rows
