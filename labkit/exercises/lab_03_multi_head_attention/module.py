"""Exercise 3.4: multi-head attention as a module, and PyTorch's weights in it."""

import torch
from torch import nn

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case, Layer
from labkit.exercises.lab_03_multi_head_attention.attention import FUSED
from labkit.exercises.lab_03_multi_head_attention.multi_head import (
    MultiHead,
    multi_head,
)
from labkit.exercises.lifted import lift
from labkit.exercises.properties import the_same_every_time


class RightModule(nn.Module):
    """The right module, for mistakes to go wrong from in one place each."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def parts(self, x):
        return self.qkv(x).chunk(3, dim=-1)

    def forward(self, x, keep=None):
        return self.proj(multi_head(x, self.parts(x), self.heads, keep))


def converted(attention, kind=RightModule, copied=("qkv", "proj", "bias")):
    """A module of this kind with weights of an nn.MultiheadAttention."""
    module = kind(attention.embed_dim, attention.num_heads)
    module = module.to(attention.in_proj_weight.device)
    theirs = {
        "qkv.weight": attention.in_proj_weight,
        "qkv.bias": attention.in_proj_bias,
        "proj.weight": attention.out_proj.weight,
        "proj.bias": attention.out_proj.bias,
    }
    with torch.no_grad():
        for name, mine in module.named_parameters():
            layer, _, part = name.partition(".")
            if layer in copied and (part == "weight" or part in copied):
                mine.copy_(theirs[name])
    return module


@looks_at("shared")
def weights_are_copied(cases: Cases, replies: Replies) -> str | None:
    for name, reply in replies.items():
        if reply.get("shared"):
            return (
                f"In the case “{name}”, the weights of your module and of the given "
                "one lie in the same memory: training one would change the other."
            )
    return None


class MultiHeadModule(Exercise):
    """MultiHeadAttention(dim, heads), and from_torch to fill it."""

    number = "3.4"
    reference = {"MultiHeadAttention": RightModule, "from_torch": converted}
    probe = {"MultiHeadAttention": "module", "from_torch": "function"}
    off_limits = FUSED
    properties = (the_same_every_time, weights_are_copied)

    def draw_cases(self, draw: Draw):
        B, T, h, d = draw.sizes(4, low=2)
        D = h * d
        sizes = {"dim": D, "heads": h}
        yield Case("a fresh module", "MultiHeadAttention", sizes)
        state = {
            "in_proj_weight": draw.normal(3 * D, D, std=0.5),
            "in_proj_bias": draw.normal(3 * D),
            "out_proj.weight": draw.normal(D, D, std=0.5),
            "out_proj.bias": draw.normal(D),
        }
        state = {name: value.float() for name, value in state.items()}
        theirs = Layer("MultiheadAttention", (D, h), {"batch_first": True}, state)
        x = draw.normal(B, T, D).float()
        for name, inputs in (
            ("from_torch, no mask", {"x": x}),
            ("from_torch, keep", {"x": x, "keep": draw.keep(B, T, T)}),
        ):
            yield Case(name, "from_torch", {"attention": theirs}, inputs=inputs)


@MultiHeadModule.mistake(of="MultiHeadAttention")
class ThreeLayers(nn.Module):
    """You registered separate layers for query, key and value. Here they are one linear
    layer, qkv, of width 3 · dim."""

    def __init__(self, dim, heads):
        super().__init__()
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.value, self.proj = nn.Linear(dim, dim), nn.Linear(dim, dim)


@MultiHeadModule.mistake(of="MultiHeadAttention")
class FullWidthHeads(nn.Module):
    """You gave every head the model's full width. With h heads each has width
    dim / h, so qkv has 3 · dim outputs, whatever the number of heads."""

    def __init__(self, dim, heads):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim * heads)
        self.proj = nn.Linear(dim * heads, dim)


@MultiHeadModule.mistake(of="MultiHeadAttention")
class NoProjectionBias(nn.Module):
    """Your qkv or proj has no bias. nn.MultiheadAttention's have one."""

    def __init__(self, dim, heads):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim, bias=False)


@MultiHeadModule.mistake(of="from_torch")
def weights_not_copied(attention):
    """Your from_torch returns a fresh module: copy the weights of the given one."""
    return converted(attention, copied=())


@MultiHeadModule.mistake(of="from_torch")
def weights_shared(attention):
    """Your module uses the given one's own parameters. Copy their values, with
    module.qkv.weight.copy_(…) under torch.no_grad(), or load_state_dict: then each is
    trained by itself."""
    module = converted(attention)
    module.qkv.weight = attention.in_proj_weight
    module.qkv.bias = attention.in_proj_bias
    module.proj = attention.out_proj
    return module


@MultiHeadModule.mistake(of="from_torch")
def biases_not_copied(attention):
    """Your from_torch copies the weights but not the biases."""
    return converted(attention, copied=("qkv", "proj"))


@MultiHeadModule.mistake(of="from_torch")
def projection_not_copied(attention):
    """Your from_torch copies queries, keys and values but not the output projection
    (out_proj)."""
    return converted(attention, copied=("qkv", "bias"))


@MultiHeadModule.mistake(of="from_torch")
def module_with_one_head(attention):
    """Your from_torch does not pass the number of heads on, or your module does not use
    it: what comes out is one head's work."""
    module = converted(attention)
    module.heads = 1
    return module


@MultiHeadModule.mistake(of="from_torch")
def module_reads_heads_first(attention):
    """Your module reads qkv head by head, but the weights of nn.MultiheadAttention are
    all queries, then all keys, then all values. Reorder them in from_torch, or split
    qkv in three first."""

    class Wrong(RightModule):
        def parts(self, x):
            packed = self.qkv(x).unflatten(-1, (self.heads, 3, -1))
            return packed.permute(3, 0, 1, 2, 4).flatten(3)

    return converted(attention, Wrong)


def filled_module(function):
    """from_torch to a module that computes by a wrong function of exercise 3.3."""

    class Wrong(RightModule):
        def forward(self, x, keep=None):
            weights = (self.qkv.weight, self.qkv.bias, self.proj.weight, self.proj.bias)
            return function(x, *weights, self.heads, keep)

    return lambda attention: converted(attention, Wrong)


lift(
    MultiHead,
    MultiHeadModule,
    filled_module,
    without=("packed_per_head", "one_head_for_all"),  # in other words above
    of="from_torch",
)
