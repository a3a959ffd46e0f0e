"""S3.1: what does a number of heads buy at equal parameters, and what does their width?

A ring of twelve tokens; each reports the four numbers of four others. Varied: the
number of heads at 16 = heads × width; the width of queries and keys alone (values stay
16 / heads wide); one head with four times the width, which the theorem holds back;
then four times the steps. One row: the exact error after training, of numbers with
variance 1, for one seed.
"""

from labkit.experiment import definitions, tuned
from labkit.training import train

LookUp, numbers, squared_error, exact_error = definitions(
    "03_multi_head_attention", "LookUp", "numbers", "squared_error", "exact_error"
)

FACTORS = ("heads", "width", "steps", "lr", "seed")
TOLERANCE = {"loss_20": 1e-3, "error": 0.03}
TWO, NARROW = "heads == 2", "heads == 16 and width == 1"
RESTS_ON = {
    "error": [
        (TWO, NARROW),
        (TWO, "heads == 1"),
        (TWO, "heads == 4 and width == 4"),
        (NARROW, "heads == 16 and width == 2"),
        ("heads == 4 and width == 1", "heads == 4 and width == 2"),
    ]
}
EQUAL = [(1, 16), (2, 8), (4, 4), (8, 2), (16, 1)]
OTHERS = [(1, 64), (4, 1), (4, 2), (16, 2)]


def checked(row):
    """Between the bounds a run ends where chance leads it: there, how it starts."""
    steady = row["heads"] <= 2 or row["width"] == 1
    return ["loss_20", *(["error"] if steady else [])]


def settings(record):
    arms = [dict(heads=h, width=d, steps=800) for h, d in EQUAL + OTHERS]
    arms.append(dict(heads=16, width=1, steps=3200))
    yield from tuned(record, arms, "error", slack=0.005, rates=(3e-3, 1e-2, 3e-2))


def run(settings):
    arm = settings[0]
    runs = train(
        lambda: LookUp(arm["heads"], arm["width"]),
        numbers,
        squared_error,
        steps=arm["steps"],
        lr=arm["lr"],
        seeds=[setting["seed"] for setting in settings],
    )
    results = zip(exact_error(runs), runs.losses[19], runs.converged, strict=True)
    return [
        dict(error=error, loss_20=loss, converged=converged)
        for error, loss, converged in results
    ]
