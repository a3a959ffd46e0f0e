"""Exercise 4.2.4: the number of parameters, by formula."""

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at, not_three
from labkit.checks.probes import Case


def count(
    image_size,
    patch,
    channels,
    num_classes,
    dim,
    depth,
    hidden,
    *,
    bias=1,
    class_token=1,
    class_position=1,
    position=None,
    matrices=4,
    feed_forwards=2,
    norms=2,
    norm=2,
    final_norm=1,
    head=1,
):
    """The right number; a keyword says how often a part is counted instead."""
    patches = (image_size // patch) ** 2
    embedding = channels * patch**2 * dim + bias * dim + class_token * dim
    embedding += (patches + class_position) * (position or dim)
    attention = matrices * (dim**2 + bias * dim)
    feed_forward = feed_forwards * dim * hidden + bias * (hidden + dim)
    block = attention + feed_forward + norms * norm * dim
    classify = head * (dim * num_classes + bias * num_classes)
    return embedding + depth * block + final_norm * norm * dim + classify


@looks_at("largest")
def no_model_is_built(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        largest = replies[name]["largest"]
        if largest >= case.args["dim"] ** 2:
            return (
                f"In the case “{name}”, a tensor of {largest:,} entries was made. "
                "Count with a formula: no model is to be built."
            )
    return None


class Parameters(Exercise):
    """parameter_count(…): how many numbers the model learns, by formula."""

    number = "4.2.4"

    properties = (no_model_is_built,)

    @staticmethod
    def parameter_count(*sizes):
        return count(*sizes)

    reference = {"parameter_count": parameter_count}

    def draw_cases(self, draw: Draw):
        P, C, K, D, L, side = draw.sizes(6, low=2, high=9)
        C, P = not_three(C, P)
        sizes = {
            "image_size": side * P,
            "patch": P,
            "channels": C,
            "num_classes": 10 * K,
            "dim": 12 * D,
            "depth": L,
            "hidden": 36 * D + 5,
        }
        yield Case("a small model", "parameter_count", sizes, gradients=False)
        base = dict(zip(sizes, (224, 16, 3, 1000, 768, 12, 3072), strict=True))
        yield Case("ViT-B/16", "parameter_count", base, gradients=False)


@Parameters.mistake
def biases_not_counted(*sizes):
    """You left the biases out: every linear layer has one number for each output, and
    every layer norm a bias beside its weight."""
    return count(*sizes, bias=0, norm=1)


@Parameters.mistake
def linear_biases_not_counted(*sizes):
    """You left out the biases of the linear layers: one number for each output."""
    return count(*sizes, bias=0)


@Parameters.mistake
def norm_biases_not_counted(*sizes):
    """You counted one number per channel in a layer norm. It has two: a weight and a
    bias."""
    return count(*sizes, norm=1)


@Parameters.mistake
def class_token_not_counted(*sizes):
    """Your count is D short. The [class] token, its position embedding (there are N + 1
    of them), the bias of the projection, and the weight and the bias of the last layer
    norm have D numbers each: one of these is missing."""
    return count(*sizes, class_token=0)


@Parameters.mistake
def positions_not_wide(*sizes):
    """You counted one number for each position. A position embedding has D numbers."""
    return count(*sizes, position=1)


@Parameters.mistake
def output_projection_not_counted(*sizes):
    """You counted three matrices of an attention layer. The output projection is the
    fourth."""
    return count(*sizes, matrices=3)


@Parameters.mistake
def one_norm_per_block_counted(*sizes):
    """You counted one layer norm in a block. There are two."""
    return count(*sizes, norms=1)


@Parameters.mistake
def norms_not_counted(*sizes):
    """You left the layer norms out: each has a weight and a bias of D numbers."""
    return count(*sizes, norm=0)


@Parameters.mistake
def final_norm_not_counted(*sizes):
    """Your count is 2D short. The last layer norm, that of equation (4), has 2D
    numbers; so have the [class] token and its position embedding together."""
    return count(*sizes, final_norm=0)


@Parameters.mistake
def head_not_counted(*sizes):
    """You left the head out: D · K weights and K biases."""
    return count(*sizes, head=0)


@Parameters.mistake
def feed_forward_counted_once(*sizes):
    """You counted one matrix of the feed-forward network. It has two, of D · H numbers
    each."""
    return count(*sizes, feed_forwards=1)


@Parameters.mistake
def one_block_counted(image_size, patch, channels, num_classes, dim, depth, hidden):
    """You counted one block. There are depth of them, each with its own weights."""
    return count(image_size, patch, channels, num_classes, dim, 1, hidden)


@Parameters.mistake
def channels_not_counted(image_size, patch, channels, *sizes):
    """You left the channels out of the projection: a patch has C · P · P numbers."""
    return count(image_size, patch, 1, *sizes)
