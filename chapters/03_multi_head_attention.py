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
stated, then you **predict**, then you see what a **record** of many runs says, then
there is a **verdict**; and a part of each experiment runs here, for you to change.

**You will**
- compute attention by hand, then with several heads, in four equal ways, and see two
  bugs that keep every shape;
- see what the division by $\sqrt d$ is good for, and where nothing depends on it;
- measure what a number of heads can know, against a theorem, and find where the theorem
  stops to help;
- find out where heads get their distances from, and watch two layers learn a trick that
  no single layer can.

**You need** matrix products, softmax, and a training loop; the layer normalization of
[Chapter 1](01_layer_normalization.ipynb).

**Time** 60 minutes; the code runs in less than a minute on a laptop.

Afterwards you build it all yourself in [Lab
3](../labs/lab_03_multi_head_attention.ipynb).
"""

# %%
import math
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.benchmark import Timer

import labkit
from labkit import about, around, plots, record, seed_everything, summary, train
from labkit.explore import attention_explorer

seed_everything(0)
device = labkit.device()
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
"""


# %% tags=["definition"]
def attention(q, k, v, keep=None):
    """Scaled dot-product attention: output (..., T, d) and weights (..., T, T)."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if keep is not None:  # True: this query may use this key
        scores = scores.masked_fill(~keep, -torch.inf)
    weights = scores.softmax(-1)
    return weights @ v, weights


# %% [markdown]
r"""
**Predict.** One query $[2, 0, 2, 0]$ meets three keys; their values are the numbers 10,
20 and 30. Is the answer nearest to 10, to 20 or to 30?
"""

# %%
q = torch.tensor([[2.0, 0, 2, 0]], device=device)
k = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]], device=device)
v = torch.tensor([[10.0], [20.0], [30.0]], device=device)
output, weights = attention(q, k, v)
print("scores ÷ √4 ", *[f"{s:.0f}" for s in (q @ k.mT / 2)[0].tolist()])
print("weights     ", *[f"{w:.2f}" for w in weights[0].tolist()])
print(f"output       {output.item():.1f}")

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
style = {"arrowstyle": "-|>", "color": plots.GREY, "shrinkA": 0, "shrinkB": 0}
boxes = [(0, 0, 2.6, "x   (T × D)", plots.PAPER)]
arrows = [(0, 5.2, 0, 6.5)]
for x, colour, n in ((-1.7, plots.BLUE, 1), (1.7, plots.RED, 2)):
    boxes += [(x, 1.3, 2.9, f"Q, K, V of head {n}", colour)]
    boxes += [(x, 2.6, 2.9, "weights (T × T)", colour)]
    boxes += [(x, 3.9, 2.9, f"head {n}   (T × d)", colour)]
    arrows += [(x / 3, 0, x, 1.3), (x, 1.3, x, 2.6), (x, 2.6, x, 3.9)]
    arrows += [(x, 3.9, x / 3, 5.2)]
boxes += [(0, 5.2, 4.0, "[head 1, head 2]   (T × D)", plots.PAPER)]
boxes += [(0, 6.5, 4.0, "y = […] W^O   (T × D)", plots.PAPER)]
for x, y, width, label, colour in boxes:
    corner = (x - width / 2, -y - 0.32)
    ax.add_patch(plt.Rectangle(corner, width, 0.64, fc=colour, ec=plots.GREY))
    ink = "white" if colour != plots.PAPER else "#1B222C"
    ax.text(x, -y, label, ha="center", va="center", color=ink)
for x, y, to_x, to_y in arrows:
    ax.annotate("", (to_x, -to_y + 0.34), (x, -y - 0.34), arrowprops=style)
ax.set(xlim=(-3.3, 3.3), ylim=(-6.95, 0.45))
ax.set_axis_off()
plots.show(fig, "2 heads of width D/2: 2 tables of weights, 1 output")

# %% [markdown]
r"""
In code nobody keeps $h$ small matrices. One matrix of shape $(D, D)$ makes all queries,
and a *view* cuts its result into heads.
"""


# %% tags=["definition"]
def split_heads(x, heads):
    """(B, T, D) to (B, h, T, d): head i gets channels i·d to (i + 1)·d."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x):
    """(B, h, T, d) to (B, T, D)."""
    return x.transpose(-3, -2).flatten(-2)


# %% [markdown]
r"""
Four ways to write the same, with the weights of PyTorch's own layer. How far apart are
they?
"""

# %%
B, T, D, h = 2, 5, 12, 3
d = D // h
layer = nn.MultiheadAttention(D, h, bias=False, batch_first=True).to(device)
x = torch.randn(B, T, D).to(device)
W_q, W_k, W_v = (W.T for W in layer.in_proj_weight.detach().chunk(3))  # as x @ W
W_o = layer.out_proj.weight.detach().T
right = layer(x, x, x)[0].detach()

# %%
own = [slice(i * d, (i + 1) * d) for i in range(h)]  # the channels of head i
heads = [attention(x @ W_q[:, c], x @ W_k[:, c], x @ W_v[:, c])[0] for c in own]
q, k, v = (split_heads(x @ W, h) for W in (W_q, W_k, W_v))  # (B, h, T, d) each
fused = F.scaled_dot_product_attention(q, k, v)
ways = {
    "a loop, then concatenate": torch.cat(heads, -1) @ W_o,
    "a sum over heads": sum(o @ W_o[c] for o, c in zip(heads, own, strict=True)),
    "split, attend, merge": merge_heads(attention(q, k, v)[0]) @ W_o,
    "PyTorch's fused kernel": merge_heads(fused) @ W_o,
}

# %%
for name, out in ways.items():
    gap = (out - right).abs().max().item()
    print(f"{name:25} {tuple(out.shape)}  off by {gap:.4f}")

# %% [markdown]
r"""
The second way is the one to remember: *concatenate and multiply* is a **sum**,
$\sum_i \operatorname{head}_i W_i^O$, each head with its own $d$ rows of $W^O$.

Two slips produce the same shape as the right answer, and no error: to split with `view`
alone, without the transposition, and to forget the transposition on the way back.
"""

# %%
cut = [(x @ W).view(B, h, T, d) for W in (W_q, W_k, W_v)]  # no transposition
bugs = {
    "split by view alone": merge_heads(attention(*cut)[0]) @ W_o,
    "merged without transposing": attention(q, k, v)[0].reshape(B, T, D) @ W_o,
}
for name, out in bugs.items():
    gap = (out - right).abs().max().item()
    print(f"{name:27} {tuple(out.shape)}  off by {gap:.2f}")

# %%
number = torch.arange(1, T + 1)[:, None].expand(T, D)  # each token's own number
for name, parts in ("split", split_heads(number, h)), ("view", number.reshape(h, T, d)):
    print(f"{name:5} heads read tokens {[part.unique().tolist() for part in parts]}")

# %% [markdown]
r"""
With `view` alone a "head" is a stretch of the *sequence*, in pieces: no head sees all
tokens any more. Compare with values, never with shapes.

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
for width in (4, 64, 1024):
    q, k = torch.randn(1000, 1, width).to(device), torch.randn(1000, 32, width)
    scores = (q @ k.to(device).mT).squeeze(1).double()
    print(f"d = {width:4}, spread of q·k {scores.std():4.1f}")
    for name, divisor in (("1", 1), ("√d", math.sqrt(width)), ("d", width)):
        p = (scores / divisor).softmax(-1)
        entropy = torch.special.entr(p).sum(-1).mean()
        gradient = (p * (1 - p)).sum(-1).mean()
        print(f"  ÷ {name:2}  entropy {entropy:.2f}  gradient {gradient:.2f}")

# %% [markdown]
r"""
Undivided, a wide head begins as a near-selection with hardly any gradient, before it
has learned *what* to select; divided by $d$ it begins as a plain average. With
$\sqrt d$ the width has no influence. Are the scores of real layers spread by 1, then?
"""

# %%
x = torch.randn(500, 256).to(device)  # tokens of width 256, four heads of width 64
linear = [nn.Linear(256, 256, bias=False).weight for _ in range(2)]
packed = nn.MultiheadAttention(256, 4, bias=False).in_proj_weight.chunk(3)[:2]
unit = [torch.randn(256, 256) / 16 for _ in range(2)]
starts = {"variance 1": unit, "nn.Linear": linear, "nn.MultiheadAttention": packed}
for name, pair in starts.items():
    q, k = (split_heads(x @ W.detach().to(device).T, 4) for W in pair)
    print(f"{name:22} spread of q·k/√d {(q @ k.mT / 8).std().item():.2f}")

# %% [markdown]
r"""
PyTorch's own layers begin *below* 1: their queries and keys have variance 1/3 and 1/2.
The division keeps the spread from growing with $d$; it does not set it to 1.

Does it matter after training? One head is to find entries by their names: eight
entries, each a name of 16 random numbers and four numbers; each query holds a name and
must answer with the numbers. An error of 1 is what a guess of 0 has.
"""


# %% tags=["definition", "hide-input"]
class Directory(nn.Module):
    """One head of width d that finds entries by their names."""

    def __init__(self, d, divide, start):
        super().__init__()
        self.d, self.divide = d, divide
        self.q, self.k = nn.Linear(16, d, bias=False), nn.Linear(16, d, bias=False)
        self.v = nn.Linear(4, 4, bias=False)
        size = {"one": 1, "nn.Linear": 3**-0.5, "small": d**-0.25}[start]
        nn.init.normal_(self.q.weight, std=size / 4)  # a name of 16 numbers of
        nn.init.normal_(self.k.weight, std=size / 4)  # variance 1: q has size², too

    def weights(self, names):  # (B, T, 16) to (B, T, T)
        scores = self.q(names) @ self.k(names).mT
        return (scores / math.sqrt(self.d) if self.divide else scores).softmax(-1)

    def forward(self, names, numbers):  # (B, T, 16) and (B, T, 4) to (B, T, 4)
        return self.weights(names) @ self.v(numbers)


# %% tags=["definition", "hide-input"]
def entries(generator, samples=32):
    """Eight entries each: names (B, 8, 16) and numbers (B, 8, 4)."""
    names = torch.randn(samples, 8, 16, generator=generator)
    return names, torch.randn(samples, 8, 4, generator=generator)


def finding_error(net, names, numbers):
    return (net(names, numbers) - numbers).square().mean()


# %% [markdown]
r"""
**Predict.** Undivided scores, each arm trained at the learning rate that suits it best:
at which width does the error suffer?
"""


# %%
#| name: fig-scale
#| caption: Error, mean and 95 % interval of eight seeds, each arm at its own learning
#|   rate, by width and by how queries and keys start. Begun small, undivided scores
#|   first have the spread of divided ones.
#| alt: At width 8 divided and undivided scores end with the same error. At 64 the
#|   undivided mean lies higher, with a long interval, because one run is stuck. At 256
#|   it lies several times higher than the divided one; begun small it is nearly as low.
runs = record("03_scale")
runs["way"] = runs.divided.map({True: "÷ √d", False: "undivided"})
arm = "d = {d}, {way}, {start}, {steps}"
plots.compare(runs, arm, "error", unit="error", digits=3)

# %%
wide = runs.query("d == 256 and start == 'one' and steps == 400 and seed < 8")
undivided, divided = wide[~wide.divided], wide[wide.divided]
print(f"d = 256: undivided, first entropy {undivided.entropy_start.mean():.1f}")
p = labkit.sign_flip(undivided.error, divided.error)
print(f"undivided against divided, 400 steps: p = {p:.3f}")

# %% [markdown]
r"""
(Converged: the training loss fell by less than 1 % within the last quarter; a run that
nears 0 goes on falling.) At width 8 nothing depends on the division. At 64 seven of
eight undivided runs do as well, and one is stuck. At 256 all eight end several times
higher. Two controls say why. Begun *small*, so that undivided scores have at first the
spread of divided ones, they do nearly as well: it is the saturated start that hurts (an
entropy of 0.1, where even weights have $\ln 8 = 2.1$; the start of `nn.Linear` is not
small enough to help). And four times the training makes up for a good part. So
undivided heads are not unable to learn; the division makes one start and one rate serve
every width.

A part of it, for you to change: the width, the start, the rates, the seeds.
"""

# %%
names, values = entries(torch.Generator().manual_seed(1000), 500)
for divide, recorded in ((True, divided), (False, undivided)):
    make = partial(Directory, 256, divide, "one")
    lr = recorded.lr.iloc[0]
    nets = train(make, entries, finding_error, steps=400, lr=lr, seeds=[0, 1])
    error = (nets(names, values).cpu() - values).square().mean()
    way = "divided" if divide else "undivided"
    print(f"{way:9} error {about(error, *around(recorded.error))}")

# %% [markdown]
r"""
## S3.1 — Several ways to attend, fused at the end

**Claim.** Several groups of learnable parameters give several ways to distribute
attention; at the end they are fused.

As a description it is true. What does it *buy*? Here is a task with a theorem. Twelve
tokens stand in a ring, each carries 4 random numbers, independent, with mean 0 and
variance 1. Every token must report the numbers of four others: 4 and 1 places to the
left, 1 and 4 places to the right. Queries and keys come from the positions only, values
from the numbers; then $W^O$, and nothing else.

A head gives a token one weighted sum of the twelve. $h$ heads give $h$ sums, which span
at most $h$ directions in the space of the twelve tokens; the four wanted tokens are
four orthogonal directions of length 1. The lengths of four orthogonal directions,
projected on $h$ dimensions and squared, sum to at most $h$. So of the variance at most
the share $h/4$ can be explained:

$$
\text{mean squared error} \;\ge\; 1 - \frac{h}{4} \qquad (h \le 4).
$$
"""


# %% tags=["definition"]
class LookUp(nn.Module):
    """Attention over a ring of 12 tokens: queries and keys from positions alone."""

    def __init__(self, heads, width, outputs=16, hidden=0):
        super().__init__()
        self.heads = heads
        self.position = nn.Parameter(torch.randn(12, 16))
        self.qk = nn.Linear(16, 2 * heads * width, bias=False)
        self.v = nn.Linear(4, 16, bias=False)
        self.proj = nn.Linear(16, outputs, bias=False)
        if hidden:  # a network after attention
            fc1, fc2 = nn.Linear(16, hidden), nn.Linear(hidden, outputs)
            self.proj = nn.Sequential(fc1, nn.ReLU(), fc2)

    def weights(self):  # (h, 12, 12)
        q, k = (split_heads(x, self.heads) for x in self.qk(self.position).chunk(2, -1))
        return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)

    def forward(self, x):  # (B, 12, 4) to (B, 12, outputs)
        return self.proj(
            merge_heads(self.weights() @ split_heads(self.v(x), self.heads))
        )


# %% tags=["definition", "hide-input"]
def wanted(x, offsets=(-4, -1, 1, 4)):
    """What every token must report: (..., 12, 4) to (..., 12, 4 · offsets)."""
    return torch.cat([x.roll(-offset, -2) for offset in offsets], -1)


def numbers(generator):
    return (torch.randn(32, 12, 4, generator=generator),)


def squared_error(net, x):
    return (net(x) - wanted(x)).square().mean()


def exact_error(runs):
    """(R,) the error expected for numbers of variance 1: the nets are linear."""
    unit = torch.eye(48).view(48, 12, 4)
    return 48 * (runs(unit).cpu() - wanted(unit)).square().mean((1, 2, 3))


# %% [markdown]
r"""
**Predict.** The same number of parameters each time: 1 head of width 16, 2 of width 8,
4 of width 4, 8 of width 2, 16 of width 1. Which errors? The theorem allows 0 from four
heads on.
"""

# %%
#| name: fig-heads-error
#| caption: Error after training, mean and 95 % interval of eight seeds, each arm at its
#|   own learning rate, by the number of heads and the width d of queries and keys. Grey
#|   lines, the least that the theorem allows.
#| alt: One head lies at 0.75, whether 16 or 64 wide, and two heads at 0.50, each on the
#|   theorem's line. Four heads of width 4 lie at 0, of width 2 near it, of width 1 at
#|   0.6. Eight heads of width 2 lie near 0. Sixteen heads of width 1 lie at 0.6, far
#|   above their line, and at width 2 near 0.
runs = record("03_heads")
least = [max(0, 1 - heads / 4) for heads in (1, 1, 2, 4, 4, 4, 8, 16, 16, 16)]
arm = "h = {heads}, d = {width}, {steps} steps"
plots.compare(runs, arm, "error", unit="mean squared error", digits=3, lines=least)

# %% [markdown]
r"""
Up to four heads theory and measurement agree, and four times the width does not help
one head (0.75 again). Eight heads of width 2 reach 0 or come close. Yet sixteen heads,
one number wide, are *worse than two*, at any rate that was tried, and four times the
training does not mend it.

The reason stands in one line. With $d = 1$ the score is $q_i k_j$, a product of two
numbers: whatever the query, the heaviest key is the largest or the smallest. No place
in between can be looked up. With $d = 2$ keys can stand on a *circle*, and each of the
twelve places is the farthest in some direction: four heads whose queries and keys alone
are two wide are enough. This is the low-rank bottleneck of Bhojanapalli et al. 2020
{cite}`bhojanapalli2020`: $D/h$ may become too small for the tables a task needs. How
small is too small depends on the task; here it is 1.

Run a part of it yourself. Other seeds, rates and budgets are welcome.
"""

# %%
nets = {}
for heads in (2, 4, 16):
    make = partial(LookUp, heads, 16 // heads)
    runs = train(make, numbers, squared_error, steps=800, lr=0.03, seeds=range(3))
    nets[heads] = runs.nets
    digits = 2 if heads < 16 else 1
    print(f"h = {heads:2}: errors", *[f"{e:.{digits}f}" for e in exact_error(runs)])

# %% [markdown]
r"""
Vaswani et al. 2017 {cite}`vaswani2017` (§3.2.2) put the first half in one sentence:
with a single head, averaging inhibits attending to several things at once. Their table
has the second half too (Table 3A, translation, equal cost; more BLEU is better): 1 head
24.9, 4 heads 25.5, 8 and 16 heads 25.8, and 32 heads, each 16 wide, 25.4 again.
"""

# %% [markdown]
r"""
### The experiment that backfires

Now almost the same task: two neighbours instead of four, and instead of four random
numbers each token carries one of four *symbols*. After attention stands a small
network, as in every Transformer block.
"""


# %% tags=["definition", "hide-input"]
NEAR = (-1, 1)


def symbols(generator, samples=32):
    x = torch.randint(4, (samples, 12), generator=generator)
    return (F.one_hot(x, 4).float(),)


def naming_error(net, x):
    return F.cross_entropy(net(x).reshape(-1, 4), wanted(x, NEAR).reshape(-1, 4))


def named(net, x):
    """Share of the neighbours that are named rightly."""
    said = net(x).reshape(-1, 4).argmax(-1)
    return (said == wanted(x, NEAR).reshape(-1, 4).argmax(-1)).float().mean()


def near_error(net, x):
    return (net(x) - wanted(x, NEAR)).square().mean()


# %% [markdown]
r"""
**Predict.** One head, two neighbours: which share of the answers is right? To know one
neighbour and guess the other gives $(1 + 1/4)/2 = 62.5\,\%$. And of two random numbers
one head leaves, by the theorem, an error of $1 - 1/2$: can the network mend that?
"""

# %%
columns = {"first": "largest weight", "second": "second weight"}
runs = record("03_symbols").rename(columns=columns | {"missed": "wrong (or error)"})
runs["behind"] = runs.hidden.map({0: "W^O only", 64: "network"})
arm = "{carries}, h = {heads}, {behind}"
print(summary(runs, arm, "wrong (or error)", *columns.values(), digits=3))

# %% [markdown]
r"""
With symbols and a network, **one head is enough**. Look at what it learned: not equal
weights but unequal ones. A mixture of two symbols with unequal weights is a *code*:
0.7 A + 0.3 B and 0.7 B + 0.3 A are different points, and a network can tell them apart.
Without the network the code cannot be read, and one head stays at the guess of 62.5 %
(37.5 % wrong), which two heads need not. Random numbers allow no code: for them the
same network stays at the bound, $1 - 1/2$.

So the theorem is about numbers, and "one head cannot look at two places" is false for
tokens from a finite set with a network behind. What several heads save is that code.

### Fused: a sum over heads

The heads are added up, so their order means nothing. And cutting $D$ into more heads
costs no parameter and no multiplication: $W^Q, W^K, W^V, W^O$ keep their sizes.
"""

# %%
x = torch.randn(B, T, D).to(device)
pick = torch.arange(D).view(h, d).flip(0).flatten()  # the last head first
q, k, v = (split_heads(x @ W[:, pick], h) for W in (W_q, W_k, W_v))
out = merge_heads(attention(q, k, v)[0]) @ W_o[pick]
gap = (out - layer(x, x, x)[0]).abs().max().item()
print(f"heads in reverse order: the output changes by {gap:.4f}")
for heads in (1, 8, 64):
    size = sum(w.numel() for w in nn.MultiheadAttention(256, heads).parameters())
    print(f"D = 256, h = {heads:2}: {size:,} parameters")

# %% [markdown]
r"""
Time is another matter: more heads mean more $T \times T$ tables to write and to read
back. It is measured below, with the other times.

**Verdict on S3.1: holds.** It describes what happens, and can be made precise: fusion
is a sum, $\sum_i \operatorname{head}_i W_i^O$, and each head reads the whole token, not
a slice of it. What the claim leaves open is what this buys: look-ups, not parameters.
Where a code can do their work several heads may not be needed, and where heads become
too narrow to find their place, more of them are worse.
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
base = torch.randn(1, 21, 16).to(device)
changed = base.clone()
changed[0, 10] += 1
W = torch.randn(3, 4, 16, 4).to(device) / 4  # query, key, value of four heads
layers = {
    f"convolution of size {size}": nn.Conv1d(16, 4, size, padding="same").to(device)
    for size in (1, 3, 7)
}

# %%
calls = {name: lambda x, f=f: f(x.mT).mT for name, f in layers.items()}
calls["four heads"] = lambda x: attention(x @ W[0], x @ W[1], x @ W[2])[0]
for name, call in calls.items():
    moved = (call(base) - call(changed)).abs().amax((0, 2)) > 1e-4
    reach = (moved.cpu().nonzero() - 10).abs().max()
    print(f"{name:21} reaches {reach} tokens")

# %% [markdown]
r"""
Every head sees everything, from the first layer on. No head has a scale, and since
heads are exchangeable, no head is *meant* for one. But a head may **learn** to look
near or far. Do the four heads of the ring, which had to fetch from 1 and 4 places away?
Which offset does most of a head's queries find heaviest?
"""

# %%
for seed, net in enumerate(nets[4]):
    heaviest = net.weights().detach().cpu().argmax(-1)  # (4 heads, 12 queries)
    offset = (heaviest - torch.arange(12) + 6) % 12 - 6  # key minus query
    print(f"seed {seed}: the heads look at", sorted(offset.mode(1).values.tolist()))

# %% [markdown]
r"""
In most runs each head takes an offset of its own; nobody told them which, and which
head takes which is chance. It need not be so: an error of 0 asks only that the four
mixtures *span* the four offsets, since $W^O$ can take mixtures apart. In some runs two
heads mix the same two (then one of these shows twice). **The distances come from the
task.**

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
    key = torch.cat([place, place.square().sum(1, keepdim=True)], 1)
    shifted = 2 * (place + torch.tensor([down, right]))
    query = alpha * torch.cat([shifted, -torch.ones_like(place[:, :1])], 1)
    return (query @ key.T).softmax(-1)


# %% tags=["hide-input"]
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
pixels, two layers of four heads. (Chapter 4 explains it.)
"""


# %% tags=["definition", "hide-input"]
class Block(nn.Module):
    """One pre-norm block of the Transformer."""

    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def split(self, x):  # (B, T, D) to q, k, v, each (B, h, T, d)
        return [split_heads(part, self.heads) for part in self.qkv(x).chunk(3, -1)]

    def attention(self, x):
        return self.proj(merge_heads(attention(*self.split(x))[0]))

    def mlp(self, x):
        return self.fc2(F.gelu(self.fc1(x)))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


# %% tags=["definition", "hide-input"]
class TinyViT(nn.Module):
    """Digits (B, 8, 8) to scores (B, 10): 16 patches, two blocks, mean, head."""

    def __init__(self, start):
        super().__init__()
        self.patch_embed, self.head = nn.Linear(4, 32), nn.Linear(32, 10)
        self.position = nn.Parameter(start * torch.randn(16, 32))
        self.blocks = nn.Sequential(Block(32, 4, 64), Block(32, 4, 64))
        self.norm = nn.LayerNorm(32)

    def embed(self, x):
        x = x.unflatten(1, (4, 2)).unflatten(3, (4, 2)).transpose(2, 3)  # 4 × 4 × 2 × 2
        return self.patch_embed(x.flatten(3).flatten(1, 2)) + self.position

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.embed(x))).mean(1))


# %% [markdown]
r"""
A mean distance alone can mislead: a head that looks at one near and one far patch has
the distance of a head that looks at all alike. So three measures together: the mean
distance, the entropy of the weights, and the largest weight of a query.
"""


# %% tags=["definition", "hide-input"]
place = torch.arange(12)
OFFSET = (place - place[:, None] + 6) % 12 - 6  # on the ring, key minus query
RING = OFFSET.abs().float()
patch = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
PATCH = torch.cdist(patch, patch)


def tables(blocks, x, keep=None):
    """Every head's weights, (B, L, h, T, T), for the tokens x (B, T, D)."""
    found = []
    for block in blocks:
        found.append(attention(*block.split(block.norm1(x)), keep)[1])
        x = block(x)
    return torch.stack(found, 1)


def portrait(weights, apart):
    """Distance ÷ that of even weights, entropy ÷ its maximum, largest weight."""
    distance = (weights * apart).sum(-1).mean(-1) / apart.mean()
    entropy = torch.special.entr(weights).sum(-1).mean(-1) / math.log(weights.shape[-1])
    return torch.stack([distance, entropy, weights.amax(-1).mean(-1)])


# %% [markdown]
r"""
**Predict.** Will some heads on digits become local and others global? Will they be
sharp or blurred?
"""

# %%
far = record("03_distance").query("seed < 8")
groups = {}
for (task, start, steps), rows in far.groupby(["task", "start", "steps"]):
    for level in (1, 2)[: 2 - (task == "ring")]:
        distance, entropy, largest = groups[task, start, steps, level] = [
            rows[[f"{name}_{level}{head}" for head in range(1, 5)]].values.astype(float)
            for name in ("distance", "entropy", "largest")
        ]
        print(
            f"{task:6} {start:4} {steps:4} steps, layer {level}: distance ÷ even "
            f"{distance.min():.2f} to {distance.max():.2f}, entropy ÷ even "
            f"{entropy.mean():.2f}, largest weight {largest.mean():.2f}"
        )
    if task == "digits":
        done = f"{rows.converged.sum()} of {len(rows)} converged"
        print(f"{'':6} right on test images: {1 - rows.missed.mean():.1%}, {done}")

# %% tags=["hide-input"]
#| name: fig-distance
#| caption: Every head of eight runs: how far it looks, as a share of what even weights
#|   give (dashed line), and how sharply. Positions on digits start at 0.7.
#| alt: Heads of the ring stand in two groups, near a third and near four thirds of the
#|   even distance, with largest weights near one. Heads on digits crowd around the even
#|   distance, with largest weights between a half and one; untrained heads lie there
#|   too, at a tenth.
fig, ax = plt.subplots(figsize=(5, 3.4))
for (task, start, steps, level), mark, colour, label in (
    (("ring", 1, 800, 1), "o", plots.BLUE, "ring"),
    (("digits", 0.7, 500, 1), "^", plots.RED, "digits, layer 1"),
    (("digits", 0.7, 500, 2), "v", plots.PURPLE, "digits, layer 2"),
    (("digits", 0.7, 1, 1), ".", plots.GREY, "digits, untrained"),
):
    distance, _, largest = groups[task, start, steps, level]
    points = distance.ravel(), largest.ravel()
    ax.plot(*points, mark, ms=5, alpha=0.6, color=colour, label=label)
ax.axvline(1, color=plots.GREY, linestyle="--", linewidth=1)
ax.set(xlim=(0, 1.6), ylim=(0, 1.05), xlabel="distance ÷ distance of even weights")
ax.set_ylabel("largest weight, mean")
ax.legend(loc="lower left")
distances = [groups[key][0] for key in (("ring", 1, 800, 1), ("digits", 0.7, 500, 1))]
near = [(abs(distance - 1) < 0.25).sum() for distance in distances]
text = f"{near[0]} of 32 heads on the ring, {near[1]} of 32 in layer 1 on digits"
plots.show(fig, f"within 25 % of the even distance: {text}")

# %% [markdown]
r"""
On the ring, where it is needed, the measures find what we know: heads near a third and
near four thirds of the even distance, which are the offsets 1 and 4, and sharp. On
digits no head is local: after 500 steps as after 1,500, from positions begun small or
large, every one lies within a quarter of the even distance. That is *not* because they
look at everything alike, as the untrained ones do. Where the network is good their
largest weight is far above the 1/16 of even weights: they pick single patches, wherever
in the image these lie. A distance alone does not tell the two apart.

Such small images say nothing about large ones, so here is what the literature reports.
In the Vision Transformer, some heads attend to most of the image already in the lowest
layers, while others keep small distances; its authors call the attention distance
analogous to the size of a receptive field (Dosovitskiy et al. 2021
{cite}`dosovitskiy2021`). Raghu et al. 2021 {cite}`raghu2021` study the mixture, and
what it needs: how much data a network was trained on.

**Verdict on S3.2: holds with conditions.** An analogy, not the mechanism. Nothing gives
a head a scale; every head is global from the first layer on. Distances emerge where the
task asks for them, as on the ring, and do not where it doesn't, as on digits. Closer
relatives are the parallel filters of one convolution layer.
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

**Predict.** Give both the same lower triangle of `True`, "the past and itself". Change
the last token: by how much do the outputs of the *earlier* ones change?
"""

# %%
keep = torch.ones(T, T, device=device).tril().bool()  # True: may attend


def fused(x, mask):
    q, k, v = (split_heads(x @ W, h) for W in (W_q, W_k, W_v))
    return merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)) @ W_o


def in_pytorch(x, mask):
    return layer(x, x, x, attn_mask=mask, need_weights=False)[0]


# %%
x = torch.randn(B, T, D).to(device)
late = x.clone()
late[:, -1] += 1
for name, call, mask in (
    ("fused, keep", fused, keep),
    ("fused, keep.float() added", fused, keep.float()),
    ("nn.MultiheadAttention, keep", in_pytorch, keep),
    ("nn.MultiheadAttention, ~keep", in_pytorch, ~keep),
):
    leak = (call(x, mask) - call(late, mask))[:, :-1].abs().max().item()
    print(f"{name:29} the past changes by {leak:.2f}")

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
out = F.scaled_dot_product_attention(q, k, v, attn_mask=nothing)
print("softmax of -inf everywhere:", lonely.softmax(-1)[0].tolist())
print("softmax of -1e9 everywhere:", lonely.clamp(min=-1e9).softmax(-1)[0].tolist())
print("output of fused attention: ", out.flatten().tolist())

# %% [markdown]
r"""
Three answers to one question: NaN, which spreads through the whole network; an even
average over exactly the keys that were forbidden; zeros. Lab 3 asks for zeros.

## What it costs

Scores and their use take $2 T^2 D$ multiply–accumulates, whatever $h$. Written out, the
tables themselves have to be stored: $h\,T^2$ numbers.
"""

# %%
for tokens, name in (197, "224 pixels"), (1025, "512 pixels"), (50177, "no patches"):
    size = 12 * tokens**2 * 4 / 1e6  # ViT-B/16: 12 heads; four bytes a number
    print(f"T = {tokens:6} ({name}): {size:7,.0f} MB for one image and one layer")

# %% [markdown]
r"""
Must the table exist? The softmax of a row needs the row's maximum and sum, and both can
be kept *while* the keys go by. This *online softmax* (Milakov and Gimelshein 2018
{cite}`milakov2018`), which Lab 3 has you write, is what FlashAttention (Dao et al. 2022
{cite}`dao2022`) and PyTorch's fused kernel are built on: exact attention whose memory
grows with $T$, not with $T^2$. Is it faster? And what do more heads cost, more tables
at the same arithmetic? Your machine's answer:
"""


# %% tags=["nbval-ignore-output"]
# Times differ from run to run: this output is not compared.
def seconds(f, q):
    timer = Timer("f(q, q, q)", globals={"f": f, "q": q})
    return timer.blocked_autorange(min_run_time=0.1).median


for tokens in (16, 256, 1024):
    q = torch.randn(4, 4, tokens, 32).to(device)
    ratio = seconds(F.scaled_dot_product_attention, q) / seconds(attention, q)
    print(f"T = {tokens:4}: fused ÷ written out {ratio:.2f}")
one = seconds(attention, torch.randn(4, 1, 128, 256).to(device))
for heads in (4, 64):
    q = torch.randn(4, heads, 128, 256 // heads).to(device)
    print(f"{heads:2} heads ÷ 1 head, same MACs: {seconds(attention, q) / one:.1f}")

# %% [markdown]
r"""
## Go deeper

### Two circuits, and a head that needs a second layer

A head does two things, and two products of its matrices decide them. How much token $i$
looks at token $j$ depends on $x_i\, W^Q W^{K\top} x_j^\top$ only, and what it brings
from there is $x_j\, W^V W^O$: the *QK circuit* and the *OV circuit* (Elhage et al. 2021
{cite}`elhage2021`), two $D \times D$ matrices of rank $d$. Queries and keys have no
meaning of their own: turn both by the same matrix and nothing changes.
"""

# %%
c, turn = own[0], torch.linalg.qr(torch.randn(d, d))[0].to(device)
circuit = W_q[:, c] @ W_k[:, c].T
turned = (W_q[:, c] @ turn) @ (W_k[:, c] @ turn).T
gap = (circuit - turned).abs().max().item()
print(f"QK circuit {tuple(circuit.shape)} of rank {torch.linalg.matrix_rank(circuit)}")
print(f"queries and keys turned alike: it changes by {gap:.4f}")

# %% [markdown]
r"""
Circuits of different layers can work together. In the text "… A B … A" a model should
say B. For that a head must look at the token *behind* an earlier copy of the present
one. A key made from that token alone does not know what stood before it; but a head of
an earlier layer can have written it there. Such a pair, a *previous-token head* and an
*induction head*, is what Olsson et al. 2022 {cite}`olsson2022` find in language models.

Here a block of 6 to 12 random symbols is repeated, its length new each time, so that
nothing can be learned by heart or copied from a fixed distance. Attention alone, no
feed-forward network.
"""


# %% tags=["definition"]
class Causal(nn.Module):
    """Attention to the past, nothing else; `shared` heads use the same keys, values."""

    def __init__(self, dim, heads, shared=1):
        super().__init__()
        self.heads, self.shared = heads, shared
        self.sizes = [dim, dim // shared, dim // shared]
        self.norm1 = nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, sum(self.sizes)), nn.Linear(dim, dim)

    def split(self, x):  # (B, T, D) to q, k, v, each (B, h, T, d)
        q, *kv = self.qkv(x).split(self.sizes, -1)
        kv = [split_heads(part, self.heads // self.shared) for part in kv]
        kv = [part.repeat_interleave(self.shared, -3) for part in kv]
        return split_heads(q, self.heads), *kv

    def forward(self, x):
        out, _ = attention(*self.split(self.norm1(x)), keep=past(x.shape[-2]))
        return x + self.proj(merge_heads(out))


def past(T):
    return torch.ones(T, T, dtype=torch.bool, device=device).tril()


# %% tags=["definition", "hide-input"]
class Language(nn.Module):
    """Tokens (B, 24) to scores (B, 24, 16) of the next one."""

    def __init__(self, layers, heads=2, shared=1, dim=32):
        super().__init__()
        self.embed = nn.Embedding(16, dim)
        self.position = nn.Parameter(torch.randn(24, dim))
        self.blocks = nn.Sequential(
            *(Causal(dim, heads, shared) for _ in range(layers))
        )
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 16)

    def forward(self, tokens):
        x = self.embed(tokens) + self.position
        return self.head(self.norm(self.blocks(x)))


# %% tags=["definition", "hide-input"]
def repeats(generator, samples=16):
    """A random block of 6 to 12 symbols, repeated: (B, 25), and where it is (B, 24)."""
    period = torch.randint(6, 13, (samples, 1), generator=generator)
    block = torch.randint(16, (samples, 12), generator=generator)
    return block.gather(1, torch.arange(25) % period), torch.arange(24) >= period


def next_error(net, tokens, again):
    """Cross-entropy of the next token where the block has begun again."""
    scores = net(tokens[..., :-1])
    error = F.cross_entropy(scores.mT, tokens[..., 1:], reduction="none")
    return (error * again).sum() / again.sum()


def looks(weights, tokens, again):
    """Mean weights (3, L, h): one back, behind an earlier copy, on the first ÷ even."""
    x = tokens[:, :-1]  # weights (B, L, h, 24, 24)
    copies = (x[:, :, None] == x[:, None]).tril(-1).roll(1, -1)  # then the next token
    prefix = (weights * copies[:, None, None]).sum(-1)
    new = ~again & (torch.arange(24, device=x.device) > 3)
    even = 1 / torch.arange(1, 25, device=x.device)
    return torch.stack(
        [
            weights.diagonal(-1, -2, -1).mean((0, 3)),
            (prefix * again[:, None, None]).sum((0, 3)) / again.sum(),
            (weights[..., 0] * new[:, None, None]).sum((0, 3)) / (even * new).sum(),
        ]
    )


# %% [markdown]
r"""
**Predict.** Two layers, or one layer of more width and more training: which of them
learns to go on?
"""

# %%
columns = {"previous": "weight on previous", "prefix": "weight behind a copy"}
runs = record("03_induction").rename(columns=columns)
arm = "L = {layers}, h = {heads}, D = {dim}, {steps} steps"
print(summary(runs.query("heads == 2"), arm, "loss", *columns.values()))

# %% tags=["hide-input"]
#| name: fig-induction
#| caption: Above, the loss where the block has begun again, for one layer and two (two
#|   heads each; mean and range of eight seeds). Below, what the heads of the two layers
#|   look at.
#| alt: The loss of one layer sinks slowly and stays near 2. That of two layers falls
#|   steeply within about fifty steps. In the same steps the weight of a first-layer
#|   head on the previous token and of a second-layer head behind an earlier copy rise.
COURSE = (25, 50, 75, 100, 125, 150, 200, 300, 450, 600)
alike = runs.query("heads == 2 and dim == 32 and steps == 600 and seed < 8")
one, two = (alike[alike.layers == layers] for layers in (1, 2))
fig, axes = plt.subplots(2, 1, figsize=(5, 4.4), sharex=True)
for ax, rows, name, label, colour in (
    (axes[0], one, "loss", "one layer", plots.RED),
    (axes[0], two, "loss", "two layers", plots.BLUE),
    (axes[1], two, "previous", "layer 1: previous token", plots.GREEN),
    (axes[1], two, "prefix", "layer 2: behind a copy", plots.PURPLE),
):
    curves = rows[[f"{name}_at_{step}" for step in COURSE]].T
    plots.band(ax, COURSE, curves, color=colour, label=label)
    ax.legend()
axes[0].set(ylim=(0, 3), ylabel="loss, nats")
axes[1].set(xlim=(0, 610), ylim=(0, 1), xlabel="step", ylabel="mean weight")
fell = [two[f"loss_at_{step}"].mean() for step in (50, 150)]
text = f"loss of two layers: {fell[0]:.1f} at step 50, {fell[1]:.1f} at step 150"
plots.show(fig, text)

# %% [markdown]
r"""
One layer never learns it, whether wider or trained three times as long; two layers do
at every seed, and the loss falls *while* the two heads form. That is at its own
learning rate: at 0.03, which is too large, some runs with four heads were without an
induction head after 600 steps. (To 0 the loss cannot fall: a symbol may stand twice in
a block, and then one symbol does not tell where it goes on.)

See it happen; other seeds are welcome, and one layer may have more of everything.
"""

# %%
fresh = [part.to(device) for part in repeats(torch.Generator().manual_seed(1000), 250)]
options = {"steps": 600, "lr": 0.01, "seeds": [0], "warmup": 0.05}
for layers, recorded in ((2, two), (1, one)):
    net = train(partial(Language, layers), repeats, next_error, **options).nets[0]
    with torch.no_grad():
        loss = next_error(net, *fresh)
    print(f"L = {layers}: loss", about(loss, *around(recorded.loss)))

# %% [markdown]
r"""
### Fewer keys and values

When text is generated a token at a time, the keys and values of all earlier tokens are
kept. This *KV cache*, not the arithmetic, is what fills the memory; so heads are made
to share them: one set for all (multi-query attention, Shazeer 2019
{cite}`shazeer2019`) or for each group (grouped-query attention, Ainslie et al. 2023
{cite}`ainslie2023`). A model of 32 layers, 32 heads of width 128 and 131,072 tokens
keeps:
"""

# %%
layers, heads, width, tokens = 32, 32, 128, 131_072
for shared, name in ((1, "keys for every head"), (4, "for four"), (32, "for all 32")):
    kept = 2 * layers * heads // shared * width * tokens  # numbers: keys and values
    print(f"{name:19} {2 * kept / 2**30:4.0f} GiB at two bytes a number")

# %%
four = runs[runs.heads == 4]
arm = "one key for {shared} of 4 heads, D = {dim}, {parameters:,} parameters"
print(summary(four, arm, "loss"))
wide = four.query("dim == 32 and seed < 8")
own = wide[wide.shared == 1].loss
for n in (2, 4):
    p = labkit.sign_flip(own, wide[wide.shared == n].loss)
    print(f"a key for every head against one for {n}: p = {p:.3f}")

# %% [markdown]
r"""
Shared by two or by all four heads, keys and values cost a few hundredths of a nat here,
where the second layer gained more than one, and half or three quarters of the cache is
saved. There are also fewer parameters, so this does not say what the sharing alone
costs; but a network that is smaller still, narrow instead, loses more. (Most of these
runs had not converged.)
"""

# %% [markdown]
r"""
### Positions by rotation

Where do positions come from, if not added to the tokens? *RoPE* (Su et al. 2021
{cite}`su2021`) turns the numbers of each query and key, pair by pair, by an angle that
grows with the position. The product of two turned vectors depends on the difference of
the angles only: on the *distance*, not on the place.
"""


# %% tags=["hide-input"]
def rotated(x, places):
    """Turn each pair of channels of x (T, d) by place × its frequency."""
    frequency = 10_000 ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    angle = (places[:, None] * frequency).to(x.device)  # (T, d/2)
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()
    return torch.stack(turned, -1).flatten(-2)


# %%
q, k = torch.randn(2, 6, 8).to(device)
here, later = (
    rotated(q, places) @ rotated(k, places).mT
    for places in (torch.arange(6), torch.arange(6) + 100)
)
print(f"all places moved by 100: scores change by {(here - later).abs().max():.3f}")
print(f"not turned at all: they change by {(here - q @ k.mT).abs().max():.1f}")

# %% [markdown]
r"""
### Nothing to say: the first token as a sink

The softmax has to share out a weight of 1 even where a head finds nothing. Xiao et al.
2023 {cite}`xiao2023` describe language models that then put it on the first tokens,
*attention sinks*, and break when these are dropped from the cache. Our induction head
is in that place as long as the block is new. How much does it give the first token
then, as a multiple of the even weight?
"""

# %%
mean, low, high = labkit.interval(two["first"])
print(f"first token: {mean:.2f} [{low:.2f}, {high:.2f}] of the even weight")

# %% [markdown]
r"""
Less than even weights would: this network does not show a sink.

### Pruning

Not all heads of a trained model are needed: Voita et al. 2019 {cite}`voita2019` remove
38 of 48 encoder heads of a translation model (English to Russian) and lose 0.15 BLEU;
Michel et al. 2019 {cite}`michel2019` ask in their title whether sixteen heads are
really better than one.
"""

# %% [markdown]
r"""
## Verdicts

| Claim | What the source says | Verdict | Why | Varied | Overturned by |
|---|---|---|---|---|---|
| S3.1 | Several groups of parameters give several ways to distribute attention, fused at the end | holds | Fusion is a sum over heads, each of which reads the whole token; parameters do not grow with $h$. What it buys depends: of random numbers $h$ heads look up $h$, to the theorem's bound, until heads become too narrow to find their place (Bhojanapalli et al. 2020 {cite}`bhojanapalli2020`); of symbols, with a network behind, one head finds two | 1 to 16 heads at equal parameters, the width of queries and keys alone, three or more rates an arm, steps × 4, eight seeds; control: one head four times as wide stays at 0.75 | One head that reports two independent numbers with an error below 1/2; heads fused otherwise than by a sum |
| S3.2 | It resembles multi-scale processing in computer vision | holds with conditions | An analogy: every head reaches every token, and none has a scale. Distances come from the task: near and far on the ring, near the even distance on digits, though sharp; in large images they depend on the data (Raghu et al. 2021 {cite}`raghu2021`) | the start of the positions, three or more rates, steps × 3, untrained networks, eight seeds, three measures; control: the ring, where local heads are needed and are found | Heads that are local before training, or that share out distances where the task does not ask for them |
"""

# %% [markdown]
r"""
## Summary

- A head gives each token one weighted average. Several heads give several, at the same
  number of parameters and multiplications, though not in the same time.
- Concatenate and multiply by $W^O$: a sum over heads, in any order.
- Shapes prove nothing: two classic bugs keep them all.
- $\sqrt d$ keeps the spread of the scores from growing with the width of a head. Wide
  heads gain by it; narrow ones do as well without.
- Of random numbers $h$ heads look up at most $h$, if they are wide enough to find their
  places. Of symbols a single head can hide two in a code.
- Heads are not scales. They look near or far if training makes it worth while.
- `True` means *keep* in one call and *ignore* in the other; a query without keys gives
  NaN, an average or zeros, depending on who computes it.
- An induction head needs the layer below it: heads work together across layers.

Now build it: [Lab 3](../labs/lab_03_multi_head_attention.ipynb) has you write
attention, split and merge heads, load PyTorch's weights, and measure attention
distances, with a check that tells you at once what is right.
"""
