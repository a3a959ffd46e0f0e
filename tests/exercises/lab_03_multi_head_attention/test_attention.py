"""Exercise 3.1: legitimate answers that must pass, and wrong ones in other words."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks.exercise import Draw
from labkit.exercises import find

# -------------------------------------------------------------- legitimate alternatives


def attend(query, key, value, keep=None):
    scores = torch.einsum("...qd,...kd->...qk", query, key) / query.shape[-1] ** 0.5
    if keep is None:
        keep = torch.ones_like(scores, dtype=torch.bool)
    scores = scores.masked_fill(~keep, float("-inf"))
    weights = torch.softmax(scores, -1).masked_fill(~keep.any(-1, keepdim=True), 0)
    return torch.einsum("...qk,...kv->...qv", weights, value), weights


def attend_by_exponentials(query, key, value, keep=None):
    """The softmax written out, the scale on the queries, a lowest number."""
    scores = (query / math.sqrt(key.size(-1))) @ key.transpose(-2, -1)
    if keep is not None:
        scores = torch.where(keep, scores, torch.finfo(scores.dtype).min)
    powers = torch.exp(scores - scores.max(dim=-1, keepdim=True).values.detach())
    if keep is not None:
        powers = powers * keep
    weights = powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)
    return [weights @ value, weights]


def attend_rows_without_keys_apart(query, key, value, keep=None):
    """Where a row may attend to nothing, to all: and then its weights count for 0."""
    scores = query @ key.mT * key.shape[-1] ** -0.5
    if keep is None:
        return scores.softmax(-1) @ value, scores.softmax(-1)
    some = keep.any(-1, keepdim=True)
    bias = torch.zeros_like(scores).masked_fill_(~(keep | ~some), -torch.inf)
    weights = (scores + bias).softmax(-1) * some
    return weights @ value, weights


def attend_by_rounded_root(query, key, value, keep=None):
    """The scale by torch.sqrt of an integer, which gives a float32."""
    scores = query @ key.mT / torch.sqrt(torch.tensor(query.shape[-1]))
    if keep is not None:
        scores = scores.masked_fill(~keep, -torch.inf)
    weights = scores.softmax(-1).nan_to_num()
    return weights @ value, weights


ALTERNATIVES = [
    attend,
    attend_by_exponentials,
    attend_rows_without_keys_apart,
    attend_by_rounded_root,
]


# ---------------------------------------------------- the same mistakes, in other words


def masked_with_a_large_number(query, key, value, keep=None):
    """A row without keys becomes an average of all."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if keep is not None:
        scores = scores.masked_fill(~keep, -1e9)
    return scores.softmax(-1) @ value, scores.softmax(-1)


def masked_by_addition(query, key, value, keep=None):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if keep is not None:
        scores = scores + torch.where(keep, 0.0, -1e9)
    return scores.softmax(-1) @ value, scores.softmax(-1)


def masked_where_kept(query, key, value, keep=None):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if keep is not None:
        scores = torch.where(keep, -torch.inf, scores)
    weights = scores.softmax(-1).nan_to_num(0.0)
    return weights @ value, weights


def powers_divided(query, key, value, keep=None):
    """Right until the scores are large."""
    powers = torch.exp(query @ key.mT / math.sqrt(query.shape[-1]))
    if keep is not None:
        powers = powers * keep
    weights = powers / powers.sum(-1, keepdim=True).clamp(min=1e-300)
    return weights @ value, weights


def masked_where_kept_and_left(query, key, value, keep=None):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if keep is not None:
        scores = scores.masked_fill(keep, float("-inf"))
    return scores.softmax(-1) @ value, scores.softmax(-1)


def unscaled_and_left(query, key, value, keep=None):
    """Two mistakes: the next check tells the second."""
    scores = query @ key.mT
    if keep is not None:
        scores = scores.masked_fill(~keep, float("-inf"))
    return scores.softmax(-1) @ value, scores.softmax(-1)


def zeroed_by_rounded_root(query, key, value, keep=None):
    """A mistake is seen beside what rounding leaves."""
    weights = (query @ key.mT / torch.sqrt(torch.tensor(query.shape[-1]))).softmax(-1)
    weights = weights if keep is None else weights * keep
    return weights @ value, weights


def filled_and_zeroed(fill):
    def answer(query, key, value, keep=None):
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        if keep is not None:
            scores = scores.masked_fill(~keep, fill)
        weights = scores.softmax(-1)
        weights = weights if keep is None else weights * keep
        return weights @ value, weights

    return answer


IN_OTHER_WORDS = [
    (masked_where_kept_and_left, "polarity_inverted"),
    (unscaled_and_left, "scale_forgotten"),
    (zeroed_by_rounded_root, "mask_after_softmax"),
    (filled_and_zeroed(-1e4), "finite_fill_zeroed"),
    (masked_with_a_large_number, "uniform_where_nothing_may"),
    (masked_by_addition, "large_number_added"),
    (masked_where_kept, "polarity_inverted"),
    (powers_divided, "exponential_unshifted"),
]


# ------------------------------------------------------------------ nearly right

FILLS = (-1e4, -1e5, -1e9, torch.finfo(torch.float32).min)
CLOSE = [*map(filled_and_zeroed, FILLS), powers_divided]


# ------------------------------------------------------ what is said, and what is right


@pytest.mark.parametrize("seed", range(5))
def test_the_reference_of_3_1_is_pytorch(seed):
    """Where every query may attend to something, as F.scaled_dot_product_attention."""
    reference = find("3.1").reference["scaled_dot_product_attention"]
    draw = Draw(seed)
    query, key, value = (draw.normal(2, *s) for s in ((3, 5), (4, 5), (4, 6)))
    for keep in (None, draw.keep(2, 3, 4)):
        output, weights = reference(query, key, value, keep)
        theirs = F.scaled_dot_product_attention(query, key, value, attn_mask=keep)
        torch.testing.assert_close(output, theirs)
        torch.testing.assert_close(weights @ value, output)


@pytest.mark.parametrize(
    "fused",
    [
        lambda q, k, v, keep=None: (F.scaled_dot_product_attention(q, k, v, keep), 0),
        lambda q, k, v, keep=None: nn.MultiheadAttention(1, 1)(q, k, v),
    ],
    ids=["functional", "module"],
)
def test_fused_attention_does_not_answer_3_1(fused):
    assert not find("3.1").examine({"scaled_dot_product_attention": fused}).passed


@pytest.mark.parametrize("seed", range(20))
def test_a_rounded_scale_is_right_with_every_seed(seed):
    report = find("3.1").examine(
        {"scaled_dot_product_attention": attend_by_rounded_root}, seed
    )
    assert report.passed, report.text()
