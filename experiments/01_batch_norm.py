"""S1.2: all sequences equally long: what does batch norm lose against layer norm?

Varied: the norm of a one-block Transformer on digits, the batch size, the learning
rate (chosen on seeds 100 to 102 and images kept apart), the budget. A row is one
network: its accuracy with the statistics kept from training, and with those of the test
batch, of the same size as in training. Must not work: the same with shuffled labels.
"""

import itertools

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions
from labkit.training import train

BATCH_ARMS, Encoder = definitions("01_layer_normalization", "BATCH_ARMS", "Encoder")
FACTORS = ("norm", "batch", "labels", "steps", "lr", "seed")
TOGETHER = ("lr", "seed")
ACCURACIES = ("train", "valid", "test", "in_company")
TOLERANCE = {"loss_20": 2e-3} | dict.fromkeys(ACCURACIES, 0.009)
LAYER, BATCH = "norm == 'layer' and batch ==", "norm == 'batch' and batch =="
SIZES = ("4 and steps == 400", "32 and steps == 400", "32 and steps == 800")
RESTS_ON = {
    "test": [(f"{LAYER} {size}", f"{BATCH} {size}") for size in SIZES],
    "in_company": [(f"{LAYER} 4", f"{BATCH} 4")],
}

RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
CHOOSE, READ = (100, 101, 102), range(8)


def settings(record):
    """Three rates, more while the best is the last; then eight seeds at the best."""
    for norm, batch in itertools.product(BATCH_ARMS, (4, 32)):
        best = _best(record, norm, batch)
        count = 3 if best is None else max(3, RATES.index(best) + 2)
        yield from _rows(norm, batch, RATES[:count], CHOOSE)
        if best:
            yield from _rows(norm, batch, [best], READ)
            yield from _rows(norm, batch, [best], READ, steps=800)
    yield from _rows("batch", 32, RATES[:1], READ, labels="shuffled")


def _rows(norm, batch, rates, seeds, labels="true", steps=400):
    for lr, seed in itertools.product(rates, seeds):
        yield dict(norm=norm, batch=batch, labels=labels, steps=steps, lr=lr, seed=seed)


def _best(record, norm, batch):
    if record.empty:
        return None
    arm = (record.norm == norm) & (record.batch == batch)
    rows = record[arm & record.seed.isin(CHOOSE)]
    return None if rows.empty else rows.groupby("lr").valid.mean().idxmax()


def run(group):
    digits, first = data.digits(), group[0]
    tokens, labels = digits.train_x.reshape(-1, 4, 16), digits.train_y
    if first["labels"] == "shuffled":
        generator = torch.Generator().manual_seed(0)
        labels = labels[torch.randperm(1400, generator=generator)]
    test_x, test_y = digits.test_x.reshape(-1, 4, 16), digits.test_y

    def draw(generator):
        pick = torch.randint(1120, (first["batch"],), generator=generator)
        return tokens[pick], labels[pick]

    runs = train(
        lambda: Encoder(1, "pre", BATCH_ARMS[first["norm"]]),
        draw,
        lambda net, x, y: F.cross_entropy(net(x), y),
        steps=first["steps"],
        lr=[setting["lr"] for setting in group],
        seeds=[setting["seed"] for setting in group],
    )
    columns = {
        "loss_20": runs.losses[:20].mean(0),
        "train": _right(runs, tokens[:1120], labels[:1120]),
        "valid": _right(runs, tokens[1120:], labels[1120:]),
        "test": _right(runs, test_x, test_y),
        "in_company": [
            _in_company(net, test_x, test_y, first["batch"]) for net in runs.nets
        ],
        "converged": runs.converged,
    }
    return [
        {name: float(values[n]) for name, values in columns.items()}
        for n in range(len(group))
    ]


def _right(runs, x, y):
    return (runs(x).argmax(-1).cpu() == y).float().mean(1)


@torch.no_grad()
def _in_company(net, x, y, batch):
    """Accuracy where each test image is normalized with the others of its batch."""
    net.train()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    parts = [p for p in order.split(batch) if len(p) == batch]
    right = sum((net(x[p]).argmax(-1) == y[p]).sum() for p in parts)
    return right / (batch * len(parts))


def checked(row):
    calm = row["labels"] == "true" and row["steps"] == 400 and row["test"] > 0.9
    return ["loss_20", "test", "in_company"] if calm else ["loss_20"]
