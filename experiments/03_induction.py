"""Go deeper: an induction head needs two layers; what shared keys and values cost.

A random block of 6 to 12 symbols is repeated; measured is the prediction where it has
begun again. Varied: layers, heads, how many heads share keys and values, the width, the
learning rate of each arm; for one layer also three times the steps. One row: the loss
and the share of right predictions on fresh sequences, and what the heads look at: the
highest weight on the previous token in the first layer, behind an earlier copy in the
last, and in the last layer's best head the weight on the first token while nothing can
be found, ÷ the even weight; with their course over the first steps.
"""

import torch

from labkit.experiment import definitions, tuned
from labkit.training import train

Language, repeats, next_error, tables, past, looks = definitions(
    "03_multi_head_attention",
    "Language",
    "repeats",
    "next_error",
    "tables",
    "past",
    "looks",
)

FACTORS = ("layers", "heads", "shared", "dim", "steps", "lr", "seed")
COURSE = (25, 50, 75, 100, 125, 150, 200, 300, 450, 600)
LOOKS = ("previous", "prefix")
TOLERANCE = {"loss_20": 1e-3, "loss": 0.1, "right": 0.04, "previous": 0.15}
TOLERANCE |= {"prefix": 0.15, "first": 0.3}
TWO_LAYERS = ("heads == 2 and layers == 2", "shared == 2", "shared == 4")
PAIRS = [(several, "layers == 1") for several in TWO_LAYERS]
RESTS_ON = dict.fromkeys(("loss", "right", "previous", "prefix"), PAIRS)
ARMS = [(2, 2, 1, 32, 600), (1, 2, 1, 32, 600), (1, 2, 1, 32, 1800)]
ARMS += [(1, 2, 1, 48, 600), (2, 4, 1, 24, 600)]
ARMS += [(2, 4, shared, 32, 600) for shared in (1, 2, 4)]
TOLERANCE |= {f"{name}_at_{step}": 0.5 for name in ("loss", *LOOKS) for step in COURSE}


def checked(row):
    """When an induction head forms may differ by some steps; at 0.03, whether."""
    return ["loss_20", "parameters", *(RESTS_ON if row["lr"] < 0.03 else ())]


def settings(record):
    arms = [dict(zip(FACTORS[:5], arm, strict=True)) for arm in ARMS]
    yield from tuned(record, arms, "loss", slack=0.01, rates=(3e-3, 1e-2, 3e-2))


def run(settings):
    arm = settings[0]
    shape = [arm[name] for name in ("layers", "heads", "shared", "dim")]
    fresh = repeats(torch.Generator().manual_seed(1000), 250)
    course = [{} for _ in settings]

    def watch(step, runs):
        if step in COURSE:
            for n, net in enumerate(runs.nets):
                seen = results(net, *fresh)
                for name in ("loss", "previous", "prefix"):
                    course[n][f"{name}_at_{step}"] = seen[name]

    runs = train(
        lambda: Language(*shape),
        repeats,
        next_error,
        steps=arm["steps"],
        lr=arm["lr"],
        seeds=[setting["seed"] for setting in settings],
        warmup=0.05,
        watch=watch,
    )
    return [
        results(net, *fresh)
        | dict(loss_20=runs.losses[19, n], converged=runs.converged[n])
        | course[n]
        for n, net in enumerate(runs.nets)
    ]


@torch.no_grad()
def results(net, tokens, again):
    weights = tables(net.blocks, net.embed(tokens[:, :-1]) + net.position, past(24))
    previous, prefix, first = looks(weights, tokens, again)  # each (L, h)
    right = net(tokens[:, :-1]).argmax(-1) == tokens[:, 1:]
    return dict(
        loss=next_error(net, tokens, again),
        right=(right & again).sum() / again.sum(),
        previous=previous[0].max(),
        prefix=prefix[-1].max(),
        first=first[-1, prefix[-1].argmax()],
        parameters=sum(w.numel() for w in net.parameters()),
    )
