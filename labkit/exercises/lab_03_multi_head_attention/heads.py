"""Exercise 3.2: heads split off the width, and merged again."""

import torch

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case


def a_head_holds_neighbouring_channels(cases: Cases, replies: Replies) -> str | None:
    name = "split_heads, x (B, T, D)"
    mine = replies[name]["output"][0, 0, 0]
    wanted = cases[name].args["x"][0, 0, : len(mine)]
    if torch.equal(mine, wanted):
        return None
    first, got = ([round(v, 2) for v in t.tolist()] for t in (wanted, mine))
    return (
        f"Head 0 of token 0 should hold the first D/h channels of that token, {first}; "
        f"yours holds {got}."
    )


class Heads(Exercise):
    """split_heads and merge_heads: (B, T, D) to (B, h, T, D/h) and back."""

    number = "3.2"
    properties = (a_head_holds_neighbouring_channels,)

    @staticmethod
    def split_heads(x, heads):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    @staticmethod
    def merge_heads(x):
        return x.transpose(1, 2).flatten(2)

    reference = {"split_heads": split_heads, "merge_heads": merge_heads}

    def draw_cases(self, draw: Draw):
        B, T, h, d = draw.sizes(4, low=2)
        args = {"x": draw.normal(B, T, h * d), "heads": h}
        yield Case("split_heads, x (B, T, D)", "split_heads", args)
        yield Case("merge_heads", "merge_heads", {"x": draw.normal(B, h, T, d)})
        one = {"x": draw.normal(B, T, d), "heads": 1}
        yield Case("a single head", "split_heads", one, edge=True)


@Heads.mistake(of="split_heads")
def viewed_not_transposed(x, heads):
    """Your split_heads reshapes straight to (B, h, T, D/h). The shape is right, but a
    head then holds pieces of several tokens: first (B, T, h, D/h), then transpose."""
    B, T, D = x.shape
    return x.reshape(B, heads, T, D // heads)


@Heads.mistake(of="split_heads")
def split_interleaved(x, heads):
    """Your split_heads deals the channels out in turn. Head i takes the i-th block of
    D/h neighbouring channels, as nn.MultiheadAttention does."""
    B, T, D = x.shape
    return x.reshape(B, T, D // heads, heads).permute(0, 3, 1, 2)


@Heads.mistake(of="split_heads")
def split_not_moved(x, heads):
    """Your split_heads leaves the heads behind the tokens, (B, T, h, D/h). Attention
    runs over the last two axes, so the heads must come before the tokens."""
    B, T, D = x.shape
    return x.reshape(B, T, heads, D // heads)


@Heads.mistake(of="merge_heads")
def merged_not_transposed(x):
    """Your merge_heads reshapes without transposing back. The shape is right, but the
    tokens are mixed up: first (B, T, h, D/h), then join the last two axes."""
    B, h, T, d = x.shape
    return x.reshape(B, T, h * d)


@Heads.mistake(of="merge_heads")
def merged_interleaved(x):
    """Your merge_heads puts the heads' channels in turn. Head i's channels stay
    together, as the i-th block."""
    return x.permute(0, 2, 3, 1).flatten(2)


@Heads.mistake(of="merge_heads")
def heads_averaged(x):
    """Your merge_heads averages over the heads. They are put side by side: D = h · D/h
    channels."""
    return x.mean(1).repeat(1, 1, x.shape[1])
