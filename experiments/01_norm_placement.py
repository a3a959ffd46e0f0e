"""S1.1: does the place of the norm decide whether a deep network trains?

Varied: the norm and its place, the depth, the size of the residual branches at the
start, the learning rate, warm-up, the budget. A row is one network, trained on digits.

Map    five arms at depth 12, three of them at depth 4: three sizes of the branches ×
       four learning rates or more; 250 steps, seeds 100 to 102
Read   seeds 0 to 7 at depth 12: every arm in two cells, and at the size and rate that
       did best on validation images, seeds 100 to 102; pre-norm and none also with
       1,000 steps, at the best rate for these; where post-norm fails, also with warm-up
       for half of the steps, and with 600 steps; the stream of pre- and peri-norm at
       three rates
Must not work   pre-norm with shuffled labels
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
TOLERANCE = {"start": 1e-3, "train": 0.012, "valid": 0.012, "test": 0.012}
TOLERANCE |= {"stream_start": 0.1, "stream_end": 1.0}
AT = "depth == 12 and labels == 'true' and warmup == 0 and steps == 250"
SMALL, HERE, THERE = (
    f"{AT} and scale == {scale} and lr == {lr}"
    for scale, lr in ((0.2, 0.01), (1, 0.01), (3, 0.003))
)
RESTS_ON = {
    "test": [
        (f"norm == 'pre' and {HERE}", f"norm == 'post' and {HERE}"),
        (f"norm == 'pre' and {THERE}", f"norm == 'post' and {THERE}"),
        (f"norm == 'pre' and {THERE}", f"norm == 'none' and {THERE}"),
        (f"norm == 'pre' and {SMALL}", f"norm == 'none' and {SMALL}"),
    ]
}

SCALES, RATES = (0.2, 1.0, 3.0), (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
COMMON = ((1.0, 1e-2), (3.0, 3e-3))  # (scale, lr)
CHOOSE, READ = (100, 101, 102), range(8)


def settings(record):
    """The map first; then what is read from it."""
    for norm in ARMS:
        yield from _map(norm, 12, RATES[1:5])
        yield from _map(norm, 12, _beyond(record, norm))
        yield from _read(norm, COMMON)
        if best := _best(record, norm):
            yield from _read(norm, [best])
    for norm in ("pre", "post", "none"):
        yield from _map(norm, 4, RATES[1:5])
    for norm in ("pre", "none"):
        if best := _best(record, norm):
            cells = [(best[0], lr) for lr in RATES[1:5]]
            yield from _rows(norm, 12, cells, CHOOSE, steps=1000)
        if best := _best(record, norm, steps=1000):
            yield from _read(norm, [best], steps=1000)
    yield from _read("post", COMMON[:1], warmup=0.5)
    yield from _read("post", COMMON[:1], steps=600)
    yield from _read("pre", COMMON[:1], depth=4, labels="shuffled")
    for norm in ("pre", "peri"):
        yield from _read(norm, [(SCALES[0], lr) for lr in RATES[2:5]])


def _map(norm, depth, rates):
    yield from _rows(norm, depth, itertools.product(SCALES, rates), CHOOSE)


def _read(norm, cells, depth=12, **more):
    yield from _rows(norm, depth, cells, READ, **more)


def _rows(norm, depth, cells, seeds, labels="true", steps=250, warmup=0.0):
    arm = dict(norm=norm, depth=depth, labels=labels, steps=steps, warmup=warmup)
    for (scale, lr), seed in itertools.product(cells, seeds):
        yield arm | dict(scale=scale, lr=lr, seed=seed)


def _beyond(record, norm):
    """One more rate beyond the end of the four where the best one stands there."""
    _, lr = _best(record, norm) or (None, RATES[2])
    return RATES[:1] if lr <= RATES[1] else RATES[5:] if lr >= RATES[4] else ()


def _best(record, norm, steps=250):
    """(scale, lr) with the best mean on the validation images; None before the map."""
    if record.empty:
        return None
    rows = record.query("norm == @norm and depth == 12 and seed >= 100")
    rows = rows[rows.steps == steps]
    return None if rows.empty else rows.groupby(["scale", "lr"]).valid.mean().idxmax()


def run(group):
    digits, first = data.digits(), group[0]
    tokens, labels = digits.train_x.reshape(-1, 4, 16), digits.train_y
    if first["labels"] == "shuffled":
        generator = torch.Generator().manual_seed(0)
        labels = labels[torch.randperm(1400, generator=generator)]
    sets = {  # the last 280 images of the 1,400 are for choosing
        "train": (tokens[:1120], labels[:1120]),
        "valid": (tokens[1120:], labels[1120:]),
        "test": (digits.test_x.reshape(-1, 4, 16), digits.test_y),
    }
    scales = iter([setting["scale"] for setting in group])

    began = []

    def make():
        net = Encoder(first["depth"], *ARMS[first["norm"]], scale=next(scales))
        began.append(_stream(net, tokens[:256]))
        return net

    def draw(generator):
        pick = torch.randint(1120, (32,), generator=generator)
        return tokens[pick], labels[pick]

    runs = train(
        make,
        draw,
        lambda net, x, y: F.cross_entropy(net(x), y),
        steps=first["steps"],
        warmup=first["warmup"],
        lr=[setting["lr"] for setting in group],
        seeds=[setting["seed"] for setting in group],
    )
    columns = {name: _right(runs, x, y) for name, (x, y) in sets.items()}
    columns["start"] = runs.losses[:3].log().mean(0)  # of the first three steps
    columns["converged"] = runs.converged
    columns["stream_start"] = torch.tensor(began)
    columns["stream_end"] = torch.tensor([_stream(n, tokens[:256]) for n in runs.nets])
    return [
        {name: values[n].item() for name, values in columns.items()}
        for n in range(len(group))
    ]


@torch.no_grad()
def _stream(net, x):
    """Root mean square of the numbers that the last block hands on."""
    x = net.blocks(net.patch_embed(x) + net.position)
    return x.square().mean().sqrt().clamp(max=1e9).item()


def _right(runs, x, y):
    return (runs(x).argmax(-1).cpu() == y).float().mean(1)


def checked(row):
    """What must come again: at rates where a run is chaotic, only how it starts."""
    calm = row["test"] > 0.9 and row["steps"] == 250
    return ["start", "train", "valid", "test"] if calm else ["start"]
