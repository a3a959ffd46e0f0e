# %% [markdown]
r"""
# Attend with several heads: what one head cannot do

A token that wants to know two things, the number to its left and the number to its
right, can ask for a weighted average of all tokens. One average. Whatever the weights,
two unknown numbers do not come out of one mixture of them. So the Transformer lets
every token take several averages at once, each with weights of its own: *multi-head
attention* (Vaswani et al. 2017 {cite}`vaswani2017`).

The note that this course follows says two things about it: that several groups of
parameters give several ways to distribute attention, which are fused at the end (S3.1);
and that this resembles multi-scale processing in computer vision (S3.2). Each claim is
stated, then you **predict**, then you **run** an experiment, then there is a
**verdict**.

**You will**
- compute attention by hand, then with several heads, in five equal ways, and see two
  bugs that keep every shape;
- see what the division by $\sqrt d$ prevents;
- measure what one, two and four heads can know, against a theorem, and meet an
  experiment that seems to refute it;
- find out where heads get their distances from, and what masks and the $T \times T$
  matrix cost.

**You need** matrix products, softmax, and a training loop; for the last experiment the
layer normalization of [Chapter 1](01_layer_normalization.ipynb).

**Time** 60 minutes; the code runs in less than a minute on a laptop.

Afterwards you build it all yourself in [Lab
3](../labs/lab_03_multi_head_attention.ipynb).
"""

# %%
import math
from itertools import permutations

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from labkit import data, device, plots, seed_everything
from labkit.explore import attention_explorer

seed_everything(0)
device = device()
torch.set_num_threads(1)  # tensors this small: two threads would wait for each other

# %% [markdown]
r"""
## One head, step by step

Each token makes three vectors of width $d$ out of its own numbers: a *query* $q$, what
it looks for; a *key* $k$, what it can be found by; a *value* $v$, what it has to give.
With all tokens stacked, $Q$, $K$, $V$ have shape $(T, d)$, and

$$
\operatorname{attention}(Q, K, V)
= \operatorname{softmax}\!\left(\frac{Q K^\top}{\sqrt d}\right) V .
$$

The scores $QK^\top$ are a $T \times T$ table, one row for each query. The softmax runs
along the row: every query distributes a total weight of 1 over the keys.

**Predict.** One query $[2, 0, 2, 0]$ meets three keys; their values are the numbers 10,
20 and 30. Is the answer nearest to 10, to 20 or to 30?
"""


# %%
def attention(q, k, v):
    """Scaled dot-product attention: output (..., T, d) and weights (..., T, T)."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    weights = scores.softmax(-1)
    return weights @ v, weights


q = torch.tensor([[2.0, 0, 2, 0]], device=device)
k = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]], device=device)
v = torch.tensor([[10.0], [20.0], [30.0]], device=device)
output, weights = attention(q, k, v)
print("scores q·k    ", *[f"{s:.0f}" for s in (q @ k.mT)[0].tolist()])
print("divided by √4 ", *[f"{s:.0f}" for s in (q @ k.mT / 2)[0].tolist()])
print("weights       ", *[f"{w:.2f}" for w in weights[0].tolist()])
print(f"output         {output.item():.1f}")

# %% [markdown]
r"""
The first key fits best and gets two thirds of the weight; the third fits half and still
counts for a quarter. The output lies between the values: attention *averages*, it does
not select.

## From one head to many

Take $h$ such attentions side by side. Head $i$ has its own three matrices, which read
the *whole* token of width $D$ and make queries, keys and values of width $d = D/h$:
$W_i^Q$, $W_i^K$ and $W_i^V$ are $D \times d$. The $h$ results are put end to end and
multiplied by one more matrix $W^O$, $D \times D$:

$$
\operatorname{MSA}(x) = [\operatorname{head}_1, \dots, \operatorname{head}_h]\, W^O,
\qquad
\operatorname{head}_i = \operatorname{attention}(x W_i^Q, x W_i^K, x W_i^V).
$$
"""

# %% tags=["hide-input"]
#| name: fig-heads
#| caption: Two heads. Each reads the whole token, has its own table of weights, and
#|   gives d = D/2 numbers per token; W^O mixes the numbers of all heads.
#| alt: A flow from top to bottom. x of shape T × D feeds two heads, each with Q, K
#|   and V of shape T × d, a T × T table of weights and a T × d output. The two outputs
#|   stand side by side as T × D, and the matrix W^O makes y of shape T × D of them.
fig, ax = plt.subplots(figsize=(4.4, 4.8))


def box(x, y, width, label, colour=plots.PAPER):
    ink = "white" if colour != plots.PAPER else "#1B222C"
    corner = (x - width / 2, y - 0.32)
    ax.add_patch(plt.Rectangle(corner, width, 0.64, fc=colour, ec=plots.GREY))
    ax.text(x, y, label, ha="center", va="center", color=ink)


def arrow(x, y, to_x, to_y):
    style = {"arrowstyle": "-|>", "color": plots.GREY, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (to_x, to_y + 0.34), (x, y - 0.34), arrowprops=style)


box(0, 0, 2.6, "x   (T × D)")
for side, colour, name in ((-1.7, plots.BLUE, "1"), (1.7, plots.RED, "2")):
    for row, label in ((1.3, f"Q, K, V of head {name}"), (2.6, "weights (T × T)")):
        box(side, -row, 2.9, label, colour)
    box(side, -3.9, 2.9, f"head {name}   (T × d)", colour)
    arrow(side / 3, 0, side, -1.3)
    arrow(side, -1.3, side, -2.6)
    arrow(side, -2.6, side, -3.9)
    arrow(side, -3.9, side / 3, -5.2)
box(0, -5.2, 4.0, "[head 1, head 2]   (T × D)")
arrow(0, -5.2, 0, -6.5)
box(0, -6.5, 4.0, "y = […] W^O   (T × D)")
ax.set(xlim=(-3.3, 3.3), ylim=(-6.95, 0.45))
ax.set_axis_off()
plots.show(fig, "2 heads of width D/2: 2 tables of weights, 1 output")

# %% [markdown]
r"""
In code nobody keeps $h$ small matrices. One matrix of shape $(D, D)$ makes all queries,
and a *view* cuts its result into heads. There are many ways to write this; here are
five, with the weights of PyTorch's own layer, `nn.MultiheadAttention`.
"""

# %%
B, T, D, h = 2, 5, 12, 3
d = D // h
layer = nn.MultiheadAttention(D, h, bias=False, batch_first=True).to(device)
x = torch.randn(B, T, D).to(device)
W_q, W_k, W_v = layer.in_proj_weight.detach().chunk(3)  # each (D, D), used as x @ W.T
W_o = layer.out_proj.weight.detach()


def split(x):
    """(B, T, D) to (B, h, T, d): head i gets channels i·d to (i + 1)·d."""
    return x.unflatten(-1, (h, -1)).transpose(1, 2)


def merge(x):
    """(B, h, T, d) to (B, T, D)."""
    return x.transpose(1, 2).flatten(2)


# %%
rows = [slice(i * d, (i + 1) * d) for i in range(h)]
heads = [attention(x @ W_q[r].T, x @ W_k[r].T, x @ W_v[r].T)[0] for r in rows]
q, k, v = (split(x @ W.T) for W in (W_q, W_k, W_v))
W = {name: m.view(h, d, D) for name, m in (("q", W_q), ("k", W_k), ("v", W_v))}
eq, ek, ev = (torch.einsum("btc,hdc->bhtd", x, W[name]) for name in "qkv")
scores = torch.einsum("bhqd,bhkd->bhqk", eq, ek) / math.sqrt(d)
mixed = torch.einsum("bhqk,bhkd->bqhd", scores.softmax(-1), ev)
ways = {
    "a loop, then concatenate": torch.cat(heads, -1) @ W_o.T,
    "a sum over heads": sum(o @ W_o[:, r].T for o, r in zip(heads, rows, strict=True)),
    "split, fused kernel, merge": (
        merge(F.scaled_dot_product_attention(q, k, v)) @ W_o.T
    ),
    "einsum": torch.einsum("bqhd,ohd->bqo", mixed, W_o.view(D, h, d)),
    "nn.MultiheadAttention": layer(x, x, x)[0].detach(),
}
for name, out in ways.items():
    same = torch.allclose(out, ways["nn.MultiheadAttention"], atol=1e-5)
    print(f"{name:27} {tuple(out.shape)}  equal: {same}")

# %% [markdown]
r"""
The second way is the one to remember: *concatenate and multiply* is a **sum**,
$\sum_i \operatorname{head}_i W_i^O$, each head with its own $d$ rows of $W^O$.

Two slips produce the same shape as the right answer, and no error: to split with `view`
alone, without the transposition, and to forget the transposition on the way back.
"""

# %%
right = ways["nn.MultiheadAttention"]
cut = [(x @ W.T).view(B, h, T, d) for W in (W_q, W_k, W_v)]  # no transposition
bugs = {
    "split by view alone": merge(attention(*cut)[0]) @ W_o.T,
    "merged without transposing": attention(q, k, v)[0].reshape(B, T, D) @ W_o.T,
}
for name, out in bugs.items():
    same = torch.allclose(out, right, atol=0.01)
    print(f"{name:27} {tuple(out.shape)}  equal: {same}")
number = torch.arange(1, T + 1)[None, :, None].expand(1, T, D)  # each token's number
parts_of = {"transposed": split(number), "view": number.reshape(1, h, T, d)}
for name, parts in parts_of.items():
    read = [sorted(set(part.flatten().tolist())) for part in parts[0]]
    print(f"{name:10} heads read tokens {read}")

# %% [markdown]
r"""
With `view` alone a "head" is a stretch of the *sequence*, in pieces: no head sees all
tokens any more. Compare with values, never with shapes.
"""

# %% [markdown]
r"""
## Why divide by √d?

If the $d$ numbers of $q$ and $k$ are independent with mean 0 and variance 1, their
product $q \cdot k$ has variance $d$: wider heads have larger scores. Vaswani et al.
2017 {cite}`vaswani2017` (§3.2.1) suspect that large scores push the softmax to where
its gradient is extremely small.

**Predict.** 32 keys. As $d$ grows from 4 to 1024, what happens to the entropy of the
weights (at most $\ln 32 = 3.47$), undivided, divided by $\sqrt d$, divided by $d$? And
to the gradient $\sum_k p_k (1 - p_k)$, the sum over the keys of how strongly a weight
answers to its own score?
"""

# %%
DIVISORS = {"undivided": lambda d: 1, "÷ √d": math.sqrt, "÷ d": float}
WIDTHS = (4, 16, 64, 256, 1024)
entropy, gradient = ({name: [] for name in DIVISORS} for _ in range(2))
for width in WIDTHS:
    q = torch.randn(1000, 1, width).to(device)
    k = torch.randn(1000, 32, width).to(device)
    scores = (q @ k.mT).squeeze(1).double()
    line = f"d = {width:4}: spread of q·k {scores.std():4.1f}, entropy"
    for name, divisor in DIVISORS.items():
        p = (scores / divisor(width)).softmax(-1)
        entropy[name].append(round(torch.special.entr(p).sum(-1).mean().item(), 2))
        gradient[name].append(round((p * (1 - p)).sum(-1).mean().item(), 2))
        line += f"  {name} {entropy[name][-1]:.1f}"
    print(line)

# %% tags=["hide-input"]
#| name: fig-scale
#| caption: Entropy of the weights over 32 keys, and the gradient of the softmax, as
#|   heads get wider; dotted, the entropy of even weights.
#| alt: Undivided, both curves fall towards zero as d grows from 4 to 1024. Divided by
#|   the root of d, both stay where they were. Divided by d, the entropy climbs to that
#|   of even weights.
fig, axes = plt.subplots(2, 1, figsize=(4.6, 4.4), sharex=True)
marks = dict(zip(DIVISORS, "os^", strict=True))
for ax, curves in zip(axes, (entropy, gradient), strict=True):
    for name, colour in zip(curves, (plots.RED, plots.BLUE, plots.GREY), strict=True):
        ax.plot(WIDTHS, curves[name], marks[name] + "-", color=colour, label=name)
    ax.set(xscale="log", xticks=WIDTHS, xticklabels=WIDTHS)
    ax.minorticks_off()
axes[0].axhline(3.47, color=plots.GREY, linestyle=":", linewidth=1)
axes[0].set(title="entropy", ylim=(0, 3.8))
axes[1].set(title="gradient", ylim=(0, 1.05), xlabel="width d of a head")
axes[0].legend(loc="center right")
fig.tight_layout(h_pad=0.6)
ends = [gradient[name][-1] for name in ("undivided", "÷ √d")]
text = f"gradient at d = 1024: undivided {ends[0]:.1f}, divided by √d {ends[1]:.1f}"
plots.show(fig, text)

# %% [markdown]
r"""
Undivided, a wide head begins as a near-selection with hardly any gradient, before it
has learned *what* to select. Divided by $d$ it begins as a plain average. With
$\sqrt d$ the width has no influence: for independent numbers, as at initialization.
Training may still make scores as large as it likes.
"""

# %% [markdown]
r"""
## S3.1 — Several ways to attend, fused at the end

**Claim.** Several groups of learnable parameters give several ways to distribute
attention; at the end they are fused.

True as a description. What does it *buy*? Here is a task with a theorem. Twelve tokens
stand in a ring, each carries 4 random numbers, independent, with mean 0 and variance 1.
Every token must report the numbers of four others: 4 and 1 places to the left, 1 and 4
places to the right. Queries and keys come from the positions only, values from the
numbers; then $W^O$, and nothing else.

A head gives a token one weighted sum of the twelve. $h$ heads give $h$ sums, which span
at most $h$ directions in the space of the twelve tokens; the four wanted tokens are
four orthogonal directions of length 1. The lengths of four orthogonal directions,
projected on $h$ dimensions and squared, sum to at most $h$. So of the variance at most
the share $h/4$ can be explained:

$$
\text{mean squared error} \;\ge\; 1 - \frac{h}{4} \qquad (h \le 4).
$$

**Predict.** The error of 1, 2 and 4 heads, all with the same number of parameters?
"""


# %%
class LookUp(nn.Module):
    """R separate runs of one attention layer over a ring of 12 tokens, width 16."""

    def __init__(self, runs: int, heads: int, outputs: int, hidden: int = 0):
        super().__init__()

        def weight(inputs, outputs):
            w = torch.randn(runs, 1, inputs, outputs) / math.sqrt(inputs)
            return nn.Parameter(w)

        self.heads = heads
        self.position = nn.Parameter(torch.randn(runs, 1, 12, 16))
        self.q, self.k, self.v = weight(16, 16), weight(16, 16), weight(4, 16)
        self.bend = weight(16, hidden) if hidden else None  # a network after attention
        self.out = weight(hidden or 16, outputs)

    def split(self, x):  # (R, B, T, 16) to (R, B, heads, T, 16/heads)
        return x.unflatten(-1, (self.heads, -1)).transpose(2, 3)

    def weights(self):  # (R, 1, heads, T, T): from positions only
        q, k = self.split(self.position @ self.q), self.split(self.position @ self.k)
        return (q @ k.mT / math.sqrt(16 / self.heads)).softmax(-1)

    def forward(self, x):  # (R, B, T, 4) to (R, B, T, outputs)
        mixed = self.weights() @ self.split(x @ self.v)
        mixed = mixed.transpose(2, 3).flatten(3)
        return (mixed if self.bend is None else (mixed @ self.bend).relu()) @ self.out


# %%
def wanted(x, offsets):
    """The numbers that each token must report: (R, B, T, offsets, 4)."""
    return torch.stack([x.roll(-offset, -2) for offset in offsets], -2)


def train(net, draw, loss_of, steps, rate=0.03):
    """Adam with a learning rate that falls from `rate` to 0 along a cosine."""
    optimizer = torch.optim.Adam(net.parameters())
    for step in range(steps):
        falling = (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.param_groups[0]["lr"] = rate * falling
        loss = loss_of(net, draw())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


def squared_error(net, x, offsets=(-4, -1, 1, 4)):
    error = net(x).unflatten(-1, (len(offsets), 4)) - wanted(x, offsets)
    return error.square().mean((1, 2, 3, 4)).sum()  # the runs share nothing


def numbers(runs=5, batch=32):
    return torch.randn(runs, batch, 12, 4).to(device)


# %%
unit = torch.eye(48, device=device).view(1, 48, 12, 4)  # the exact error, not a sample
nets, errors = {}, {}
for heads in (1, 2, 4):
    torch.manual_seed(0)
    net = train(LookUp(5, heads, 16).to(device), numbers, squared_error, 800)
    with torch.no_grad():
        wrong = net(unit.expand(5, -1, -1, -1)).unflatten(-1, (4, 4))
        wrong = (wrong - wanted(unit, (-4, -1, 1, 4))).square()
    errors[heads] = wrong.sum(1).mean((1, 2, 3))  # (5,) one for each run
    nets[heads] = net
    size = sum(p.numel() for p in net.parameters()) // 5
    print(
        f"h = {heads}, {size} parameters: theory {1 - heads / 4:.2f}, "
        f"measured {errors[heads].mean().item():.2f}"
    )

# %% [markdown]
r"""
Theory and measurement agree (means of five runs). Equal parameters, equal work, and the
error depends on the number of heads alone. Vaswani et al. 2017 {cite}`vaswani2017`
(§3.2.2) put it in one sentence: with a single head, averaging inhibits attending to
several things at once.

### The experiment that backfires

Now almost the same task: two neighbours instead of four, and instead of four random
numbers each token carries one of four *symbols*. After attention stands a small
network, as in every Transformer block. **Predict.** One head, two neighbours: which
share of the answers, two for each token, is right? To know one neighbour and guess the
other gives $(1 + 1/4)/2 = 62.5\,\%$.
"""


# %%
def symbols(runs=3, batch=32):
    x = torch.randint(4, (runs, batch, 12))
    return F.one_hot(x, 4).float().to(device)


def naming_error(net, x):
    scores = net(x).unflatten(-1, (2, 4)).movedim(-1, 1)
    target = wanted(x, (-1, 1)).argmax(-1)
    return 3 * F.cross_entropy(scores, target)  # 3 runs


def near_error(net, x):
    return squared_error(net, x, (-1, 1))


# %%
for name, draw, loss_of, hidden in (
    ("symbols, linear read-out", symbols, naming_error, 0),
    ("symbols, network", symbols, naming_error, 64),
    ("numbers, network", lambda: numbers(3), near_error, 64),
):
    torch.manual_seed(0)
    net = train(LookUp(3, 1, 8, hidden).to(device), draw, loss_of, 1200, 0.01)
    with torch.no_grad():
        if draw is symbols:
            x = symbols(3, 500)
            said = net(x).unflatten(-1, (2, 4)).argmax(-1)
            right = (said == wanted(x, (-1, 1)).argmax(-1)).float().mean().item()
            print(f"{name:25} right: {10 * round(10 * right)} %")
        else:
            error = near_error(net, numbers(3, 500)).item() / 3
            print(f"{name:25} error: {error:.1f}")
    if name == "symbols, network":
        top = net.weights().detach().topk(2).values.mean((0, 1, 2, 3)).tolist()
        print(f"{'':25} its two largest weights: {top[0]:.1f} and {top[1]:.1f}")

# %% [markdown]
r"""
With symbols and a network, **one head is enough**. Look at what it learned: not equal
weights but unequal ones. A mixture of two symbols with unequal weights is a *code*:
0.7 A + 0.3 B and 0.7 B + 0.3 A are different points, and a network can tell them apart.
(Percentages to the nearest 10.) Random numbers allow no such code: for them the same
network stays at the bound, here $1 - 1/2$.

So the theorem is about numbers, and "one head cannot look at two places" is false for
tokens from a finite set with a network behind. What several heads save is that code.

### Fused: a sum over heads

The heads are added up, so their order means nothing. And cutting $D$ into more heads
costs no parameter and no multiplication.
"""

# %%
x = torch.randn(B, T, D).to(device)
orders = list(permutations(range(h)))
reference = layer(x, x, x)[0]
equal = 0
for order in orders:
    pick = torch.cat([torch.arange(i * d, (i + 1) * d) for i in order])
    q, k, v = (split(x @ W[pick].T) for W in (W_q, W_k, W_v))
    out = merge(attention(q, k, v)[0]) @ W_o[:, pick].T
    equal += torch.allclose(out, reference, atol=1e-5)
print(f"orders of {h} heads that give the same output: {equal} of {len(orders)}")
for heads in (1, 2, 8, 64):
    wide = nn.MultiheadAttention(256, heads)
    size = sum(p.numel() for p in wide.parameters())
    q = torch.randn(1, heads, 100, 256 // heads)
    with FlopCounterMode(display=False) as counter:
        attention(q, q, q)
    macs = counter.get_total_flops() // 2
    print(f"D = 256, h = {heads:2}: {size:,} parameters, {macs:,} MACs for the tables")

# %% [markdown]
r"""
Time is another matter: more heads mean more $T \times T$ tables to write and to read
back. It is measured at the end of the chapter, with the other times.

More heads are not always better, though. In Vaswani et al. 2017 {cite}`vaswani2017`
(Table 3A, translation, equal cost; more BLEU is better) 1 head gives 24.9 BLEU, 4 give
25.5, 8 and 16 give 25.8, and 32 give 25.4 again: with 32 heads each is only 16 wide.
Nor are all heads needed: Voita et al. 2019 {cite}`voita2019` remove 38 of 48 encoder
heads of a trained translation model (English to Russian) and lose 0.15 BLEU; Michel et
al. 2019 {cite}`michel2019` find layers that can be reduced to a single head at test
time.

**Verdict on S3.1: holds.** It describes what happens, and can be made precise: fusion
is a sum, $\sum_i \operatorname{head}_i W_i^O$, and each head reads the whole token, not
a slice of it. What the claim leaves open is what this buys: look-ups, not parameters,
and where a code can do their work several heads may not be needed.
"""

# %% [markdown]
r"""
## S3.2 — Like multi-scale in vision?

**Claim.** Multi-head attention resembles multi-scale processing in computer vision:
different receptive fields, fused at the end.

In vision a scale is *built in*: a convolution of size 3 reaches one pixel to each side,
whatever it learns. **Predict.** How far do the heads of an untrained attention layer
reach? Change one token, and see how far away outputs change.
"""

# %%
T = 21
base = torch.randn(1, T, 16).to(device)
changed = base.clone()
changed[0, T // 2] += 1
far = (torch.arange(T) - T // 2).abs()
for size in (1, 3, 7):
    conv = nn.Conv1d(16, 4, size, padding="same").to(device)
    moved = (conv(base.mT) - conv(changed.mT)).abs().amax((0, 1)) > 1e-4
    reach = far[moved.cpu()].max().item()
    print(f"convolution of size {size}: reaches {reach:2} tokens")
W = torch.randn(3, 4, 16, 4).to(device) / 4  # query, key, value of four heads
first, second = (attention(*(x @ W[n] for n in range(3)))[0] for x in (base, changed))
for head in range(4):
    moved = (first - second)[head].abs().amax(-1) > 1e-4
    print(f"head {head + 1}: reaches {far[moved.cpu()].max().item():2} tokens")

# %% [markdown]
r"""
Every head sees everything, from the first layer on. No head has a scale, and since
heads are exchangeable, no head is *meant* for one. But a head may **learn** to look
near or far. Do the four heads of the ring, which had to fetch from 1 and 4 places away?
"""

# %%
weights = nets[4].weights().detach().squeeze(1).cpu()  # (5, 4, 12, 12)
place = torch.arange(12)
offset = (place[None] - place[:, None] + 6) % 12 - 6  # (12, 12) key minus query
best = weights.argmax(-1) - place
best = (best + 6) % 12 - 6  # (5, 4, 12) offset of each query's largest weight
for run in range(5):
    modes = sorted(best[run].mode(-1).values.tolist())
    print(f"run {run + 1}: the heads look mostly at offsets {modes}")

# %% [markdown]
r"""
In every run the four heads share the four offsets among them (here and there a head
still mixes in a second one). Nobody told them which; which head takes which offset is
chance. **The distances come from the task.**

A head with a given distance can even be made by hand. Let a key hold three numbers, its
place $k$ (row and column) and $\lVert k \rVert^2$, and a query at place $p$ hold
$2\alpha (p + \Delta)$ and $-\alpha$. Then the score is

$$
2 \alpha (p + \Delta) \cdot k - \alpha \lVert k \rVert^2
= -\alpha \lVert k - p - \Delta \rVert^2 + \text{a constant of the row},
$$

a bell around the place that lies $\Delta$ away, as narrow as $\alpha$ is large.
Cordonnier et al. 2020 {cite}`cordonnier2020` use such heads to prove that attention
with enough heads, each at its own shift, can express any convolution.

Choose a patch of a 5 × 5 image, and see four such heads. All have the same form and the
same reach; only $\alpha$ and $\Delta$ differ.
"""


# %%
def head_by_hand(alpha: float, down: int, right: int) -> torch.Tensor:
    """Weights (25, 25) of a head that looks (down, right) away, on 5 × 5 patches."""
    side = torch.arange(5.0, dtype=torch.float64)
    place = torch.cartesian_prod(side, side)  # (25, 2)
    ones = torch.ones(25, 1, dtype=torch.float64)
    key = torch.cat([place, place.square().sum(1, keepdim=True)], 1)
    query = alpha * torch.cat([2 * (place + torch.tensor([down, right])), -ones], 1)
    return (query @ key.T).softmax(-1)


attention_explorer(
    {
        "the patch itself (α = 3)": head_by_hand(3.0, 0, 0),
        "its surroundings (α = 0.4)": head_by_hand(0.4, 0, 0),
        "two to the left (α = 3)": head_by_hand(3.0, 0, -2),
        "everything (α = 0)": head_by_hand(0.0, 0, 0),
    },
    [f"{row}{column}" for row in "abcde" for column in range(1, 6)],
    columns=5,
)

# %% [markdown]
r"""
Now real images: a tiny Vision Transformer on scikit-learn's digits, 16 patches of 2 × 2
pixels, two layers of four heads. (Chapter 4 explains it.) **Predict.** Will some heads
become local and others global? A head that spreads its weights evenly has the mean
distance 2.01, in patches.
"""


# %%
class Block(nn.Module):
    """One pre-norm layer of width 32 that keeps its attention weights."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.proj = nn.Linear(32, 96), nn.Linear(32, 32)
        self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x):  # (B, 16, 32)
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, 4, 8))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, 4, 16, 8)
        out, self.weights = attention(q, k, v)  # weights (B, 4, 16, 16)
        x = x + self.proj(out.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class TinyViT(nn.Module):
    """Digits (B, 8, 8) to scores (B, 10): 16 patches, two blocks, mean, head."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(4, 32), nn.Linear(32, 10)
        self.position = nn.Parameter(0.02 * torch.randn(16, 32))
        self.blocks = nn.Sequential(Block(), Block())

    def forward(self, x):
        patches = x.unflatten(1, (4, 2)).unflatten(3, (4, 2)).transpose(2, 3)
        x = self.embed(patches.flatten(3).flatten(1, 2)) + self.position
        return self.head(F.layer_norm(self.blocks(x), (32,)).mean(1))


# %%
digits = data.digits()
train_x, train_y = digits.train_x.to(device), digits.train_y.to(device)
side = torch.arange(4.0)
patch = torch.cartesian_prod(side, side)
apart = (patch[:, None] - patch).norm(dim=-1)  # (16, 16) distances between patches
on_digits, accuracy = [], []
for seed in range(3):
    torch.manual_seed(seed)
    net = TinyViT().to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(250):
        pick = torch.randint(len(train_y), (64,)).to(device)
        loss = F.cross_entropy(net(train_x[pick]), train_y[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        hit = net(digits.test_x.to(device)).argmax(-1).cpu() == digits.test_y
    accuracy.append(hit.float().mean().item())
    for block in net.blocks:
        mean = (block.weights.cpu() * apart).sum(-1).mean((0, 2))  # (4,)
        on_digits += (mean / apart.mean()).tolist()
print("accuracy above 85 % in every run:", min(accuracy) > 0.85)
near = sum(abs(ratio - 1) < 0.25 for ratio in on_digits)
print(f"heads within 25 % of the even distance {apart.mean():.2f}: {near} of 24")

# %% tags=["hide-input"]
#| name: fig-distance
#| caption: Mean attention distance of every head, divided by that of even weights
#|   (dashed line); five runs on the ring, three on digits.
#| alt: On the ring, nearly all heads stand in two groups, near a third and near four
#|   thirds of the even distance. On digits all heads of both
#|   layers crowd around the dashed line.
ring = (weights * offset.abs()).sum(-1).mean(-1) / offset.abs().float().mean()
groups = {
    "ring": ring.flatten().tolist(),
    "digits,\nlayer 1": [r for n, r in enumerate(on_digits) if n % 8 < 4],
    "digits,\nlayer 2": [r for n, r in enumerate(on_digits) if n % 8 >= 4],
}
fig, ax = plt.subplots(figsize=(4.6, 2.6))
colours = (plots.BLUE, plots.RED, plots.RED)
for row, (ratios, colour) in enumerate(zip(groups.values(), colours, strict=True)):
    height = torch.linspace(-0.2, 0.2, len(ratios)) - row
    ax.plot(ratios, height, "o", ms=5, alpha=0.7, color=colour)
ax.axvline(1, color=plots.GREY, linestyle="--", linewidth=1)
ax.set(xlim=(0, 1.6), yticks=(0, -1, -2), yticklabels=groups, ylim=(-2.5, 0.5))
ax.set_xlabel("distance ÷ distance of even weights")
away = sum(abs(r - 1) > 0.25 for r in groups["ring"])
text = f"heads more than 25 % away: most on the ring {away > 15}, on digits {24 - near}"
plots.show(fig, text, kind="png")

# %% [markdown]
r"""
On digits no head becomes local, and the network classifies well all the same. Such
small images say nothing about large ones, so here is what the literature reports. In
the Vision Transformer, some heads attend to most of the image already in the lowest
layers, while others keep small distances; its authors call the attention distance
analogous to the size of a receptive field (Dosovitskiy et al. 2021
{cite}`dosovitskiy2021`). Raghu et al. 2021 {cite}`raghu2021` confirm the mixture in the
lowest layers, find all heads global in the higher ones, and add the condition: trained
on ImageNet alone, without a larger set before, the large models do *not* learn to
attend locally in their lower layers, and perform much worse.

**Verdict on S3.2: holds with conditions.** It is an analogy, not the mechanism. Nothing
gives a head a scale; every head is global from the first layer on. Distances emerge
where task and data ask for them, and do not where they don't. Closer relatives are the
parallel filters of one convolution layer.
"""

# %% [markdown]
r"""
## Masks: True means what?

A mask says which keys a query may use: not the padding, not the future. PyTorch has two
conventions, and they are opposite:

| call | boolean: `True` means | numbers |
|---|---|---|
| `F.scaled_dot_product_attention(attn_mask=)` | **may** be attended to | added to the scores |
| `nn.MultiheadAttention(attn_mask=, key_padding_mask=)` | must **not** be attended to | added to the scores |

**Predict.** Give both the same lower triangle of `True`, "the past and itself". In
which can an early token notice a change of the last one?
"""

# %%
T = 5
keep = torch.ones(T, T, device=device).tril().bool()  # True: may attend
x = torch.randn(B, T, D).to(device)
late = x.clone()
late[:, -1] += 1


def fused(x, mask):
    q, k, v = (split(x @ W.T) for W in (W_q, W_k, W_v))
    return merge(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)) @ W_o.T


def in_pytorch(x, mask):
    return layer(x, x, x, attn_mask=mask, need_weights=False)[0]


hidden = torch.zeros(T, T, device=device).masked_fill(~keep, -torch.inf)
calls = {
    "fused, keep": lambda x: fused(x, keep),
    "fused, 0 and -inf added": lambda x: fused(x, hidden),
    "fused, keep.float() added": lambda x: fused(x, keep.float()),
    "nn.MultiheadAttention, keep": lambda x: in_pytorch(x, keep),
    "nn.MultiheadAttention, ~keep": lambda x: in_pytorch(x, ~keep),
}
for name, call in calls.items():
    leak = (call(x) - call(late))[:, :-1].abs().max().item() > 1e-3
    print(f"{name:29} the past sees the future: {leak}")

# %% [markdown]
r"""
A mask of ones and zeros that has become `float` is *added*: it only nudges the scores,
and nothing is hidden. Call your own argument `keep` or `ignore`, never `mask`.

And a query that may attend to nothing? The softmax has to share out a weight of 1 over
no keys.
"""

# %%
lonely = torch.full((1, 4), -torch.inf, device=device)
q, k, v = (torch.randn(1, 1, n, 3).to(device) for n in (1, 4, 4))
nothing = torch.zeros(1, 4, dtype=torch.bool, device=device)
zeros = F.scaled_dot_product_attention(q, k, v, attn_mask=nothing)
none = torch.ones(T, T, dtype=torch.bool, device=device)
nan = layer(x, x, x, attn_mask=none)[0].isnan().all().item()
print("softmax of -inf everywhere: NaN", lonely.softmax(-1).isnan().all().item())
print("softmax of -1e9 everywhere:", lonely.clamp(min=-1e9).softmax(-1)[0].tolist())
print("fused attention: zeros", (zeros == 0).all().item())
print("nn.MultiheadAttention with weights: NaN", nan)

# %% [markdown]
r"""
Three answers to one question: NaN, which spreads through the whole network; an even
average over exactly the keys that were forbidden; zeros. Lab 3 asks for zeros.
"""

# %% [markdown]
r"""
## What it costs

Scores and their use take $2 T^2 D$ multiply–accumulates, whatever $h$. Written out, the
tables themselves have to be stored: $h\,T^2$ numbers.
"""

# %%
for tokens, name in (
    (197, "ViT-B/16, 224 pixels"),
    (1025, "512 pixels"),
    (50177, "every pixel a token"),
):
    size = 12 * tokens**2 * 4 / 1e6  # 12 heads, four bytes a number
    print(f"T = {tokens:6} ({name}): {size:10,.0f} MB for one image and one layer")

# %% [markdown]
r"""
Must the table exist? The softmax of a row needs the row's maximum and sum, and both can
be kept *while* the keys go by: process a part of the keys, remember its maximum $m$,
the sum $s$ of $e^{\text{score} - m}$, and the sum $o$ of values weighted with the same
exponentials; two such parts can be merged. This *online softmax* (Milakov and
Gimelshein 2018 {cite}`milakov2018`) is what FlashAttention (Dao et al. 2022
{cite}`dao2022`) is built on: exact attention whose memory grows with $T$, not with
$T^2$.
"""


# %%
def part(q, k, v):
    """Maximum, sum and weighted values over some of the keys."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    top = scores.amax(-1, keepdim=True)
    exponential = (scores - top).exp()
    return top, exponential.sum(-1, keepdim=True), exponential @ v


q, k, v = (torch.randn(50, 8).to(device) for _ in range(3))
(m1, s1, o1), (m2, s2, o2) = part(q, k[:20], v[:20]), part(q, k[20:], v[20:])
m = torch.maximum(m1, m2)
a1, a2 = (m1 - m).exp(), (m2 - m).exp()  # bring both to the same maximum
merged = (a1 * o1 + a2 * o2) / (a1 * s1 + a2 * s2)
print(
    "two parts merged equal the whole:",
    torch.allclose(merged, attention(q, k, v)[0], atol=1e-5),
)

# %% [markdown]
r"""
PyTorch's fused kernel works like this. Is it faster? It saves memory traffic, the more
the longer the sequence; while $T$ is small either may win. And more heads mean more
tables at the same arithmetic. Your machine's answer:
"""


# %% tags=["nbval-ignore-output"]
# Times differ from run to run: this output is not compared.
def seconds(f, q):
    timer = Timer("f(q, q, q)", globals={"f": f, "q": q})
    return timer.blocked_autorange(min_run_time=0.1).median


with torch.no_grad():
    for tokens in (16, 64, 256, 1024):
        q = torch.randn(4, 4, tokens, 32).to(device)
        ratio = seconds(F.scaled_dot_product_attention, q) / seconds(attention, q)
        print(f"T = {tokens:4}: fused ÷ written out {ratio:.2f}")
    one = seconds(attention, torch.randn(4, 1, 128, 256).to(device))
    for heads in (4, 16, 64):
        q = torch.randn(4, heads, 128, 256 // heads).to(device)
        print(f"{heads:2} heads ÷ 1 head, same MACs: {seconds(attention, q) / one:.1f}")

# %% [markdown]
r"""
## Verdicts

| Claim | What the source says | Verdict | Why |
|---|---|---|---|
| S3.1 | Several groups of parameters give several ways to distribute attention, fused at the end | holds | Fusion is a sum over heads, parameters do not grow with $h$. What it buys depends: for random numbers the error is $1 - h/4$ for $h$ heads; for symbols with a network behind, one head suffices. Vaswani et al. 2017 {cite}`vaswani2017`: 24.9 BLEU with 1 head, 25.8 with 8, 25.4 with 32 |
| S3.2 | It resembles multi-scale processing in computer vision | holds with conditions | An analogy: every head is global, none has a scale. Distances emerge where the task asks (ring) and do not on digits; in large models they do with enough data (Raghu et al. 2021 {cite}`raghu2021`) |
"""

# %% [markdown]
r"""
## Summary

- A head gives each token one weighted average. Several heads give several, at the same
  number of parameters and multiplications, though not in the same time.
- Concatenate and multiply by $W^O$: a sum over heads, in any order.
- Shapes prove nothing: two classic bugs keep them all.
- $\sqrt d$ keeps entropy and gradient of the softmax independent of the width, at
  initialization.
- With random numbers $h$ heads explain at most $h$ of four look-ups. With symbols a
  single head can hide two in a code.
- Heads are not scales. They look near or far if training makes it worth while.
- `True` means *keep* in one call and *ignore* in the other; a query without keys gives
  NaN, an average or zeros, depending on who computes it.

Now build it: [Lab 3](../labs/lab_03_multi_head_attention.ipynb) has you write
attention, split and merge heads, load PyTorch's weights, and measure attention
distances, with a check that tells you at once what is right.
"""
