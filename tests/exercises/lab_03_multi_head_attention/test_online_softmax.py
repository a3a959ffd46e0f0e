"""Exercise 3.6: legitimate answers that must pass, and wrong ones in other words."""

import math

import pytest
import torch

from labkit.exercises import find

from .test_attention import attend

# -------------------------------------------------------------- legitimate alternatives


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


def online_merged_at_the_end(query, key, value, block_size):
    """Every block finished by itself, all of them weighted by their log-sum-exp."""
    parts, logs = [], []
    for k, v in zip(*(t.split(block_size, -2) for t in (key, value)), strict=True):
        scores = query @ k.mT / query.shape[-1] ** 0.5
        logs.append(scores.logsumexp(-1))
        parts.append(scores.softmax(-1) @ v)
    shares = torch.stack(logs).softmax(0)
    return (torch.stack(parts) * shares[..., None]).sum(0)


def online_sample_by_sample(query, key, value, block_size):
    return torch.vmap(lambda q, k, v: online_by_split(q, k, v, block_size))(
        query, key, value
    )


ALTERNATIVES = [
    online_by_split,
    online_merged_at_the_end,
    online_sample_by_sample,
    online_by_logsumexp,
    online_by_rounded_root,
]


# ---------------------------------------------------- the same mistakes, in other words


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
    (blocks_alone, "blocks_averaged"),
    (online_from_zero, "maximum_from_zero"),
]


# -------------------------------------------------------- wrong, though nobody named it


def blocks_of_queries(query, key, value, block_size):
    """All keys at once for some of the queries: the memory grows with the keys."""
    parts = [attend(q, key, value)[0] for q in query.split(block_size, -2)]
    return torch.cat(parts, -2)


def rows_of_the_whole_matrix(query, key, value, block_size):
    """torch.vmap hides the samples and the queries, not the memory that they take."""

    def one_row(q, k, v):
        return (k @ q / q.shape[-1] ** 0.5).softmax(-1) @ v

    rows = torch.vmap(one_row, in_dims=(0, None, None))
    return torch.vmap(rows)(query, key, value)


def blocks_of_eight(query, key, value, block_size):
    return online_by_split(query, key, value, 8)


def as_many_blocks(query, key, value, block_size):
    return online_by_split(query, key, value, -(-key.shape[-2] // block_size))


WRONG = [
    (blocks_of_queries, "never holds the whole matrix"),
    (rows_of_the_whole_matrix, "never holds the whole matrix"),
    (blocks_of_eight, "block size counts"),
    (as_many_blocks, "block size counts"),
]


# ------------------------------------------------------------------ nearly right

CLOSE = [online_from_zero, blocks_of_eight, as_many_blocks, blocks_of_queries]


# ------------------------------------------------------ what is said, and what is right


@pytest.mark.parametrize("seed", range(20))
def test_a_rounded_scale_is_right_with_every_seed(seed):
    report = find("3.6").examine(
        {"online_softmax_attention": online_by_rounded_root}, seed
    )
    assert report.passed, report.text()
