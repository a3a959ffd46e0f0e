# %% [markdown]
r"""
# Lab 3: write multi-head attention yourself

**You will** write attention from its formula, with a mask and without its traps, split
a tensor into heads and put it together again, build multi-head attention that agrees
with PyTorch's number for number, measure how far a head looks, and compute attention
without ever holding its matrix.

**You need** [chapter 3](../chapters/03_multi_head_attention.ipynb) and
[lab 1](lab_01_layer_normalization.ipynb). **Time:** about 90 minutes.

$B$ samples, $T$ tokens ($T_q$ queries, $T_k$ keys where they differ), width $D$, $h$
heads of width $d = D / h$. A mask is always called `keep`: boolean, `True` where a
query **may** attend to a key. Write all that an exercise needs inside its own cell:
grading takes these cells and nothing else. The checks ask in float64 and in float32:
whatever you make takes its dtype from the input. PyTorch's fused attention
(`F.scaled_dot_product_attention`, `nn.MultiheadAttention`) is off limits in this lab,
except to compare with.
"""

# %%
import math

import torch
from torch import nn
from torch.nn import functional as F

import labkit
from labkit import check, seed_everything

seed_everything(0)
device = labkit.device()

# %% [markdown]
r"""
## Exercise 3.1 — Scaled dot-product attention (3 points)

Every query is compared with all keys, the scores become weights, and the weights mix
the values:

$$
A = \operatorname{softmax}\!\Bigl( \frac{Q K^\top}{\sqrt{d}} \Bigr),
\qquad
\operatorname{attention}(Q, K, V) = A V .
$$

$Q$ is $(\dots, T_q, d)$, $K$ is $(\dots, T_k, d)$, $V$ is $(\dots, T_k, d_v)$; $A$ has
one row for each query and one column for each key, and the softmax runs along a row.

Where `keep` is `False`, the weight is exactly 0 and the rest of the row still sums to
1. A query that may attend to nothing gets weights 0 and output 0, not NaN. Large scores
must not overflow. `keep` broadcasts against the scores.

Worked number: the query $[1, 0]$ and the keys $[1, 0]$, $[0, 1]$ give the scores
$1/\sqrt2$ and 0, so the weights are 0.6698 and 0.3302.
"""


# %% tags=["exercise"]
def scaled_dot_product_attention(query, key, value, keep=None):
    """Mix the values by how well the queries match the keys.

    query    (..., Tq, d)
    key      (..., Tk, d)
    value    (..., Tk, dv)
    keep     bool, broadcasts to (..., Tq, Tk), True = may attend; None = all may
    Returns  output (..., Tq, dv) and weights (..., Tq, Tk)

    Vaswani et al. 2017, equation 1, arXiv:1706.03762
    """
    # BEGIN SOLUTION
    scores = query @ key.mT / math.sqrt(query.shape[-1])  # (..., Tq, Tk)
    if keep is not None:
        scores = scores.masked_fill(~keep, -torch.inf)
    weights = scores.softmax(dim=-1)
    if keep is not None:
        weights = weights.masked_fill(~keep, 0.0)  # where the softmax gave NaN
    return weights @ value, weights
    # END SOLUTION


# %% tags=["check"]
check("3.1", scaled_dot_product_attention)

# %%
query = torch.tensor([[1.0, 0.0]], device=device)  # (1, 2)
key = torch.eye(2, device=device)  # (2, 2)
_, weights = scaled_dot_product_attention(query, key, key)
print([round(weight, 4) for weight in weights[0].tolist()])

# %% [markdown]
r"""
## Exercise 3.2 — Split into heads, and merge (2 points)

Head $i$ works on the $i$-th block of $d = D / h$ neighbouring channels of the projected
tokens. `split_heads` turns $(B, T, D)$ into $(B, h, T, d)$; `merge_heads` undoes it.

Beware: reshaping $(B, T, D)$ straight to $(B, h, T, d)$ has the right shape and the
wrong content, and so has the way back without its transposition.

Worked number: the one token $[0, 1, 2, 3, 4, 5]$ split into 2 heads gives
$[0, 1, 2]$ and $[3, 4, 5]$.
"""


# %% tags=["exercise"]
def split_heads(x, heads):
    """Give every head its block of channels.

    x        (B, T, D), D divisible by heads
    Returns  (B, heads, T, D / heads)
    """
    # BEGIN SOLUTION
    x = x.unflatten(-1, (heads, -1))  # (B, T, h, d)
    return x.transpose(1, 2)  # (B, h, T, d)
    # END SOLUTION


def merge_heads(x):
    """Put the heads' channels side by side again.

    x        (B, h, T, d)
    Returns  (B, T, h * d)
    """
    # BEGIN SOLUTION
    x = x.transpose(1, 2)  # (B, T, h, d)
    return x.flatten(2)  # (B, T, D)
    # END SOLUTION


# %% tags=["check"]
check("3.2", split_heads, merge_heads)

# %%
token = torch.arange(6, device=device).reshape(1, 1, 6)
print(split_heads(token, 2)[0, :, 0].tolist())

# %% [markdown]
r"""
## Exercise 3.3 — Multi-head attention with given weights (3 points)

Project the tokens to queries, keys and values, split these into heads, attend in every
head, merge, and project once more:

$$
[Q, K, V] = x W_{\text{in}}^\top + b_{\text{in}},
\qquad
y = \operatorname{merge}\bigl( \operatorname{attention}(Q_i, K_i, V_i)_{i = 1 \dots h}
\bigr) W_{\text{out}}^\top + b_{\text{out}} .
$$

The weights are packed as in `nn.MultiheadAttention`: the first $D$ rows of
`in_weight` $(3D, D)$ make the queries, the next $D$ the keys, the last $D$ the values.
All heads of a sample share the mask `keep` $(B, T, T)$.

Builds on 3.1 and 3.2: you may call your functions.

Worked number: with $T = 1$ a token can attend to itself only, so
$y = V W_{\text{out}}^\top + b_{\text{out}}$, whatever the queries are.
"""


# %% tags=["exercise"]
def multi_head_attention(x, in_weight, in_bias, out_weight, out_bias, heads, keep=None):
    """Self-attention of several heads, with given weights.

    x          (B, T, D)
    in_weight  (3D, D), in_bias (3D,)  rows of queries, then keys, then values
    out_weight (D, D), out_bias (D,)
    keep       bool (B, T, T), True = may attend; None = all may
    Returns    (B, T, D)

    Vaswani et al. 2017, section 3.2.2, arXiv:1706.03762
    """
    # BEGIN SOLUTION
    packed = F.linear(x, in_weight, in_bias)  # (B, T, 3D)
    query, key, value = (split_heads(part, heads) for part in packed.chunk(3, -1))
    if keep is not None:
        keep = keep[:, None]  # (B, 1, T, T): the same for all heads
    mixed, _ = scaled_dot_product_attention(query, key, value, keep)  # (B, h, T, d)
    return F.linear(merge_heads(mixed), out_weight, out_bias)
    # END SOLUTION


# %% tags=["check"]
check("3.3", multi_head_attention)

# %% [markdown]
"""
Number for number what PyTorch computes, with PyTorch's own weights.
"""

# %%
theirs = nn.MultiheadAttention(12, 3, batch_first=True).to(device)
x = torch.randn(2, 5, 12).to(device)
given = (theirs.in_proj_weight, theirs.in_proj_bias)
given += (theirs.out_proj.weight, theirs.out_proj.bias)
with torch.no_grad():
    difference = multi_head_attention(x, *given, heads=3) - theirs(x, x, x)[0]
print("agrees with PyTorch:", bool(difference.abs().max() < 1e-5))

# %% [markdown]
r"""
## Exercise 3.4 — The module, and PyTorch's weights in it (3 points)

Make it an `nn.Module` with two linear layers, `qkv` from $D$ to $3D$ and `proj` from
$D$ to $D$, both with bias. How `qkv` arranges its outputs is your own affair. Then
write `from_torch`, which makes such a module with the weights of an
`nn.MultiheadAttention` (`in_proj_weight`, `in_proj_bias`, `out_proj`, `embed_dim`,
`num_heads`): both must compute the same, each with weights of its own, so copy them.

Builds on 3.3: you may call your `multi_head_attention`.

Worked number: width 768 makes $4 \cdot 768^2 + 4 \cdot 768 = 2{,}362{,}368$ parameters,
with 1 head as with 12.
"""


# %% tags=["exercise"]
class MultiHeadAttention(nn.Module):
    """Multi-head self-attention.

    dim      int, width D of a token, divisible by heads
    heads    int h
    forward  x (B, T, D), keep bool (B, T, T) or None → (B, T, D)
    """

    def __init__(self, dim, heads):
        super().__init__()
        # BEGIN SOLUTION
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        # END SOLUTION

    def forward(self, x, keep=None):
        # BEGIN SOLUTION
        weights = (self.qkv.weight, self.qkv.bias, self.proj.weight, self.proj.bias)
        return multi_head_attention(x, *weights, self.heads, keep)
        # END SOLUTION


def from_torch(attention):
    """A MultiHeadAttention with the weights of an nn.MultiheadAttention."""
    # BEGIN SOLUTION
    module = MultiHeadAttention(attention.embed_dim, attention.num_heads)
    module = module.to(attention.in_proj_weight.device)
    with torch.no_grad():
        module.qkv.weight.copy_(attention.in_proj_weight)
        module.qkv.bias.copy_(attention.in_proj_bias)
    module.proj.load_state_dict(attention.out_proj.state_dict())
    return module
    # END SOLUTION


# %% tags=["check"]
check("3.4", MultiHeadAttention, from_torch)

# %%
for heads in (1, 12):
    count = sum(p.numel() for p in MultiHeadAttention(768, heads).parameters())
    print(f"{heads:2} heads: {count:,} parameters")

# %% [markdown]
r"""
## Exercise 3.5 — How far does a head look? (2 points)

Is a head local or global? Average the distance between a query's position and the
positions it attends to, weighted by the attention:

$$
\text{distance} = \frac{1}{T} \sum_{q} \sum_{k} A_{qk}\, \lVert p_q - p_k \rVert .
$$

$p$ has one row for each token: $(T, 1)$ for a sequence, $(T, 2)$ for the patches of an
image. Return one number for each head of each sample.

Worked number: three tokens at 0, 1, 2, all attended alike, have mean distances 1, 2/3
and 1, so the head's distance is $8/9 \approx 0.889$.
"""


# %% tags=["exercise"]
def attention_distance(weights, positions):
    """Mean distance between query and attended position, for each head.

    weights    (..., h, T, T), rows sum to 1
    positions  (T, k) coordinates
    Returns    (..., h), in units of the positions

    Dosovitskiy et al. 2020, figure 7 (right), arXiv:2010.11929
    """
    # BEGIN SOLUTION
    apart = (positions[:, None] - positions).norm(dim=-1)  # (T, T)
    return (weights * apart).sum(dim=-1).mean(dim=-1)
    # END SOLUTION


# %% tags=["check"]
check("3.5", attention_distance)

# %%
uniform = torch.full((1, 3, 3), 1 / 3, device=device)
line = torch.arange(3.0, device=device)[:, None]
print(round(attention_distance(uniform, line).item(), 3))

# %% [markdown]
r"""
## Exercise 3.6 — Attention without its matrix (bonus)

For long sequences the $T_q \times T_k$ matrix is the problem. Go through the keys in
blocks and keep, for each query, three things: the highest score $m$ so far, the sum
$\ell$ of $\exp(\text{score} - m)$, and the sum $o$ of $\exp(\text{score} - m) \cdot
\text{value}$. When a block brings a higher maximum $m'$, everything summed before
shrinks by $\exp(m - m')$. In the end the output is $o / \ell$. FlashAttention is built
on this.

The last block may be shorter. No tensor may have an entry for every query and every
key.

Worked number: scores 0 and then $\ln 3$, in blocks of one, give $\ell = 1$, then
$\ell = 1 \cdot e^{-\ln 3} + 1 = 4/3$: weights 1/4 and 3/4.
"""


# %% tags=["exercise"]
def online_softmax_attention(query, key, value, block_size):
    """Scaled dot-product attention, a block of keys at a time.

    query       (..., Tq, d)
    key         (..., Tk, d)
    value       (..., Tk, dv)
    block_size  int, number of keys in a block; need not divide Tk
    Returns     (..., Tq, dv)

    Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135
    """
    # BEGIN SOLUTION
    highest = torch.full_like(query[..., :1], -torch.inf)  # (..., Tq, 1)
    total = torch.zeros_like(highest)
    output = 0.0
    for start in range(0, key.shape[-2], block_size):
        block = slice(start, start + block_size)
        scores = query @ key[..., block, :].mT / math.sqrt(query.shape[-1])
        new = torch.maximum(highest, scores.amax(dim=-1, keepdim=True))
        shrink, weights = (highest - new).exp(), (scores - new).exp()
        total = total * shrink + weights.sum(dim=-1, keepdim=True)
        output = output * shrink + weights @ value[..., block, :]
        highest = new
    return output / total
    # END SOLUTION


# %% tags=["check"]
check("3.6", online_softmax_attention)

# %% [markdown]
"""
## What you built

Attention with an honest mask, heads that keep their channels together, a module that
takes over any weights of PyTorch's, a ruler for how far a head looks, and the trick
that makes long sequences affordable.
[Chapter 3](../chapters/03_multi_head_attention.ipynb) asks what several heads are
good for.

## Further reading

- Vaswani et al. 2017, *Attention Is All You Need*, section 3.2, arXiv:1706.03762.
- Dosovitskiy et al. 2020, *An Image is Worth 16x16 Words*, arXiv:2010.11929.
- Milakov and Gimelshein 2018, *Online normalizer calculation for softmax*,
  arXiv:1805.02867.
- Dao et al. 2022, *FlashAttention*, arXiv:2205.14135.
"""
