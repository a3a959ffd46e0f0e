"""Exercise 4.2.3: equation (4), the whole model with its head."""

import torch
from torch import nn

from labkit.checks.compare import close
from labkit.checks.exercise import Cases, Draw, Exercise, Replies, not_three
from labkit.checks.probes import Case
from labkit.exercises.lab_04_2_model_structure.block import (
    EPS,
    RightBlock,
    start_anyhow,
    state_of,
)
from labkit.exercises.lab_04_2_model_structure.embedding import (
    Embedding,
    cut,
    prepended,
)
from labkit.exercises.lifted import lift
from labkit.exercises.properties import the_same_every_time


class RightModel(nn.Module):
    """The right model, for mistakes to go wrong from in one place each."""

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
        self.patch = patch
        tokens = (image_size // patch) ** 2 + 1
        self.patch_embed = nn.Linear(channels * patch**2, dim)
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.position = nn.Parameter(torch.randn(1, tokens, dim))
        self.blocks = nn.ModuleList(
            RightBlock(dim, heads, hidden) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.head = nn.Linear(dim, num_classes)
        for part in (self.patch_embed, self.norm, self.head):  # the rest does already
            start_anyhow(part)

    def embed(self, images):
        patches = self.patch_embed(cut(images, self.patch))
        return prepended(self.class_token, patches) + self.position

    def run(self, z):
        for block in self.blocks:
            z = block(z)
        return z

    def read(self, z):
        return self.norm(z[:, 0])

    def encode(self, images):
        return self.read(self.run(self.embed(images)))

    def forward(self, images):
        return self.head(self.encode(images))


def the_blocks_do_their_part(cases: Cases, replies: Replies) -> str | None:
    """Where only what reaches y through the blocks is wrong, say so."""
    name = "two layers, encode"
    model = _model(cases[name])
    with torch.no_grad():
        wanted = model.encode(cases[name].inputs["images"])
        bare = _model(cases["no layers, encode"])
        wanted_bare = bare.encode(cases["no layers, encode"].inputs["images"])
    got, got_bare = (replies[n]["output"] for n in (name, "no layers, encode"))
    if not close(got_bare, wanted_bare, 1e-6) or close(got, wanted, 1e-6):
        return None
    return (
        "With no layers (depth 0) your encode is right, with two it is not. Without "
        "layers y knows the [class] token and its position alone, so look at all that "
        "reaches it through the blocks: how the patches are cut, projected and placed "
        "(4.2.1), your Block (4.2.2), and the loop over the blocks."
    )


def _model(case: Case) -> RightModel:
    model = RightModel(**case.args).to(case.inputs["images"].dtype)
    model.load_state_dict(case.state)
    return model


class Model(Exercise):
    """VisionTransformer(…): equations (1) to (4) and the head."""

    number = "4.2.3"
    fixed = {"length": "a model is made for images of one size"}
    reference = {"VisionTransformer": RightModel}
    probe = "module"
    properties = (the_same_every_time, the_blocks_do_their_part)

    def draw_cases(self, draw: Draw):
        target = "VisionTransformer"
        B, P, C, h, K = draw.sizes(5, low=2)
        C, B = not_three(C, B)
        side, d = draw.sizes(2, low=2, high=4)
        sizes = {
            "image_size": side * P,
            "patch": P,
            "channels": C,
            "num_classes": K + 6,
            "dim": h * d,
            "depth": 2,
            "heads": h,
            "hidden": 3 * h * d + 1,
        }
        bare = {**sizes, "depth": 0}
        images = {"images": draw.normal(B, C, side * P, side * P)}
        weights = state_of(RightModel(**sizes), draw)
        few = {n: w for n, w in weights.items() if not n.startswith("blocks")}
        yield Case("a fresh model", target, sizes)
        for name, given, state, method in (
            ("no layers, encode", bare, few, "encode"),
            ("two layers, encode", sizes, weights, "encode"),
            ("two layers, forward", sizes, weights, "__call__"),
        ):
            yield Case(name, target, given, state=state, inputs=images, method=method)


@Model.mistake
class BlocksInAList(RightModel):
    """You keep the blocks in a Python list: PyTorch does not see their parameters, so
    they are neither trained nor saved. Use nn.ModuleList or nn.Sequential."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        blocks = list(self.blocks)
        del self.blocks
        self.blocks = blocks


@Model.mistake
class OneBlockForAll(RightModel):
    """You registered one block and run it several times. Each of the layers has
    weights of its own."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.blocks = self.blocks[:1]


@Model.mistake
class OneBlockRepeated(RightModel):
    """You put one block into the list several times ([block] * depth): its weights are
    shared. Make a new block for each layer."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.blocks = nn.ModuleList(list(self.blocks)[:1] * len(self.blocks))


@Model.mistake
class FinalNormEpsOfPyTorch(RightModel):
    """Your last layer norm has eps=1e-5, PyTorch's default. Here norm has eps=1e-6, as
    the norms of the blocks have."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.norm.eps = 1e-5


@Model.mistake
class NormBeforeTheBlocks(RightModel):
    """You apply the last layer norm to z_0, before the blocks. Equation (4) applies it
    to z_L, after them."""

    def run(self, z):
        return super().run(self.norm(z))

    def read(self, z):
        return z[:, 0]


@Model.mistake
class ClassTokenNotAParameter(RightModel):
    """Your class_token is a plain tensor: it is neither trained nor saved, and stays
    behind when the model moves. Wrap it in nn.Parameter."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        token = self.class_token.detach()
        del self.class_token
        self.class_token = token


@Model.mistake
class PositionsOfPatchesOnly(RightModel):
    """Your position has a row for each patch and none for the [class] token:
    E_pos is (N + 1) × D."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        rows = self.position[:, 1:].detach()
        self.position = nn.Parameter(rows)


@Model.mistake
class NoFinalNorm(RightModel):
    """You left out the layer norm at the end: y = LN(z_L^0), equation (4)."""

    def read(self, z):
        return z[:, 0]


@Model.mistake
class NormAfterTheHead(RightModel):
    """Your encode returns z_L^0 without its layer norm. Equation (4) makes it part of
    y; the head reads y."""

    def read(self, z):
        return z[:, 0]

    def forward(self, images):
        return self.head(self.norm(self.encode(images)))


@Model.mistake
class MeanOfAllTokens(RightModel):
    """Your y is the mean of all tokens. Equation (4) reads token 0, the [class]
    token."""

    def read(self, z):
        return self.norm(z).mean(1)


@Model.mistake
class MeanOfThePatches(RightModel):
    """Your y is the mean of the patches. Equation (4) reads token 0, the [class]
    token."""

    def read(self, z):
        return self.norm(z)[:, 1:].mean(1)


@Model.mistake
class LastToken(RightModel):
    """You read the last token, which is a patch. The [class] token is token 0."""

    def read(self, z):
        return self.norm(z[:, -1])


@Model.mistake
class FirstPatch(RightModel):
    """You read token 1, the first patch. The [class] token is token 0."""

    def read(self, z):
        return self.norm(z[:, 1])


@Model.mistake
class FirstSample(RightModel):
    """You read z[0], all tokens of the first image. The [class] token of every image
    is z[:, 0]."""

    def read(self, z):
        return self.norm(z[0])


@Model.mistake
class AllTokensReturned(RightModel):
    """Your encode returns all tokens, (B, N + 1, D). y is token 0 alone, (B, D)."""

    def read(self, z):
        return self.norm(z)


@Model.mistake
class PositionsInEveryBlock(RightModel):
    """You add the position embeddings before every block. Equation (1) adds them once,
    at the input."""

    def run(self, z):
        for n, block in enumerate(self.blocks):
            z = block(z if n == 0 else z + self.position)
        return z


@Model.mistake
class BlocksBackwards(RightModel):
    """Your blocks run from the last to the first."""

    def run(self, z):
        for block in reversed(self.blocks):
            z = block(z)
        return z


@Model.mistake
class LastBlockSkipped(RightModel):
    """You leave the last block out: L blocks run, l = 1 … L."""

    def run(self, z):
        for block in self.blocks[:-1]:
            z = block(z)
        return z


@Model.mistake
class EveryBlockReadsTheInput(RightModel):
    """Your last block reads z_0, and what the blocks before it gave is lost: all of
    them read z_0, perhaps, or the loop leaves them out. Block l reads what block l − 1
    gave."""

    def run(self, z):
        out = z
        for block in self.blocks:
            out = block(z)
        return out


@Model.mistake
class NormBetweenTheBlocks(RightModel):
    """You apply the final layer norm after every block. Equation (4) applies it once,
    at the end."""

    def run(self, z):
        for block in self.blocks[:-1]:
            z = self.norm(block(z))
        return self.blocks[-1](z) if len(self.blocks) else z


@Model.mistake
class Probabilities(RightModel):
    """Your forward returns probabilities. It should return logits, the head's own
    numbers: F.cross_entropy takes the softmax itself."""

    def forward(self, images):
        return super().forward(images).softmax(-1)


@Model.mistake
class HeadInEncode(RightModel):
    """Your encode returns class scores. y is the representation (B, D) that the head
    reads; the head belongs to forward."""

    def encode(self, images):
        return self.head(super().encode(images))

    def forward(self, images):
        return self.encode(images)


def with_embedding(function):
    """A model that embeds by a wrong function of exercise 4.2.1."""

    class Wrong(RightModel):
        def embed(self, images):
            weights = self.patch_embed.weight, self.patch_embed.bias
            token, positions = self.class_token.flatten(), self.position[0]
            return function(images, *weights, token, positions, self.patch)

    return Wrong


# Square images do not show who exchanges height and width.
lift(Embedding, Model, with_embedding, without=("height_and_width_exchanged",))
