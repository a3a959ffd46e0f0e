"""S1.6: which normalizations read sentences longer than any they were trained on?

Varied: the norm of a small classifier, its learning rate (chosen on seeds 100 to 102),
the budget. Trained on 3 to 16 words, tested on as many and on 32 to 48. A row is one
network. Must not work: the same with classes that leave no trace in the words.
"""

import itertools

import torch
from torch.nn import functional as F

from labkit.experiment import definitions
from labkit.training import train

Classifier, NORMS, sentences = definitions(
    "01_layer_normalization", "Classifier", "NORMS", "sentences"
)
FACTORS = ("norm", "shift", "steps", "lr", "seed")
TOGETHER = ("lr", "seed")
TOLERANCE = {"loss_20": 1e-3, "loss": 0.01, "valid": 0.03, "same": 0.03, "longer": 0.03}
FAILS = "norm == 'per position, initial rows' and shift == 2"
READS = ("layer norm", "batch norm, pooled", "per position, last row reused")
RESTS_ON = {"longer": [(FAILS, f"norm == '{name}' and shift == 2") for name in READS]}

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
CHOOSE, READ = (100, 101, 102), range(8)


def settings(record):
    """Five rates, more while the best is the last; then eight seeds at the best."""
    for norm in NORMS:
        best = _best(record, norm)
        count = 5 if best is None else max(5, RATES.index(best) + 2)
        yield from _rows(norm, RATES[:count], CHOOSE)
        if best:
            for more in (dict(), dict(steps=1200), dict(shift=0)):
                yield from _rows(norm, [best], READ, **more)


def _rows(norm, rates, seeds, shift=2, steps=300):
    for lr, seed in itertools.product(rates, seeds):
        yield dict(norm=norm, shift=shift, steps=steps, lr=lr, seed=seed)


def _best(record, norm):
    if record.empty:
        return None
    rows = record[(record.norm == norm) & record.seed.isin(CHOOSE)]
    return None if rows.empty else rows.groupby("lr").valid.mean().idxmax()


def run(group):
    first, shift = group[0], group[0]["shift"]
    runs = train(
        lambda: Classifier(NORMS[first["norm"]]()),
        lambda generator: sentences(32, 3, 16, generator, shift),
        lambda net, x, alive, label: F.cross_entropy(net(x, alive), label),
        steps=first["steps"],
        lr=[setting["lr"] for setting in group],
        seeds=[setting["seed"] for setting in group],
    )
    new = torch.Generator().manual_seed(1000)  # the same new sentences for every run
    columns = {
        "valid": _right(runs, *sentences(1000, 3, 16, new, shift)),
        "same": _right(runs, *sentences(1000, 3, 16, new, shift)),
        "longer": _right(runs, *sentences(1000, 32, 48, new, shift)),
        "loss_20": runs.losses[:20].mean(0),
        "loss": runs.losses[-50:].mean(0),
        "converged": runs.converged,
    }
    return [
        {name: values[n].item() for name, values in columns.items()}
        for n in range(len(group))
    ]


def _right(runs, x, alive, label):
    return (runs(x, alive).argmax(-1).cpu() == label).float().mean(1)


def checked(row):
    return ["loss_20", "valid", "same", "longer"] if row["shift"] else ["loss_20"]
