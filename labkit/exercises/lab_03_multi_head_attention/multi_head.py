"""Exercise 3.3: multi-head attention with given weights."""

import math

from torch.nn import functional as F

from labkit.checks import compare
from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case
from labkit.exercises.lab_03_multi_head_attention.attention import (
    AT_THE_EDGE,
    FUSED,
    ROUNDED_SCALE,
    Attention,
    attend,
    masked_softmax,
)
from labkit.exercises.lab_03_multi_head_attention.heads import (
    Heads,
    merged_not_transposed,
    split_not_moved,
    viewed_not_transposed,
)
from labkit.exercises.lifted import lift
from labkit.exercises.properties import the_same_every_time


def samples_stand_alone(cases: Cases, replies: Replies) -> str | None:
    one, other = (replies[n]["output"][0] for n in ("no mask", "other samples changed"))
    if not compare.close(one, other, ROUNDED_SCALE):
        return (
            "All samples but sample 0 were changed, yet the output of sample 0 changed:"
            " your attention crosses samples."
        )
    return None


def tokens_have_no_order(cases: Cases, replies: Replies) -> str | None:
    one, other = (replies[n]["output"] for n in ("no mask", "tokens reversed"))
    if not compare.close(one, other.flip(1), ROUNDED_SCALE):
        return (
            "The tokens were put in reverse order, and the outputs are not the same in "
            "reverse order: without a mask, a token's place must not matter. Usual "
            "causes: tokens get mixed up when heads are split or merged, or a causal "
            "mask that nobody asked for."
        )
    return None


class MultiHead(Exercise):
    """multi_head_attention(x, …): with given weights, as nn.MultiheadAttention."""

    number = "3.3"
    off_limits = FUSED
    properties = (the_same_every_time, samples_stand_alone, tokens_have_no_order)

    @staticmethod
    def multi_head_attention(
        x, in_weight, in_bias, out_weight, out_bias, heads, keep=None
    ):
        # PyTorch's mask says where not to look, one for each head of each sample.
        mask = None if keep is None else (~keep).repeat_interleave(heads, 0)
        x = x.transpose(0, 1)  # PyTorch's function wants (T, B, D)
        output, _ = F.multi_head_attention_forward(
            x,
            x,
            x,
            x.shape[-1],
            heads,
            in_weight,
            in_bias,
            None,
            None,
            False,
            0.0,
            out_weight,
            out_bias,
            training=False,
            need_weights=False,
            attn_mask=mask,
        )
        return output.transpose(0, 1)

    reference = {"multi_head_attention": multi_head_attention}

    def draw_cases(self, draw: Draw):
        name = "multi_head_attention"
        B, T, h, d = draw.sizes(4, low=2)
        D = h * d
        x, others = draw.normal(B, T, D), draw.normal(B, T, D)
        others[0] = x[0]
        weights = {
            "in_weight": draw.normal(3 * D, D, std=0.5),
            "in_bias": draw.normal(3 * D),
            "out_weight": draw.normal(D, D, std=0.5),
            "out_bias": draw.normal(D),
            "heads": h,
        }
        for title, tokens, masked in (
            ("no mask", x, {}),
            ("other samples changed", others, {}),
            ("tokens reversed", x.flip(1), {}),
            ("keep", x, {"keep": draw.keep(B, T, T)}),
        ):
            args = {"x": tokens, **weights, **masked}
            yield Case(title, name, args, tolerance=ROUNDED_SCALE)


def project(x, in_weight, in_bias):
    """Queries, keys and values (B, T, D) each, packed as nn.MultiheadAttention's."""
    return F.linear(x, in_weight, in_bias).chunk(3, dim=-1)


def multi_head(x, packed, heads, keep, split=None, merge=None, attention=attend):
    """Attention of several heads, put together from right or wrong parts."""
    split, merge = split or Heads.split_heads, merge or Heads.merge_heads
    query, key, value = (split(part, heads) for part in packed)
    keep = None if keep is None else keep.unsqueeze(-3)
    return merge(attention(query, key, value, keep)[0])


@MultiHead.mistake
def heads_viewed_both_ways(
    x, in_weight, in_bias, out_weight, out_bias, heads, keep=None
):
    """You reshape without transposing, both when splitting and when merging. The two
    fit each other and the shapes are right, but the heads hold pieces of several
    tokens."""
    packed = project(x, in_weight, in_bias)
    joined = multi_head(
        x, packed, heads, keep, viewed_not_transposed, merged_not_transposed
    )
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def heads_not_moved(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You left the heads behind the tokens, (B, T, h, D/h), so that each token attends
    to its own heads instead of to the tokens. Transpose to (B, h, T, D/h) first."""
    packed = project(x, in_weight, in_bias)
    joined = multi_head(x, packed, heads, None, split_not_moved, _tokens_in_front)
    return F.linear(joined, out_weight, out_bias)


def _tokens_in_front(x):
    """(B, T, h, D/h) to (B, T, D)."""
    return x.flatten(2)


@MultiHead.mistake
def scaled_by_model_width(
    x, in_weight, in_bias, out_weight, out_bias, heads, keep=None
):
    """You divided by the root of the model's width D. Every head has width D/h: its
    scores are divided by √(D/h)."""

    def attention(query, key, value, keep):
        scale = 1 / math.sqrt(x.shape[-1])
        return attend(query, key, value, keep, scale=lambda q, k, v: scale)

    packed = project(x, in_weight, in_bias)
    joined = multi_head(x, packed, heads, keep, attention=attention)
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def heads_unscaled(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You do not divide the scores by √(D/h), or your function of exercise 3.1, which
    you may be calling, does not."""

    def attention(query, key, value, keep):
        return attend(query, key, value, keep, scale=lambda q, k, v: 1.0)

    packed = project(x, in_weight, in_bias)
    joined = multi_head(x, packed, heads, keep, attention=attention)
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def not_projected_out(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You left the output projection out. It is what fuses the heads."""
    return multi_head(x, project(x, in_weight, in_bias), heads, keep)


@MultiHead.mistake
def out_bias_forgotten(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You left the output projection's bias out."""
    joined = multi_head(x, project(x, in_weight, in_bias), heads, keep)
    return F.linear(joined, out_weight)


@MultiHead.mistake
def in_bias_forgotten(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You left the bias of queries, keys and values out."""
    joined = multi_head(x, project(x, in_weight, None), heads, keep)
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def queries_and_keys_exchanged(
    x, in_weight, in_bias, out_weight, out_bias, heads, keep=None
):
    """Your queries and keys have changed places. The rows of in_weight are those of the
    queries, then of the keys, then of the values; and the scores, query @ key.mT, have
    a row for each query."""
    key, query, value = project(x, in_weight, in_bias)
    joined = multi_head(x, (query, key, value), heads, keep)
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def in_weight_not_transposed(
    x, in_weight, in_bias, out_weight, out_bias, heads, keep=None
):
    """You used in_weight the wrong way round. PyTorch stores a linear map's weight as
    (outputs, inputs): x @ in_weight.T, or F.linear(x, in_weight), which transposes by
    itself."""
    return x @ in_weight + in_bias


@MultiHead.mistake
def out_weight_not_transposed(
    x, in_weight, in_bias, out_weight, out_bias, heads, keep=None
):
    """You used out_weight the wrong way round, which nothing but the values shows, for
    it is square. PyTorch stores a weight as (outputs, inputs): joined @ out_weight.T,
    or F.linear."""
    joined = multi_head(x, project(x, in_weight, in_bias), heads, keep)
    return F.linear(joined, out_weight.T, out_bias)


@MultiHead.mistake
def keys_are_queries(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You made the keys with the weights of the queries. Rows D to 2D of in_weight are
    the keys' own."""
    query, _, value = project(x, in_weight, in_bias)
    joined = multi_head(x, (query, query, value), heads, keep)
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def values_are_keys(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You made the values with the weights of the keys. Rows 2D to 3D of in_weight are
    the values' own."""
    query, key, _ = project(x, in_weight, in_bias)
    joined = multi_head(x, (query, key, key), heads, keep)
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def packed_per_head(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You took in_weight as packed head by head. Its rows are all queries, then all
    keys, then all values, and each of these is split into heads."""
    packed = F.linear(x, in_weight, in_bias).unflatten(-1, (heads, 3, -1))
    query, key, value = packed.permute(3, 0, 2, 1, 4)
    keep = None if keep is None else keep.unsqueeze(-3)
    joined = Heads.merge_heads(attend(query, key, value, keep)[0])
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def batch_attended(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You attend over the samples: x was read as (T, B, D). Every sample stands
    alone."""
    turned = x.transpose(0, 1)
    joined = multi_head(turned, project(turned, in_weight, in_bias), heads, None)
    return F.linear(joined.transpose(0, 1), out_weight, out_bias)


@MultiHead.mistake
def one_head_for_all(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """You computed one head of width D. Split queries, keys and values into h heads."""
    joined = multi_head(x, project(x, in_weight, in_bias), 1, keep)
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def heads_share_their_weights(
    x, in_weight, in_bias, out_weight, out_bias, heads, keep=None
):
    """You averaged the attention weights over the heads. Every head uses its own."""

    def attention(query, key, value, keep):
        _, weights = attend(query, key, value, keep)
        return weights.mean(1, keepdim=True) @ value, weights

    packed = project(x, in_weight, in_bias)
    joined = multi_head(x, packed, heads, keep, attention=attention)
    return F.linear(joined, out_weight, out_bias)


@MultiHead.mistake
def softmax_over_heads(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """Your softmax runs over the heads (dim=1). Every query of every head distributes
    its attention over the keys, the last axis."""

    def attention(query, key, value, keep):
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        weights = masked_softmax(scores, keep, dim=1).nan_to_num()
        return weights @ value, weights

    return with_attention(attention)(
        x, in_weight, in_bias, out_weight, out_bias, heads, keep
    )


def with_attention(attention):
    """The right heads around this attention."""

    def answer(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
        packed = project(x, in_weight, in_bias)
        joined = multi_head(x, packed, heads, keep, attention=attention)
        return F.linear(joined, out_weight, out_bias)

    return answer


# Without those that have other words above, or show nothing in self-attention.
OTHERWISE = (
    "scale_forgotten",
    "scale_by_value_width",
    "query_and_key_exchanged",
    "keys_weighted",
)
lift(Attention, MultiHead, with_attention, without=AT_THE_EDGE + OTHERWISE)


def with_heads(part):
    """The right attention between heads that are split or merged wrongly."""
    name = "split" if part.stands_in_for == "split_heads" else "merge"

    def answer(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
        packed = project(x, in_weight, in_bias)
        joined = multi_head(x, packed, heads, keep, **{name: part})
        return F.linear(joined, out_weight, out_bias)

    return answer


lift(Heads, MultiHead, with_heads, without=("split_not_moved",))
