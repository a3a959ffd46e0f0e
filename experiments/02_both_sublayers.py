"""S2.3: can the feed-forward network run beside attention?

Look up, then combine: each of four tokens has a name, asks for the signs of another
token, and answers these three signs and their product. The logistic loss of the product
is in nats; ln 2 = 0.693 is what knowing nothing costs.

Clean  queries and keys read names and questions only, nothing is normalized. Without a
       network, and in one parallel block, the logits are affine in the signs that were
       asked for; without attention these are unknown. In all three the best loss of the
       product is exactly ln 2: the negative controls
Usual  a pre-norm block, whose norm and softmax see the signs

Varied: form and number of blocks, the learning rate of each arm, the budget, the seed;
and the target: the product alone, without the three signs.
"""

import torch
from torch.nn import functional as F

from labkit.experiment import definitions, tuned
from labkit.training import train

CleanEncoder, Encoder, logistic, look_up = definitions(
    "02_feed_forward", "CleanEncoder", "Encoder", "logistic", "look_up"
)
FACTORS = ("block", "form", "depth", "target", "steps", "lr", "seed")
TOGETHER = ("lr", "seed")
TOLERANCE = {"signs": 0.02, "product": 0.02, "right": 0.02}
CLEAN = "block == 'clean' and target == 'signs, product'"
STUCK = ("no network", "no attention", "parallel")
RESTS_ON = {
    "product": [
        (f"{CLEAN} and depth == 1 and form == '{form}'", f"{CLEAN} and {learns}")
        for form in STUCK
        for learns in ("form == 'sequential'", "form == 'parallel' and depth == 2")
    ]
}
FORMS = (
    ("sequential", 1), ("no network", 1), ("no attention", 1), ("parallel", 1),
    ("sequential", 2), ("parallel", 2), ("no network", 2),
)  # fmt: skip
LONGER = FORMS[1:2] + FORMS[3:4] + FORMS[6:]  # of usual blocks: stuck, or not yet there


def settings(record):
    arms = [
        dict(block=block, form=form, depth=depth, target="signs, product", steps=steps)
        for block, steps, forms in (
            ("clean", 400, FORMS[:6]), ("usual", 400, FORMS), ("usual", 1200, LONGER)
        )
        for form, depth in forms
    ]  # fmt: skip
    arms.append(arms[0] | dict(target="product"))
    yield from tuned(record, arms, "product", slack=0.005)


def run(settings):
    first = settings[0]
    only = slice(3, 4) if first["target"] == "product" else slice(0, 4)

    def make():
        if first["block"] == "clean":
            return CleanEncoder(first["form"], first["depth"])
        return Encoder(11, 4, form=first["form"], depth=first["depth"])

    runs = train(
        make,
        look_up,
        lambda net, x, y: logistic(lambda x: net(x)[..., only], x, y[..., only]),
        steps=first["steps"],
        lr=[setting["lr"] for setting in settings],
        seeds=[setting["seed"] for setting in settings],
    )
    x, y = look_up(torch.Generator().manual_seed(999), 2048)
    logits = runs(x).cpu()
    loss = F.softplus(-y * logits).mean((1, 2))  # (R, 4)
    columns = {
        "signs": loss[:, :3].mean(1),
        "product": loss[:, 3],
        "right": (y * logits > 0)[..., 3].float().mean((1, 2)),
        "converged": runs.converged,
    }
    return [
        {name: values[n].item() for name, values in columns.items()}
        for n in range(len(settings))
    ]


def checked(row):
    """Between stuck and solved a run's end depends on the rounding: not compared."""
    stuck = row["block"] == "clean" and row["product"] > 0.68
    return ["product"] if stuck or row["product"] < 0.01 else []
