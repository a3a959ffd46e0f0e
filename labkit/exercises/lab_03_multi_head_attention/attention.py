"""Exercise 3.1: scaled dot-product attention, its output and its weights."""

import math

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case
from labkit.exercises.properties import the_same_every_time

# Mistakes that only a query without keys or large scores show.
AT_THE_EDGE = (
    "nan_where_nothing_may",
    "nan_hidden_from_the_output",
    "uniform_where_nothing_may",
    "finite_fill_zeroed",
    "large_number_added",
    "exponential_unshifted",
)
# Tolerance for a scale of 1 / torch.sqrt(torch.tensor(d)), which is a float32.
ROUNDED_SCALE = 1e-5
FUSED = ("scaled_dot_product_attention", "multi_head_attention_forward")


def masked_softmax(scores, keep, dim=-1):
    """Softmax over what may be attended to; all zeros where nothing may."""
    if keep is None:
        return scores.softmax(dim)
    weights = scores.masked_fill(~keep, -torch.inf).softmax(dim)
    return weights.masked_fill(~keep, 0.0)


def right_scale(query, key, value):
    return 1 / math.sqrt(query.shape[-1])


def attend(
    query,
    key,
    value,
    keep=None,
    *,
    scale=right_scale,
    masked=masked_softmax,
    dim=-1,
    inverted=False,
):
    """The right answer, with switches for the wrong ones.

    scale   of the scores, from the three
    masked  weights from scores, keep and the axis
    """
    scores = query @ key.mT * scale(query, key, value)
    if keep is None:
        weights = scores.softmax(dim)
    else:
        weights = masked(scores, ~keep if inverted else keep, dim)
    if dim != -1:  # nobody may attend to some key
        weights = weights.nan_to_num()
    return weights @ value, weights


def after(scores, keep, dim):
    """Masked after the softmax."""
    return scores.softmax(dim).masked_fill(~keep, 0.0)


def rows_sum_to_one(cases: Cases, replies: Replies) -> str | None:
    _, weights = replies["no mask"]["output"]
    should = "Without a mask, every query's weights should be positive and sum to 1"
    if bool((weights < 0).any()):
        return f"{should}; the smallest of yours is {weights.min().item():.4g}."
    sums = weights.sum(-1).flatten()
    furthest = sums[(sums - 1).abs().argmax()].item()
    if not abs(furthest - 1) <= ROUNDED_SCALE:  # so that NaN is told too
        return f"{should}; those of one query sum to {furthest:.7g}."
    return None


def masked_keys_get_nothing(cases: Cases, replies: Replies) -> str | None:
    keep, (_, weights) = cases["keep"].args["keep"], replies["keep"]["output"]
    seen = (~keep & (weights != 0)).nonzero()
    if not len(seen):
        return None
    sample, query, key = seen[0].tolist()
    return (
        f"In the case “keep”, query {query} of sample {sample} may not attend to key "
        f"{key}, yet that weight is {weights[sample, query, key].item():.4g}."
    )


class Attention(Exercise):
    """scaled_dot_product_attention(query, key, value, keep): output and weights."""

    number = "3.1"
    off_limits = FUSED
    properties = (the_same_every_time, rows_sum_to_one, masked_keys_get_nothing)

    @staticmethod
    def scaled_dot_product_attention(query, key, value, keep=None):
        return attend(query, key, value, keep)

    reference = {"scaled_dot_product_attention": scaled_dot_product_attention}

    written = staticmethod(attend)

    def draw_cases(self, draw: Draw):
        name = "scaled_dot_product_attention"
        B, h, Tq, Tk, d, v = draw.sizes(6, low=2, high=9)
        query, key = draw.normal(B, Tq, d, std=2), draw.normal(B, Tk, d)
        value = draw.normal(B, Tk, v)
        keep = draw.keep(B, Tq, Tk)
        args = {"query": query, "key": key, "value": value}

        def case(title, args, tolerance=ROUNDED_SCALE, **options):
            return Case(title, name, args, tolerance=tolerance, **options)

        yield case("no mask", args)
        yield case("keep", {**args, "keep": keep})
        alone = keep.clone()
        alone[0, 1] = False
        yield case("a query without keys", {**args, "keep": alone}, edge=True)
        # Scores of 10⁴⁰ in even rows, and of −10⁴⁰ in odd ones, where key 0 is masked:
        # beyond what float32 holds, and whatever anyone takes for −∞.
        odd = torch.arange(Tq) % 2 == 1
        far = {
            "query": 1e20
            * (1 - 2.0 * odd[:, None])
            * (1 + draw.normal(B, Tq, d).abs()),
            "key": 1e20 * (1 + draw.normal(B, Tk, d).abs()),
            "value": value,
            "keep": ~(odd[:, None] & (torch.arange(Tk) == 0)).expand(B, Tq, Tk),
        }
        yield case("large scores", far, 1e-3, edge=True, gradients=False)
        heads = {
            "query": draw.normal(B, h, Tq, d),
            "key": draw.normal(B, h, Tk, d),
            "value": draw.normal(B, h, Tk, v),
        }
        yield case("several heads", {**heads, "keep": keep[:, None]}, edge=True)
        half = {n: t.bfloat16() for n, t in args.items()}
        half["keep"] = keep
        yield case("bfloat16", half, 5e-2, edge=True, gradients=False)


@Attention.slip(scale=lambda q, k, v: 1.0)
def scale_forgotten():
    """You forgot the scale: divide the scores by √d, or the softmax saturates as d
    grows."""


@Attention.slip(scale=lambda q, k, v: 1 / q.shape[-1])
def scale_without_root():
    """You divided by d; divide by its root √d."""


@Attention.slip(scale=lambda q, k, v: 1 / math.sqrt(k.shape[-2]))
def scale_by_tokens():
    """You divided by the root of the number of keys. The scale is √d, the root of the
    width of a query."""


@Attention.slip(scale=lambda q, k, v: 1 / math.sqrt(v.shape[-1]))
def scale_by_value_width():
    """You took the width of the values for the scale. It is the width of queries and
    keys: their product is what grows with it."""


@Attention.slip(scale=lambda q, k, v: math.sqrt(q.shape[-1]))
def scale_multiplied():
    """You multiplied by √d; divide by it."""


@Attention.slip(dim=-2)
def softmax_over_queries():
    """Your softmax runs over the queries. Every query distributes its attention over
    the keys: softmax over the last axis."""


@Attention.mistake
def softmax_over_everything(query, key, value, keep=None):
    """Your softmax runs over queries and keys together. Every query has a softmax of
    its own, over the keys: dim=-1."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = masked_softmax(scores.flatten(-2), _flat(keep)).view_as(scores)
    return weights @ value, weights


def _flat(keep):
    return None if keep is None else keep.flatten(-2)


@Attention.mistake
def no_softmax(query, key, value, keep=None):
    """You left the softmax out: the weights of a query are positive and sum to 1."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = scores if keep is None else scores.masked_fill(~keep, 0.0)
    return weights @ value, weights


@Attention.slip(inverted=True)
def polarity_inverted():
    """You took keep the wrong way round. True means that the query may attend to the
    key, as in F.scaled_dot_product_attention (nn.MultiheadAttention reverses it)."""


@Attention.slip(masked=after)
def mask_after_softmax():
    """You set weights to zero after the softmax, so the rest no longer sums to 1. Mask
    the scores before it, with −∞."""


@Attention.slip(masked=lambda s, keep, dim: (s * keep).softmax(dim))
def mask_multiplied():
    """Your masked scores are 0, or next to it. A score of 0 is not a weight of 0: set
    the masked scores to −∞."""


@Attention.slip(masked=lambda s, keep, dim: (s + keep).softmax(dim))
def mask_added():
    """You added the boolean mask to the scores as 0 and 1. Set the masked scores to
    −∞."""


@Attention.slip(masked=lambda s, keep, dim: s.softmax(dim))
def keep_ignored():
    """You ignored keep."""


@Attention.mistake
def dropout_left_on(query, key, value, keep=None):
    """You drop weights at random, F.dropout without training=False, perhaps. There is
    no dropout here."""
    _, weights = attend(query, key, value, keep)
    weights = F.dropout(weights, 0.5)
    return weights @ value, weights


@Attention.mistake
def nan_where_nothing_may(query, key, value, keep=None):
    """For a query that may attend to nothing you return NaN: the softmax of −∞ alone
    is 0/0. Its weights and its output should be zero."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    scores = scores if keep is None else scores.masked_fill(~keep, -torch.inf)
    return scores.softmax(-1) @ value, scores.softmax(-1)


@Attention.mistake
def nan_hidden_from_the_output(query, key, value, keep=None):
    """You added −∞ and replaced the NaN of a query without keys after the softmax. The
    output is right, its gradient is still NaN: one such query ruins a training step.
    masked_fill(~keep, -inf) in place of the sum lets no gradient into that row."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if keep is not None:
        scores = scores + torch.where(keep, 0.0, -torch.inf).to(scores)
    weights = scores.softmax(dim=-1).nan_to_num(0.0)
    return weights @ value, weights


@Attention.mistake
def uniform_where_nothing_may(query, key, value, keep=None):
    """You let a query that may attend to nothing attend to everything alike: with a
    large negative number instead of −∞ the softmax still sums to 1. Its weights
    should be zero."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    scores = scores if keep is None else scores.masked_fill(~keep, -1e9)
    return scores.softmax(-1) @ value, scores.softmax(-1)


@Attention.mistake
def finite_fill_zeroed(query, key, value, keep=None):
    """You masked with a finite number and set the weights to zero afterwards. Where the
    scores that count lie below that number, masked keys take everything and nothing is
    left: mask with −∞."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    scores = scores if keep is None else scores.masked_fill(~keep, -1e9)
    weights = scores.softmax(-1)
    weights = weights if keep is None else weights.masked_fill(~keep, 0.0)
    return weights @ value, weights


@Attention.mistake
def large_number_added(query, key, value, keep=None):
    """You added a large negative number to the masked scores. Where all of a row are
    masked, the softmax does not see it: what all scores share cancels. The weights of a
    query that may attend to nothing should be zero."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    scores = scores if keep is None else scores - 1e9 * ~keep
    return scores.softmax(-1) @ value, scores.softmax(-1)


@Attention.mistake
def exponential_unshifted(query, key, value, keep=None):
    """Your exponentials overflow for large scores. Subtract each row's maximum first;
    torch.softmax does."""
    scores = (query @ key.mT / math.sqrt(query.shape[-1])).exp()
    scores = scores if keep is None else scores * keep
    total = scores.sum(-1, keepdim=True)
    weights = scores / total.masked_fill(total == 0, 1.0)
    return weights @ value, weights


@Attention.mistake
def query_and_key_exchanged(query, key, value, keep=None):
    """You exchanged queries and keys, or transposed the weights: scores and weights
    have one row for each query and one column for each key."""
    return attend(key, query, value, keep)


@Attention.mistake
def weights_detached(query, key, value, keep=None):
    """Your attention weights carry no gradient (detach, no_grad or item)."""
    _, weights = attend(query, key, value, keep)
    return weights.detach() @ value, weights.detach()


@Attention.mistake
def keys_weighted(query, key, value, keep=None):
    """You returned (weights, output). The output comes first."""
    output, weights = attend(query, key, value, keep)
    return weights, output
