"""Lab 3: legitimate answers that must pass, and mistakes spelled in other words."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks import find, section_exercises
from labkit.checks.exercise import Draw

# ------------------------------------------------------------- legitimate alternatives


def attend(query, key, value, keep=None):
    scores = torch.einsum("...qd,...kd->...qk", query, key) / query.shape[-1] ** 0.5
    if keep is None:
        keep = torch.ones_like(scores, dtype=torch.bool)
    scores = scores.masked_fill(~keep, float("-inf"))
    weights = torch.softmax(scores, -1).masked_fill(~keep.any(-1, keepdim=True), 0)
    return torch.einsum("...qk,...kv->...qv", weights, value), weights


def attend_by_exponentials(query, key, value, keep=None):
    """The softmax written out, the scale on the queries, -1e30 for a mask."""
    scores = (query / math.sqrt(key.size(-1))) @ key.transpose(-2, -1)
    if keep is not None:
        scores = torch.where(keep, scores, torch.full_like(scores, -1e30))
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


def split_by_chunks(x, num_heads):
    return torch.stack(x.chunk(num_heads, dim=-1), dim=1)


def merge_by_concatenation(x):
    return torch.cat(x.unbind(1), dim=-1)


def split_by_loop(x, num_heads):
    B, T, D = x.shape
    d = D // num_heads
    heads = [x[:, :, i * d : (i + 1) * d] for i in range(num_heads)]
    return torch.cat([head.unsqueeze(1) for head in heads], dim=1)


def merge_by_permute(x):
    B, h, T, d = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(B, T, h * d)


def multi_head_looped(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    """A head at a time; the output projection as a sum over heads."""
    D = x.shape[-1]
    d = D // num_heads
    total = out_bias.expand_as(x)
    for i in range(num_heads):
        rows = [slice(n * D + i * d, n * D + (i + 1) * d) for n in range(3)]
        q, k, v = (F.linear(x, in_weight[r], in_bias[r]) for r in rows)
        part, _ = attend(q, k, v, keep)
        total = total + part @ out_weight[:, i * d : (i + 1) * d].T
    return total


def multi_head_einsum(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    B, T, D = x.shape
    packed = torch.einsum("btd,ed->bte", x, in_weight) + in_bias
    q, k, v = packed.view(B, T, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    out, _ = attend_rows_without_keys_apart(
        q, k, v, None if keep is None else keep.unsqueeze(1)
    )
    out = torch.einsum("bhtd,ehd->bte", out, out_weight.view(D, num_heads, -1))
    return out + out_bias


def multi_head_by_rounded_root(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    packed = F.linear(x, in_weight, in_bias).chunk(3, -1)
    heads = (split_by_chunks(part, num_heads) for part in packed)
    out, _ = attend_by_rounded_root(*heads, None if keep is None else keep[:, None])
    return F.linear(merge_by_concatenation(out), out_weight, out_bias)


class Module(nn.Module):
    """PyTorch's own arrangement: q, k, v, and in each the heads."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.h = num_heads
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


def distance_by_einsum(weights, positions):
    apart = (positions.unsqueeze(0) - positions.unsqueeze(1)).norm(dim=-1)
    return torch.einsum("...qk,qk->...q", weights, apart).mean(-1)


def distance_by_cdist(weights, positions):
    total = (weights * torch.cdist(positions, positions)).sum((-2, -1))
    return total / len(positions)


def distance_by_loop(weights, positions):
    T = len(positions)
    total = torch.zeros_like(weights[..., 0, 0])
    for q in range(T):
        for k in range(T):
            apart = torch.linalg.vector_norm(positions[q] - positions[k])
            total += weights[..., q, k] * apart
    return total / T


def online_by_split(query, key, value, block_size):
    """The statistics kept without their last axis, the scale on the queries."""
    query = query / query.shape[-1] ** 0.5
    m = query.new_full(query.shape[:-1], -torch.inf)
    z = torch.zeros_like(m)
    out = query.new_zeros(*m.shape, value.shape[-1])
    blocks = key.split(block_size, -2), value.split(block_size, -2)
    for k, v in zip(*blocks, strict=True):
        s = query @ k.transpose(-1, -2)
        top = torch.max(m, s.max(-1).values)
        p = torch.exp(s - top.unsqueeze(-1))
        old = torch.exp(m - top)
        z = old * z + p.sum(-1)
        out = old[..., None] * out + p @ v
        m = top
    return out / z[..., None]


def online_by_rounded_root(query, key, value, block_size):
    d = query.shape[-1]
    query = query * (d**0.5 / torch.sqrt(torch.tensor(d)))
    return online_by_split(query, key, value, block_size)


def online_by_logsumexp(query, key, value, block_size):
    """Blocks finished one by one, then mixed by their log-sum-exp."""
    out = logs = None
    for start in range(0, key.shape[-2], block_size):
        k, v = (t.narrow(-2, start, min(block_size, t.shape[-2] - start))
                for t in (key, value))  # fmt: skip
        s = query @ k.mT / math.sqrt(query.shape[-1])
        part, log = s.softmax(-1) @ v, s.logsumexp(-1, keepdim=True)
        if out is None:
            out, logs = part, log
            continue
        both = torch.logaddexp(logs, log)
        out = out * (logs - both).exp() + part * (log - both).exp()
        logs = both
    return out


ALTERNATIVES = [
    ("3.1", attend),
    ("3.1", attend_by_exponentials),
    ("3.1", attend_rows_without_keys_apart),
    ("3.1", attend_by_rounded_root),
    ("3.2", split_by_chunks, merge_by_concatenation),
    ("3.2", split_by_loop, merge_by_permute),
    ("3.3", multi_head_looped),
    ("3.3", multi_head_einsum),
    ("3.3", multi_head_by_rounded_root),
    ("3.4", Module, fill),
    ("3.4", HeadsFirst, fill_arranged(HeadsFirst)),
    ("3.4", Interleaved, fill_arranged(Interleaved)),
    ("3.5", distance_by_einsum),
    ("3.5", distance_by_cdist),
    ("3.5", distance_by_loop),
    ("3.6", online_by_split),
    ("3.6", online_by_logsumexp),
    ("3.6", online_by_rounded_root),
]


# ------------------------------------------------- the same mistakes, in other words


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


def split_by_view(x, num_heads):
    return x.view(len(x), num_heads, x.shape[1], x.shape[2] // num_heads)


def heads_dealt_out(x, num_heads):
    return torch.stack([x[..., i::num_heads] for i in range(num_heads)], 1)


def looped_without_bias(
    x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None
):
    zero = torch.zeros_like(out_bias)
    return multi_head_looped(x, in_weight, in_bias, out_weight, zero, num_heads, keep)


def distance_of_the_largest(weights, positions):
    nearest = torch.cdist(positions, positions)
    chosen = weights.max(-1).indices
    rows = torch.arange(len(positions))
    return nearest[rows, chosen].mean(-1)


def blocks_alone(query, key, value, block_size):
    """Each block softmaxed for itself, then the mean of the blocks."""
    parts = []
    for k, v in zip(key.split(block_size, -2), value.split(block_size, -2)):  # noqa: B905
        parts.append((query @ k.mT / math.sqrt(query.shape[-1])).softmax(-1) @ v)
    return sum(parts) / len(parts)


def online_from_zero(query, key, value, block_size):
    highest = torch.zeros_like(query[..., 0])
    parts = total = 0
    blocks = key.split(block_size, -2), value.split(block_size, -2)
    for k, v in zip(*blocks, strict=True):
        scores = query @ k.mT / math.sqrt(query.shape[-1])
        top = torch.max(highest, scores.amax(-1))
        powers, old = (scores - top[..., None]).exp(), (highest - top).exp()
        parts = old[..., None] * parts + powers @ v
        total, highest = old * total + powers.sum(-1), top
    return parts / total[..., None]


IN_OTHER_WORDS = [
    ("3.1", masked_with_a_large_number, "uniform_where_nothing_may"),
    ("3.1", masked_by_addition, "large_number_added"),
    ("3.1", masked_where_kept, "polarity_inverted"),
    ("3.1", powers_divided, "exponential_unshifted"),
    ("3.2", split_by_view, "viewed_not_transposed"),
    ("3.2", heads_dealt_out, "split_interleaved"),
    ("3.3", looped_without_bias, "out_bias_forgotten"),
    ("3.5", distance_of_the_largest, "distance_to_the_strongest"),
    ("3.6", blocks_alone, "blocks_averaged"),
    ("3.6", online_from_zero, "maximum_from_zero"),
]


# ------------------------------------------------------ wrong, though nobody named it


def blocks_of_queries(query, key, value, block_size):
    """All keys at once for some of the queries: the memory grows with the keys."""
    parts = [attend(q, key, value)[0] for q in query.split(block_size, -2)]
    return torch.cat(parts, -2)


WRONG = [("3.6", blocks_of_queries, "never holds the whole matrix")]


@pytest.mark.parametrize(
    "number, answer",
    [
        ("3.1", attend_by_rounded_root),
        ("3.3", multi_head_by_rounded_root),
        ("3.6", online_by_rounded_root),
    ],
)
def test_a_rounded_scale_is_right_with_every_seed(number, answer):
    exercise = find(number)
    for seed in range(20):
        report = exercise.examine({exercise.names[0]: answer}, seed)
        assert report.passed, report.text()


# ----------------------------------------------------------- references, and catalogue


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


def test_the_fused_call_is_named_kindly():
    """Right values, and the one thing missing: it was to be written out."""

    def answer(x, in_weight, in_bias, out_weight, out_bias, num_heads, keep=None):
        D = x.shape[-1]
        module = nn.MultiheadAttention(D, num_heads, batch_first=True).to(x.dtype)
        return torch.func.functional_call(
            module,
            {
                "in_proj_weight": in_weight,
                "in_proj_bias": in_bias,
                "out_proj.weight": out_weight,
                "out_proj.bias": out_bias,
            },
            (x, x, x),
            {
                "need_weights": False,
                "attn_mask": None
                if keep is None
                else (~keep).repeat_interleave(num_heads, 0),
            },
        )[0]

    report = find("3.3").examine({"multi_head_attention": answer})
    assert report.failure.property == "written out", report.text()


def test_the_catalogue_is_as_large_as_promised():
    assert sum(len(e.misconceptions) for e in section_exercises("3")) >= 24
    assert len(ALTERNATIVES) >= 8
