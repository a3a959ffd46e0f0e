"""Exercise 3.2: legitimate answers that must pass, and wrong ones in other words."""

import torch

# -------------------------------------------------------------- legitimate alternatives


def split_by_chunks(x, heads):
    return torch.stack(x.chunk(heads, dim=-1), dim=1)


def merge_by_concatenation(x):
    return torch.cat(x.unbind(1), dim=-1)


def split_by_loop(x, heads):
    B, T, D = x.shape
    d = D // heads
    parts = [x[:, :, i * d : (i + 1) * d] for i in range(heads)]
    return torch.cat([head.unsqueeze(1) for head in parts], dim=1)


def merge_by_permute(x):
    B, h, T, d = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(B, T, h * d)


ALTERNATIVES = [
    (split_by_chunks, merge_by_concatenation),
    (split_by_loop, merge_by_permute),
]


# ---------------------------------------------------- the same mistakes, in other words


def split_by_view(x, heads):
    return x.view(len(x), heads, x.shape[1], x.shape[2] // heads)


def heads_dealt_out(x, heads):
    return torch.stack([x[..., i::heads] for i in range(heads)], 1)


IN_OTHER_WORDS = [
    (split_by_view, "viewed_not_transposed"),
    (heads_dealt_out, "split_interleaved"),
]
