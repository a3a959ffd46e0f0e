"""Lab 3: what is right, and the usual ways of being wrong, about attention.

B samples, h heads, T tokens (Tq queries, Tk keys), D width, d = D/h width of a head.
keep is boolean, True where a query may attend to a key. A misconception's docstring is
what the learner reads.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks import compare
from labkit.checks.exercise import Cases, Draw, Exercise, Records, looks_at, mistake
from labkit.checks.probes import Case, Layer

# Tolerance for a scale of 1 / torch.sqrt(torch.tensor(d)), which is a float32.
ROUNDED_SCALE = 1e-5

FUSED = ("scaled_dot_product_attention", "multi_head_attention_forward")


def masked_softmax(scores, keep, dim=-1):
    """Softmax over what may be attended to; all zeros where nothing may."""
    if keep is None:
        return scores.softmax(dim)
    weights = scores.masked_fill(~keep, -torch.inf).softmax(dim)
    return weights.masked_fill(~keep, 0.0)


def attend(query, key, value, keep=None, scale=None):
    """The right answer, with another scale for the wrong ones."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    weights = masked_softmax(query @ key.mT * scale, keep)
    return weights @ value, weights


# ------------------------------------------------------------------------------ 3.1


def scale_forgotten(query, key, value, keep=None):
    """You forgot the scale: divide the scores by √d, or the softmax saturates as d
    grows."""
    return attend(query, key, value, keep, scale=1.0)


def scale_without_root(query, key, value, keep=None):
    """You divided by d; divide by its root √d."""
    return attend(query, key, value, keep, scale=1 / query.shape[-1])


def scale_by_tokens(query, key, value, keep=None):
    """You divided by the root of the number of keys. The scale is √d, the root of the
    width of a query."""
    return attend(query, key, value, keep, scale=1 / math.sqrt(key.shape[-2]))


def scale_by_value_width(query, key, value, keep=None):
    """You took the width of the values for the scale. It is the width of queries and
    keys: their product is what grows with it."""
    return attend(query, key, value, keep, scale=1 / math.sqrt(value.shape[-1]))


def scale_multiplied(query, key, value, keep=None):
    """You multiplied by √d; divide by it."""
    return attend(query, key, value, keep, scale=math.sqrt(query.shape[-1]))


def softmax_over_queries(query, key, value, keep=None):
    """Your softmax runs over the queries. Every query distributes its attention over
    the keys: softmax over the last axis."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = masked_softmax(scores, keep, dim=-2).nan_to_num()
    return weights @ value, weights


def no_softmax(query, key, value, keep=None):
    """You left the softmax out: the weights of a query are positive and sum to 1."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = scores if keep is None else scores.masked_fill(~keep, 0.0)
    return weights @ value, weights


def polarity_inverted(query, key, value, keep=None):
    """You took keep the wrong way round. True means that the query may attend to the
    key, as in F.scaled_dot_product_attention (nn.MultiheadAttention reverses it)."""
    return attend(query, key, value, None if keep is None else ~keep)


def mask_after_softmax(query, key, value, keep=None):
    """You set weights to zero after the softmax, so the rest no longer sums to 1. Mask
    the scores before it, with −∞."""
    weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
    weights = weights if keep is None else weights.masked_fill(~keep, 0.0)
    return weights @ value, weights


def mask_multiplied(query, key, value, keep=None):
    """Your masked scores are 0, or next to it. A score of 0 is not a weight of 0: set
    the masked scores to −∞."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = (scores if keep is None else scores * keep).softmax(-1)
    return weights @ value, weights


def mask_added(query, key, value, keep=None):
    """You added the boolean mask to the scores as 0 and 1. Set the masked scores to
    −∞."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = (scores if keep is None else scores + keep).softmax(-1)
    return weights @ value, weights


def keep_ignored(query, key, value, keep=None):
    """You ignored keep."""
    return attend(query, key, value)


def nan_where_nothing_may(query, key, value, keep=None):
    """For a query that may attend to nothing you return NaN: the softmax of −∞ alone
    is 0/0. Its weights and its output should be zero."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    scores = scores if keep is None else scores.masked_fill(~keep, -torch.inf)
    return scores.softmax(-1) @ value, scores.softmax(-1)


def nan_hidden_from_the_output(query, key, value, keep=None):
    """You added −∞ and replaced the NaN of a query without keys after the softmax. The
    output is right, its gradient is still NaN: one such query ruins a training step.
    masked_fill(~keep, -inf) in place of the sum lets no gradient into that row."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if keep is not None:
        scores = scores + torch.where(keep, 0.0, -torch.inf).to(scores)
    weights = scores.softmax(dim=-1).nan_to_num(0.0)
    return weights @ value, weights


def uniform_where_nothing_may(query, key, value, keep=None):
    """You let a query that may attend to nothing attend to everything alike: with a
    large negative number instead of −∞ the softmax still sums to 1. Its weights
    should be zero."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    scores = scores if keep is None else scores.masked_fill(~keep, -1e9)
    return scores.softmax(-1) @ value, scores.softmax(-1)


def large_number_added(query, key, value, keep=None):
    """You added a large negative number to the masked scores. Where all of a row are
    masked, the softmax does not see it: what all scores share cancels. The weights of a
    query that may attend to nothing should be zero."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    scores = scores if keep is None else scores - 1e9 * ~keep
    return scores.softmax(-1) @ value, scores.softmax(-1)


def exponential_unshifted(query, key, value, keep=None):
    """Your exponentials overflow for large scores. Subtract each row's maximum first;
    torch.softmax does."""
    scores = (query @ key.mT / math.sqrt(query.shape[-1])).exp()
    scores = scores if keep is None else scores * keep
    total = scores.sum(-1, keepdim=True)
    weights = scores / total.masked_fill(total == 0, 1.0)
    return weights @ value, weights


def query_and_key_exchanged(query, key, value, keep=None):
    """You exchanged queries and keys, or transposed the weights: scores and weights
    have one row for each query and one column for each key."""
    return attend(key, query, value)


def weights_detached(query, key, value, keep=None):
    """Your attention weights carry no gradient (detach, no_grad or item)."""
    _, weights = attend(query, key, value, keep)
    return weights.detach() @ value, weights.detach()


def keys_weighted(query, key, value, keep=None):
    """You returned (weights, output). The output comes first."""
    output, weights = attend(query, key, value, keep)
    return weights, output


def rows_sum_to_one(cases: Cases, records: Records) -> str | None:
    _, weights = records["no mask"]["output"]
    should = "Without a mask, every query's weights should be positive and sum to 1"
    if bool((weights < 0).any()):
        return f"{should}; the smallest of yours is {weights.min().item():.4g}."
    sums = weights.sum(-1).flatten()
    furthest = sums[(sums - 1).abs().argmax()].item()
    if not abs(furthest - 1) <= ROUNDED_SCALE:  # so that NaN is told too
        return f"{should}; those of one query sum to {furthest:.7g}."
    return None


def nothing_to_attend_gives_zeros(cases: Cases, records: Records) -> str | None:
    both = records["a query without keys"]["output"]
    for what, mine in zip(("output", "weights"), both, strict=True):
        if not bool((mine[0, 1] == 0).all()):
            first = mine[0, 1][mine[0, 1] != 0][0].item()
            return (
                "Query 1 of sample 0 may attend to nothing: its output and its weights "
                f"should be 0; an entry of its {what} is {first:.4g}."
            )
    return None


class Attention(Exercise):
    """scaled_dot_product_attention(query, key, value, keep): output and weights."""

    number = "3.1"
    off_limits = FUSED
    properties = (rows_sum_to_one, nothing_to_attend_gives_zeros)
    misconceptions = (
        scale_forgotten,
        scale_without_root,
        scale_by_tokens,
        scale_by_value_width,
        scale_multiplied,
        softmax_over_queries,
        no_softmax,
        polarity_inverted,
        mask_after_softmax,
        mask_multiplied,
        mask_added,
        keep_ignored,
        nan_where_nothing_may,
        nan_hidden_from_the_output,
        uniform_where_nothing_may,
        large_number_added,
        exponential_unshifted,
        query_and_key_exchanged,
        weights_detached,
        keys_weighted,
    )

    @staticmethod
    def scaled_dot_product_attention(query, key, value, keep=None):
        return attend(query, key, value, keep)

    reference = {"scaled_dot_product_attention": scaled_dot_product_attention}

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
        yield case("a query without keys", {**args, "keep": alone})
        far = {**args, "query": 400 * query, "keep": keep}
        yield case("large scores", far, 1e-3, gradients=False)
        heads = {
            "query": draw.normal(B, h, Tq, d),
            "key": draw.normal(B, h, Tk, d),
            "value": draw.normal(B, h, Tk, v),
        }
        yield case("several heads", {**heads, "keep": keep[:, None]}, edge=True)
        half = {n: t.bfloat16() for n, t in args.items()}
        half["keep"] = keep
        yield case("bfloat16", half, 5e-2, edge=True, gradients=False)


# ------------------------------------------------------------------------------ 3.2


@mistake(of="split_heads")
def viewed_not_transposed(x, num_heads):
    """Your split_heads reshapes straight to (B, h, T, D/h). The shape is right, but a
    head then holds pieces of several tokens: first (B, T, h, D/h), then transpose."""
    B, T, D = x.shape
    return x.reshape(B, num_heads, T, D // num_heads)


@mistake(of="split_heads")
def split_interleaved(x, num_heads):
    """Your split_heads deals the channels out in turn. Head i takes the i-th block of
    D/h neighbouring channels, as nn.MultiheadAttention does."""
    B, T, D = x.shape
    return x.reshape(B, T, D // num_heads, num_heads).permute(0, 3, 1, 2)


@mistake(of="split_heads")
def split_not_moved(x, num_heads):
    """Your split_heads leaves the heads behind the tokens, (B, T, h, D/h). Attention
    runs over the last two axes, so the heads must come before the tokens."""
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads)


@mistake(of="merge_heads")
def merged_not_transposed(x):
    """Your merge_heads reshapes without transposing back. The shape is right, but the
    tokens are mixed up: first (B, T, h, D/h), then join the last two axes."""
    B, h, T, d = x.shape
    return x.reshape(B, T, h * d)


@mistake(of="merge_heads")
def merged_interleaved(x):
    """Your merge_heads puts the heads' channels in turn. Head i's channels stay
    together, as the i-th block."""
    return x.permute(0, 2, 3, 1).flatten(2)


@mistake(of="merge_heads")
def heads_averaged(x):
    """Your merge_heads averages over the heads. They are put side by side: D = h · D/h
    channels."""
    return x.mean(1).repeat(1, 1, x.shape[1])


def a_head_holds_neighbouring_channels(cases: Cases, records: Records) -> str | None:
    name = "split_heads, x (B, T, D)"
    mine = records[name]["output"][0, 0, 0]
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
    misconceptions = (
        viewed_not_transposed,
        split_interleaved,
        split_not_moved,
        merged_not_transposed,
        merged_interleaved,
        heads_averaged,
    )

    @staticmethod
    def split_heads(x, num_heads):
        return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)

    @staticmethod
    def merge_heads(x):
        return x.transpose(1, 2).flatten(2)

    reference = {"split_heads": split_heads, "merge_heads": merge_heads}

    def draw_cases(self, draw: Draw):
        B, T, h, d = draw.sizes(4, low=2)
        args = {"x": draw.normal(B, T, h * d), "num_heads": h}
        yield Case("split_heads, x (B, T, D)", "split_heads", args)
        yield Case("merge_heads", "merge_heads", {"x": draw.normal(B, h, T, d)})
        one = {"x": draw.normal(B, T, d), "num_heads": 1}
        yield Case("a single head", "split_heads", one, edge=True)


# ------------------------------------------------------------------------------ 3.3


def project(x, in_weight, in_bias):
    """Queries, keys and values (B, T, D) each, packed as nn.MultiheadAttention's."""
    return F.linear(x, in_weight, in_bias).chunk(3, dim=-1)


def multi_head(x, packed, num_heads, keep, split=None, merge=None, attention=attend):
    """Attention of several heads, put together from right or wrong parts."""
    split, merge = split or Heads.split_heads, merge or Heads.merge_heads
    query, key, value = (split(part, num_heads) for part in packed)
    keep = None if keep is None else keep.unsqueeze(-3)
    return merge(attention(query, key, value, keep)[0])


def heads_viewed(x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None):
    """You split the heads by a reshape without a transposition: a head then holds
    pieces of several tokens."""
    packed = project(x, in_weight, in_bias)
    joined = multi_head(x, packed, num_heads, keep, split=viewed_not_transposed)
    return F.linear(joined, out_weight, out_bias)


def heads_merged_wrongly(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You merged the heads without transposing back: the tokens are mixed up."""
    packed = project(x, in_weight, in_bias)
    joined = multi_head(x, packed, num_heads, keep, merge=merged_not_transposed)
    return F.linear(joined, out_weight, out_bias)


def heads_viewed_both_ways(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You reshape without transposing, both when splitting and when merging. The two
    fit each other and the shapes are right, but the heads hold pieces of several
    tokens."""
    packed = project(x, in_weight, in_bias)
    joined = multi_head(
        x, packed, num_heads, keep, viewed_not_transposed, merged_not_transposed
    )
    return F.linear(joined, out_weight, out_bias)


def scaled_by_model_width(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You divided by the root of the model's width D. Every head has width D/h: its
    scores are divided by √(D/h)."""

    def attention(query, key, value, keep):
        return attend(query, key, value, keep, 1 / math.sqrt(x.shape[-1]))

    packed = project(x, in_weight, in_bias)
    joined = multi_head(x, packed, num_heads, keep, attention=attention)
    return F.linear(joined, out_weight, out_bias)


def heads_unscaled(x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None):
    """You do not divide the scores by √(D/h), or your function of exercise 3.1, which
    you may be calling, does not."""

    def attention(query, key, value, keep):
        return attend(query, key, value, keep, 1.0)

    packed = project(x, in_weight, in_bias)
    joined = multi_head(x, packed, num_heads, keep, attention=attention)
    return F.linear(joined, out_weight, out_bias)


def not_projected_out(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You left the output projection out. It is what fuses the heads."""
    return multi_head(x, project(x, in_weight, in_bias), num_heads, keep)


def out_bias_forgotten(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You left the output projection's bias out."""
    joined = multi_head(x, project(x, in_weight, in_bias), num_heads, keep)
    return F.linear(joined, out_weight)


def in_bias_forgotten(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You left the bias of queries, keys and values out."""
    joined = multi_head(x, project(x, in_weight, None), num_heads, keep)
    return F.linear(joined, out_weight, out_bias)


def query_key_value_in_another_order(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You unpacked in_weight in another order. Its rows are those of the queries, then
    of the keys, then of the values."""
    key, query, value = project(x, in_weight, in_bias)
    joined = multi_head(x, (query, key, value), num_heads, keep)
    return F.linear(joined, out_weight, out_bias)


def packed_per_head(x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None):
    """You took in_weight as packed head by head. Its rows are all queries, then all
    keys, then all values, and each of these is split into heads."""
    packed = F.linear(x, in_weight, in_bias).unflatten(-1, (num_heads, 3, -1))
    query, key, value = packed.permute(3, 0, 2, 1, 4)
    keep = None if keep is None else keep.unsqueeze(-3)
    joined = Heads.merge_heads(attend(query, key, value, keep)[0])
    return F.linear(joined, out_weight, out_bias)


def batch_attended(x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None):
    """You attend over the samples: x was read as (T, B, D). Every sample stands
    alone."""
    turned = x.transpose(0, 1)
    joined = multi_head(turned, project(turned, in_weight, in_bias), num_heads, None)
    return F.linear(joined.transpose(0, 1), out_weight, out_bias)


def one_head_for_all(x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None):
    """You computed one head of width D. Split queries, keys and values into num_heads
    heads."""
    joined = multi_head(x, project(x, in_weight, in_bias), 1, keep)
    return F.linear(joined, out_weight, out_bias)


def heads_share_their_weights(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You averaged the attention weights over the heads. Every head uses its own."""

    def attention(query, key, value, keep):
        _, weights = attend(query, key, value, keep)
        return weights.mean(1, keepdim=True) @ value, weights

    packed = project(x, in_weight, in_bias)
    joined = multi_head(x, packed, num_heads, keep, attention=attention)
    return F.linear(joined, out_weight, out_bias)


def multi_head_keep_inverted(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You took keep the wrong way round: True means that the query may attend to the
    key. nn.MultiheadAttention's attn_mask has it reversed."""
    keep = None if keep is None else ~keep
    joined = multi_head(x, project(x, in_weight, in_bias), num_heads, keep)
    return F.linear(joined, out_weight, out_bias)


def multi_head_keep_ignored(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """You ignored keep."""
    joined = multi_head(x, project(x, in_weight, in_bias), num_heads, None)
    return F.linear(joined, out_weight, out_bias)


def samples_stand_alone(cases: Cases, records: Records) -> str | None:
    one, other = (records[n]["output"][0] for n in ("no mask", "other samples changed"))
    if not compare.close(one, other, ROUNDED_SCALE):
        return (
            "All samples but sample 0 were changed, yet the output of sample 0 changed:"
            " your attention crosses samples."
        )
    return None


def tokens_have_no_order(cases: Cases, records: Records) -> str | None:
    one, other = (records[n]["output"] for n in ("no mask", "tokens reversed"))
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
    properties = (samples_stand_alone, tokens_have_no_order)
    misconceptions = (
        heads_viewed,
        heads_merged_wrongly,
        heads_viewed_both_ways,
        scaled_by_model_width,
        heads_unscaled,
        not_projected_out,
        out_bias_forgotten,
        in_bias_forgotten,
        query_key_value_in_another_order,
        packed_per_head,
        batch_attended,
        one_head_for_all,
        heads_share_their_weights,
        multi_head_keep_inverted,
        multi_head_keep_ignored,
    )

    @staticmethod
    def multi_head_attention(
        x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
    ):
        # PyTorch's mask says where not to look, one for each head of each sample.
        mask = None if keep is None else (~keep).repeat_interleave(num_heads, 0)
        x = x.transpose(0, 1)  # PyTorch's function wants (T, B, D)
        output, _ = F.multi_head_attention_forward(
            x,
            x,
            x,
            x.shape[-1],
            num_heads,
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
            "num_heads": h,
        }
        for title, tokens, masked in (
            ("no mask", x, {}),
            ("other samples changed", others, {}),
            ("tokens reversed", x.flip(1), {}),
            ("keep", x, {"keep": draw.keep(B, T, T)}),
        ):
            args = {"x": tokens, **weights, **masked}
            yield Case(title, name, args, tolerance=ROUNDED_SCALE)


# ------------------------------------------------------------------------------ 3.4


class RightModule(nn.Module):
    """The right module, for misconceptions to go wrong from in one place each."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def parts(self, x):
        return self.qkv(x).chunk(3, dim=-1)

    def forward(self, x, keep=None):
        return self.proj(multi_head(x, self.parts(x), self.num_heads, keep))


@mistake(of="MultiHeadAttention")
class ThreeLayers(nn.Module):
    """You registered separate layers for query, key and value. Here they are one linear
    layer, qkv, of width 3 · dim."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.value, self.proj = nn.Linear(dim, dim), nn.Linear(dim, dim)


@mistake(of="MultiHeadAttention")
class FullWidthHeads(nn.Module):
    """You gave every head the model's full width. With num_heads heads each has width
    dim / num_heads, so qkv has 3 · dim outputs, whatever the number of heads."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim * num_heads)
        self.proj = nn.Linear(dim * num_heads, dim)


@mistake(of="MultiHeadAttention")
class NoProjectionBias(nn.Module):
    """Your qkv or proj has no bias. nn.MultiheadAttention's have one."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim, bias=False)


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


@mistake(of="from_torch")
def weights_not_copied(attention):
    """Your from_torch returns a fresh module: copy the weights of the given one."""
    return converted(attention, copied=())


@mistake(of="from_torch")
def biases_not_copied(attention):
    """Your from_torch copies the weights but not the biases."""
    return converted(attention, copied=("qkv", "proj"))


@mistake(of="from_torch")
def projection_not_copied(attention):
    """Your from_torch copies queries, keys and values but not the output projection
    (out_proj)."""
    return converted(attention, copied=("qkv", "bias"))


@mistake(of="from_torch")
def module_ignores_keep(attention):
    """Your module ignores keep."""

    class Wrong(RightModule):
        def forward(self, x, keep=None):
            return super().forward(x)

    return converted(attention, Wrong)


@mistake(of="from_torch")
def module_inverts_keep(attention):
    """Your module takes keep the wrong way round: True means may attend."""

    class Wrong(RightModule):
        def forward(self, x, keep=None):
            return super().forward(x, None if keep is None else ~keep)

    return converted(attention, Wrong)


@mistake(of="from_torch")
def module_without_projection(attention):
    """Your module registers proj but does not use it in forward."""

    class Wrong(RightModule):
        def forward(self, x, keep=None):
            return multi_head(x, self.parts(x), self.num_heads, keep)

    return converted(attention, Wrong)


@mistake(of="from_torch")
def module_with_one_head(attention):
    """Your from_torch does not pass the number of heads on, or your module does not use
    it: what comes out is one head's work."""
    module = converted(attention)
    module.num_heads = 1
    return module


@mistake(of="from_torch")
def module_unscaled(attention):
    """Your module does not divide the scores by √(D/h), or your function of exercise
    3.1, which you may be calling, does not."""

    class Wrong(RightModule):
        def forward(self, x, keep=None):
            def unscaled(query, key, value, keep):
                return attend(query, key, value, keep, 1.0)

            parts = self.parts(x)
            return self.proj(
                multi_head(x, parts, self.num_heads, keep, attention=unscaled)
            )

    return converted(attention, Wrong)


@mistake(of="from_torch")
def module_reads_heads_first(attention):
    """Your module reads qkv head by head, but the weights of nn.MultiheadAttention are
    all queries, then all keys, then all values. Reorder them in from_torch, or split
    qkv in three first."""

    class Wrong(RightModule):
        def parts(self, x):
            packed = self.qkv(x).unflatten(-1, (self.num_heads, 3, -1))
            return packed.permute(3, 0, 1, 2, 4).flatten(3)

    return converted(attention, Wrong)


@mistake(of="from_torch")
def module_views_heads(attention):
    """Your module splits the heads by a reshape without a transposition."""

    class Wrong(RightModule):
        def forward(self, x, keep=None):
            parts, split = self.parts(x), viewed_not_transposed
            return self.proj(multi_head(x, parts, self.num_heads, keep, split=split))

    return converted(attention, Wrong)


@mistake(of="from_torch")
def module_merges_wrongly(attention):
    """Your module merges the heads without transposing back."""

    class Wrong(RightModule):
        def forward(self, x, keep=None):
            parts, merge = self.parts(x), merged_not_transposed
            return self.proj(multi_head(x, parts, self.num_heads, keep, merge=merge))

    return converted(attention, Wrong)


class MultiHeadModule(Exercise):
    """MultiHeadAttention(dim, num_heads), and from_torch to fill it."""

    number = "3.4"
    reference = {"MultiHeadAttention": RightModule, "from_torch": converted}
    probe = {"MultiHeadAttention": "module", "from_torch": "function"}
    off_limits = FUSED
    misconceptions = (
        ThreeLayers,
        FullWidthHeads,
        NoProjectionBias,
        weights_not_copied,
        biases_not_copied,
        projection_not_copied,
        module_ignores_keep,
        module_inverts_keep,
        module_without_projection,
        module_with_one_head,
        module_unscaled,
        module_reads_heads_first,
        module_views_heads,
        module_merges_wrongly,
    )

    def draw_cases(self, draw: Draw):
        B, T, h, d = draw.sizes(4, low=2)
        D = h * d
        sizes = {"dim": D, "num_heads": h}
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


# ------------------------------------------------------------------------------ 3.5


def distances(positions):
    return torch.cdist(positions, positions)


def distance_unweighted(weights, positions):
    """You averaged the distances without the weights."""
    mean = distances(positions).mean()
    return torch.ones_like(weights[..., 0, 0]) * mean + 0 * weights.sum((-2, -1))


def distance_squared(weights, positions):
    """You averaged squared distances; take the distance itself."""
    return (weights * distances(positions) ** 2).sum(-1).mean(-1)


def distance_in_steps(weights, positions):
    """You added the distances along the axes (city blocks). Take the straight line:
    the root of the sum of squares."""
    apart = torch.cdist(positions, positions, p=1)
    return (weights * apart).sum(-1).mean(-1)


def distance_summed(weights, positions):
    """You summed over the queries; average over them."""
    return (weights * distances(positions)).sum((-2, -1))


def distance_averaged_twice(weights, positions):
    """You averaged over the keys. The weights of a query already sum to 1: add up over
    the keys, then average over the queries."""
    return (weights * distances(positions)).mean((-2, -1))


def distance_to_the_strongest(weights, positions):
    """You took the distance to the most attended key. Every key counts, by its
    weight."""
    apart = distances(positions).expand_as(weights)
    strongest = weights.argmax(-1, keepdim=True)
    return apart.gather(-1, strongest).squeeze(-1).mean(-1) + 0 * weights.sum((-2, -1))


def distance_to_the_mean_position(weights, positions):
    """You took the distance to the mean attended position. A head that looks left and
    right alike would get distance 0: average the distances instead."""
    return (weights @ positions - positions).norm(dim=-1).mean(-1)


def distance_over_all_heads(weights, positions):
    """You averaged over the heads too. Every head has its own distance."""
    return (weights * distances(positions)).sum(-1).mean((-2, -1))


class AttentionDistance(Exercise):
    """attention_distance(weights, positions): how far each head looks, on average."""

    number = "3.5"
    misconceptions = (
        distance_unweighted,
        distance_squared,
        distance_in_steps,
        distance_summed,
        distance_averaged_twice,
        distance_to_the_strongest,
        distance_to_the_mean_position,
        distance_over_all_heads,
    )

    @staticmethod
    def attention_distance(weights, positions):
        apart = (positions[:, None] - positions).pow(2).sum(-1)
        apart = apart.sqrt()  # (T, T); positions carry no gradient
        return (weights * apart).sum(-1).mean(-1)

    reference = {"attention_distance": attention_distance}

    def draw_cases(self, draw: Draw):
        B, h, T = draw.sizes(3)
        for name, shape, axes in (
            ("positions (T, 2)", (B, h, T, T), 2),
            ("positions (T, 1)", (B, h, T, T), 1),
            ("one image", (h, T, T), 3),
        ):
            weights = draw.normal(*shape, std=2).softmax(-1)
            args = {"weights": weights, "positions": draw.normal(T, axes, std=3)}
            # the root has no slope at 0, where a token meets itself: values only
            yield Case(
                name, "attention_distance", args, gradients=False, edge=len(shape) == 3
            )


# ------------------------------------------------------------------------------ 3.6


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


def output_not_rescaled(query, key, value, block_size):
    """Your output is not rescaled: when a later block has a higher score, what was
    summed before must shrink by exp(old maximum − new maximum)."""
    return online(query, key, value, block_size, rescale=False)


def total_not_rescaled(query, key, value, block_size):
    """Your denominator is not rescaled: when a later block has a higher score, what
    was summed before must shrink by exp(old maximum − new maximum)."""
    return online(query, key, value, block_size, rescale_total=False)


def nothing_rescaled(query, key, value, block_size):
    """Your sums are not rescaled at all: when a later block has a higher score, what
    was summed before must shrink by exp(old maximum − new maximum)."""
    return online(query, key, value, block_size, rescale=False, rescale_total=False)


def maximum_not_subtracted(query, key, value, block_size):
    """Your exponentials overflow for large scores: subtract the running maximum."""
    return online(query, key, value, block_size, shift=False)


def maximum_from_zero(query, key, value, block_size):
    """Your running maximum starts at 0. Where all scores lie far below 0, every
    exponential vanishes and 0/0 is left: start at −∞."""
    return online(query, key, value, block_size, start=0.0)


def blocks_averaged(query, key, value, block_size):
    """You averaged the blocks' own attentions. A block's share depends on how large its
    scores are: keep the sums of exponentials."""
    blocks = in_blocks(key, value, block_size)
    return sum(attend(query, k, v)[0] for k, v in blocks) / len(blocks)


def last_block_dropped(query, key, value, block_size):
    """You left out the last, shorter block, where block_size does not divide the number
    of keys."""
    whole = key.shape[-2] // block_size * block_size
    return online(query, key[..., :whole, :], value[..., :whole, :], block_size)


def online_scale_forgotten(query, key, value, block_size):
    """You forgot to divide the scores by √d."""
    return online(query * math.sqrt(query.shape[-1]), key, value, block_size)


def not_divided(query, key, value, block_size):
    """You did not divide by the sum of the exponentials at the end."""
    return online(query, key, value, block_size, divide=False)


def the_whole_matrix(query, key, value, block_size):
    """You computed all scores at once. Go through the keys block by block: no tensor
    may hold a row for every query and a column for every key."""
    return attend(query, key, value)[0]


@looks_at("largest")
def never_holds_the_whole_matrix(cases: Cases, records: Records) -> str | None:
    for name, case in cases.items():
        query, key = case.args["query"], case.args["key"]
        whole = query[..., 0].numel() * key.shape[-2]
        if records[name]["largest"] >= whole / 2:
            return (
                f"In the case “{name}”, a tensor of {records[name]['largest']} entries "
                f"was made; the matrix of all queries and keys has {whole}, and even "
                "half of it is too much."
            )
    return None


class OnlineSoftmax(Exercise):
    """online_softmax_attention(query, key, value, block_size): block by block."""

    number = "3.6"
    off_limits = FUSED
    properties = (never_holds_the_whole_matrix,)
    misconceptions = (
        output_not_rescaled,
        total_not_rescaled,
        nothing_rescaled,
        maximum_not_subtracted,
        maximum_from_zero,
        blocks_averaged,
        last_block_dropped,
        online_scale_forgotten,
        not_divided,
        the_whole_matrix,
    )

    @staticmethod
    def online_softmax_attention(query, key, value, block_size):
        return F.scaled_dot_product_attention(query, key, value)

    reference = {"online_softmax_attention": online_softmax_attention}

    def draw_cases(self, draw: Draw):
        B, d, v, block, more = draw.sizes(5)
        Tq, Tk = 40 + more, 5 * block + 2 + 20 // block * block
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
        yield Case("large scores", name, far, gradients=False, tolerance=1e-3)
        # few queries: a block of them against all keys would be half the matrix
        low = {
            "query": -400 * (1 + draw.normal(B, 2 * block, 1).abs()),
            "key": 1 + draw.normal(B, Tk, 1).abs(),
            "value": draw.normal(B, Tk, 1),
            "block_size": block,
        }
        title = "few queries, scores far below zero"
        yield Case(title, name, low, gradients=False, tolerance=1e-3)


EXERCISES = (
    Attention,
    Heads,
    MultiHead,
    MultiHeadModule,
    AttentionDistance,
    OnlineSoftmax,
)
