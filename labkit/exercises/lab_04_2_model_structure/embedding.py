"""Exercise 4.2.1: equation (1), the sequence that the encoder reads."""

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, not_three
from labkit.checks.probes import Case
from labkit.exercises.lab_04_1_image_to_sequence.patchify import Patchify
from labkit.exercises.lifted import lift


def cut(images, patch):
    """(B, C, H, W) → (B, N, C·P·P): row by row, inside a patch channel, row, column."""
    return F.unfold(images, patch, stride=patch).mT


def prepended(class_token, patches):
    token = class_token.expand(len(patches), 1, -1)
    return torch.cat([token, patches], dim=1)


def class_token_is_the_same(cases: Cases, replies: Replies) -> str | None:
    """Token 0 must not depend on the image."""
    output = replies["images"]["output"]
    args = cases["images"].args
    wanted = args["class_token"] + args["position"][0]
    wrong = ~torch.isclose(output[:, 0], wanted)
    if not wrong.any():
        return None
    image, entry = wrong.nonzero()[0].tolist()
    return (
        "Token 0 of every image should be class_token + position[0], whose "
        f"entry {entry} is {wanted[entry].item():.4g}; in image {image} yours is "
        f"{output[image, 0, entry].item():.4g}."
    )


def every_patch_is_in_its_place(cases: Cases, replies: Replies) -> str | None:
    """One pixel was changed: exactly the token of its patch must change."""
    before, after = (replies[n]["output"] for n in ("images", "one pixel changed"))
    changed = (before - after).abs().amax(dim=(0, 2)) > 1e-9
    args = cases["images"].args
    moved = (args["images"] != cases["one pixel changed"].args["images"]).nonzero()[0]
    _, _, row, column = moved.tolist()
    patch, width = args["patch"], args["images"].shape[-1]
    wanted = 1 + row // patch * (width // patch) + column // patch
    got = changed.nonzero().flatten().tolist()
    if got == [wanted]:
        return None
    return (
        f"The pixel in row {row}, column {column} was changed; with patches of side "
        f"{patch} it lies in the patch of token {wanted}. Yours changed: "
        f"{', '.join(map(str, got)) or 'none'}."
    )


class Embedding(Exercise):
    """embed(images, …): equation (1)."""

    number = "4.2.1"
    fixed = {"length": "the weights say how many channels there are"}
    properties = (class_token_is_the_same, every_patch_is_in_its_place)

    @staticmethod
    def embed(
        images,
        patch_embed_weight,
        patch_embed_bias,
        class_token,
        position,
        patch,
    ):
        kernels = patch_embed_weight.unflatten(1, (-1, patch, patch))
        patches = F.conv2d(images, kernels, patch_embed_bias, stride=patch)
        patches = patches.flatten(2).mT
        return prepended(class_token, patches) + position

    reference = {"embed": embed}

    def draw_cases(self, draw: Draw):
        B, C, D, P = draw.sizes(4, low=2)
        C, B = not_three(C, B)
        rows, columns = draw.sizes(2, low=2, high=4)
        images = draw.normal(B, C, rows * P, columns * P)
        args = {
            "images": images,
            "patch_embed_weight": draw.normal(D, C * P * P, std=0.5),
            "patch_embed_bias": draw.normal(D),
            "class_token": draw.normal(D),
            "position": draw.normal(rows * columns + 1, D),
            "patch": P,
        }
        yield Case("images", "embed", args)
        changed = images.clone()
        # second row of patches, first column; not at the head of a patch's rows, where
        # images cut without regard to rows still have it in this token
        changed[0, 1, P + 1, 1] += 1
        yield Case("one pixel changed", "embed", {**args, "images": changed})
        yield Case("one image", "embed", {**args, "images": images[:1]}, edge=True)
        single = {n: v.float() for n, v in args.items() if n != "patch"}
        yield Case("float32", "embed", {**single, "patch": P}, edge=True)


@Embedding.mistake
def class_token_last(images, weight, bias, class_token, positions, patch):
    """You put the [class] token behind the patches. Equation (1) has it in front, at
    position 0, where equation (4) reads it."""
    patches = F.linear(cut(images, patch), weight, bias)
    return torch.cat([patches, prepended(class_token, patches)[:, :1]], 1) + positions


@Embedding.mistake
def class_token_without_position(images, weight, bias, class_token, positions, patch):
    """Your [class] token has no position embedding: E_pos has N + 1 rows, row 0 is
    its own. Concatenate first, then add."""
    patches = F.linear(cut(images, patch), weight, bias) + positions[1:]
    return prepended(class_token, patches)


@Embedding.mistake
def positions_one_off(images, weight, bias, class_token, positions, patch):
    """You gave patch 1 the position embedding of the [class] token, and so on, one row
    off. Row 0 belongs to the [class] token, row n to patch n."""
    patches = F.linear(cut(images, patch), weight, bias) + positions[:-1]
    return prepended(class_token, patches)


@Embedding.mistake
def positions_forgotten(images, weight, bias, class_token, positions, patch):
    """You did not add the position embeddings."""
    return prepended(class_token, F.linear(cut(images, patch), weight, bias))


def embedded(images, weight, bias, class_token, positions, patch, cut=cut):
    tokens = prepended(class_token, F.linear(cut(images, patch), weight, bias))
    return tokens + positions


@Embedding.mistake
def same_position_for_all(images, weight, bias, class_token, positions, patch):
    """You added one position embedding to all tokens. Each token has its own row."""
    return embedded(images, weight, bias, class_token, positions[0], patch)


@Embedding.mistake
def positions_multiplied(images, weight, bias, class_token, positions, patch):
    """You multiplied by the position embeddings. Equation (1) adds them."""
    tokens = embedded(images, weight, bias, class_token, 0, patch)
    return tokens * positions


@Embedding.mistake
def positions_before_projection(images, weight, bias, class_token, positions, patch):
    """You sent the position embeddings through the projection too. They are added to
    the projected patches."""
    patches = F.linear(cut(images, patch), weight, bias)
    patches = patches + positions[1:] @ weight @ weight.T
    return prepended(class_token + positions[0], patches)


@Embedding.mistake
def projection_bias_forgotten(images, weight, bias, class_token, positions, patch):
    """You did not use patch_embed_bias."""
    return embedded(images, weight, None, class_token, positions, patch)


@Embedding.mistake
def bias_on_the_class_token(images, weight, bias, class_token, positions, patch):
    """You added patch_embed_bias to the [class] token as well. Only patches are
    projected."""
    tokens = embedded(images, weight, None, class_token, positions, patch)
    return tokens + bias


@Embedding.mistake
def class_token_forgotten(images, weight, bias, class_token, positions, patch):
    """You left the [class] token out: N patches become N + 1 tokens."""
    return F.linear(cut(images, patch), weight, bias) + positions[1:]


def with_cut(cut):
    """The embedding of patches that a wrong function of exercise 4.1.2 cuts."""

    def wrong(images, weight, bias, class_token, positions, patch):
        return embedded(images, weight, bias, class_token, positions, patch, cut)

    return wrong


# Without those that cut patches of another shape, type or number.
OTHERWISE = (
    "as_many_as_patch",
    "channels_apart",
    "unfold_not_transposed",
    "patches_overlap",
    "patches_not_flattened",
    "grid_not_flattened",
    "positions_first",
    "viewed_after_permute",
    "sides_divided_to_floats",
    "list_of_patches",
    "stacked_on_the_batch",
    "filled_in_default_dtype",
    "squeezed",
)
lift(Patchify, Embedding, with_cut, without=OTHERWISE)
