"""Exercise 3.3: legitimate answers that must pass, and wrong ones in other words."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.exercises import find

from .test_attention import (
    attend,
    attend_by_rounded_root,
    attend_rows_without_keys_apart,
    masked_where_kept_and_left,
)
from .test_heads import merge_by_concatenation, split_by_chunks

# -------------------------------------------------------------- legitimate alternatives


def multi_head_looped(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """A head at a time; the output projection as a sum over heads."""
    D = x.shape[-1]
    d = D // heads
    total = out_bias.expand_as(x)
    for i in range(heads):
        rows = [slice(n * D + i * d, n * D + (i + 1) * d) for n in range(3)]
        q, k, v = (F.linear(x, in_weight[r], in_bias[r]) for r in rows)
        part, _ = attend(q, k, v, keep)
        total = total + part @ out_weight[:, i * d : (i + 1) * d].T
    return total


def multi_head_einsum(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    B, T, D = x.shape
    packed = torch.einsum("btd,ed->bte", x, in_weight) + in_bias
    q, k, v = packed.view(B, T, 3, heads, -1).permute(2, 0, 3, 1, 4)
    out, _ = attend_rows_without_keys_apart(
        q, k, v, None if keep is None else keep.unsqueeze(1)
    )
    out = torch.einsum("bhtd,ehd->bte", out, out_weight.view(D, heads, -1))
    return out + out_bias


def multi_head_by_rounded_root(
    x, in_weight, in_bias, out_weight, out_bias, heads, keep=None
):
    packed = F.linear(x, in_weight, in_bias).chunk(3, -1)
    qkv = (split_by_chunks(part, heads) for part in packed)
    out, _ = attend_by_rounded_root(*qkv, None if keep is None else keep[:, None])
    return F.linear(merge_by_concatenation(out), out_weight, out_bias)


ALTERNATIVES = [
    multi_head_looped,
    multi_head_einsum,
    multi_head_by_rounded_root,
]


# ---------------------------------------------------- the same mistakes, in other words


def looped_without_bias(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    zero = torch.zeros_like(out_bias)
    return multi_head_looped(x, in_weight, in_bias, out_weight, zero, heads, keep)


def around(attention):
    def answer(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
        packed = F.linear(x, in_weight, in_bias).chunk(3, -1)
        qkv = (split_by_chunks(part, heads) for part in packed)
        out, _ = attention(*qkv, None if keep is None else keep[:, None])
        return F.linear(merge_by_concatenation(out), out_weight, out_bias)

    return answer


def keys_times_queries(query, key, value, keep=None):
    return attend(key, query, value, keep)


def with_dropout(query, key, value, keep=None):
    _, weights = attend(query, key, value, keep)
    return F.dropout(weights, 0.3) @ value, weights


IN_OTHER_WORDS = [
    (around(masked_where_kept_and_left), "polarity_inverted"),
    (around(keys_times_queries), "queries_and_keys_exchanged"),
    (around(with_dropout), "dropout_left_on"),
    (looped_without_bias, "out_bias_forgotten"),
]


# ------------------------------------------------------ what is said, and what is right


def test_the_fused_call_is_named_kindly():
    """Right values, and the one thing missing: it was to be written out."""

    def answer(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
        D = x.shape[-1]
        module = nn.MultiheadAttention(D, heads, batch_first=True).to(x.dtype)
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
                else (~keep).repeat_interleave(heads, 0),
            },
        )[0]

    report = find("3.3").examine({"multi_head_attention": answer})
    assert report.failure.property == "written out", report.text()


@pytest.mark.parametrize("seed", range(20))
def test_a_rounded_scale_is_right_with_every_seed(seed):
    report = find("3.3").examine(
        {"multi_head_attention": multi_head_by_rounded_root}, seed
    )
    assert report.passed, report.text()
