# %% [markdown]
r"""
# Transform each token: what the feed-forward network adds

In a Transformer block the tokens first look at each other. Then something plainer
happens: every token passes, alone, through the same small network of two linear layers
with one bent function between them. Most explanations give it two lines. It has two
thirds of the block's weights.

The note that this course follows says three things about it: that it provides the
non-linearity (S2.1), that it costs little (S2.2), and that it can run in parallel with
self-attention (S2.3). Each claim is stated, then you **predict**, then comes the
result, then a **verdict**.

What had to be trained often was trained before: every arm of a comparison at three
learning rates or more, then with eight seeds at the rate that did best. The chapter
reads these *records*: a mean, its 95 % interval, the rate, and how many runs had
*converged* (the loss fell by less than 1 % within the last quarter; one on its way to 0
seldom does). A short cell after the main ones trains one such network, for you to
change.

**You will**
- see what two linear layers cannot do, and what one bend between them changes;
- find two other places in a block where non-linearity hides;
- count weights and multiplications, and find the number of tokens from which attention
  costs more;
- tell what in a block can run side by side and what has to wait.

**You need** matrix products, PyTorch modules, and the layer normalization of [Chapter
1](01_layer_normalization.ipynb).

**Time** 50 minutes; the code runs in less than a minute on a laptop.

Afterwards you build it all yourself in [Lab 2](../labs/lab_02_feed_forward.ipynb).
"""

# %%
import math
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import labkit
from labkit import better, explore, plots, record, seed_everything, summary, train

seed_everything(0)
device = labkit.device()
torch.set_num_threads(1)  # tensors this small: two threads would wait for each other

# %% [markdown]
r"""
## One token, two linear maps

A token is a row vector $x$ of width $D$. The feed-forward network widens it to $H$
numbers, bends each of them, and narrows the result to $D$ again:

```{math}
:label: eq-feed-forward
\operatorname{FFN}(x) = \varphi(x W_1 + b_1)\, W_2 + b_2,
\qquad W_1 \in \mathbb{R}^{D \times H},\quad W_2 \in \mathbb{R}^{H \times D} .
```

$\varphi$ is the *activation*, applied to each of the $H$ numbers. The first Transformer
has $D = 512$, $H = 2048$ and $\varphi = \operatorname{ReLU}$, $\max(0, x)$ (Vaswani et
al. 2017 {cite}`vaswani2017`); the Vision Transformer ViT-B has 768, 3072 and GELU
(Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`). $H = 4D$ in both. (`nn.Linear` stores
the transposes, $W_1^\top$ and $W_2^\top$.)
"""


# %% tags=["definition"]
class FeedForward(nn.Module):
    """Widen each token, bend, narrow: x (..., inputs) to (..., outputs)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, activation=F.gelu):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        self.activation = activation

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.fc1(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.hidden(x))


# %% [markdown]
r"""
**Predict.** Take the bend out: two linear maps in a row, 16 → 64 → 16. How many
parameters does it have, and how many would do the same?
"""


# %% tags=["definition"]
def no_activation(x: torch.Tensor) -> torch.Tensor:
    return x


# %%
net = FeedForward(16, 64, 16, no_activation).to(device)
x = torch.randn(4, 8, 16).to(device)  # (B, T, D)
weight = net.fc1.weight.T @ net.fc2.weight.T  # (16, 16)
bias = net.fc1.bias @ net.fc2.weight.T + net.fc2.bias  # (16,)

print("parameters of the two layers:", sum(p.numel() for p in net.parameters()))
print("parameters of the one layer: ", weight.numel() + bias.numel())
print(f"largest difference: {(net(x) - (x @ weight + bias)).abs().max():.4f}")

# %% [markdown]
r"""
A stack of linear maps is a linear map, however many parameters it is written with. So
if the feed-forward network is to add anything that a single matrix could not, something
between the two must bend.
"""

# %% [markdown]
r"""
## S2.1 — It provides the non-linearity

**Claim.** The feed-forward sublayer provides a non-linear transformation: through
activations such as ReLU the Transformer captures complex patterns beyond linear ones
and adapts better to diverse data. (What "adapts better" would mean in numbers the note
does not say; the rest can be tested.)

### The network alone

The task: a token is a few signs, −1 or +1, and the answer is their *product*. With two
signs this is XOR. The loss is the logistic one, in nats; whoever knows nothing says
"half and half" and pays $\ln 2 = 0.693$ for every answer.

**Predict.** What is the best loss of a linear map for two signs? And that of a
polynomial of degree two for three?
"""


# %% tags=["definition", "hide-input"]
def random_signs(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """−1 or +1, each as likely."""
    return 2.0 * torch.randint(2, shape, generator=generator) - 1


def logistic(net, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean loss in nats of logits for the signs y: ln 2 = 0.693 is knowing nothing."""
    return F.softplus(-y * net(x)).mean()


# %%
cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)  # all 8 inputs
y = cube.prod(-1)
terms = {"one sign": cube, "two signs": cube[:, [0, 0, 1]] * cube[:, [1, 2, 2]]}
for name, features in terms.items():
    means = (y[:, None] * features).mean(0)  # (3,)
    print(f"mean of the answer times {name}:", *means.tolist())

# %% [markdown]
r"""
All zero: no sign and no product of two says anything about the product of three. So
where all coefficients of such terms are 0, the gradient of the mean loss is 0; the loss
is convex in them, so nothing is better. Its value there is $\ln 2$. This is a theorem,
not a result of training: for three signs a quadratic map pays 0.693, and so does a
linear one for two.

That makes a sharp test of what it takes to bend. A **gated** network multiplies two
linear maps of the token, number by number, before it narrows:

$$
\operatorname{gated}(x)
= \bigl( \varphi(x W_\text{gate}) \odot x W_\text{value} \bigr)\, W_2 .
$$

With $\varphi(x) = x\,\sigma(x)$, which is called SiLU, this is **SwiGLU**; without
$\varphi$ it is **bilinear**. Both are among the variants that Shazeer 2020
{cite}`shazeer2020` compares in language models. A bilinear network has no activation at
all, and it is exactly quadratic.
"""


# %% tags=["definition"]
class Gated(FeedForward):
    """Hidden numbers that are products: x (..., inputs) to (..., outputs)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, activation=F.silu):
        super().__init__(inputs, hidden, outputs, activation)
        self.fc1 = nn.Linear(inputs, 2 * hidden)  # a gate and a value for each

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.fc1(x).chunk(2, dim=-1)  # (..., hidden) each
        return self.activation(gate) * value


# %% tags=["definition"]
def two_bilinear(inputs: int) -> nn.Sequential:
    """Two in a row, without any activation."""
    first = Gated(inputs, 43, 16, no_activation)
    return nn.Sequential(first, Gated(16, 43, 1, no_activation))


# %% tags=["definition"]
ALONE = {  # the number of inputs → a network with one output
    "linear": lambda inputs: FeedForward(inputs, 64, 1, no_activation),
    "ReLU": lambda inputs: FeedForward(inputs, 64, 1, F.relu),
    "GELU": lambda inputs: FeedForward(inputs, 64, 1, F.gelu),
    "SwiGLU": lambda inputs: Gated(inputs, 43, 1),  # 43 is two thirds of 64
    "bilinear": lambda inputs: Gated(inputs, 43, 1, no_activation),
    "two bilinear": two_bilinear,
}

# %% [markdown]
r"""
**Predict.** Which of the six learn the product of two signs, and which that of three?
"""

# %%
bends = record("02_which_bend")
alone = bends[(bends.place == "alone") & (bends.steps == 400)]
for task in ("2 signs", "3 signs"):
    print(f"product of {task}, loss in nats [95 % interval]")
    print(summary(alone[alone.task == task], "bends", "loss"))

# %% [markdown]
r"""
Without a bend nothing is learned, with any of the bends the product of two signs is.
The bilinear network has no activation and does it too: a product of two linear maps
*is* a bend. But bent is not yet able to do everything. One bilinear network is a
quadratic map and stays where the theorem holds it; two in a row have degree four.
"""


# %% tags=["hide-input"]
def learn(bends: str, signs: int, lr: float = 1e-2, steps: int = 400, seed: int = 0):
    """Train one network on products of signs; its loss over all inputs, in nats."""

    def draw(generator):
        x = random_signs(generator, 32, signs)
        return x, x.prod(-1, keepdim=True)

    make = partial(ALONE[bends], signs)
    run = train(make, draw, logistic, steps=steps, lr=lr, seeds=[seed])
    x = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * signs)  # (2^signs, signs)
    return F.softplus(-x.prod(-1) * run(x)[0, :, 0].cpu()).mean().item()


# %%
for name in ("GELU", "bilinear", "two bilinear"):
    loss = learn(name, signs=3, lr=1e-2, steps=400, seed=0)
    print(f"{name:12} three signs: {loss:.2f} nats")

# %% [markdown]
r"""
Play with it: another seed, rate, number of steps. Whatever you choose, no bilinear
network gets below 0.69 for three signs, and no linear one for two. (What *can* be
learned still needs a rate that fits and enough steps; in the record every arm has its
own rate.)

Signs are all or nothing. A smoother task: one number $u$ between −1 and 1, and the wave
$\sin 6u$. The score is the explained share of the variance, 100 % for perfect; the best
straight line explains 16 %.

**Predict.** Do 64 hidden numbers suffice, and for which of the three activations?
"""


# %% tags=["definition", "hide-input"]
def wave(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """128 numbers u in [-1, 1], and sin 6u: both (128, 1)."""
    u = 2 * torch.rand(128, 1, generator=generator) - 1
    return u, torch.sin(6 * u)


def squared(net, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean squared error."""
    return (net(x) - y).square().mean()


# %%
for steps in (400, 2000):
    print(f"{steps:,} steps: explained share in percent [95 % interval]")
    runs = bends[(bends.task == "wave") & (bends.steps == steps)]
    print(summary(runs, "bends", "score", scale=100, digits=1))

# %% [markdown]
r"""
With an activation or a gate the fit gets closer the longer it is trained; what is
missing after 400 steps is training, not width. A bilinear network alone does no better
than the straight line: the wave is odd, a square is even. Two in a row, a polynomial of
degree four, stop at the same share in every run.
"""

# %% [markdown]
r"""
### The network in its block

Now put it where it belongs: into a Transformer block, with attention, layer norm and
residual paths. The block has switches for everything that this chapter takes apart
(`names` is for an experiment further down); attention itself is the subject of the next
chapter.
"""


# %% tags=["definition", "hide-input"]
def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:  # to (B, h, T, D/h)
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: torch.Tensor) -> torch.Tensor:  # (B, h, T, D/h) to (B, T, D)
    return x.transpose(-3, -2).flatten(-2)


# %% tags=["definition"]
class Block(nn.Module):
    """A pre-norm block, x (B, T, D) to (B, T, D), that can be taken apart."""

    def __init__(
        self, dim, heads, hidden, activation=F.gelu, norm=nn.LayerNorm, softmax=True,
        form="sequential",
    ):  # fmt: skip
        super().__init__()
        self.heads, self.activation = heads, activation
        self.softmax, self.form = softmax, form
        self.norm1, self.norm2 = norm(dim), norm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def attention(self, x, *names):
        return self.attend(*self.qkv(x).chunk(3, dim=-1))

    def attend(self, *qkv):
        q, k, v = (split_heads(part, self.heads) for part in qkv)  # (B, h, T, D/h)
        scores = q @ k.mT / math.sqrt(q.shape[-1])  # (B, h, T, T)
        even = torch.full_like(scores, 1 / scores.shape[-1])
        weights = scores.softmax(-1) if self.softmax else even
        return self.proj(merge_heads(weights @ v))

    def mlp(self, x):
        return self.fc2(self.activation(self.fc1(x)))

    def forward(self, x, *names):
        if self.form == "parallel":
            y = self.norm1(x)
            return x + self.attention(y, *names) + self.mlp(y)
        if self.form != "no attention":
            x = x + self.attention(self.norm1(x), *names)
        if self.form != "no network":
            x = x + self.mlp(self.norm2(x))
        return x


# %% tags=["definition", "hide-input"]
class Encoder(nn.Module):
    """Blocks of width 32 over four tokens: x (B, 4, inputs) to (B, 4, outputs)."""

    def __init__(self, inputs, outputs, depth=1, norm=nn.LayerNorm, **settings):
        super().__init__()
        self.embed = nn.Linear(inputs, 32)
        self.position = nn.Parameter(0.5 * torch.randn(4, 32))
        blocks = [Block(32, 2, 64, norm=norm, **settings) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.head = norm(32), nn.Linear(32, outputs)

    def forward(self, x):
        x = self.embed(x) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


# %% [markdown]
r"""
Which of its pieces bend? A map of the form $xA + b$ satisfies $f(x + y - z) = f(x) +
f(y) - f(z)$ for all $x$, $y$, $z$.

**Predict.** Which of these pass: the feed-forward network with and without its
activation, layer norm, attention, attention whose weights do not depend on $x$?
"""

# %%
torch.manual_seed(0)
plain = Block(32, 2, 64).to(device)
flat = Block(32, 2, 64, activation=no_activation, softmax=False).to(device)
PIECES = {
    "feed forward, GELU": plain.mlp,
    "feed forward, no activation": flat.mlp,
    "layer norm": plain.norm1,
    "attention": plain.attention,
    "attention, equal weights": flat.attention,
}

# %%
x, y, z = torch.randn(3, 2, 4, 32).to(device)
for name, f in PIECES.items():
    off = (f(x + y - z) - f(x) - f(y) + f(z)).abs().max()
    print(f"{name:28} off by {off:.2f}")

# %% [markdown]
r"""
So there are three bends in a block. Layer norm divides by a standard deviation, and
attention's weights come from a softmax over products of tokens; only for *given*
weights is attention linear in the values.

**Predict.** One block, four tokens of three signs each; every token answers with the
product of its own. All three bends; no activation; each bend alone; none. Which learn
it?
"""


# %%
#| name: fig-bends
#| caption: The product of three signs, one block: mean loss of eight runs with its 95 %
#|   interval, by what bends and by the number of steps. Grey line, ln 2.
#| alt: With no bend the loss lies on the line of ln 2. With the norm alone it lies at
#|   0.16 with a wide interval after 400 steps and at 0 after 1,200. All others lie at
#|   0 or close to it.
short = {"activation, softmax, norm": "all three", "softmax, norm": "no activation"}
block = bends[bends.place == "block"].replace({"bends": short})
knows_nothing = {"unit": "loss in nats", "lines": [math.log(2)]}
plots.compare(block, "{bends}, {steps} steps", "loss", **knows_nothing)

# %% [markdown]
r"""
Each of the three bends is enough, and a block without any activation (softmax, norm)
learns the task as one with it does. Only where nothing bends does the loss stay at ln
2, as no map that is linear in the signs can get below it. Layer norm alone is the
slowest here, and some of its runs are not there after 400 steps; three times as many
mend that. So the record gives no order of strength that would survive a longer
training.

**Verdict on S2.1: holds with conditions.** The feed-forward network provides *a*
non-linear transformation, and without a bend it is one matrix. The bend need not be an
activation: a product of two linear maps bends too, once to degree two. And the network
is not the only place: softmax and layer norm bend as well, so that a block without any
activation is still not linear.
"""

# %% [markdown]
r"""
## Which activation?

**ReLU** cuts negative numbers off. **GELU** weighs $x$ by the probability that a
standard normal variable is smaller, $x\,\Phi(x)$ (Hendrycks and Gimpel 2016
{cite}`hendrycks2016`). It is often approximated by a tanh: the original code of the
Vision Transformer does so, PyTorch's `nn.GELU` only if asked. **SiLU** weighs by the
sigmoid, $x\,\sigma(x)$.

**Predict.** How far apart are ReLU and GELU at most? And the two GELUs: is confusing
them an error in the first, the second or the fourth decimal?
"""

# %% tags=["hide-input"]
#| name: fig-activations
#| caption: Three activations.
#| alt: ReLU has a corner at zero; GELU and SiLU are smooth and dip below zero, GELU to
#|   minus 0.17 and SiLU to minus 0.28. Above 3, ReLU and GELU are one line.
x = torch.linspace(-5, 5, 1001, dtype=torch.float64)
curves = {"ReLU": F.relu(x), "GELU": F.gelu(x), "SiLU": F.silu(x)}
fig, ax = plt.subplots(figsize=(4.0, 2.4))
for (name, curve), style in zip(curves.items(), ("-", "-", "--"), strict=True):
    ax.plot(x[::10], curve[::10].round(decimals=3), style, label=name)
ax.legend(loc="upper left")
ax.set(ylim=(-0.5, 3), xlabel="x", ylabel="φ(x)")
others = curves | {"GELU by tanh": F.gelu(x, approximate="tanh")}
gaps = {name: (y - curves["GELU"]).abs().max() for name, y in others.items()}
text = ", ".join(f"{name} {gap:.4f}" for name, gap in gaps.items() if gap)
plots.show(fig, f"largest distance from GELU: {text}")

# %% [markdown]
r"""
The two GELUs differ in the fourth decimal: enough to fail a strict comparison with a
pretrained model. In language models a fourth is common, the gated SwiGLU from above. It
has three matrices instead of two; to keep the number of weights, $H$ shrinks from $4D$
to $\tfrac83 D$.
"""

# %% [markdown]
r"""
## S2.2 — It costs little

**Claim.** The computational cost of the feed-forward sublayer is low.

Low compared with what? With the other sublayer. **Predict**, for ViT-B ($D = 768$, $H =
3072$): which share of a block's weights is the feed-forward network's? And of its
multiplications, when it reads an image of 197 tokens: less than attention, as much, or
more?

This needs no training, only counting. A *multiply–accumulate* (MAC) is one
multiplication with its addition; a matrix product $(n \times m)(m \times p)$ takes
$nmp$ of them. For one sequence of $T$ tokens:

| part of the block | weights | MACs | with $H = 4D$ |
|---|---|---|---|
| attention: the four projections | $4D^2$ | $4TD^2$ | $4TD^2$ |
| attention: the $T \times T$ matrix, its scores and its use | 0 | $2T^2D$ | $2T^2D$ |
| feed forward | $2DH$ | $2TDH$ | $8TD^2$ |

Three things have changed since this was the whole table. In a *causal* model a token
sees only itself and what came before, half of the $T \times T$ matrix. Groups of heads
share their keys and values (Ainslie et al. 2023 {cite}`ainslie2023`), which makes two
of the four projections smaller. And a gated network has three matrices.
"""


# %%
def macs(T, D, H, shared=1, matrices=2, causal=False) -> dict[str, float]:
    """Multiply–accumulates of a block for a sequence of T tokens, by part.

    shared    heads that share one pair of keys and values
    matrices  of the feed-forward network: 2, or 3 with a gate
    """
    pairs = T * (T + 1) / 2 if causal else T * T
    return {
        "projections": (2 + 2 / shared) * T * D**2,
        "T × T matrix": 2 * pairs * D,
        "feed forward": matrices * T * D * H,
    }


# %% [markdown]
r"""
PyTorch can count by itself, from the operations that really run, here on its *meta*
device, where tensors have shapes but no numbers. Does it agree?
"""

# %%
with torch.device("meta"):
    vit, x = Block(768, 12, 3072), torch.empty(1, 197, 768)
counted = {}
for name, sublayer in (("attention", vit.attention), ("feed forward", vit.mlp)):
    with FlopCounterMode(display=False) as counter:
        sublayer(x)
    counted[name] = counter.get_total_flops() // 2  # one MAC is two operations
print("PyTorch counts", counted)
print("the table says", {name: int(n) for name, n in macs(197, 768, 3072).items()})

# %% [markdown]
r"""
**Predict.** The projections and the feed-forward network grow with $T$, the matrix with
$T^2$. From how many tokens on does attention cost more than the feed-forward network?
"""


# %%
def even(D, H, shared=1, matrices=2, causal=False) -> float:
    """The number of tokens at which attention costs as much as the network."""
    spare = matrices * H - (2 + 2 / shared) * D
    return spare if causal else spare / 2


# %%
MODELS = {  # name: its length in tokens, and what macs() takes
    "ViT-B/16, 2020": (197, (768, 3072)),
    "GPT-3, 2020": (2048, (12288, 4 * 12288, 1, 2, True)),
    "Llama 3.1 8B, 2024": (131072, (4096, 14336, 4, 3, True)),
}
print("feed forward's share of   weights    MACs    at T =    as much as attention at")
for name, (tokens, sizes) in MODELS.items():
    work = macs(tokens, *sizes)
    weights = work | {"T × T matrix": 0}  # each weight works once a token
    share, part = (n["feed forward"] / sum(n.values()) for n in (weights, work))
    print(f"{name:24}{share:9.1%}{part:8.1%}{tokens:10,}{even(*sizes):14,.0f} tokens")

# %% tags=["hide-input"]
#| name: fig-cost
#| caption: The feed-forward network's share of a block's multiply–accumulates, by the
#|   number of tokens. Dots, the length that each model was made for.
#| alt: Three falling curves. ViT-B starts at 67 percent, and its dot, at 197 tokens,
#|   lies at 64. GPT-3 begins to fall later; its dot at 2,048 lies at 66. Llama 3.1 8B
#|   starts at 81 percent, and its dot, at 131,072 tokens, lies at 23.
fig, ax = plt.subplots(figsize=(4.5, 3.0))
lengths = [2**n for n in range(4, 19)]
for (name, (tokens, sizes)), colour in zip(MODELS.items(), plots.COLOURS, strict=False):
    work = [macs(T, *sizes) for T in (*lengths, tokens)]
    share = [round(100 * n["feed forward"] / sum(n.values()), 1) for n in work]
    ax.plot(lengths, share[:-1], color=colour, label=name)
    ax.plot(tokens, share[-1], "o", color=colour)
ax.set_xscale("log")
ax.set_xticks([100, 1000, 10000, 100000], ["100", "1,000", "10,000", "100,000"])
ax.set(ylim=(0, 100), xlabel="tokens T", ylabel="share of the MACs, %")
ax.minorticks_off()
ax.legend(loc="lower left")
plots.show(fig, f"Llama 3.1 8B, {tokens:,} tokens: {share[-1]} % of the MACs")

# %% [markdown]
r"""
Two thirds of the weights at $H = 4D$, whatever the width; and with $4TD^2 + 2T^2D =
8TD^2$ attention catches up at $T = 2D$. In 2017 and in 2020 that was far away: 1,024
tokens for the first Transformer, 1,536 for ViT-B, whose image has 197, and for GPT-3
(Brown et al. 2020 {cite}`brown2020`, its sparse layers counted as dense) twice 24,576,
because it is causal, against the 2,048 that it reads.

Since then contexts have grown faster than widths. Llama 3.1 (Grattafiori et al. 2024
{cite}`grattafiori2024`) has a network of 81 % of the block's weights and still
does less than a quarter of its work there when the context of 131,072 tokens is full:
the balance tips at $8D$. So the answer depends on the year, or rather on the length.
Try other sizes (of the plain table):
"""

# %%
explore.cost_explorer()

# %% [markdown]
r"""
MACs are not time. When a model *writes*, it takes one token at a time, with the keys
and values of all before it kept in a cache; then most of the time goes into fetching
numbers from memory, each of which is used only once or a few times. All weights are
fetched once for all the texts that are written together, the cache for each text of
its own.

**Predict.** Llama 3.1 8B writes the next token: which share of what it fetches are the
feed-forward network's weights, for one text, and for 64 at once?
"""

# %%
D, H, shared, matrices, _ = MODELS["Llama 3.1 8B, 2024"][1]
print("one block fetches, in millions of numbers, for the next token")
for tokens in (2048, 131072):
    for texts in (1, 64):
        network, projections = matrices * D * H, (2 + 2 / shared) * D**2
        cache = texts * 2 * tokens * D / shared
        share = network / (network + projections + cache)
        print(
            f"{texts:2} of {tokens:7,} tokens: network {network / 1e6:.0f}, "
            f"projections {projections / 1e6:.0f}, cache {cache / 1e6:,.0f}: "
            f"network {share:.0%}"
        )

# %% [markdown]
r"""
For short texts the feed-forward network is nearly all there is to fetch; for many long
ones it does not count.

**Verdict on S2.2: holds with conditions.** The cost of the feed-forward network is
*linear* in the number of tokens. It is low beside attention in long sequences, from
several times $2D$ tokens on. In the models the note is about it is the larger part: two
thirds of the weights and, in ViT-B/16, 64 % of the multiplications.
"""

# %% [markdown]
r"""
## S2.3 — It runs in parallel with self-attention

**Claim.** The feed-forward sublayer can be processed in parallel with self-attention,
which greatly improves the Transformer's efficiency.

Something here is certainly parallel. The question is what.

### Positions, side by side

**Predict.** Change one number of token 3. Which output tokens change, under the
feed-forward network and under attention? The derivative of every output token by every
input token answers for all of them at once.
"""

# %%
x = torch.randn(6, 32).to(device)  # six tokens
for name in ("feed forward, GELU", "attention"):
    slopes = torch.autograd.functional.jacobian(PIECES[name], x)  # (6, 32, 6, 32)
    depends = (slopes.abs().amax((1, 3)) > 0).sum()  # pairs of tokens
    print(f"{name}: {depends} of 36 pairs of tokens have a derivative")

# %%
image = x.T[None]  # (1, D, T): a convolution wants the channels in the middle
hidden = F.gelu(F.conv1d(image, plain.fc1.weight[..., None], plain.fc1.bias))
out = F.conv1d(hidden, plain.fc2.weight[..., None], plain.fc2.bias)
print(f"two 1 × 1 convolutions: off by {(out[0].T - plain.mlp(x)).abs().max():.4f}")

# %% [markdown]
r"""
Under the feed-forward network a token depends on itself alone; the thirty other
derivatives are exactly zero. No token waits for another, so all $T$ of them can be
computed at the same time, on as many processors as there are. That is real parallelism,
and the paper has a name for it, *position-wise*, with a second description: two
convolutions with kernel size 1 (Vaswani et al. 2017 {cite}`vaswani2017`, §3.3).
"""

# %% [markdown]
r"""
### Sublayers, one after the other

But the claim is about *attention and* the feed-forward network. In the first
Transformer and in the Vision Transformer the second reads what the first has written.
The note's own [equations for a ViT block](04_2_model_structure.ipynb#the-model) say so:

$$
z' = \operatorname{MSA}(\operatorname{LN}(z)) + z, \qquad
z'' = \operatorname{MLP}(\operatorname{LN}(z')) + z' .
$$

$z''$ needs $z'$. No machine can start a token's MLP before attention has finished with
that token. To run both side by side one has to build *another block*, in which both
read the same thing:

$$
y = x + \operatorname{MSA}(\operatorname{LN}(x))
      + \operatorname{MLP}(\operatorname{LN}(x)) .
$$

That is not a matter of scheduling: with the very same weights the two compute different
things.
"""

# %%
other = Block(32, 2, 64, form="parallel").to(device)
other.load_state_dict(plain.state_dict())
x = torch.randn(2, 4, 32).to(device)
print(f"same weights: outputs differ by up to {(plain(x) - other(x)).abs().max():.2f}")

# %%
y = other.norm1(x)
weight = torch.cat([other.qkv.weight, other.fc1.weight])  # (3 · 32 + 64, 32)
bias = torch.cat([other.qkv.bias, other.fc1.bias])
apart = torch.cat([other.qkv(y), other.fc1(y)], dim=-1)
merged = F.linear(y, weight, bias)
print(f"one wide product: off by {(merged - apart).abs().max():.4f}")

# %% [markdown]
r"""
The second line is what the parallel block gains: attention's three input projections
and the network's first layer read the same numbers, so they can be *one* matrix product
with a wider matrix, which large accelerators do faster than two in a row. Such blocks
exist: GPT-J has them (Wang and Komatsuzaki 2021 {cite}`wang2021`), PaLM
{cite}`chowdhery2022` and the Vision Transformer with 22 billion parameters
{cite}`dehghani2023` too, for the sake of speed. Whether a small machine gains anything
is another question, and this chapter makes no claim about it.

### What one parallel block cannot do

Look up, then combine. Each of four tokens has a name, a question (the name of another
token) and three signs. It answers with the three signs of the token that it asks for,
and with their *product*. Attention must fetch, and what was fetched must be multiplied.
"""


# %% tags=["definition", "hide-input"]
def look_up(generator: torch.Generator, batch: int = 32):
    """Tokens (B, 4, 11) of name, question and three signs; the answers (B, 4, 4)."""
    names = torch.rand(batch, 4, generator=generator).argsort(-1)  # a permutation
    steps = torch.randint(1, 4, (batch, 4), generator=generator)
    asked = (torch.arange(4) + steps) % 4  # another token, never oneself
    signs = random_signs(generator, batch, 4, 3)
    question = names.gather(1, asked)
    x = torch.cat([F.one_hot(names, 4), F.one_hot(question, 4), signs], dim=-1)
    answer = signs.gather(1, asked[..., None].expand(-1, -1, 3))
    return x, torch.cat([answer, answer.prod(-1, keepdim=True)], dim=-1)


# %% [markdown]
r"""
S2.1 has shown that norm and softmax bend too. So that nothing but the network can
multiply, a **clean** block leaves the norm out and lets queries and keys read names and
questions only: attention is then linear in the signs.
"""


# %% tags=["definition", "hide-input"]
class CleanBlock(Block):
    """Queries and keys read names and questions (B, T, 8) only; no norm."""

    def __init__(self, form):
        super().__init__(32, 2, 64, norm=nn.Identity, form=form)
        del self.qkv  # in two parts
        self.qk, self.v = nn.Linear(8, 2 * 32), nn.Linear(32, 32)

    def attention(self, x, names):
        return self.attend(*self.qk(names).chunk(2, dim=-1), self.v(x))


class CleanEncoder(Encoder):
    """Clean blocks over the look-up's tokens: x (B, 4, 11) to logits (B, 4, 4)."""

    def __init__(self, form="sequential", depth=1):
        super().__init__(11, 4, depth=0, norm=nn.Identity)
        self.blocks.extend(CleanBlock(form) for _ in range(depth))

    def forward(self, x):
        names, x = x[..., :8], self.embed(x) + self.position
        for block in self.blocks:
            x = block(x, names)
        return self.head(x)


# %% [markdown]
r"""
For three forms the best loss of the product is known before any training. Without
attention the asked signs are unknown. Without a network the logit is a sum of terms
with one sign each. And in one parallel block the network reads a token's *own* signs
before anything was fetched, so what depends on the asked ones is again such a sum. All
three pay $\ln 2$, at best.

**Predict.** What do the others do: the sequential block, two parallel blocks?
"""

# %%
both = record("02_both_sublayers")
clean = both[both.block == "clean"]
print("clean block, loss in nats [95 % interval]")
print(summary(clean, "{depth} × {form}, asked for {target}", "product", "signs"))

# %% [markdown]
r"""
As derived: three forms stay at ln 2, although all with attention have fetched the signs
themselves. The sequential block multiplies them, and so do *two* parallel blocks: what
the first has fetched, the network of the second can bend. A parallel block works one
block late. (Why ask for the signs as well? Asked for the product alone, the sequential
block learns nothing in as many steps.)
"""


# %% tags=["hide-input"]
def fetch(form: str, depth: int = 1, lr: float = 1e-2, steps: int = 300, seed: int = 0):
    """Train one clean network; its losses on signs and product, in nats."""
    make = partial(CleanEncoder, form, depth)
    run = train(make, look_up, logistic, steps=steps, lr=lr, seeds=[seed])
    x, y = look_up(torch.Generator().manual_seed(1), 2048)
    loss = F.softplus(-y * run(x)[0].cpu()).mean((0, 1))  # (4,)
    return loss[:3].mean().item(), loss[3].item()


# %%
for form, depth in (("sequential", 1), ("parallel", 1), ("parallel", 2)):
    signs, product = fetch(form, depth, lr=1e-2, steps=300, seed=0)
    print(f"{depth} × {form:10} signs {signs:.2f}, product {product:.2f} nats")

# %% [markdown]
r"""
Play with it as before. One parallel block never gets below 0.69, whatever you change
(or by a hair, since 8,192 answers are a sample). The others need a rate that fits and
enough steps.

### In the usual block

**Predict.** Now the usual pre-norm block, whose norm and softmax see the signs. Which
of these change: no network, no attention, one parallel block?
"""

# %%
#| name: fig-look-up
#| caption: Usual block: mean loss of the product in the look-up, eight runs each, with
#|   its 95 % interval; grey line, ln 2.
#| alt: Only no attention lies on the line of ln 2. One block without a network and one
#|   parallel block lie near 0.4 after 400 steps, and lower after 1,200. All others lie
#|   near 0.
usual = both[both.block == "usual"]
plots.compare(usual, "{depth} × {form}, {steps} steps", "product", **knows_nothing)

# %%
print("1,200 steps, product: right answers in percent [95 % interval]")
longer, arm = usual[usual.steps == 1200], "{depth} × {form}"
print(summary(longer, arm, "right", scale=100, digits=1))

# %% [markdown]
r"""
Here only the block without attention stays at ln 2. A block without a feed-forward
network gets well below, since norm and softmax bend a little in its place (no more than
half of its answers are right even so: it is sure of some, and of the others it is wrong
by a little). *Two* blocks without a network answer almost everything. One parallel
block does about what a block without a network does: its network still comes too early.
With two blocks, the parallel form is as good as the sequential one.

So this does not show that a block needs its feed-forward network; its neighbours can
stand in for it. What the clean block shows is what the network of *one* parallel block
cannot do, and that a second block makes up for it.
"""

# %% [markdown]
r"""
### A benchmark that does not notice

Why not simply train both blocks on real data and compare? scikit-learn's digits, four
tokens of two rows of pixels each, two blocks, test images held out.

**Predict.** Does the parallel form lose accuracy? And how much do two blocks lose
without any feed-forward network, or without any attention?
"""

# %%
digits = record("02_digits")
print("digits, test accuracy in percent [95 % interval]")
digits["right"] = 1 - digits.test
print(summary(digits, "form", "right", scale=100, digits=1))
read = digits[digits.seed < 8].groupby("form").right.apply(list)
for form in ("parallel", "no attention", "no network"):
    verdict = better(read["sequential"], read[form])
    print(f"sequential (first) against {form} (second): {verdict}")

# %% [markdown]
r"""
The two forms cannot be told apart (after 300 steps, when few runs had converged). But
then, without any attention the blocks read these digits *better*, and without a
feed-forward network they lose about a point. A task that hardly misses either cannot
say how well the two are arranged. This is the *negative control*: a benchmark says
something about a component only if it fails without it.

**Verdict on S2.3: does not hold.** In the Transformer and in the Vision Transformer,
the note's own equations included, the feed-forward network reads what attention wrote,
and waits for it. What is processed in parallel is positions. Blocks that run both side
by side exist and compute a different function: one of them cannot bend what it has just
fetched, two in a row can.
"""

# %% [markdown]
r"""
## Go deeper

### What keeps tokens apart

Dong et al. 2021 {cite}`dong2021` prove that a stack of *nothing but* attention makes
all tokens equal, doubly exponentially in depth. Is it the feed-forward networks that
prevent it, or the residual paths ("skips")? The measure is the share of $x$ that is not
common to all tokens, $\lVert x - \bar x \rVert / \lVert x \rVert$ with the mean token
$\bar x$: near 1 for random tokens, 0 when all are equal. The weights are random;
nothing is trained.
"""


# %% tags=["hide-input"]
def stack(skip: bool, network: bool, depth: int = 12, D: int = 32, seed: int = 0):
    """How far 16 random tokens are apart after 0 … depth layers: mean of 20 draws."""
    generator = torch.Generator().manual_seed(seed)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    x, shares = draw(20, 16, D).to(device), []
    for _ in range(depth + 1):
        apart = (x - x.mean(1, keepdim=True)).norm(dim=(1, 2)) / x.norm(dim=(1, 2))
        shares.append(apart.log().mean().exp().item())
        q, k, v, o, *ffn = (draw(20, D, D).to(device) / math.sqrt(D) for _ in range(6))
        weights = ((x @ q) @ (x @ k).mT / math.sqrt(D)).softmax(-1)
        x = weights @ x @ v @ o + skip * x
        if network:
            x = F.gelu(x @ ffn[0]) @ ffn[1] + skip * x
    return shares


# %%
print("share not in common after layers  2,    4,   12")
for skip in (False, True):
    for network in (False, True):
        name = ("no skips, ", "skips, ")[skip] + ("no network", "network")[network]
        shares = [stack(skip, network)[n] for n in (2, 4, 12)]
        print(f"{name:28}", *(f"{s:8.2f}" if s > 1e-5 else " < 1e-5" for s in shares))

# %% [markdown]
r"""
It is the skips. Feed-forward networks without skips do not slow the collapse here, they
follow it: equal tokens go through the same network and stay equal. And the skips do not
stop the fall, they make it slow. (Trained weights can do what random ones do not.)

### A memory

Written by its hidden numbers, the network is a sum:

$$
\operatorname{FFN}(x) = \sum_{i=1}^{H} \varphi(x \cdot k_i + b_i)\, v_i + b_2,
\qquad k_i \text{ column } i \text{ of } W_1,\quad v_i \text{ row } i \text{ of } W_2 .
$$

How well does the token match *key* $k_i$? By that much it gets *value* $v_i$. Geva et
al. 2021 {cite}`geva2021` read the feed-forward layers of a language model in this way,
as key–value memories. Does it matter which keys match? A record: networks learn 1,024
random facts by heart (a question of 16 numbers, one of 16 answers). Then, for each
fact, the four hidden numbers that speak most for its answer are put to zero; or, as a
control, four that belong to another fact.

### Many networks, one at a time

S2.2 counted weights and work together. They come apart if a *router* gives each token
to one of several networks: a **mixture of experts** (Shazeer et al. 2017
{cite}`shazeer2017`; with one expert for each token, Fedus et al. 2022
{cite}`fedus2022`). It is a wide network all of whose hidden numbers are zero except for
one expert's:
"""


# %% tags=["definition", "hide-input"]
class Experts(FeedForward):
    """A router gives each token one network: x (..., inputs) to (..., outputs)."""

    def __init__(self, inputs, hidden, outputs, experts):
        super().__init__(inputs, experts * hidden, outputs)
        self.router, self.experts = nn.Linear(inputs, experts), experts

    def hidden(self, x):
        share = self.router(x).softmax(-1)  # (..., experts)
        share = share * (share == share.amax(-1, keepdim=True))  # of the first alone
        hidden = super().hidden(x).unflatten(-1, (self.experts, -1))
        return (share[..., None] * hidden).flatten(-2)


# %%
memory, arm = record("02_memory"), "{experts} × {hidden} hidden"
columns = ("known", "silenced", "elsewhere")
print("facts known in percent [95 % interval]")
print(summary(memory, arm, *columns, scale=100, digits=1))

# %%
for experts, hidden in ((1, 32), (1, 128), (4, 32)):
    net = Experts(16, hidden, 16, experts)
    weights = sum(p.numel() for n, p in net.named_parameters() if "weight" in n)
    work = 2 * 16 * hidden + 16 * experts * (experts > 1)
    print(f"{experts} × {hidden} hidden: {weights:,} weights, {work:,} MACs a token")

# %% [markdown]
r"""
Each fact hangs on a few hidden numbers: without its own four it is lost, without those
of another fact most of what was known stays. In these 1,200 steps, after which none had
converged, a network of 32 hidden numbers learns part of the book, one of 128 all of it.
Four experts of 32 hold as much as the wide one, with as many weights, and with little
more work for each token than the narrow one. So whoever says what a network costs has
to say whether weights or work are meant.
"""

# %% [markdown]
r"""
## Verdicts

| Claim | What the source says | Verdict | Why | Varied | Overturned by |
|---|---|---|---|---|---|
| S2.1 | The feed-forward sublayer provides the non-linearity: activations such as ReLU let the Transformer capture patterns beyond linear ones | holds with conditions | Alone and without a bend it is one matrix and stays at ln 2 on a product of two signs. But a product of two linear maps bends without any activation (gated networks: Shazeer 2020 {cite}`shazeer2020`), and in a block layer norm and softmax bend too: without an activation it still learns the product of three signs | learning rate of each arm, budget, eight seeds; control: no bend at all, ln 2 by theorem | a network without a bend below ln 2; a block without an activation that stays there |
| S2.2 | Its computational cost is low | holds with conditions | It is linear in the length, and low beside attention in long sequences: 23 % of the work of Llama 3.1 8B {cite}`grattafiori2024` at 131,072 tokens. Up to $2D$ tokens ($8D$ there) it is the larger part: 64 % in ViT-B/16, and two thirds of the weights | length, width, causal or not, shared keys and values, a gate, writing with a cache; all counted, nothing trained | a count that PyTorch's own contradicts |
| S2.3 | It can run in parallel with self-attention, which greatly improves efficiency | does not hold | It reads what attention has written. Positions run in parallel; sublayers do so only in another block (GPT-J, PaLM, ViT-22B {cite}`dehghani2023`), which computes another function: one of them cannot multiply what attention fetches, two can | form, one block or two, with norm and without, learning rate of each arm, budget, eight seeds; controls: no attention, no network | a schedule that has $z''$ before $z'$; one clean parallel block below ln 2 |
"""

# %% [markdown]
r"""
## Summary

- The feed-forward network is one small function of one token, applied to all tokens:
  widen, bend, narrow. It mixes channels, never tokens.
- Without a bend, two layers are one matrix. The bend may be an activation or a product;
  one product of two linear maps is quadratic and no more.
- Layer norm and softmax bend as well. An experiment on "the" non-linearity must switch
  off all three, or it shows what the other two can do.
- It has two thirds of the weights, and most of the work as long as the sequence is
  short beside $2D$. Contexts have outgrown that: name the length before saying "cheap".
- It waits for attention, unless the block is redesigned; then it works one block late.
- A benchmark that works without a component says nothing about it. Remove the component
  first, and look whether the score falls.

Now build it: [Lab 2](../labs/lab_02_feed_forward.ipynb) has you write GELU, the network
and both blocks by hand, merge two linear layers into one, and count what a block costs,
with a check that tells you at once what is right.
"""
