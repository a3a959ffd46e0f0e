"""Lab 4.2: what is right, and the usual ways of being wrong, about the model.

images are (B, C, H, W); N patches of P × P pixels become tokens of width D. A
misconception's docstring is what the learner reads.
"""

import re

import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks.compare import close
from labkit.checks.exercise import Cases, Draw, Exercise, Records, looks_at, not_three
from labkit.checks.probes import Case, Layer

EPS = 1e-6  # Dosovitskiy et al.'s, not PyTorch's 1e-5


def cut(images, patch):
    """(B, C, H, W) → (B, N, C·P·P): row by row, inside a patch channel, row, column."""
    return F.unfold(images, patch, stride=patch).mT


# ---------------------------------------------------------------------------- 4.2.1


def prepended(class_token, patches):
    token = class_token.expand(len(patches), 1, -1)
    return torch.cat([token, patches], dim=1)


def embedded(images, weight, bias, class_token, positions, patch, cut=cut):
    tokens = prepended(class_token, F.linear(cut(images, patch), weight, bias))
    return tokens + positions


def class_token_last(images, weight, bias, class_token, positions, patch):
    """You put the [class] token behind the patches. Equation (1) has it in front, at
    position 0, where equation (4) reads it."""
    patches = F.linear(cut(images, patch), weight, bias)
    return torch.cat([patches, prepended(class_token, patches)[:, :1]], 1) + positions


def class_token_without_position(images, weight, bias, class_token, positions, patch):
    """Your [class] token has no position embedding: E_pos has N + 1 rows, row 0 is
    its own. Concatenate first, then add."""
    patches = F.linear(cut(images, patch), weight, bias) + positions[1:]
    return prepended(class_token, patches)


def positions_one_off(images, weight, bias, class_token, positions, patch):
    """You gave patch 1 the position embedding of the [class] token, and so on, one row
    off. Row 0 belongs to the [class] token, row n to patch n."""
    patches = F.linear(cut(images, patch), weight, bias) + positions[:-1]
    return prepended(class_token, patches)


def positions_forgotten(images, weight, bias, class_token, positions, patch):
    """You did not add the position embeddings."""
    return prepended(class_token, F.linear(cut(images, patch), weight, bias))


def same_position_for_all(images, weight, bias, class_token, positions, patch):
    """You added one position embedding to all tokens. Each token has its own row."""
    return embedded(images, weight, bias, class_token, positions[0], patch)


def positions_multiplied(images, weight, bias, class_token, positions, patch):
    """You multiplied by the position embeddings. Equation (1) adds them."""
    tokens = embedded(images, weight, bias, class_token, 0, patch)
    return tokens * positions


def positions_before_projection(images, weight, bias, class_token, positions, patch):
    """You sent the position embeddings through the projection too. They are added to
    the projected patches."""
    patches = F.linear(cut(images, patch), weight, bias)
    patches = patches + positions[1:] @ weight @ weight.T
    return prepended(class_token + positions[0], patches)


def projection_bias_forgotten(images, weight, bias, class_token, positions, patch):
    """You did not use projection_bias."""
    return embedded(images, weight, None, class_token, positions, patch)


def bias_on_the_class_token(images, weight, bias, class_token, positions, patch):
    """You added projection_bias to the [class] token as well. Only patches are
    projected."""
    tokens = embedded(images, weight, None, class_token, positions, patch)
    return tokens + bias


def class_token_forgotten(images, weight, bias, class_token, positions, patch):
    """You left the [class] token out: N patches become N + 1 tokens."""
    return F.linear(cut(images, patch), weight, bias) + positions[1:]


def patches_column_by_column(images, weight, bias, class_token, positions, patch):
    """You numbered the patches column by column. They go row by row, as one reads."""

    def downwards(images, patch):
        flipped = cut(images.mT, patch).unflatten(-1, (-1, patch, patch))
        return flipped.mT.flatten(2)

    return embedded(images, weight, bias, class_token, positions, patch, downwards)


def pixels_column_by_column(images, weight, bias, class_token, positions, patch):
    """You flattened each patch column by column. Inside a patch the order is channel,
    row, column."""

    def turned(images, patch):
        return cut(images, patch).unflatten(-1, (-1, patch, patch)).mT.flatten(2)

    return embedded(images, weight, bias, class_token, positions, patch, turned)


def channels_last(images, weight, bias, class_token, positions, patch):
    """You flattened each patch with the channels last. Inside a patch the order is
    channel, row, column, as in a convolution's weight."""

    def last(images, patch):
        return cut(images, patch).unflatten(-1, (-1, patch * patch)).mT.flatten(2)

    return embedded(images, weight, bias, class_token, positions, patch, last)


def images_only_reshaped(images, weight, bias, class_token, positions, patch):
    """You reshaped the images straight to (B, N, C·P·P). The shape is right, but such a
    row holds pieces of a few lines of pixels, not a square."""

    def reshaped(images, patch):
        return images.reshape(len(images), -1, images.shape[1] * patch * patch)

    return embedded(images, weight, bias, class_token, positions, patch, reshaped)


def unfold_not_transposed(images, weight, bias, class_token, positions, patch):
    """You reshaped what F.unfold gives, (B, C·P·P, N), to (B, N, C·P·P). That mixes the
    patches: transpose it."""

    def untransposed(images, patch):
        columns = F.unfold(images, patch, stride=patch)
        return columns.reshape(len(images), columns.shape[2], columns.shape[1])

    return embedded(images, weight, bias, class_token, positions, patch, untransposed)


def class_token_is_the_same(cases: Cases, records: Records) -> str | None:
    """Token 0 must not depend on the image."""
    output = records["images"]["output"]
    args = cases["images"].args
    wanted = args["class_token"] + args["position_embeddings"][0]
    wrong = ~torch.isclose(output[:, 0], wanted)
    if not wrong.any():
        return None
    image, entry = wrong.nonzero()[0].tolist()
    return (
        "Token 0 of every image should be class_token + position_embeddings[0], whose "
        f"entry {entry} is {wanted[entry].item():.4g}; in image {image} yours is "
        f"{output[image, 0, entry].item():.4g}."
    )


def every_patch_is_in_its_place(cases: Cases, records: Records) -> str | None:
    """One pixel was changed: exactly the token of its patch must change."""
    before, after = (records[n]["output"] for n in ("images", "one pixel changed"))
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
    properties = (class_token_is_the_same, every_patch_is_in_its_place)
    misconceptions = (
        class_token_last,
        class_token_without_position,
        positions_one_off,
        positions_forgotten,
        same_position_for_all,
        positions_multiplied,
        positions_before_projection,
        projection_bias_forgotten,
        bias_on_the_class_token,
        class_token_forgotten,
        patches_column_by_column,
        pixels_column_by_column,
        channels_last,
        images_only_reshaped,
        unfold_not_transposed,
    )

    @staticmethod
    def embed(
        images,
        projection_weight,
        projection_bias,
        class_token,
        position_embeddings,
        patch,
    ):
        kernels = projection_weight.unflatten(1, (-1, patch, patch))
        patches = F.conv2d(images, kernels, projection_bias, stride=patch)
        patches = patches.flatten(2).mT
        return prepended(class_token, patches) + position_embeddings

    reference = {"embed": embed}

    def draw_cases(self, draw: Draw):
        B, C, D, P = draw.sizes(4, low=2)
        C, B = not_three(C, B)
        rows, columns = draw.sizes(2, low=2, high=4)
        images = draw.normal(B, C, rows * P, columns * P)
        args = {
            "images": images,
            "projection_weight": draw.normal(D, C * P * P, std=0.5),
            "projection_bias": draw.normal(D),
            "class_token": draw.normal(D),
            "position_embeddings": draw.normal(rows * columns + 1, D),
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


# ---------------------------------------------------------------------------- 4.2.2


def start_anyhow(module: nn.Module) -> None:
    """Leave no constant to compare with: how parameters start is up to the learner."""
    for parameter in module.parameters():
        nn.init.normal_(parameter)


class RightBlock(nn.Module):
    """The right block, for misconceptions to go wrong from in one place each."""

    eps, batch_first = EPS, True

    def __init__(self, dim, num_heads, hidden_dim):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=self.eps)
        first = self.batch_first
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=first)
        self.norm2 = nn.LayerNorm(dim, eps=self.eps)
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        start_anyhow(self)

    def attend(self, x):
        return self.attention(x, x, x, need_weights=False)[0]

    def activation(self, hidden):
        return F.gelu(hidden)

    def feed_forward(self, x):
        return self.fc2(self.activation(self.fc1(x)))

    def forward(self, z):
        z = z + self.attend(self.norm1(z))
        return z + self.feed_forward(self.norm2(z))


class OneNorm(nn.Module):
    """You registered one layer norm for both sublayers. Each has its own, norm1 and
    norm2, with weights of its own."""

    def __init__(self, dim, num_heads, hidden_dim):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)


class SequentialFeedForward(nn.Module):
    """You put the feed-forward network into an nn.Sequential. Here its layers are
    called fc1 and fc2, so that weights can be loaded by name."""

    def __init__(self, dim, num_heads, hidden_dim):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        layers = nn.Linear(dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, dim)
        self.mlp = nn.Sequential(*layers)


class FirstNormTwice(RightBlock):
    """You used norm1 for both sublayers. Equation (3) has a layer norm of its own,
    norm2."""

    def forward(self, z):
        z = z + self.attend(self.norm1(z))
        return z + self.feed_forward(self.norm1(z))


class NormsExchanged(RightBlock):
    """You exchanged the two layer norms: norm1 goes before the attention, norm2 before
    the feed-forward network."""

    def forward(self, z):
        z = z + self.attend(self.norm2(z))
        return z + self.feed_forward(self.norm1(z))


class PostNorm(RightBlock):
    """You normalized after the sum (post-norm, the first Transformer's). Equations (2)
    and (3) normalize the input of the sublayer."""

    def forward(self, z):
        z = self.norm1(z + self.attend(z))
        return self.norm2(z + self.feed_forward(z))


class NoNorms(RightBlock):
    """You left the layer norms out: the sublayers read LN(z), not z."""

    def forward(self, z):
        z = z + self.attend(z)
        return z + self.feed_forward(z)


class ResidualFromNorm(RightBlock):
    """You added LN(z) instead of z. The residual connection carries the input itself;
    only the sublayer reads the normalized copy."""

    def forward(self, z):
        z = self.norm1(z)
        z = z + self.attend(z)
        z = self.norm2(z)
        return z + self.feed_forward(z)


class AttentionWithoutResidual(RightBlock):
    """Your attention has no residual connection: add z, equation (2)."""

    def forward(self, z):
        z = self.attend(self.norm1(z))
        return z + self.feed_forward(self.norm2(z))


class FeedForwardWithoutResidual(RightBlock):
    """Your feed-forward network has no residual connection: add z′, equation (3)."""

    def forward(self, z):
        z = z + self.attend(self.norm1(z))
        return self.feed_forward(self.norm2(z))


class NoResiduals(RightBlock):
    """You left both residual connections out: + z and + z′ in equations (2) and (3)."""

    def forward(self, z):
        return self.feed_forward(self.norm2(self.attend(self.norm1(z))))


class ResidualFromTheInput(RightBlock):
    """Your second residual connection starts at the block's input. Equation (3) adds
    z′, what the attention sublayer gave."""

    def forward(self, z):
        between = z + self.attend(self.norm1(z))
        return z + self.feed_forward(self.norm2(between))


class Parallel(RightBlock):
    """Your two sublayers both read the block's input. In equation (3) the feed-forward
    network reads what the attention sublayer gave."""

    def forward(self, z):
        return z + self.attend(self.norm1(z)) + self.feed_forward(self.norm2(z))


class FeedForwardFirst(RightBlock):
    """You ran the feed-forward network before the attention. Equation (2) comes before
    equation (3)."""

    def forward(self, z):
        z = z + self.feed_forward(self.norm2(z))
        return z + self.attend(self.norm1(z))


class OnlyTheQueryNormalized(RightBlock):
    """You normalized only the queries. Keys and values are made of LN(z) too."""

    def forward(self, z):
        z = z + self.attention(self.norm1(z), z, z, need_weights=False)[0]
        return z + self.feed_forward(self.norm2(z))


class BatchFirstForgotten(RightBlock):
    """Your attention mixes the samples, not the tokens: nn.MultiheadAttention wants
    batch_first=True for (B, T, D)."""

    batch_first = False


class EpsOfPyTorch(RightBlock):
    """Your layer norms have eps=1e-5, PyTorch's default. The Vision Transformer was
    trained with 1e-6, and so is this block."""

    eps = 1e-5


class TanhGelu(RightBlock):
    """You used the tanh approximation of GELU; the Vision Transformer uses the exact
    one."""

    def activation(self, hidden):
        return F.gelu(hidden, approximate="tanh")


class Relu(RightBlock):
    """You used ReLU; the Vision Transformer's activation is GELU."""

    def activation(self, hidden):
        return F.relu(hidden)


class NoActivation(RightBlock):
    """You left the activation out between fc1 and fc2: two linear maps in a row are
    one."""

    def activation(self, hidden):
        return hidden


class ActivationAtTheEnd(RightBlock):
    """You put an activation behind fc2. GELU stands between fc1 and fc2 only."""

    def feed_forward(self, x):
        return F.gelu(super().feed_forward(x))


class AttentionWithDropout(RightBlock):
    """Your block has dropout (an argument of nn.MultiheadAttention, perhaps): two calls
    in training mode differ. This block has none."""

    def __init__(self, dim, num_heads, hidden_dim):
        super().__init__(dim, num_heads, hidden_dim)
        self.attention.dropout = 0.5


class AttentionsTuple(RightBlock):
    """You added what nn.MultiheadAttention returns, a pair of output and weights. Take
    the first of the two."""

    def attend(self, x):
        return self.attention(x, x, x)


def state_of(module: nn.Module, draw: Draw, std: float = 0.5) -> dict:
    """Random weights for all parameters of a module, norms and biases included."""
    return {n: draw.normal(*p.shape, std=std) for n, p in module.named_parameters()}


@looks_at("repeat")
def no_dropout(cases: Cases, records: Records) -> str | None:
    if records["z (B, T, D)"]["repeat"]:
        return None
    return "Two calls in training mode with the same z gave different results."


class Block(Exercise):
    """EncoderBlock(dim, num_heads, hidden_dim): equations (2) and (3)."""

    number = "4.2.2"
    reference = {"EncoderBlock": RightBlock}
    probe = "module"
    properties = (no_dropout,)
    misconceptions = (
        OneNorm,
        SequentialFeedForward,
        AttentionsTuple,
        BatchFirstForgotten,
        FirstNormTwice,
        NormsExchanged,
        PostNorm,
        NoNorms,
        ResidualFromNorm,
        AttentionWithoutResidual,
        FeedForwardWithoutResidual,
        NoResiduals,
        ResidualFromTheInput,
        Parallel,
        FeedForwardFirst,
        OnlyTheQueryNormalized,
        EpsOfPyTorch,
        TanhGelu,
        Relu,
        NoActivation,
        ActivationAtTheEnd,
        AttentionWithDropout,
    )

    def draw_cases(self, draw: Draw):
        B, T, h, d, H = draw.sizes(5, low=2)
        sizes = {"dim": h * d, "num_heads": h, "hidden_dim": 3 * h * d + H}
        target = "EncoderBlock"
        yield Case("a fresh block", target, sizes)
        state = state_of(RightBlock(**sizes), draw)
        z = draw.normal(B, T, h * d)
        yield Case("z (B, T, D)", target, sizes, state=state, inputs={"z": z})
        far = draw.normal(B, T, h * d, mean=2.0, std=0.01)
        yield Case(
            "z far from 0, close together",
            target,
            sizes,
            state=state,
            inputs={"z": far},
            edge=True,
            gradients=False,
        )


# ---------------------------------------------------------------------------- 4.2.3


class RightModel(nn.Module):
    """The right model, for misconceptions to go wrong from in one place each."""

    def __init__(
        self,
        image_size,
        patch,
        channels,
        num_classes,
        dim,
        depth,
        num_heads,
        hidden_dim,
    ):
        super().__init__()
        self.patch = patch
        tokens = (image_size // patch) ** 2 + 1
        self.projection = nn.Linear(channels * patch**2, dim)
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.position_embeddings = nn.Parameter(torch.randn(1, tokens, dim))
        self.blocks = nn.ModuleList(
            RightBlock(dim, num_heads, hidden_dim) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.head = nn.Linear(dim, num_classes)
        start_anyhow(self)

    def embed(self, images):
        patches = self.projection(cut(images, self.patch))
        return prepended(self.class_token, patches) + self.position_embeddings

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


class BlocksInAList(RightModel):
    """You keep the blocks in a Python list: PyTorch does not see their parameters, so
    they are neither trained nor saved. Use nn.ModuleList or nn.Sequential."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        blocks = list(self.blocks)
        del self.blocks
        self.blocks = blocks


class OneBlockForAll(RightModel):
    """You registered one block and run it several times. Each of the layers has
    weights of its own."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.blocks = self.blocks[:1]


class OneBlockRepeated(RightModel):
    """You put one block into the list several times ([block] * depth): its weights are
    shared. Make a new block for each layer."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.blocks = nn.ModuleList(list(self.blocks)[:1] * len(self.blocks))


class FinalNormEpsOfPyTorch(RightModel):
    """Your last layer norm has eps=1e-5, PyTorch's default. Here norm has eps=1e-6, as
    the norms of the blocks have."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.norm.eps = 1e-5


class NormBeforeTheBlocks(RightModel):
    """You apply the last layer norm to z_0, before the blocks. Equation (4) applies it
    to z_L, after them."""

    def run(self, z):
        return super().run(self.norm(z))

    def read(self, z):
        return z[:, 0]


class ClassTokenNotAParameter(RightModel):
    """Your class_token is a plain tensor: it is neither trained nor saved, and stays
    behind when the model moves. Wrap it in nn.Parameter."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        token = self.class_token.detach()
        del self.class_token
        self.class_token = token


class PositionsOfPatchesOnly(RightModel):
    """Your position_embeddings have a row for each patch and none for the [class]
    token: E_pos is (N + 1) × D."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        rows = self.position_embeddings[:, 1:].detach()
        self.position_embeddings = nn.Parameter(rows)


class NoFinalNorm(RightModel):
    """You left out the layer norm at the end: y = LN(z_L^0), equation (4)."""

    def read(self, z):
        return z[:, 0]


class NormAfterTheHead(RightModel):
    """Your encode returns z_L^0 without its layer norm. Equation (4) makes it part of
    y; the head reads y."""

    def read(self, z):
        return z[:, 0]

    def forward(self, images):
        return self.head(self.norm(self.encode(images)))


class MeanOfAllTokens(RightModel):
    """Your y is the mean of all tokens. Equation (4) reads token 0, the [class]
    token."""

    def read(self, z):
        return self.norm(z).mean(1)


class MeanOfThePatches(RightModel):
    """Your y is the mean of the patches. Equation (4) reads token 0, the [class]
    token."""

    def read(self, z):
        return self.norm(z)[:, 1:].mean(1)


class LastToken(RightModel):
    """You read the last token, which is a patch. The [class] token is token 0."""

    def read(self, z):
        return self.norm(z[:, -1])


class FirstPatch(RightModel):
    """You read token 1, the first patch. The [class] token is token 0."""

    def read(self, z):
        return self.norm(z[:, 1])


class FirstSample(RightModel):
    """You read z[0], all tokens of the first image. The [class] token of every image
    is z[:, 0]."""

    def read(self, z):
        return self.norm(z[0])


class AllTokensReturned(RightModel):
    """Your encode returns all tokens, (B, N + 1, D). y is token 0 alone, (B, D)."""

    def read(self, z):
        return self.norm(z)


class ClassTokenAppended(RightModel):
    """You appended the [class] token behind the patches but read token 0. Put it in
    front."""

    def embed(self, images):
        patches = self.projection(cut(images, self.patch))
        token = self.class_token.expand(len(images), -1, -1)
        return torch.cat([patches, token], 1) + self.position_embeddings


class NoPositions(RightModel):
    """You never add the position_embeddings."""

    def embed(self, images):
        return prepended(self.class_token, self.projection(cut(images, self.patch)))


class PositionsInEveryBlock(RightModel):
    """You add the position embeddings before every block. Equation (1) adds them once,
    at the input."""

    def run(self, z):
        for n, block in enumerate(self.blocks):
            z = block(z if n == 0 else z + self.position_embeddings)
        return z


class BlocksBackwards(RightModel):
    """Your blocks run from the last to the first."""

    def run(self, z):
        for block in reversed(self.blocks):
            z = block(z)
        return z


class LastBlockSkipped(RightModel):
    """You leave the last block out: L blocks run, l = 1 … L."""

    def run(self, z):
        for block in self.blocks[:-1]:
            z = block(z)
        return z


class EveryBlockReadsTheInput(RightModel):
    """Your last block reads z_0, and what the blocks before it gave is lost: all of
    them read z_0, perhaps, or the loop leaves them out. Block l reads what block l − 1
    gave."""

    def run(self, z):
        out = z
        for block in self.blocks:
            out = block(z)
        return out


class NormBetweenTheBlocks(RightModel):
    """You apply the final layer norm after every block. Equation (4) applies it once,
    at the end."""

    def run(self, z):
        for block in self.blocks[:-1]:
            z = self.norm(block(z))
        return self.blocks[-1](z) if len(self.blocks) else z


class Probabilities(RightModel):
    """Your forward returns probabilities. It should return logits, the head's own
    numbers: F.cross_entropy takes the softmax itself."""

    def forward(self, images):
        return super().forward(images).softmax(-1)


class HeadInEncode(RightModel):
    """Your encode returns class scores. y is the representation (B, D) that the head
    reads; the head belongs to forward."""

    def encode(self, images):
        return self.head(super().encode(images))

    def forward(self, images):
        return self.encode(images)


class PixelsReshaped(RightModel):
    """You reshaped the images straight into patches. The shape is right, but such a row
    holds pieces of lines of pixels, not a square."""

    def embed(self, images):
        wide = self.projection.in_features
        patches = self.projection(images.reshape(len(images), -1, wide))
        return prepended(self.class_token, patches) + self.position_embeddings


class PatchChannelsLast(RightModel):
    """You flattened each patch with the channels last. Inside a patch the order is
    channel, row, column."""

    def embed(self, images):
        patches = cut(images, self.patch).unflatten(-1, (-1, self.patch**2))
        patches = self.projection(patches.mT.flatten(2))
        return prepended(self.class_token, patches) + self.position_embeddings


def the_blocks_do_their_part(cases: Cases, records: Records) -> str | None:
    """Where only what reaches y through the blocks is wrong, say so."""
    name = "two layers, encode"
    model = _model(cases[name])
    with torch.no_grad():
        wanted = model.encode(cases[name].inputs["images"])
        bare = _model(cases["no layers, encode"])
        wanted_bare = bare.encode(cases["no layers, encode"].inputs["images"])
    got, got_bare = (records[n]["output"] for n in (name, "no layers, encode"))
    if not close(got_bare, wanted_bare, 1e-6) or close(got, wanted, 1e-6):
        return None
    return (
        "With no layers (depth 0) your encode is right, with two it is not. Without "
        "layers y knows the [class] token and its position alone, so look at all that "
        "reaches it through the blocks: how the patches are cut, projected and placed "
        "(4.2.1), your EncoderBlock (4.2.2), and the loop over the blocks."
    )


def _model(case: Case) -> RightModel:
    model = RightModel(**case.args).to(case.inputs["images"].dtype)
    model.load_state_dict(case.state)
    return model


class Model(Exercise):
    """VisionTransformer(…): equations (1) to (4) and the head."""

    number = "4.2.3"
    reference = {"VisionTransformer": RightModel}
    probe = "module"
    properties = (the_blocks_do_their_part,)
    misconceptions = (
        BlocksInAList,
        OneBlockForAll,
        OneBlockRepeated,
        FinalNormEpsOfPyTorch,
        NormBeforeTheBlocks,
        ClassTokenNotAParameter,
        PositionsOfPatchesOnly,
        NoFinalNorm,
        NormAfterTheHead,
        MeanOfAllTokens,
        MeanOfThePatches,
        LastToken,
        FirstPatch,
        FirstSample,
        AllTokensReturned,
        ClassTokenAppended,
        NoPositions,
        PositionsInEveryBlock,
        BlocksBackwards,
        LastBlockSkipped,
        EveryBlockReadsTheInput,
        NormBetweenTheBlocks,
        Probabilities,
        HeadInEncode,
        PixelsReshaped,
        PatchChannelsLast,
    )

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
            "num_heads": h,
            "hidden_dim": 3 * h * d + 1,
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


# ---------------------------------------------------------------------------- 4.2.4


def count(
    image_size,
    patch,
    channels,
    num_classes,
    dim,
    depth,
    hidden_dim,
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
    feed_forward = feed_forwards * dim * hidden_dim + bias * (hidden_dim + dim)
    block = attention + feed_forward + norms * norm * dim
    classify = head * (dim * num_classes + bias * num_classes)
    return embedding + depth * block + final_norm * norm * dim + classify


def biases_not_counted(*sizes):
    """You left the biases out: every linear layer has one number for each output, and
    every layer norm a bias beside its weight."""
    return count(*sizes, bias=0, norm=1)


def linear_biases_not_counted(*sizes):
    """You left out the biases of the linear layers: one number for each output."""
    return count(*sizes, bias=0)


def norm_biases_not_counted(*sizes):
    """You counted one number per channel in a layer norm. It has two: a weight and a
    bias."""
    return count(*sizes, norm=1)


def class_token_not_counted(*sizes):
    """Your count is D short. The [class] token, its position embedding (there are N + 1
    of them), the bias of the projection, and the weight and the bias of the last layer
    norm have D numbers each: one of these is missing."""
    return count(*sizes, class_token=0)


def positions_not_wide(*sizes):
    """You counted one number for each position. A position embedding has D numbers."""
    return count(*sizes, position=1)


def output_projection_not_counted(*sizes):
    """You counted three matrices of an attention layer. The output projection is the
    fourth."""
    return count(*sizes, matrices=3)


def one_norm_per_block_counted(*sizes):
    """You counted one layer norm in a block. There are two."""
    return count(*sizes, norms=1)


def norms_not_counted(*sizes):
    """You left the layer norms out: each has a weight and a bias of D numbers."""
    return count(*sizes, norm=0)


def final_norm_not_counted(*sizes):
    """Your count is 2D short. The last layer norm, that of equation (4), has 2D
    numbers; so have the [class] token and its position embedding together."""
    return count(*sizes, final_norm=0)


def head_not_counted(*sizes):
    """You left the head out: D · K weights and K biases."""
    return count(*sizes, head=0)


def feed_forward_counted_once(*sizes):
    """You counted one matrix of the feed-forward network. It has two, of D · H numbers
    each."""
    return count(*sizes, feed_forwards=1)


def one_block_counted(image_size, patch, channels, num_classes, dim, depth, hidden_dim):
    """You counted one block. There are depth of them, each with its own weights."""
    return count(image_size, patch, channels, num_classes, dim, 1, hidden_dim)


def channels_not_counted(image_size, patch, channels, *sizes):
    """You left the channels out of the projection: a patch has C · P · P numbers."""
    return count(image_size, patch, 1, *sizes)


@looks_at("largest")
def no_model_is_built(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        largest = records[name]["largest"]
        if largest >= case.args["dim"] ** 2:
            return (
                f"In the case “{name}”, a tensor of {largest:,} entries was made. "
                "Count with a formula: no model is to be built."
            )
    return None


class Parameters(Exercise):
    """parameter_count(…): how many numbers the model learns, by formula."""

    number = "4.2.4"
    misconceptions = (
        biases_not_counted,
        linear_biases_not_counted,
        norm_biases_not_counted,
        class_token_not_counted,
        positions_not_wide,
        output_projection_not_counted,
        one_norm_per_block_counted,
        norms_not_counted,
        final_norm_not_counted,
        head_not_counted,
        feed_forward_counted_once,
        one_block_counted,
        channels_not_counted,
    )

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
            "hidden_dim": 36 * D + 5,
        }
        yield Case("a small model", "parameter_count", sizes, gradients=False)
        base = dict(zip(sizes, (224, 16, 3, 1000, 768, 12, 3072), strict=True))
        yield Case("ViT-B/16", "parameter_count", base, gradients=False)


# ---------------------------------------------------------------------------- 4.2.5

# How torchvision's vit_b_16 calls what this course calls otherwise.
NAMES = {
    "conv_proj.": "projection.",
    "encoder.pos_embedding": "position_embeddings",
    "encoder.layers.encoder_layer_": "blocks.",
    "ln_1.": "norm1.",
    "self_attention.": "attention.",
    "ln_2.": "norm2.",
    "mlp.0.": "fc1.",
    "mlp.3.": "fc2.",
    "encoder.ln.": "norm.",
    "heads.head.": "head.",
}


def ours(name: str, names: dict = NAMES) -> str:
    for theirs, own in names.items():
        name = name.replace(theirs, own)
    return name


def theirs(name: str) -> str:
    """torchvision's name of one of this course's parameters."""
    name = re.sub(r"^norm\.", "encoder.ln.", name)
    for own, other in (
        ("projection.", "conv_proj."),
        ("position_embeddings", "encoder.pos_embedding"),
        ("blocks.", "encoder.layers.encoder_layer_"),
        (".norm1.", ".ln_1."),
        (".attention.", ".self_attention."),
        (".norm2.", ".ln_2."),
        (".fc1.", ".mlp.0."),
        (".fc2.", ".mlp.3."),
        ("head.", "heads.head."),
    ):
        name = name.replace(own, other)
    return name


def renamed(state_dict, flatten=lambda kernels: kernels.flatten(1), names=NAMES):
    state = {ours(name, names): value for name, value in state_dict.items()}
    state["projection.weight"] = flatten(state_dict["conv_proj.weight"])
    return state


def load_with_wrong_names_let_pass(model, state_dict):
    """You let a missing name pass in silence, and unknown ones too, perhaps
    (strict=False?): a model with half its weights random gives no error, only bad
    answers. Say which name it is."""
    flat = {n: v.flatten(1) if v.ndim == 4 else v for n, v in state_dict.items()}
    model.load_state_dict({ours(n): v for n, v in flat.items()}, strict=False)
    return model


def unknown_names_let_pass(model, state_dict):
    """You say when a name is missing, but let a name pass that you do not know. It
    may be a part of the model that yours has not: say so."""
    state = renamed(state_dict)
    model.load_state_dict({n: state[n] for n in model.state_dict()})
    return model


def nothing_returned(model, state_dict):
    """You fill the model but return nothing. Return it."""
    model.load_state_dict(renamed(state_dict))


def load_without_no_grad(model, state_dict):
    """You write into parameters while autograd is watching. Use load_state_dict, or
    copy inside torch.no_grad()."""
    state = renamed(state_dict)
    for name, parameter in model.named_parameters():
        parameter.copy_(state[name])
    return model


def kernel_not_flattened(model, state_dict):
    """You did not flatten torchvision's projection: conv_proj.weight is a convolution's
    (D, C, P, P), projection.weight a linear layer's (D, C·P·P)."""
    model.load_state_dict(renamed(state_dict, lambda kernels: kernels))
    return model


def kernel_with_channels_last(model, state_dict):
    """You flattened the projection with the channels last. A patch of this course is
    ordered channel, row, column, like the convolution's weight: flatten(1)."""

    def last(kernels):
        return kernels.permute(0, 2, 3, 1).flatten(1)

    model.load_state_dict(renamed(state_dict, last))
    return model


def kernel_columns_first(model, state_dict):
    """You flattened the projection with rows and columns exchanged."""
    model.load_state_dict(renamed(state_dict, lambda kernels: kernels.mT.flatten(1)))
    return model


def norms_confused(model, state_dict):
    """You exchanged the layer norms: ln_1 is norm1, ln_2 is norm2."""
    names = {**NAMES, "ln_1.": "norm2.", "ln_2.": "norm1."}
    model.load_state_dict(renamed(state_dict, names=names))
    return model


def blocks_in_order_of_spelling(model, state_dict):
    """You sorted the layers as words: encoder_layer_10 comes before encoder_layer_2.
    Take the number out of the name."""
    numbers = {n.split(".")[2] for n in state_dict if "encoder_layer_" in n}
    new = {name: str(i) for i, name in enumerate(sorted(numbers))}

    def sorted_name(name):
        for old, number in new.items():
            name = name.replace(f"encoder.layers.{old}.", f"blocks.{number}.")
        return name

    moved = {sorted_name(name): value for name, value in state_dict.items()}
    model.load_state_dict(renamed(moved))
    return model


def heads_rows_rearranged(model, state_dict):
    """You rearranged the rows of in_proj. torchvision uses nn.MultiheadAttention, as
    you do: the packed weights fit as they are."""
    state = renamed(state_dict)
    for name, value in state.items():
        if "in_proj" in name:
            q, k, v = value.chunk(3)
            state[name] = torch.cat([k, q, v])
    model.load_state_dict(state)
    return model


@looks_at("error")
def a_wrong_name_is_said(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        if not case.raises:
            continue
        _, wrong, *_ = case.name.split()
        message = records[name]["error"]["message"]
        if wrong not in message and ours(wrong) not in message:
            return (
                f"In the case “{name}”, an error was raised, as it should, but it does "
                f"not say which name is wrong ({wrong}): {message[:80]!r}."
            )
    return None


class TorchvisionWeights(Exercise):
    """load_torchvision_weights(model, state_dict): weights by other names."""

    number = "4.2.5"
    properties = (a_wrong_name_is_said,)
    misconceptions = (
        nothing_returned,
        load_without_no_grad,
        kernel_not_flattened,
        kernel_with_channels_last,
        kernel_columns_first,
        norms_confused,
        blocks_in_order_of_spelling,
        heads_rows_rearranged,
        load_with_wrong_names_let_pass,
        unknown_names_let_pass,
    )

    @staticmethod
    def load_torchvision_weights(model, state_dict):
        state = renamed(state_dict)
        for name in sorted(set(model.state_dict()) ^ set(state)):
            raise KeyError(f"{name} is missing or unknown")
        model.load_state_dict(state)
        return model

    reference = {"load_torchvision_weights": load_torchvision_weights}

    def draw_cases(self, draw: Draw):
        target = "load_torchvision_weights"
        P, C, h, d = draw.sizes(4, low=2, high=5)
        sizes = {"image_size": 2 * P, "patch": P, "channels": C, "num_classes": 3}
        sizes |= {"dim": h * d, "num_heads": h, "hidden_dim": h * d + 1}

        def case(name, depth, without=None, besides=None):
            """A model, and weights for it under torchvision's names, or almost."""
            with torch.device("meta"):
                mine = RightModel(depth=depth, **sizes).state_dict()
            model = {name: draw.normal(*v.shape) for name, v in mine.items()}
            state = {theirs(name): draw.normal(*v.shape) for name, v in mine.items()}
            kernels = state["conv_proj.weight"]
            state["conv_proj.weight"] = kernels.unflatten(1, (C, P, P))
            state = dict(sorted(state.items()))  # names tell them apart, not places
            state.pop(without, None)
            if besides:
                state[besides] = draw.normal(2)
            wrong = without or besides
            return Case(
                name,
                target,
                {"model": Layer("Module", state=model), "state_dict": state},
                fills=None if wrong else "model",
                raises=("KeyError", "ValueError", "RuntimeError") if wrong else (),
                gradients=False,
            )

        yield case("torchvision's names", depth=11)  # 10 comes before 2 as a word
        missing = "encoder.layers.encoder_layer_1.mlp.3.bias"
        yield case(f"without {missing}", depth=2, without=missing)
        unknown = "encoder.layers.encoder_layer_0.gate"
        yield case(f"with {unknown} besides", depth=2, besides=unknown)


# ---------------------------------------------------------------------------- 4.2.6


def resized(positions, old_grid, new_grid, to_grid=None, to_rows=None, **how):
    """The right rows, or with another way there, back, or between."""
    patches = positions[:, 1:]
    grid = patches.mT.unflatten(2, old_grid) if to_grid is None else to_grid(patches)
    how = {"mode": "bicubic", "align_corners": False, **how}
    grid = F.interpolate(grid, size=tuple(new_grid), **how)
    rows = grid.flatten(2).mT if to_rows is None else to_rows(grid)
    return torch.cat([positions[:, :1], rows], 1)


def class_row_resized_too(position_embeddings, old_grid, new_grid):
    """You left no place for the [class] token's row, or resized it with the others. It
    has no place in the image: keep it aside, untouched, and put it back in front."""
    patches = position_embeddings[:, : old_grid[0] * old_grid[1]]
    grid = patches.mT.unflatten(2, old_grid)
    how = {"mode": "bicubic", "align_corners": False}
    rows = F.interpolate(grid, size=tuple(new_grid), **how).flatten(2).mT
    return torch.cat([position_embeddings[:, :1], rows], 1)


def class_row_dropped(position_embeddings, old_grid, new_grid):
    """You dropped the row of the [class] token. Put it back in front."""
    return resized(position_embeddings, old_grid, new_grid)[:, 1:]


def class_row_put_last(position_embeddings, old_grid, new_grid):
    """You put the row of the [class] token behind the patches. It belongs in front."""
    rows = resized(position_embeddings, old_grid, new_grid)
    return torch.cat([rows[:, 1:], rows[:, :1]], 1)


def rows_reshaped_not_moved(position_embeddings, old_grid, new_grid):
    """You reshaped (1, h·w, D) straight to (1, D, h, w): that mixes channels and
    places. Split into (h, w, D) first, then move D in front."""

    def mixed(patches):
        return patches.reshape(1, patches.shape[-1], *old_grid)

    return resized(position_embeddings, old_grid, new_grid, to_grid=mixed)


def channels_not_moved_back(position_embeddings, old_grid, new_grid):
    """You reshaped (1, D, h, w) straight to (1, h·w, D) on the way back: that mixes
    channels and places. Move D to the end first."""

    def mixed(grid):
        return grid.reshape(1, -1, grid.shape[1])

    return resized(position_embeddings, old_grid, new_grid, to_rows=mixed)


def old_grid_turned(position_embeddings, old_grid, new_grid):
    """You read the old grid as (columns, rows). It is (rows, columns)."""
    return resized(position_embeddings, old_grid[::-1], new_grid)


def new_grid_turned(position_embeddings, old_grid, new_grid):
    """You made the new grid with rows and columns exchanged. It is (rows, columns)."""
    return resized(position_embeddings, old_grid, new_grid[::-1])


def both_grids_turned(position_embeddings, old_grid, new_grid):
    """You read both grids as (columns, rows). They are (rows, columns)."""
    return resized(position_embeddings, old_grid[::-1], new_grid[::-1])


def bilinear(position_embeddings, old_grid, new_grid):
    """You interpolated bilinearly. The exercise asks for bicubic."""
    return resized(position_embeddings, old_grid, new_grid, mode="bilinear")


def nearest(position_embeddings, old_grid, new_grid):
    """You repeated the nearest embedding. The exercise asks for bicubic
    interpolation: give F.interpolate its mode."""
    how = {"mode": "nearest", "align_corners": None}
    return resized(position_embeddings, old_grid, new_grid, **how)


def corners_aligned(position_embeddings, old_grid, new_grid):
    """You aligned the corners (align_corners=True). Here patches are areas, not points:
    align_corners=False."""
    return resized(position_embeddings, old_grid, new_grid, align_corners=True)


def antialiased(position_embeddings, old_grid, new_grid):
    """You switched antialias on, which is another bicubic kernel. The exercise asks for
    F.interpolate without it."""
    return resized(position_embeddings, old_grid, new_grid, antialias=True)


def rounded_to_float32(position_embeddings, old_grid, new_grid):
    """Your rows went through float32 and lost digits. F.interpolate takes them in the
    dtype that they have."""
    rows = resized(position_embeddings.float(), old_grid, new_grid)
    return rows.to(position_embeddings.dtype)


def along_the_sequence(position_embeddings, old_grid, new_grid):
    """You interpolated along the sequence, as if the patches lay in one row. Lay them
    out in their grid first."""
    rows, new = position_embeddings[:, 1:], new_grid[0] * new_grid[1]
    rows = F.interpolate(rows.mT, size=new, mode="linear", align_corners=False).mT
    return torch.cat([position_embeddings[:, :1], rows], 1)


def class_row_untouched(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        if case.edge:
            continue
        wanted = case.args["position_embeddings"][0, 0]
        got = records[name]["output"][0, 0]
        if not torch.allclose(got, wanted):
            return (
                f"In the case “{name}”, row 0, the [class] token's, should come back "
                f"as it was, beginning with {wanted[0].item():.4g}; yours begins with "
                f"{got[0].item():.4g}."
            )
    return None


def the_same_grid_changes_nothing(cases: Cases, records: Records) -> str | None:
    name = "to the same grid"
    wanted = cases[name].args["position_embeddings"]
    gap = (records[name]["output"] - wanted).abs().amax(dim=(0, 2))
    if bool((gap < 1e-5).all()):
        return None
    return (
        "Resized to the grid that they have, the embeddings should not change; row "
        f"{int(gap.argmax())} of yours did."
    )


class ResizedPositions(Exercise):
    """resize_position_embeddings(…): one model, images of another size."""

    number = "4.2.6"
    properties = (class_row_untouched, the_same_grid_changes_nothing)
    misconceptions = (
        class_row_resized_too,
        class_row_dropped,
        class_row_put_last,
        rows_reshaped_not_moved,
        channels_not_moved_back,
        old_grid_turned,
        new_grid_turned,
        both_grids_turned,
        bilinear,
        nearest,
        corners_aligned,
        antialiased,
        rounded_to_float32,
        along_the_sequence,
    )

    @staticmethod
    def resize_position_embeddings(position_embeddings, old_grid, new_grid):
        return resized(position_embeddings, old_grid, new_grid)

    reference = {"resize_position_embeddings": resize_position_embeddings}

    def draw_cases(self, draw: Draw):
        target = "resize_position_embeddings"
        h, w, more, D = draw.sizes(4, low=3)
        given = draw.normal(1, h * w + 1, D)
        for name, new in (
            ("to a finer grid", (h + more, w + 2 * more)),
            ("to a coarser grid", (h - 1, w - 1)),
            ("to the same grid", (h, w)),
            ("to the grid turned", (w, h)),
        ):
            args = {"position_embeddings": given, "old_grid": (h, w), "new_grid": new}
            yield Case(name, target, args)
        # 11 · (15 / 11) < 15: who gives a scale_factor may lose a row
        long = draw.normal(1, 11 * 13 + 1, D)
        for name, rows in (
            ("from 11 × 13 to 15 × 30", long),
            ("float32", long.float()),
        ):
            args = {"position_embeddings": rows, "old_grid": (11, 13)}
            yield Case(name, target, {**args, "new_grid": (15, 30)}, edge=True)


EXERCISES = (
    Embedding,
    Block,
    Model,
    Parameters,
    TorchvisionWeights,
    ResizedPositions,
)
