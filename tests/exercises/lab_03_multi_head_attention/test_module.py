"""Exercise 3.4: legitimate answers that must pass."""

import torch
from torch import nn

from labkit.exercises import find

from .test_attention import attend
from .test_multi_head import multi_head_einsum

# -------------------------------------------------------------- legitimate alternatives


class Module(nn.Module):
    """PyTorch's own arrangement: q, k, v, and in each the heads."""

    def __init__(self, dim, heads):
        super().__init__()
        self.h = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x, keep=None):
        w = (self.qkv.weight, self.qkv.bias, self.proj.weight, self.proj.bias)
        return multi_head_einsum(x, *w, self.h, keep)


def fill(attention):
    module = Module(attention.embed_dim, attention.num_heads)
    with torch.no_grad():
        module.qkv.weight.copy_(attention.in_proj_weight)
        module.qkv.bias.copy_(attention.in_proj_bias)
        module.proj.weight.copy_(attention.out_proj.weight)
        module.proj.bias.copy_(attention.out_proj.bias)
    return module


class HeadsFirst(Module):
    """Rows of qkv by head: a head's q, its k, its v, then the next head."""

    def arranged(self, rows):
        """PyTorch's rows (3D, …) in this order."""
        return rows.unflatten(0, (3, self.h, -1)).transpose(0, 1).flatten(0, 2)

    def forward(self, x, keep=None):
        B, T, D = x.shape
        q, k, v = self.qkv(x).view(B, T, self.h, 3, -1).permute(3, 0, 2, 1, 4)
        out, _ = attend(q, k, v, None if keep is None else keep[:, None])
        return self.proj(out.transpose(1, 2).reshape(B, T, D))


class Interleaved(HeadsFirst):
    """Channels dealt out in turn: q, k, v of channel 0, then of channel 1, …"""

    def arranged(self, rows):
        return rows.unflatten(0, (3, -1)).transpose(0, 1).flatten(0, 1)

    def forward(self, x, keep=None):
        B, T, D = x.shape
        packed = self.qkv(x).view(B, T, self.h, D // self.h, 3)
        q, k, v = packed.permute(4, 0, 2, 1, 3)
        out, _ = attend(q, k, v, None if keep is None else keep[:, None])
        return self.proj(out.transpose(1, 2).reshape(B, T, D))


def fill_arranged(kind):
    def from_torch(attention):
        module = kind(attention.embed_dim, attention.num_heads)
        state = attention.state_dict()
        packed = state["in_proj_weight"], state["in_proj_bias"]
        weight, bias = map(module.arranged, packed)
        out = {f"proj.{n}": state[f"out_proj.{n}"] for n in ("weight", "bias")}
        module.load_state_dict({"qkv.weight": weight, "qkv.bias": bias, **out})
        return module.to(weight.dtype)

    return from_torch


ALTERNATIVES = [
    (Module, fill),
    (HeadsFirst, fill_arranged(HeadsFirst)),
    (Interleaved, fill_arranged(Interleaved)),
]


# ------------------------------------------------------ what is said, and what is right


def fill_by_sharing(attention):
    """The same memory, though other parameters."""
    module = Module(attention.embed_dim, attention.num_heads)
    module.qkv.weight = nn.Parameter(attention.in_proj_weight)
    module.qkv.bias.data = attention.in_proj_bias.data
    module.proj.load_state_dict(attention.out_proj.state_dict())
    return module


def test_weights_are_copied_not_shared():
    answers = {"MultiHeadAttention": Module, "from_torch": fill_by_sharing}
    report = find("3.4").examine(answers)
    assert report.failure.property == "weights are copied"
    assert report.mistake == "weights_shared"
