"""Exercise 4.2.2: legitimate answers that must pass, and wrong ones in other words."""

import torch
from torch import nn
from torch.nn import functional as F

from labkit.exercises.lab_04_2_model_structure.block import RightBlock

# -------------------------------------------------------------- legitimate alternatives


class BlockWithItsOwnAttention(nn.Module):
    """Registered in another order; the attention computed from the packed weights."""

    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.fc2, self.fc1 = nn.Linear(hidden, dim), nn.Linear(dim, hidden)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm1, self.norm2 = (nn.LayerNorm(dim, 1e-6) for _ in "12")
        self.act, self.h = nn.GELU(), heads

    def forward(self, z):
        a = self.attention
        packed = F.linear(self.norm1(z), a.in_proj_weight, a.in_proj_bias)
        q, k, v = packed.unflatten(-1, (3, self.h, -1)).permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(q, k, v)
        z = a.out_proj(heads.transpose(1, 2).flatten(2)) + z
        return self.fc2(self.act(self.fc1(self.norm2(z)))) + z


class BlockWithWeightsAsked(nn.Module):
    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm([dim], eps=1e-6)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm2 = nn.LayerNorm([dim], eps=1e-6)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
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

    def __init__(self, dim, heads, hidden):
        super().__init__(dim, heads, hidden)
        self.attention = nn.MultiheadAttention(dim, heads)

    def forward(self, z):
        turned = self.norm1(z).transpose(0, 1)
        attended = self.attention(turned, turned, turned, need_weights=False)[0]
        z = z + attended.transpose(0, 1)
        return z + self.mlp(self.norm2(z))


ALTERNATIVES = [
    BlockWithItsOwnAttention,
    BlockWithWeightsAsked,
    BlockOnTimeFirst,
]


# ---------------------------------------------------- the same mistakes, in other words


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
    def __init__(self, dim, heads, hidden):
        super().__init__(dim, heads, hidden)
        self.attention = nn.MultiheadAttention(
            dim, heads, dropout=0.1, batch_first=True
        )


IN_OTHER_WORDS = [
    (BlockAfterTheSum, "post_norm_block"),
    (BlockWithReassignedInput, "residual_of_normalized"),
    (BlockWithDropout, "AttentionWithDropout"),
]


# ------------------------------------------------------ what is said, and what is right


def test_the_right_block_is_pytorchs_encoder_layer():
    torch.manual_seed(0)
    mine = RightBlock(12, 3, 20).double()
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
