"""Exercise 4.2.3: legitimate answers that must pass, and wrong ones in other words."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.exercises import find

from .test_block import BlockOnTimeFirst
from .test_embedding import embed_by_convolution, embed_by_unfold

# -------------------------------------------------------------- legitimate alternatives


class ModelOfAlternatives(nn.Module):
    """nn.Sequential, parameters at zero, the norm on all tokens, other blocks."""

    def __init__(
        self,
        image_size,
        patch,
        channels,
        num_classes,
        dim,
        depth,
        heads,
        hidden,
    ):
        super().__init__()
        self.patch, self.dim = patch, dim
        self.head, self.norm = nn.Linear(dim, num_classes), nn.LayerNorm(dim, eps=1e-6)
        blocks = [BlockOnTimeFirst(dim, heads, hidden) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        side = image_size // patch
        self.position = nn.Parameter(torch.zeros(1, side * side + 1, dim))
        self.patch_embed = nn.Linear(channels * patch * patch, dim)
        nn.init.zeros_(self.head.weight)

    def encode(self, images):
        kernels = self.patch_embed.weight, self.patch_embed.bias
        first, places = self.class_token.flatten(), self.position.squeeze(0)
        z = embed_by_convolution(images, *kernels, first, places, self.patch)
        return self.norm(self.blocks(z)).select(1, 0)

    def forward(self, images):
        y = self.encode(images)
        return F.linear(y, self.head.weight, self.head.bias)


class ModelWithList(ModelOfAlternatives):
    def __init__(self, *sizes, **named):
        super().__init__(*sizes, **named)
        self.blocks = nn.ModuleList(self.blocks)

    def encode(self, images):
        kernels = self.patch_embed.weight, self.patch_embed.bias
        first, places = self.class_token.flatten(), self.position.squeeze(0)
        z = embed_by_unfold(images, *kernels, first, places, self.patch)
        for block in self.blocks:
            z = block(z)
        return self.norm(z[:, 0, :])


class ModelOfSmallNumbers(ModelOfAlternatives):
    """Every parameter starts at random, biases and norms too."""

    def __init__(self, *sizes, **named):
        super().__init__(*sizes, **named)
        for parameter in self.parameters():
            nn.init.trunc_normal_(parameter, std=0.02)


ALTERNATIVES = [
    ModelOfAlternatives,
    ModelWithList,
    ModelOfSmallNumbers,
]


# ---------------------------------------------------- the same mistakes, in other words


class ModelOfOneBlock(ModelOfAlternatives):
    def __init__(self, *sizes, **named):
        super().__init__(*sizes, **named)
        blocks = list(self.blocks)[:1] * len(self.blocks)
        self.blocks = nn.Sequential(*blocks)


class ModelWithTokenInZeros(ModelOfAlternatives):
    def __init__(self, *sizes, **named):
        super().__init__(*sizes, **named)
        del self.class_token
        self.class_token = torch.zeros(1, 1, self.dim)


class ModelOfMeans(ModelOfAlternatives):
    def encode(self, images):
        kernels = self.patch_embed.weight, self.patch_embed.bias
        first, places = self.class_token.flatten(), self.position.squeeze(0)
        z = embed_by_convolution(images, *kernels, first, places, self.patch)
        return self.norm(self.blocks(z)).mean(dim=-2)


IN_OTHER_WORDS = [
    (ModelOfOneBlock, "OneBlockRepeated"),
    (ModelWithTokenInZeros, "ClassTokenNotAParameter"),
    (ModelOfMeans, "MeanOfAllTokens"),
]


# ------------------------------------------------------ what is said, and what is right


def test_one_block_several_times_is_told_as_that():
    report = find("4.2.3").examine({"VisionTransformer": ModelOfOneBlock})
    assert "is no parameter of its own" in report.failure.message


def test_a_wrong_block_is_not_looked_for_in_the_model():
    """The model is right, the block it calls is not: say where to look."""

    class Wrong(ModelOfAlternatives):
        def __init__(self, *sizes, **named):
            super().__init__(*sizes, **named)
            for block in self.blocks:
                block.norm1.eps = block.norm2.eps = 1e-2

    report = find("4.2.3").examine({"VisionTransformer": Wrong})
    assert report.failure.property == "the blocks do their part"
    assert "4.2.2" in report.text()


def test_the_block_is_not_blamed_alone_for_what_reaches_y_through_it():
    """Without layers the patches do not count: their mistakes look like the block's."""

    class Wrong(ModelOfAlternatives):
        def encode(self, images):
            return super().encode(images.flip(-1))

    report = find("4.2.3").examine({"VisionTransformer": Wrong})
    assert report.failure.property == "the blocks do their part"
    assert "projected and placed (4.2.1)" in " ".join(report.text().split())


def test_the_last_norms_eps_is_not_laid_on_the_blocks():
    class Wrong(ModelOfAlternatives):
        def __init__(self, *sizes, **named):
            super().__init__(*sizes, **named)
            self.norm.eps = 1e-5

    for seed in range(10):
        report = find("4.2.3").examine({"VisionTransformer": Wrong}, seed)
        assert report.failure.property == "values"
        assert report.mistake == "FinalNormEpsOfPyTorch"


@pytest.mark.parametrize("seed", range(20))
def test_no_picture_has_three_channels(seed):
    """They would hide who takes three for granted."""
    assert find("4.2.3").cases(seed)[0].args["channels"] != 3
