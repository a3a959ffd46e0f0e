"""The same measures on a toy: a ViT of chapter 4.2, trained on digits.

8 × 8 pixels, patches of 2 × 2, four layers of four heads, width 32, 600
steps at 3e-3. Varied: the seed; 0 steps are the control. One row: the test error; the
position table's cross; the nearest head's distance, the narrowest head's entropy, both
÷ those of even weights; the largest number of the last stream ÷ its median; the highest
patch's share in rollout; how far y turns without the head that turns it most, without
the median head.
"""

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions
from labkit.training import train

VisionTransformer = definitions("04_2_model_structure", "VisionTransformer")
watch, portrait, cross, rollout, without_head = definitions(
    "04_4_real_vit", "watch", "portrait", "cross", "rollout", "without_head"
)

FACTORS = ("steps", "seed")
TOLERANCE = {"wrong": 0.03, "in_line": 0.02, "elsewhere": 0.02, "nearest": 0.05}
TOLERANCE |= {"narrowest": 0.05, "ratio": 3.0, "peak": 0.03}
RESTS_ON = {"in_line": 0.05, "nearest": 0.2, "ratio": 20.0, "peak": 0.1}


def checked(row):
    """After hundreds of steps single heads and places differ; the score does not."""
    return ["wrong"] if row["steps"] > 1 else list(TOLERANCE)


def settings(record):
    for steps in (1, 600):
        yield from (dict(steps=steps, seed=seed) for seed in range(8))


def run(settings):
    digits = data.digits()
    images, classes = digits.train_x[:, None], digits.train_y

    def draw(generator):
        pick = torch.randint(len(classes), (32,), generator=generator)
        return images[pick], classes[pick]

    def loss(net, x, y):
        return F.cross_entropy(net(x), y)

    def make():
        return VisionTransformer(8, 2, 1, 10, 32, depth=4, heads=4, hidden=64)

    steps, seeds = settings[0]["steps"], [setting["seed"] for setting in settings]
    rate = 3e-3 if steps > 1 else 0.0
    runs = train(make, draw, loss, steps=steps, lr=rate, seeds=seeds)
    return [row(net.eval().requires_grad_(False), digits) for net in runs.nets]


def row(net, digits):
    images = digits.test_x[:, None]
    tables, stream = watch(net, images)
    distance, entropy, _ = portrait(tables).mean(1)  # over the images: (L, h)
    found = dict(wrong=(net(images).argmax(-1) != digits.test_y).double().mean())
    found |= zip(("in_line", "elsewhere"), cross(net.position), strict=True)
    found |= dict(nearest=distance.min(), narrowest=entropy.min())
    size = stream[:, -1].abs()
    found["ratio"] = (size.amax((1, 2)) / size.flatten(1).median(1).values).median()
    found["peak"] = rollout(tables).amax(1).median()
    turned = turns(net, stream)
    return found | dict(turns_most=turned.max(), turns_median=turned.median())


def turns(net, stream):
    """How far y turns without each of the heads, 1 − cosine: (L · h,)."""
    before, found = net.norm(stream[:, -1, 0]), []
    for layer, block in enumerate(net.blocks):
        for head in range(block.heads):
            z = without_head(block, head)(stream[:, layer])
            for later in net.blocks[layer + 1 :]:
                z = later(z)
            after = net.norm(z[:, 0])
            found.append((1 - F.cosine_similarity(before, after, dim=-1)).mean())
    return torch.stack(found)
