"""Lab 4.2: legitimate answers that must pass, and mistakes spelled in other words."""

import math
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks import find, model_structure, section_exercises

# ------------------------------------------------------------- legitimate alternatives


def embed_by_convolution(images, weight, bias, token, positions, patch):
    kernels = weight.view(len(weight), -1, patch, patch)
    grid = F.conv2d(images, kernels, bias, stride=patch)
    patches = grid.flatten(2).transpose(1, 2)
    token = token.repeat(len(images), 1, 1)
    return torch.cat((token, patches), 1).add(positions)


def embed_by_unfold(images, weight, bias, token, positions, patch):
    columns = images.unfold(2, patch, patch).unfold(3, patch, patch)
    patches = columns.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    patches = torch.einsum("bnc,dc->bnd", patches, weight) + bias + positions[1:]
    first = (token + positions[0]).expand(len(images), 1, -1)
    return torch.cat([first, patches], dim=1)


def embed_by_loop(images, weight, bias, token, positions, patch):
    rows = []
    for image in images:
        tokens = [token]
        for i in range(0, image.shape[1], patch):
            for j in range(0, image.shape[2], patch):
                flat = image[:, i : i + patch, j : j + patch].reshape(-1)
                tokens.append(weight @ flat + bias)
        rows.append(torch.stack(tokens) + positions)
    return torch.stack(rows)


class BlockWithItsOwnAttention(nn.Module):
    """Registered in another order; the attention computed from the packed weights."""

    def __init__(self, dim, num_heads, hidden_dim):
        super().__init__()
        self.fc2, self.fc1 = nn.Linear(hidden_dim, dim), nn.Linear(dim, hidden_dim)
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.norm1, self.norm2 = (nn.LayerNorm(dim, 1e-6) for _ in "12")
        self.act, self.h = nn.GELU(), num_heads

    def forward(self, z):
        a = self.attention
        packed = F.linear(self.norm1(z), a.in_proj_weight, a.in_proj_bias)
        q, k, v = packed.unflatten(-1, (3, self.h, -1)).permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(q, k, v)
        z = a.out_proj(heads.transpose(1, 2).flatten(2)) + z
        return self.fc2(self.act(self.fc1(self.norm2(z)))) + z


class BlockWithWeightsAsked(nn.Module):
    def __init__(self, dim, num_heads, hidden_dim):
        super().__init__()
        self.norm1 = nn.LayerNorm([dim], eps=1e-6)
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.norm2 = nn.LayerNorm([dim], eps=1e-6)
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        nn.init.trunc_normal_(self.fc1.weight, std=0.02)

    def mlp(self, x):
        x = self.fc1(x)
        return self.fc2(x * (1 + torch.erf(x / 2**0.5)) / 2)

    def forward(self, z):
        normed = self.norm1(z)
        output, _ = self.attention(query=normed, key=normed, value=normed)
        between = torch.add(z, output)
        return torch.add(between, self.mlp(self.norm2(between)))


class BlockOnTimeFirst(BlockWithWeightsAsked):
    """Without batch_first, but turned as PyTorch wants it."""

    def __init__(self, dim, num_heads, hidden_dim):
        super().__init__(dim, num_heads, hidden_dim)
        self.attention = nn.MultiheadAttention(dim, num_heads)

    def forward(self, z):
        turned = self.norm1(z).transpose(0, 1)
        attended = self.attention(turned, turned, turned, need_weights=False)[0]
        z = z + attended.transpose(0, 1)
        return z + self.mlp(self.norm2(z))


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
        num_heads,
        hidden_dim,
    ):
        super().__init__()
        self.patch, self.dim = patch, dim
        self.head, self.norm = nn.Linear(dim, num_classes), nn.LayerNorm(dim, eps=1e-6)
        blocks = [BlockOnTimeFirst(dim, num_heads, hidden_dim) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        side = image_size // patch
        self.position_embeddings = nn.Parameter(torch.zeros(1, side * side + 1, dim))
        self.projection = nn.Linear(channels * patch * patch, dim)
        nn.init.zeros_(self.head.weight)

    def encode(self, images):
        kernels = self.projection.weight, self.projection.bias
        first, places = self.class_token.flatten(), self.position_embeddings.squeeze(0)
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
        kernels = self.projection.weight, self.projection.bias
        first, places = self.class_token.flatten(), self.position_embeddings.squeeze(0)
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


def count_by_shapes(image_size, patch, channels, num_classes, dim, depth, hidden_dim):
    tokens = 1 + (image_size // patch) * (image_size // patch)
    block = [(3 * dim, dim), (3 * dim,), (dim, dim), (dim,)]
    block += [(hidden_dim, dim), (hidden_dim,), (dim, hidden_dim), (dim,)]
    block += 4 * [(dim,)]
    rest = [(dim, channels * patch * patch), (dim,), (dim,), (tokens, dim)]
    rest += [(dim,), (dim,), (num_classes, dim), (num_classes,)]
    return sum(torch.Size(s).numel() for s in depth * block + rest)


def count_by_layers(image_size, patch, channels, num_classes, dim, depth, hidden_dim):
    def linear(a, b):
        return (a + 1) * b

    layer = linear(dim, 3 * dim) + linear(dim, dim) + 4 * dim
    layer += linear(dim, hidden_dim) + linear(hidden_dim, dim)
    total = linear(channels * patch**2, dim) + linear(dim, num_classes) + 3 * dim
    return total + depth * layer + ((image_size // patch) ** 2 + 1) * dim


def load_by_copying(model, state_dict):
    """Parameter by parameter, through the list of blocks; a KeyError from the dict."""
    rest = dict(state_dict)

    def take(module, prefix, fit=lambda value: value):
        for name, parameter in module.named_parameters():
            parameter.copy_(fit(rest.pop(f"{prefix}.{name}")))

    with torch.no_grad():
        kernels = rest.pop("conv_proj.weight")
        model.projection.weight.copy_(kernels.reshape(len(kernels), -1))
        model.projection.bias.copy_(rest.pop("conv_proj.bias"))
        model.class_token.copy_(rest.pop("class_token"))
        model.position_embeddings.copy_(rest.pop("encoder.pos_embedding"))
        for i, block in enumerate(model.blocks):
            prefix = f"encoder.layers.encoder_layer_{i}"
            for ours, theirs in (
                ("norm1", "ln_1"),
                ("attention", "self_attention"),
                ("norm2", "ln_2"),
                ("fc1", "mlp.0"),
                ("fc2", "mlp.3"),
            ):
                take(getattr(block, ours), f"{prefix}.{theirs}")
        take(model.norm, "encoder.ln")
        take(model.head, "heads.head")
    if rest:
        raise ValueError(f"unknown names: {', '.join(rest)}")
    return model


def load_by_our_names(model, state_dict):
    """From the model's names to torchvision's, with sets to see what is wrong."""
    wanted = {name: model_structure.theirs(name) for name in model.state_dict()}
    if wrong := set(wanted.values()) ^ set(state_dict):
        raise RuntimeError(f"missing or unknown: {sorted(wrong)}")
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    new = {n: state_dict[t].reshape(shapes[n]) for n, t in wanted.items()}
    model.load_state_dict(new, strict=True)
    return model


def resize_by_permuting(position_embeddings, old_grid, new_grid):
    token, rest = position_embeddings.split([1, position_embeddings.size(1) - 1], 1)
    rest = rest.reshape(1, *old_grid, -1).permute(0, 3, 1, 2)
    rest = F.interpolate(rest, size=list(new_grid), mode="bicubic")
    rest = rest.permute(0, 2, 3, 1).reshape(1, new_grid[0] * new_grid[1], -1)
    return torch.cat((token, rest), dim=1)


def resize_channel_by_channel(position_embeddings, old_grid, new_grid):
    upsample = nn.Upsample(size=tuple(new_grid), mode="bicubic", align_corners=False)
    channels = position_embeddings[0, 1:].T
    maps = [upsample(c.view(1, 1, *old_grid)).flatten() for c in channels]
    return torch.cat([position_embeddings[:, :1], torch.stack(maps, -1)[None]], 1)


ALTERNATIVES = [
    ("4.2.1", embed_by_convolution),
    ("4.2.1", embed_by_unfold),
    ("4.2.1", embed_by_loop),
    ("4.2.2", BlockWithItsOwnAttention),
    ("4.2.2", BlockWithWeightsAsked),
    ("4.2.2", BlockOnTimeFirst),
    ("4.2.3", ModelOfAlternatives),
    ("4.2.3", ModelWithList),
    ("4.2.3", ModelOfSmallNumbers),
    ("4.2.4", count_by_shapes),
    ("4.2.4", count_by_layers),
    ("4.2.5", load_by_copying),
    ("4.2.5", load_by_our_names),
    ("4.2.6", resize_by_permuting),
    ("4.2.6", resize_channel_by_channel),
]


# ------------------------------------------------- the same mistakes, in other words


def embed_backwards(images, weight, bias, token, positions, patch):
    tokens = embed_by_convolution(images, weight, bias, token, 0 * positions, patch)
    return tokens.roll(-1, dims=1) + positions


def embed_transposed(images, weight, bias, token, positions, patch):
    kernels = weight.view(len(weight), -1, patch, patch)
    grid = F.conv2d(images, kernels, bias, stride=patch)
    patches = grid.transpose(2, 3).flatten(2).transpose(1, 2)
    token = token.expand(len(images), 1, -1)
    return torch.cat([token, patches], 1) + positions


class BlockAfterTheSum(BlockWithWeightsAsked):
    def forward(self, z):
        z = self.norm1(self.attention(z, z, z)[0] + z)
        return self.norm2(self.mlp(z) + z)


class BlockWithReassignedInput(BlockWithWeightsAsked):
    def forward(self, z):
        z = self.norm1(z)
        z = self.attention(z, z, z)[0] + z
        z = self.norm2(z)
        return self.mlp(z) + z


class BlockWithDropout(BlockWithWeightsAsked):
    def __init__(self, dim, num_heads, hidden_dim):
        super().__init__(dim, num_heads, hidden_dim)
        self.attention = nn.MultiheadAttention(
            dim, num_heads, dropout=0.1, batch_first=True
        )


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
        kernels = self.projection.weight, self.projection.bias
        first, places = self.class_token.flatten(), self.position_embeddings.squeeze(0)
        z = embed_by_convolution(images, *kernels, first, places, self.patch)
        return self.norm(self.blocks(z)).mean(dim=-2)


def load_what_fits(model, state_dict):
    """Unknown and missing names are both skipped."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = state_dict.get(model_structure.theirs(name))
            if value is not None:
                parameter.copy_(value.reshape(parameter.shape))
    return model


def resize_flipped(position_embeddings, old_grid, new_grid):
    (h, w), (new_h, new_w) = old_grid, new_grid
    return resize_by_permuting(position_embeddings, (w, h), (new_w, new_h))


IN_OTHER_WORDS = [
    ("4.2.1", embed_backwards, "class_token_last"),
    ("4.2.1", embed_transposed, "patches_column_by_column"),
    ("4.2.2", BlockAfterTheSum, "PostNorm"),
    ("4.2.2", BlockWithReassignedInput, "ResidualFromNorm"),
    ("4.2.2", BlockWithDropout, "AttentionWithDropout"),
    ("4.2.3", ModelOfOneBlock, "OneBlockRepeated"),
    ("4.2.3", ModelWithTokenInZeros, "ClassTokenNotAParameter"),
    ("4.2.3", ModelOfMeans, "MeanOfAllTokens"),
    ("4.2.5", load_what_fits, "load_with_wrong_names_let_pass"),
    ("4.2.6", resize_flipped, "both_grids_turned"),
]


# ------------------------------------------------------ wrong, though nobody named it


def embed_in_float64(images, weight, bias, token, positions, patch):
    tokens = embed_by_convolution(images, weight, bias, token, positions, patch)
    out = torch.empty(tokens.shape, dtype=torch.float64, device=tokens.device)
    out[:] = tokens
    return out


def count_by_building(*sizes):
    *sizes, hidden_dim = sizes
    model = model_structure.RightModel(*sizes, 1, hidden_dim)
    return sum(parameter.numel() for parameter in model.parameters())


def load_by_position(model, state_dict):
    """The names are checked, but then the order counts."""
    wanted = {model_structure.theirs(name) for name in model.state_dict()}
    for wrong in wanted ^ set(state_dict):
        raise KeyError(wrong)
    with torch.no_grad():
        pairs = zip(model.parameters(), state_dict.values(), strict=True)
        for parameter, value in pairs:
            parameter.copy_(value.reshape(parameter.shape))
    return model


def resize_unless_as_many(position_embeddings, old_grid, new_grid):
    """A grid turned on its side has as many patches, and yet others."""
    if math.prod(old_grid) == math.prod(new_grid):
        return position_embeddings
    return resize_by_permuting(position_embeddings, old_grid, new_grid)


def resize_by_factor(position_embeddings, old_grid, new_grid):
    token, rest = position_embeddings.tensor_split([1], 1)
    factors = [new / old for new, old in zip(new_grid, old_grid, strict=True)]
    grid = rest.mT.unflatten(-1, old_grid)
    grid = F.interpolate(grid, scale_factor=factors, mode="bicubic")
    return torch.cat([token, grid.flatten(2).mT], 1)


def resize_in_float64(position_embeddings, old_grid, new_grid):
    return resize_by_permuting(position_embeddings.double(), old_grid, new_grid)


WRONG = [
    ("4.2.1", embed_in_float64, "edge cases"),
    ("4.2.4", count_by_building, "no model is built"),
    ("4.2.5", load_by_position, "runs"),
    ("4.2.6", resize_unless_as_many, "values"),
    ("4.2.6", resize_by_factor, "edge cases"),
    ("4.2.6", resize_in_float64, "edge cases"),
]


def test_a_name_taken_out_of_the_state_dict_is_told_as_that():
    def popping(model, state_dict):
        kernels = state_dict.pop("conv_proj.weight")
        return load_by_our_names(model, {**state_dict, "conv_proj.weight": kernels})

    report = find("4.2.5").examine({"load_torchvision_weights": popping})
    assert report.failure.property == "inputs unchanged"
    assert "state_dict in place. Usual causes: .pop, del" in report.failure.message


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
        assert report.misconception == "FinalNormEpsOfPyTorch"


def test_an_error_without_the_name_is_not_enough():
    def silent(model, state_dict):
        try:
            return load_by_our_names(model, state_dict)
        except RuntimeError:
            raise ValueError("these weights do not fit") from None

    report = find("4.2.5").examine({"load_torchvision_weights": silent})
    assert report.failure.property == "a wrong name is said"
    assert "encoder_layer_1.mlp.3.bias" in report.text().replace("\n  ", "")


# ----------------------------------------------------------- references, and catalogue


@pytest.mark.parametrize("seed", range(20))
def test_no_picture_has_three_channels(seed):
    """They would hide who takes three for granted."""
    embed, model, count = (find(f"4.2.{i}").cases(seed)[0].args for i in (1, 3, 4))
    assert embed["images"].shape[1] != 3
    assert 3 not in (model["channels"], count["channels"])


@pytest.mark.parametrize("seed", range(3))
def test_the_formula_counts_what_the_model_has(seed):
    case = find("4.2.4").cases(seed)[0]
    right = find("4.2.4").reference["parameter_count"](*case.args.values())
    with torch.device("meta"):
        assert right == count_by_building(*case.args.values())


def test_the_right_block_is_pytorchs_encoder_layer():
    torch.manual_seed(0)
    mine = model_structure.RightBlock(12, 3, 20).double()
    sizes = {"dim_feedforward": 20, "dropout": 0.0, "activation": "gelu"}
    how = {"layer_norm_eps": 1e-6, "batch_first": True, "norm_first": True}
    theirs = nn.TransformerEncoderLayer(12, 3, **sizes, **how).double()
    names = {"attention.": "self_attn.", "fc1.": "linear1.", "fc2.": "linear2."}
    state = {}
    for name, value in mine.state_dict().items():
        for ours, other in names.items():
            name = name.replace(ours, other)
        state[name] = torch.randn_like(value)
    theirs.load_state_dict(state)
    renamed = dict(zip(mine.state_dict(), state.values(), strict=True))
    mine.load_state_dict(renamed)
    z = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(mine(z), theirs(z))


def test_names_and_shapes_are_torchvisions():
    """The table of exercise 4.2.5, against torchvision itself where it is installed."""
    models = pytest.importorskip("torchvision.models", reason="optional: CONTRIBUTING")
    with torch.device("meta"):
        theirs = models.vit_b_16().state_dict()
        ours = model_structure.RightModel(224, 16, 3, 1000, 768, 12, 12, 3072)
    assert {model_structure.theirs(n) for n in ours.state_dict()} == set(theirs)
    state = model_structure.renamed(theirs)
    shapes = {name: value.shape for name, value in ours.state_dict().items()}
    assert shapes == {name: value.shape for name, value in state.items()}


def test_names_go_there_and_back():
    with torch.device("meta"):
        ours = model_structure.RightModel(8, 2, 1, 10, 12, 11, 3, 20).state_dict()
    for name in ours:
        assert model_structure.ours(model_structure.theirs(name)) == name
    assert re.fullmatch(
        r"encoder\.layers\.encoder_layer_10\.mlp\.0\.bias",
        model_structure.theirs("blocks.10.fc1.bias"),
    )


def test_the_catalogue_is_as_large_as_promised():
    assert sum(len(e.misconceptions) for e in section_exercises("4.2")) >= 26
    assert len(ALTERNATIVES) >= 8
