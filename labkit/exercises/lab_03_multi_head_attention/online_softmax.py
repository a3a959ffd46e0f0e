"""Exercise 3.6: attention block by block, without its matrix."""

import math

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case
from labkit.exercises.lab_03_multi_head_attention.attention import (
    FUSED,
    ROUNDED_SCALE,
    attend,
)


@looks_at("largest")
def never_holds_the_whole_matrix(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        query, key = case.args["query"], case.args["key"]
        whole = query[..., 0].numel() * key.shape[-2]
        if replies[name]["largest"] >= whole / 2:
            return (
                f"In the case “{name}”, a tensor of {replies[name]['largest']} entries "
                f"was made; the matrix of all queries and keys has {whole}, and even "
                "half of it is too much."
            )
    return None


SMALLER, LARGER = "large scores", "large scores, in larger blocks"


@looks_at("calls")
def block_size_counts(cases: Cases, replies: Replies) -> str | None:
    few, many = (replies[name].get("calls", 0) for name in (LARGER, SMALLER))
    if few < many or replies[LARGER].get("called"):  # a call off limits is told later
        return None
    larger, smaller = (cases[name].args["block_size"] for name in (LARGER, SMALLER))
    return (
        f"With block_size={larger} you call PyTorch {few} times, with {smaller} {many} "
        "times. Twice as large a block should take fewer: block_size is the number of "
        "keys in a block, not a number of your own, nor how many blocks there are."
    )


class OnlineSoftmax(Exercise):
    """online_softmax_attention(query, key, value, block_size): block by block."""

    number = "3.6"
    off_limits = FUSED
    properties = (never_holds_the_whole_matrix, block_size_counts)

    @staticmethod
    def online_softmax_attention(query, key, value, block_size):
        return F.scaled_dot_product_attention(query, key, value)

    reference = {"online_softmax_attention": online_softmax_attention}

    def draw_cases(self, draw: Draw):
        # Blocks so long that what is kept of each, all blocks together, is far from
        # the whole matrix: they may be merged in the end.
        v, d = sorted(draw.sizes(2, low=2, high=4))
        (B,) = draw.sizes(1, low=2, high=6)
        block, more = draw.sizes(2, low=10, high=14)
        Tq, Tk = 30 + more, 6 * block + 3
        args = {
            "query": draw.normal(B, Tq, d, std=2),
            "key": draw.normal(B, Tk, d),
            "value": draw.normal(B, Tk, v),
            "block_size": block,
        }
        name = "online_softmax_attention"
        title = f"{Tk} keys, blocks of {block}"
        yield Case(title, name, args, tolerance=ROUNDED_SCALE)
        far = {**args, "query": 400 * args["query"]}
        wide = {**far, "block_size": 2 * block}
        for title, given in ((SMALLER, far), (LARGER, wide)):
            yield Case(title, name, given, gradients=False, tolerance=1e-3)
        # few queries: a block of them against all keys would be half the matrix
        low = {
            "query": -1e4 * (1 + draw.normal(B, 2 * block, 1).abs()),
            "key": 1 + draw.normal(B, Tk, 1).abs(),
            "value": draw.normal(B, Tk, 1),
            "block_size": block,
        }
        title = "few queries, scores far below zero"
        yield Case(title, name, low, gradients=False, tolerance=1e-3)


def in_blocks(key, value, block_size):
    starts = range(0, key.shape[-2], block_size)
    return [
        (key[..., s : s + block_size, :], value[..., s : s + block_size, :])
        for s in starts
    ]


def online(
    query,
    key,
    value,
    block_size,
    rescale=True,
    rescale_total=True,
    shift=True,
    divide=True,
    start=-torch.inf,
):
    """The right answer, or with a step left out."""
    scale = 1 / math.sqrt(query.shape[-1])
    highest = query.new_full((*query.shape[:-1], 1), start)
    total = torch.zeros_like(highest)
    output = query.new_zeros(*query.shape[:-1], value.shape[-1])
    for some_keys, some_values in in_blocks(key, value, block_size):
        scores = query @ some_keys.mT * scale
        new = torch.maximum(highest, scores.amax(-1, keepdim=True))
        new = new if shift else torch.zeros_like(new)
        old = (highest - new).exp()
        weights = (scores - new).exp()
        total = total * (old if rescale_total else 1) + weights.sum(-1, keepdim=True)
        output = output * (old if rescale else 1) + weights @ some_values
        highest = new
    return output / total if divide else output


@OnlineSoftmax.mistake
def output_not_rescaled(query, key, value, block_size):
    """Your output is not rescaled: when a later block has a higher score, what was
    summed before must shrink by exp(old maximum − new maximum)."""
    return online(query, key, value, block_size, rescale=False)


@OnlineSoftmax.mistake
def total_not_rescaled(query, key, value, block_size):
    """Your denominator is not rescaled: when a later block has a higher score, what
    was summed before must shrink by exp(old maximum − new maximum)."""
    return online(query, key, value, block_size, rescale_total=False)


@OnlineSoftmax.mistake
def nothing_rescaled(query, key, value, block_size):
    """Your sums are not rescaled at all: when a later block has a higher score, what
    was summed before must shrink by exp(old maximum − new maximum)."""
    return online(query, key, value, block_size, rescale=False, rescale_total=False)


@OnlineSoftmax.mistake
def maximum_not_subtracted(query, key, value, block_size):
    """Your exponentials overflow for large scores: subtract the running maximum."""
    return online(query, key, value, block_size, shift=False)


@OnlineSoftmax.mistake
def maximum_from_zero(query, key, value, block_size):
    """Your running maximum starts at 0. Where all scores lie far below 0, every
    exponential vanishes and 0/0 is left: start at −∞."""
    return online(query, key, value, block_size, start=0.0)


@OnlineSoftmax.mistake
def blocks_averaged(query, key, value, block_size):
    """You averaged the blocks' own attentions. A block's share depends on how large its
    scores are: keep the sums of exponentials."""
    blocks = in_blocks(key, value, block_size)
    return sum(attend(query, k, v)[0] for k, v in blocks) / len(blocks)


@OnlineSoftmax.mistake
def last_block_dropped(query, key, value, block_size):
    """You left out the last, shorter block, where block_size does not divide the number
    of keys."""
    whole = key.shape[-2] // block_size * block_size
    return online(query, key[..., :whole, :], value[..., :whole, :], block_size)


@OnlineSoftmax.mistake
def online_scale_forgotten(query, key, value, block_size):
    """You forgot to divide the scores by √d."""
    return online(query * math.sqrt(query.shape[-1]), key, value, block_size)


@OnlineSoftmax.mistake
def online_scale_without_root(query, key, value, block_size):
    """You divided the scores by d; divide by its root √d."""
    return online(query / math.sqrt(query.shape[-1]), key, value, block_size)


@OnlineSoftmax.mistake
def not_divided(query, key, value, block_size):
    """You did not divide by the sum of the exponentials at the end."""
    return online(query, key, value, block_size, divide=False)


@OnlineSoftmax.mistake
def the_whole_matrix(query, key, value, block_size):
    """You computed all scores at once. Go through the keys block by block: no tensor
    may hold a row for every query and a column for every key."""
    return attend(query, key, value)[0]
