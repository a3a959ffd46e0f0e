# %% [markdown]
r"""
# Transform each token: what the feed-forward network adds

In a Transformer block the tokens first look at each other. Then something plainer
happens: every token passes, alone, through the same small network of two linear layers
with one bent function between them. Most explanations give it two lines. It has two
thirds of the block's weights.

The note that this course follows says three things about it: that it provides the
non-linearity (S2.1), that it costs little (S2.2), and that it can run in parallel with
self-attention (S2.3). Each claim is stated, then you **predict**, then you **run** an
experiment, then there is a **verdict**. One of the three survives, with a condition.
And the obvious experiment for that one refutes it, until you find out why.

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
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from labkit import data, device, explore, plots, seed_everything

seed_everything(0)
device = device()
torch.set_num_threads(1)  # tensors this small: two threads would wait for each other

# %% [markdown]
r"""
## One token, two linear maps

A token is a vector $x$ of width $D$. The feed-forward network widens it to $H$ numbers,
bends each of them, and narrows the result to $D$ again:

```{math}
:label: eq-feed-forward
\operatorname{FFN}(x) = W_2\, \varphi(W_1 x + b_1) + b_2,
\qquad W_1 \in \mathbb{R}^{H \times D},\quad W_2 \in \mathbb{R}^{D \times H} .
```

$\varphi$ is the *activation*, applied to each of the $H$ numbers. The first Transformer
has $D = 512$, $H = 2048$ and $\varphi = \operatorname{ReLU}$, $\max(0, x)$ (Vaswani et
al. 2017 {cite}`vaswani2017`); the Vision Transformer ViT-B has 768, 3072 and GELU
(Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`). $H = 4D$ in both.

One training run proves nothing, so this chapter trains five networks side by side, as
Chapter 1 did: every tensor has a leading axis for the *run* $R$, and `Linear`
multiplies each run with its own matrix.
"""


# %%
class Linear(nn.Module):
    """Linear layers of R independent runs, (R, B, T, inputs) to (R, B, T, outputs)."""

    def __init__(self, runs: int, inputs: int, outputs: int):
        super().__init__()
        bound = 1 / math.sqrt(inputs)  # as nn.Linear does
        self.weight = nn.Parameter(bound * (2 * torch.rand(runs, inputs, outputs) - 1))
        self.bias = nn.Parameter(bound * (2 * torch.rand(runs, 1, outputs) - 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.baddbmm(self.bias, x.flatten(1, 2), self.weight)
        return out.unflatten(1, x.shape[1:3])


class FeedForward(nn.Module):
    """Widen each token, bend, narrow: x (R, B, T, inputs) to (R, B, T, outputs)."""

    def __init__(self, runs: int, inputs: int, hidden: int, outputs: int, activation):
        super().__init__()
        self.up, self.down = Linear(runs, inputs, hidden), Linear(runs, hidden, outputs)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.activation(self.up(x)))


# %% [markdown]
r"""
**Predict.** Take the bend out: two linear maps in a row, 16 → 64 → 16. How many
parameters does it have, and how many would do the same?
"""


# %%
def no_activation(x: torch.Tensor) -> torch.Tensor:
    return x


net = FeedForward(1, 16, 64, 16, no_activation).to(device)
x = torch.randn(1, 4, 8, 16).to(device)  # (R, B, T, D)
weight = net.up.weight @ net.down.weight  # (1, 16, 16)
bias = net.up.bias @ net.down.weight + net.down.bias  # (1, 1, 16)
merged = x @ weight[:, None] + bias[:, None]

print("parameters of the two layers:", sum(p.numel() for p in net.parameters()))
print("parameters of the one layer: ", weight.numel() + bias.numel())
print("same output:", torch.allclose(net(x), merged, atol=1e-5))

# %% [markdown]
r"""
A stack of linear maps is a linear map, however many parameters it is written with. So
if the feed-forward network is to add anything that a single matrix could not, the
activation must do it.
"""

# %% [markdown]
r"""
## S2.1 — It provides the non-linearity

**Claim.** The feed-forward sublayer provides a non-linear transformation: through
activations such as ReLU the Transformer captures complex patterns beyond linear ones
and adapts better to diverse data. (What "adapts better" would mean in numbers the note
does not say; the rest can be tested.)

First the network *alone*: no attention, no layer norm, no residual path. Two tasks that
a linear map cannot do:

- **XOR of signs**: two numbers in $[-1, 1]$; the answer is +1 if their signs agree and
  −1 if not;
- **a wave**: one number $u$ in $[-1, 1]$; the answer is $\sin 6u$.

The score is the *explained share of the variance*, $1 - \text{error}/\text{variance}$:
1 is perfect, 0 is what a constant achieves.

**Predict.** What does the best *straight line* explain of each? For the wave the answer
is a short integral; guess before you run it.
"""


# %%
def xor(batch: int, tokens: int = 4):
    """Five runs of tokens of two numbers (5, B, T, 2), and the XOR of their signs."""
    x = 2 * torch.rand(5, batch, tokens, 2) - 1
    return x.to(device), x.prod(-1, keepdim=True).sign().to(device)


def wave(batch: int, tokens: int = 4):
    """Five runs of tokens of one number u (5, B, T, 1), and sin 6u."""
    u = 2 * torch.rand(5, batch, tokens, 1) - 1
    return u.to(device), torch.sin(6 * u).to(device)


for task in (xor, wave):
    x, y = (part.flatten(0, 2).double().cpu() for part in task(10000))
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1)  # a column for the offset
    line = x @ torch.linalg.lstsq(x, y).solution
    explained = 1 - ((y - line).var() / y.var()).item()
    print(f"{task.__name__:4} the best line explains {100 * abs(explained):.0f} %")

# %% [markdown]
r"""
Nothing at all of XOR: where the first number helps in one half of the plane, it
misleads as much in the other. And 16 % of the wave. No training can push a linear map
beyond that; the question is what the bend adds.
"""


# %%
def train(make, task, steps: int = 400, lr: float = 1e-2, batch: int = 16):
    """Train five runs of make(); return the network and what each explains (5,)."""
    torch.manual_seed(0)
    net = make().to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        x, y = task(batch)
        loss = ((net(x) - y) ** 2).mean((1, 2, 3))  # (5,)
        optimizer.zero_grad()
        loss.sum().backward()  # the runs share nothing: each gets its own gradient
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        x, y = task(500)
        error = ((net(x) - y) ** 2).mean((1, 2, 3))
    return net, (1 - error / y.var((1, 2, 3), correction=0)).cpu()


# %%
def band(explained: torch.Tensor) -> str:
    """The mean over five short runs, as coarsely as it deserves."""
    mean = 100 * explained.mean().item()
    if mean < 20:
        return f"explains {abs(round(mean))} %"
    return "explains over 60 %" if mean > 60 else "explains 20 to 60 %"


ACTIVATIONS = {"no activation": no_activation, "ReLU": F.relu, "GELU": F.gelu}
alone = {}
for task, inputs in ((xor, 2), (wave, 1)):
    for name, activation in ACTIVATIONS.items():
        make = partial(FeedForward, 5, inputs, 64, 1, activation)
        net, explained = train(make, task, steps=600, lr=3e-2, batch=32)
        alone[task, name] = net, explained
        print(f"{task.__name__:4}  {name:13}  {band(explained)}")

# %% tags=["hide-input"]
#| name: fig-ffn-alone
#| caption: What the feed-forward network alone has learned (first of five runs). Left
#|   column, XOR of signs over the plane of the two inputs; right column, the wave.
#| alt: Without an activation the plane is a uniform grey and the wave is met by a
#|   straight line. With ReLU and with GELU the plane shows four quarters like a
#|   chessboard, and the curve follows the wave in the middle and misses its two ends.
fig, axes = plt.subplots(3, 2, figsize=(5.0, 6.6), width_ratios=(1, 1.25))
u = torch.linspace(-1, 1, 81)
plane = torch.cartesian_prod(u, u).expand(5, 1, -1, 2).to(device)
for (left, right), name in zip(axes, ACTIVATIONS, strict=True):
    with torch.no_grad():
        (xor_net, _), (wave_net, _) = alone[xor, name], alone[wave, name]
        image = xor_net(plane)[0, 0, :, 0].view(81, 81).cpu()
        line = u.expand(5, 1, 81)[..., None].to(device)
        curve = wave_net(line)[0, 0].cpu()
    left.imshow(image.T, cmap="PuOr", vmin=-1.3, vmax=1.3, origin="lower",
                extent=(-1, 1, -1, 1))  # fmt: skip
    left.set(title=name, xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    left.grid(False)
    right.plot(u, torch.sin(6 * u), color=plots.GREY, linewidth=5, alpha=0.35)
    right.plot(u, curve, color=plots.BLUE)
    right.set(ylim=(-1.5, 1.5), xticks=(-1, 0, 1), yticks=(-1, 0, 1))
fig.tight_layout()
better = alone[xor, "ReLU"][1].min() > alone[xor, "no activation"][1].max() + 0.5
text = f"XOR: every ReLU run beats every linear run by 50 points: {bool(better)}"
plots.show(fig, text, kind="png")

# %% [markdown]
r"""
Trained, the network without an activation ends exactly where the best line ends, and
not a percent beyond, in spite of its 64 hidden numbers. With a bend, the same 64
numbers become 64 kinks (ReLU) or 64 smooth bends (GELU) that training can place where
it needs them. Isolated like this, the claim is as right as a claim can be.
"""

# %% [markdown]
r"""
### The same experiment inside a block

Now put the network where it belongs: into a Transformer block, with attention, layer
norm and residual paths. The block is written out once, with switches for everything
that this chapter takes apart; attention itself is the subject of the next chapter.
"""


# %%
class Attention(nn.Module):
    """Self-attention with four heads, x (R, B, T, D); without softmax, an average."""

    def __init__(self, runs: int, dim: int, softmax: bool = True):
        super().__init__()
        self.qkv, self.out = Linear(runs, dim, 3 * dim), Linear(runs, dim, dim)
        self.softmax = softmax

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, 4, -1))  # (R, B, T, 3, heads, D/4)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)  # each (R, B, heads, T, D/4)
        scores = q @ k.mT / math.sqrt(q.shape[-1])  # (R, B, heads, T, T)
        same_for_all = torch.full_like(scores, 1 / x.shape[2])
        weights = scores.softmax(-1) if self.softmax else same_for_all
        return self.out((weights @ v).transpose(2, 3).flatten(3))


# %%
def layer_norm(x: torch.Tensor) -> torch.Tensor:
    """Normalize every token; no learned scale and shift, to keep the test simple."""
    return F.layer_norm(x, x.shape[-1:])


def nothing(x: torch.Tensor) -> int:
    """Stands in for a sublayer that is left out."""
    return 0


# %%
class Block(nn.Module):
    """A pre-norm block, x (R, B, T, D); the arguments take it apart."""

    def __init__(
        self, runs, dim, hidden, activation=F.gelu, norm=layer_norm, softmax=True,
        parallel=False, without="",
    ):  # fmt: skip
        super().__init__()
        self.attention, self.feed_forward = nothing, nothing
        if without != "attention":
            self.attention = Attention(runs, dim, softmax)
        if without != "feed forward":
            self.feed_forward = FeedForward(runs, dim, hidden, dim, activation)
        self.norm, self.parallel = norm, parallel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.parallel:
            y = self.norm(x)
            return x + self.attention(y) + self.feed_forward(y)
        z = x + self.attention(self.norm(x))
        return z + self.feed_forward(self.norm(z))


# %%
class TinyTransformer(nn.Module):
    """Five runs of `depth` blocks: x (5, B, 4, inputs) to (5, B, 4, outputs)."""

    def __init__(self, inputs, outputs, depth=1, norm=layer_norm, **settings):
        super().__init__()
        self.embed = Linear(5, inputs, 32)
        self.position = nn.Parameter(0.5 * torch.randn(5, 1, 4, 32))
        blocks = [Block(5, 32, 64, norm=norm, **settings) for _ in range(depth)]
        self.blocks, self.norm = nn.Sequential(*blocks), norm
        self.head = Linear(5, 32, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.embed(x) + self.position)
        return self.head(self.norm(x))


# %% [markdown]
r"""
**Predict.** One block, the XOR task, each token to answer for itself. First with GELU.
Then *without an activation*: will it fall back to 0 %, as the network alone did?
"""

# %%
inside = {}
for name in ("GELU", "no activation"):
    make = partial(TinyTransformer, 2, 1, activation=ACTIVATIONS[name])
    inside[name] = train(make, xor)[1]
    print(f"one block, {name:13}  {band(inside[name])}")

# %% [markdown]
r"""
The lesson seems refuted: without any activation, the block does XOR. A reader who ran
only this experiment would conclude that the feed-forward network's non-linearity is not
needed.

But is "no activation" the same as "linear"? Something else in the block must bend. For
each piece there is a test: a map of the form $Ax + b$ satisfies $f(x + y - z) = f(x) +
f(y) - f(z)$ for all $x$, $y$, $z$.

**Predict.** Which of these pass: the feed-forward network with and without its
activation, layer norm, attention, attention whose weights do not depend on $x$?
"""

# %%
pieces = {
    "feed forward, GELU": FeedForward(1, 32, 64, 32, F.gelu).to(device),
    "feed forward, no activation": FeedForward(1, 32, 64, 32, no_activation).to(device),
    "layer norm": layer_norm,
    "attention": Attention(1, 32).to(device),
    "attention, fixed weights": Attention(1, 32, softmax=False).to(device),
}
x, y, z = torch.randn(3, 1, 2, 4, 32).to(device)
for name, f in pieces.items():
    linear = torch.allclose(f(x + y - z), f(x) + f(y) - f(z), atol=1e-4)
    print(f"{name:28} {'linear' if linear else 'bends'}")

# %% [markdown]
r"""
So there are three bends in a block. Layer norm divides by a standard deviation, and
attention's weights come from a softmax over products of tokens; only for *given*
weights is attention linear in the values. Take them away one by one, all without an
activation.

**Predict.** Which removal brings the collapse: layer norm, the softmax, or only both?
"""

# %%
ARMS = {
    "no layer norm": {"norm": no_activation},
    "no softmax": {"softmax": False},
    "neither": {"norm": no_activation, "softmax": False},
}
for name, settings in ARMS.items():
    make = partial(TinyTransformer, 2, 1, activation=no_activation, **settings)
    inside[name] = train(make, xor)[1]
    print(f"no activation, {name:13}  {band(inside[name])}")
means = {name: explained.mean().item() for name, explained in inside.items()}
lead = means.pop("GELU") - max(means.values())
print("GELU explains most, by 5 points or more:", lead > 0.05)

# %% [markdown]
"""
So each of the other two bends by itself. And the activation by itself, with
layer norm and the softmax both gone?
"""

# %%
make = partial(TinyTransformer, 2, 1, norm=no_activation, softmax=False)
inside["only GELU"] = train(make, xor)[1]
rivals = max(means["no layer norm"], means["no softmax"])
print(f"only GELU            {band(inside['only GELU'])}")
ahead = inside["only GELU"].mean().item() - rivals
print("more than softmax alone or layer norm alone, by 5 points:", ahead > 0.05)


# %% tags=["hide-input"]
#| name: fig-bends
#| caption: XOR in one block, five runs each (dots): with the activation, without it,
#|   with one or both of the other bends removed too, and with the activation alone.
#| alt: Explained variance. With GELU all runs lie above 0.9. Without activation they
#|   lie around 0.8, without activation and layer norm around 0.7, without activation
#|   and softmax around 0.5, with GELU alone around 0.85, and with none of the three at 0.
def dots(results: dict[str, torch.Tensor], blocks: dict[str, int] | None = None):
    """A row for each result, a dot for each run; the colour says how many blocks."""
    fig, ax = plt.subplots(figsize=(3.5, 0.4 * len(results) + 0.6))
    for row, (name, values) in enumerate(results.items()):
        colour = plots.COLOURS[(blocks or {}).get(name, 1) - 1]
        ax.plot(values, [row] * len(values), "o", color=colour, alpha=0.6)
    ax.set_yticks(range(len(results)), list(results))
    ax.set(xlim=(-0.05, 1.02), ylim=(len(results) - 0.5, -0.5))
    ax.set_xlabel("explained share of the variance")
    return fig


rows = {"GELU": inside["GELU"], "no activation": inside["no activation"]}
rows |= {f"… and {name}": inside[name] for name in ("no layer norm", "no softmax")}
rows |= {"only GELU": inside["only GELU"], "none of the three": inside["neither"]}
nothing_left = inside["neither"].abs().max().item()
text = f"none of the three: every run explains less than 5 %: {nothing_left < 0.05}"
plots.show(dots(rows), text, kind="png")

# %% [markdown]
r"""
With either of the two left, the block still bends, less well; with neither it explains
nothing, as no linear map can ([the figure above](#fig-bends)). The activation was never
the only non-linearity. Alone, it is the strongest of the three here, and the only one
made for the purpose: layer norm can only shift and rescale a token as a whole,
attention can only choose between tokens, while the feed-forward network can apply
whatever function of a token's content it has learned.

**Verdict on S2.1: holds with conditions.** The feed-forward network provides *a*
non-linear transformation, token by token, and without its activation it is one matrix.
It is not the only one: softmax and layer norm bend too, so a Transformer without any
activation is still not linear.
"""

# %% [markdown]
r"""
## What keeps the tokens apart

There is a second service that the feed-forward network is often credited with. Dong et
al. 2021 {cite}`dong2021` prove that a stack of *nothing but* attention makes all tokens
equal, doubly exponentially in depth: each layer replaces tokens by averages of tokens.
Their abstract names two remedies, residual ("skip") connections and feed-forward
networks. Which of them does it?

The measure is the share of $x$ that is *not* common to all tokens, $\lVert x - \bar x
\rVert / \lVert x \rVert$, where $\bar x$ is the mean token: near 1 for random tokens, 0
when all are equal. The weights are random; nothing is trained.

**Predict.** Four stacks: attention only; with feed-forward networks; with skips; with
both. Which collapse, and how fast?
"""


# %%
def apart(x: torch.Tensor) -> torch.Tensor:
    """Share of x (B, T, D) that its tokens do not have in common, (B,)."""
    return (x - x.mean(1, keepdim=True)).norm(dim=(1, 2)) / x.norm(dim=(1, 2))


def stack(skip: bool, network: bool, norm=no_activation, depth: int = 12, D: int = 32):
    """How far 16 random tokens are apart after 0 … depth random layers (20 draws)."""
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    x, shares = draw(20, 16, D).to(device), []
    for _ in range(depth + 1):
        shares.append(apart(x).log().mean().exp().item())
        q, k, v, o, *ffn = (draw(20, D, D).to(device) / math.sqrt(D) for _ in range(6))
        y = norm(x)
        weights = ((y @ q) @ (y @ k).mT / math.sqrt(D)).softmax(-1)
        x = weights @ y @ v @ o + skip * x
        if network:
            x = F.gelu(norm(x) @ ffn[0]) @ ffn[1] + skip * x
    return shares


# %% tags=["hide-input"]
#| name: fig-collapse
#| caption: How much of the tokens is not common to all, after random layers (geometric
#|   mean of 20 draws).
#| alt: Attention alone, and attention with feed-forward networks, plunge below one in a
#|   million within four layers. Both stacks with skips fall slowly, to less than a
#|   fifth after twelve layers. A full block with layer norm too stays above one half.
STACKS = {
    "attention only": stack(False, False),
    "+ feed forward": stack(False, True),
    "+ skips": stack(True, False),
    "+ both": stack(True, True),
    "+ both + layer norm": stack(True, True, layer_norm),
}
fig, ax = plt.subplots(figsize=(5.0, 3.4))
lines = []
styles = ("-", "--", "-", "--", ":")
for (name, shares), style in zip(STACKS.items(), styles, strict=True):
    shown = [float(f"{max(share, 1e-7):.2g}") for share in shares]
    ax.plot(shown, style, marker="o", markersize=3.5, label=name)
    after = [f"{s:.2f}" if s > 1e-6 else "< 1e-6" for s in shares]
    lines.append(f"{name:19} after 2, 4, 12: {after[2]}, {after[4]}, {after[12]}")
ax.set(yscale="log", xlabel="layers", ylabel="share not in common", ylim=(5e-7, 2))
ax.legend(loc="lower right")
plots.show(fig, "\n".join(lines))

# %% [markdown]
r"""
It is the skips. Feed-forward networks without skips do not slow the collapse here, they
follow it: equal tokens go through the same network and stay equal. (A network with
larger weights can stretch small differences, which is how it can help in theory.) And
the skips do not stop the fall, they make it slow: after twelve layers the stacks with
skips have lost most of what told their tokens apart, and with layer norm about half.
"""

# %% [markdown]
r"""
## Which bend?

Three activations are common. **ReLU** cuts negative numbers off. **GELU** weighs $x$ by
the probability that a standard normal variable is smaller, $x\,\Phi(x)$ (Hendrycks and
Gimpel 2016 {cite}`hendrycks2016`). It is often approximated by a tanh: the original
code of the Vision Transformer does so, PyTorch's `nn.GELU` only if asked. **SiLU**,
also called Swish, weighs by the sigmoid, $x\,\sigma(x)$.

**Predict.** How far apart are ReLU and GELU at most? And the two GELUs: is confusing
them an error in the first, the second or the fourth decimal?
"""

# %%
x = torch.linspace(-8, 8, 160001, dtype=torch.float64, device=device)
tanh_gelu = partial(F.gelu, approximate="tanh")
PAIRS = {
    "ReLU and GELU": (F.relu, F.gelu),
    "SiLU and GELU": (F.silu, F.gelu),
    "GELU, exact and tanh": (F.gelu, tanh_gelu),
}
for name, (f, g) in PAIRS.items():
    difference = (f(x) - g(x)).abs()
    where = x[difference.argmax()].abs().item()
    print(f"{name:21} differ by at most {difference.max():.4f}, at |x| = {where:.1f}")

# %% tags=["hide-input"]
#| name: fig-activations
#| caption: Three activations (top), and exact minus tanh GELU, ten thousand times
#|   enlarged (bottom).
#| alt: ReLU has a corner at zero; GELU and SiLU are smooth and dip below zero, GELU to
#|   minus 0.17 and SiLU to minus 0.28. The difference of the two GELUs waves between
#|   plus 2.4 and minus 4.7 ten-thousandths and vanishes for large x.
grid = torch.linspace(-5, 5, 201, dtype=torch.float64)
shape = {"sharex": True, "height_ratios": (2, 1)}
fig, (top, bottom) = plt.subplots(2, 1, figsize=(5.0, 4.4), **shape)
curves = {"ReLU": F.relu, "GELU": F.gelu, "SiLU": F.silu}
for (name, f), style in zip(curves.items(), ("-", "-", "--"), strict=True):
    top.plot(grid, f(grid).round(decimals=3), style, label=name)
top.legend(loc="upper left")
top.set(ylim=(-0.5, 3), ylabel="φ(x)")
gap = 1e4 * (F.gelu(grid) - tanh_gelu(grid))
bottom.plot(grid, gap.round(decimals=1), color=plots.PURPLE)
bottom.set(xlabel="x", ylabel="exact − tanh\n× 10,000")
lowest = {name: f(x).min().item() for name, f in curves.items()}
text = ", ".join(f"{name} {value + 0:.2f}" for name, value in lowest.items())
plots.show(fig, f"lowest values: {text}")

# %% [markdown]
r"""
The two GELUs differ in the fourth decimal: enough to fail a strict comparison with a
pretrained model, too little to matter for training. A second difference does not show
in such a plot: what training gets back.
"""

# %%
x = torch.randn(100000, generator=torch.Generator().manual_seed(0)).to(device)
for name, f in curves.items():
    x.grad = None
    f(x.requires_grad_()).sum().backward()
    dead = (x.grad == 0).float().mean().item()
    print(f"{name}: no gradient at all for {100 * dead:.0f} % of normal inputs")

# %% [markdown]
r"""
The fourth in use is not a curve but a circuit. **SwiGLU** (Shazeer 2020
{cite}`shazeer2020`) has two maps upwards, and one of them, through a SiLU, opens and
closes the other: $W_\text{down}\,\bigl(\operatorname{SiLU}(W_\text{gate}\,x) \odot
W_\text{up}\,x\bigr)$. Three matrices instead of two, $W_\text{gate}$ and $W_\text{up}$
of $H \times D$ and $W_\text{down}$ of $D \times H$; to keep the number of weights, $H$
shrinks by a third, from $4D$ to $\tfrac83 D$.
"""


# %%
class SwiGLU(nn.Module):
    """A gated feed-forward network: x (R, B, T, inputs) to (R, B, T, outputs)."""

    def __init__(self, runs: int, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.gate, self.up = (Linear(runs, inputs, hidden) for _ in range(2))
        self.down = Linear(runs, hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


plain = FeedForward(1, 768, 3072, 768, F.relu).to(device)
gated = SwiGLU(1, 768, 2048, 768).to(device)
x = 1e4 * torch.randn(1, 1, 4, 768).to(device)  # so large that no bias counts
for name, net in (("ReLU, H = 3072", plain), ("SwiGLU, H = 2048", gated)):
    weights = sum(p.numel() for n, p in net.named_parameters() if "weight" in n)
    growth = (net(2 * x).norm() / net(x).norm()).item()
    print(f"{name:16} {weights:,} weights; input × 2: output × {growth:.1f}")

# %% [markdown]
r"""
The same number of weights, but a product of two numbers that both grow: SwiGLU can
multiply features, while ReLU can only add them up and cut. Now train all four on the
wave.

**Predict.** Which of them fit it better than a straight line?
"""

# %%
fits = {name: alone[wave, name][1] for name in ("ReLU", "GELU")}
make = partial(FeedForward, 5, 1, 64, 1, tanh_gelu)
fits["GELU, tanh"] = train(make, wave, steps=600, lr=3e-2, batch=32)[1]
make = partial(SwiGLU, 5, 1, 43, 1)  # 43 is two thirds of 64
fits["SwiGLU"] = train(make, wave, steps=600, lr=3e-2, batch=32)[1]
for name, explained in fits.items():
    print(f"{name:11} {band(explained)}")
close = (fits["GELU"].mean() - fits["GELU, tanh"].mean()).abs() < 0.02
print("the two GELUs end within 2 points of each other:", bool(close))

# %% [markdown]
r"""
All four go far beyond the 16 % of the best line, none of them all the way, and which
comes closest on so small a task says nothing about a language model. There the order is
known: Shazeer 2020 {cite}`shazeer2020` (Table 1) trains T5 models of
equal size and computation and reports the log-perplexity, lower being better, after
524,288 steps: ReLU 1.677, GELU 1.679, SwiGLU 1.636. So the choice of the curve hardly
mattered, and the gate did. Why it helps, the paper does not claim to know.
"""

# %% [markdown]
r"""
## S2.2 — It costs little

**Claim.** The computational cost of the feed-forward sublayer is low.

Low compared with what? With the other sublayer. **Predict**, for ViT-B ($D = 768$, $H =
3072$): which share of a block's weights is the feed-forward network's? And of a block's
multiplications, when it reads an image of 197 tokens: less than attention, as much, or
more?

Weights first. On PyTorch's *meta* device tensors have shapes but no numbers, so that
even large models can be counted at once. (The number of heads changes no count.)
"""

# %%
with torch.device("meta"):
    sublayers = {
        "attention": Attention(1, 768),
        "feed forward": FeedForward(1, 768, 3072, 768, F.gelu),
    }
count = {name: sum(p.numel() for p in f.parameters()) for name, f in sublayers.items()}
both = sum(count.values())
for name, number in count.items():
    print(f"{name:12} {number:9,} parameters, {100 * number / both:.1f} %")
print(f"feed forward in 12 blocks: {12 * count['feed forward'] / 1e6:.0f} million")

# %% [markdown]
r"""
Two thirds, and the width does not matter: four $D \times D$ matrices against two of $D
\times 4D$, $4D^2$ against $8D^2$. ViT-B has 12 blocks and about 86 million parameters
in all (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`, Table 1): 57 of the 86 million
are feed-forward network.

Now the work. A *multiply–accumulate* (MAC) is one multiplication with its addition; a
matrix product $(n \times m)(m \times p)$ takes $nmp$ of them. For one sequence of $T$
tokens:

| part of the block | weights | MACs | with $H = 4D$ |
|---|---|---|---|
| attention: the four projections | $4D^2$ | $4TD^2$ | $4TD^2$ |
| attention: the $T \times T$ matrix, its scores and its use | 0 | $2T^2D$ | $2T^2D$ |
| feed forward | $2DH$ | $2TDH$ | $8TD^2$ |

PyTorch can count by itself, from the operations that really run. Does it agree?
"""


# %%
def macs(tokens: int, dim: int) -> dict[str, int]:
    """Multiply–accumulates of one block with H = 4D, by part."""
    return {
        "projections": 4 * tokens * dim**2,
        "T × T matrix": 2 * tokens**2 * dim,
        "feed forward": 8 * tokens * dim**2,
    }


x = torch.empty(1, 1, 197, 768, device="meta")
for name, f in sublayers.items():
    with FlopCounterMode(display=False) as counter:
        f(x)
    parts = macs(197, 768)
    network = parts.pop("feed forward")
    counted = network if name == "feed forward" else sum(parts.values())
    same = counter.get_total_flops() == 2 * counted  # one MAC is two operations
    print(f"{name:12} {counted / 1e6:4.0f} million MACs, PyTorch agrees: {same}")

# %% [markdown]
r"""
**Predict.** The projections and the feed-forward network grow with $T$, the matrix with
$T^2$. From how many tokens on does attention cost more than the feed-forward network,
and from how many its $T \times T$ matrix alone?
"""

# %%
LENGTHS = {
    "16 × 16 patches of 224 × 224": 197,
    "16 × 16 patches of 384 × 384": 577,
    "2D": 2 * 768,
    "4D": 4 * 768,
    "single pixels of 224 × 224": 224**2 + 1,
}
print(f"{'':28} {'T':>7}  project  T × T  feed forward")
for name, tokens in LENGTHS.items():
    parts = macs(tokens, 768)
    a, b, c = (f"{100 * n / sum(parts.values()):.0f} %" for n in parts.values())
    print(f"{name:28} {tokens:7,}  {a:>7}  {b:>5}  {c:>12}")

# %% tags=["hide-input"]
#| name: fig-cost
#| caption: Multiply–accumulates for each token in a block of width 768, by the number
#|   of tokens.
#| alt: Feed forward is a level line at 4.7 million per token. Attention starts at half
#|   of it, crosses it at 1,536 tokens and goes on rising. Its T by T matrix alone
#|   starts near nothing and crosses feed forward at 3,072 tokens.
tokens = [2**n for n in range(4, 15)]
parts = {name: [macs(t, 768)[name] / t / 1e6 for t in tokens] for name in macs(1, 1)}
attention = [sum(macs(t, 768).values()) / t / 1e6 for t in tokens]
attention = [a - f for a, f in zip(attention, parts["feed forward"], strict=True)]
fig, ax = plt.subplots(figsize=(5.0, 3.2))
ax.plot(tokens, parts["feed forward"], label="feed forward")
ax.plot(tokens, attention, label="attention, all of it")
ax.plot(tokens, parts["T × T matrix"], ":", color=plots.RED, label="its T × T matrix")
ax.axvline(1536, color=plots.GREY, linestyle="--", linewidth=1)
ax.text(1400, 19, "2D = 1,536", ha="right", color=plots.GREY)
ax.set(xscale="log", yscale="log", xlabel="tokens T", ylabel="million MACs per token")
ax.set_xticks([16, 128, 1024, 8192], ["16", "128", "1,024", "8,192"])
ax.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
ax.minorticks_off()
ax.legend(loc="upper left")
level = parts["feed forward"][0]
plots.show(fig, f"feed forward: {level:.1f} million MACs per token at any length")

# %% [markdown]
r"""
Setting $4TD^2 + 2T^2D = 8TD^2$ gives $T = 2D$; the matrix alone needs $4D$. Up to $2D$
tokens the feed-forward network costs more than all of attention, and $2D$ tokens is a
long sequence: 1,536 for ViT-B, whose image has 197; 24,576 for GPT-3 ($D$ = 12,288),
which reads 2,048 (Brown et al. 2020 {cite}`brown2020`).

Try other sizes. Where do the curves of a narrow model lie, and where those of GPT-3?
"""

# %%
explore.cost_explorer()

# %% [markdown]
r"""
MACs are not time: softmax, reshaping and the traffic of numbers to and from memory take
time and are not counted. The next cell measures, on the machine it runs on, how long
attention takes compared with the feed-forward network, beside the counted ratio: once
as written above, once with PyTorch's fused kernel, which never stores the $T \times T$
matrix as a whole. Run it on yours. The measured ratios differ from machine to machine;
look whether they rise with the number of tokens as the counted ones do, and how far the
two kinds of attention are from each other.
"""

# %% tags=["nbval-ignore-output"]
# Times differ from run to run: this output is not compared.
block = Block(1, 192, 768).to(device)


def fused(x: torch.Tensor) -> torch.Tensor:
    """The same attention of one run, x (1, B, T, D), by PyTorch's own kernel."""
    q, k, v = block.attention.qkv(x)[0].unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v)  # (B, heads, T, D/4)
    return block.attention.out(mixed.transpose(1, 2).flatten(2)[None])


print("attention ÷ feed forward   counted  measured here  measured here, fused")
with torch.no_grad():
    for tokens in (17, 197, 2 * 192, 1025):
        x = torch.randn(1, 4, tokens, 192).to(device)
        times = []
        for f in (block.attention, fused, block.feed_forward):
            timer = Timer("f(x)", globals={"f": f, "x": x})
            times.append(min(timer.blocked_autorange(min_run_time=0.1).times))
        n = macs(tokens, 192)
        counted = (n["projections"] + n["T × T matrix"]) / n["feed forward"]
        plain, kernel = times[0] / times[2], times[1] / times[2]
        print(f"T = {tokens:5}: {counted:23.2f} {plain:14.1f} {kernel:21.1f}")

# %% [markdown]
r"""
In one sense the claim has a point. Per token the feed-forward network costs the same
however long the sequence is, its memory grows only with $T$, and nothing in it ever
becomes a $T \times T$ matrix: for very long sequences it is the part that one need not
worry about.

**Verdict on S2.2: does not hold.** With $H = 4D$ the feed-forward network has two
thirds of a block's weights and does most of its multiplications up to $T = 2D$ tokens:
64 % in ViT-B/16. Its cost is *linear* in the number of tokens, which is not the same as
low.
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

# %% tags=["hide-input"]
#| name: fig-positions
#| caption: Which output token depends on which input token (six tokens, largest
#|   derivative by any of their numbers; filled, not zero).
#| alt: Two grids of six by six cells. Under feed forward only the diagonal is filled;
#|   under attention every cell is.
x = torch.randn(1, 1, 6, 32).to(device)
fig, axes = plt.subplots(1, 2, figsize=(5.0, 2.7))
text = []
for ax, name in zip(axes, ("feed forward, GELU", "attention"), strict=True):
    slopes = torch.autograd.functional.jacobian(pieces[name], x)  # (1,1,6,32, 1,1,6,32)
    depends = (slopes[0, 0, :, :, 0, 0].abs().amax((1, 3)) > 0).cpu()  # (out, in)
    for row, column in depends.nonzero().tolist():
        corner = (column + 0.55, row + 0.55)
        ax.add_patch(plt.Rectangle(corner, 0.9, 0.9, color=plots.BLUE))
    ax.set(xlim=(0.5, 6.5), ylim=(6.5, 0.5), aspect="equal", title=name)
    ax.set(xticks=range(1, 7), yticks=range(1, 7), xlabel="input token")
    text.append(f"{name}: {depends.sum()} of 36 derivatives are not zero")
axes[0].set_ylabel("output token")
fig.tight_layout()
plots.show(fig, "\n".join(text))

# %% [markdown]
r"""
Off the diagonal the feed-forward network's derivatives are exactly zero. No token waits
for another, so all $T$ of them can be computed at the same time, on as many processors
as there are. That is real parallelism, and the paper has a name for it,
*position-wise*, with a second description: two convolutions with kernel size 1 (Vaswani
et al. 2017 {cite}`vaswani2017`, §3.3).
"""

# %%
net = pieces["feed forward, GELU"]
x = torch.randn(1, 3, 6, 32).to(device)  # (R, B, T, D)
image = x[0].mT  # (B, D, T): a convolution wants the channels in the middle
hidden = F.conv1d(image, net.up.weight[0].T[..., None], net.up.bias[0, 0])
out = F.conv1d(F.gelu(hidden), net.down.weight[0].T[..., None], net.down.bias[0, 0])
print("same as two 1 × 1 convolutions:", torch.allclose(out.mT, net(x)[0], atol=1e-5))

order = torch.tensor([3, 0, 5, 1, 4, 2], device=device)
swapped = torch.allclose(net(x[:, :, order]), net(x)[:, :, order], atol=1e-6)
print("tokens in another order: same outputs in that order:", swapped)

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
"""


# %% tags=["hide-input"]
#| name: fig-two-blocks
#| caption: A sequential and a parallel block. Count the sublayers (attention, network) on
#|   the longest way from x to y.
#| alt: In the sequential block x passes through LN, attention, a sum, LN, the network
#|   and a second sum, one after the other. In the parallel block x passes through one
#|   LN, then attention and feed forward side by side, and one sum; a residual path goes
#|   from x to it.
def draw(ax, boxes: dict, ways: list, title: str):
    """Boxes {name: (x, y)} on top of ways, each a list of corners with a head."""
    head = {"arrowstyle": "-|>", "color": plots.GREY, "lw": 1.4, "shrinkB": 0}
    for corners in ways:
        ax.plot(*zip(*corners, strict=True), color=plots.GREY, lw=1.4, zorder=1)
        ax.annotate("", corners[-1], corners[-2], arrowprops=head)
    for name, (x, y) in boxes.items():
        frame = {"boxstyle": "round,pad=0.4", "fc": "white", "ec": plots.BLUE}
        if name in "xy":
            frame = {"fc": "white", "ec": "none"}
        ax.text(x, y, name.strip(), ha="center", va="center", zorder=3, bbox=frame)
    ax.set(xlim=(-0.4, 10.4), title=title)
    ax.set_axis_off()


fig, (top, bottom) = plt.subplots(2, 1, figsize=(5.0, 3.7), height_ratios=(1, 1.7))
row = {"x": 0, "LN": 1.1, "attention": 2.9, "+": 4.5}
row |= {"LN ": 5.6, "network": 7.4, "+ ": 9, "y": 10}  # a box's name is its key
ways = [[(0, 0), (9.8, 0)]]
ways += [[(a, 0), (a, 0.9), (b, 0.9), (b, 0.35)] for a, b in ((0.5, 4.5), (5, 9))]
draw(top, {name: (x, 0) for name, x in row.items()}, ways, "sequential")
top.set(ylim=(-0.5, 1.2))
boxes = {"x": (0, 0), "LN": (1.4, 0), "attention": (5, 0.75), "network": (5, -0.75)}
ways = [[(0, 0), (2.3, 0), (2.3, s), (8, s), (8, s / 2)] for s in (0.75, -0.75)]
ways += [[(0.5, 0), (0.5, 1.6), (8, 1.6), (8, 0.4)], [(8, 0), (9.8, 0)]]
draw(bottom, boxes | {"+": (8, 0), "y": (10, 0)}, ways, "parallel")
bottom.set(ylim=(-1.1, 1.9))
plots.show(fig, "sublayers on the longest way: sequential 2, parallel 1")

# %% [markdown]
r"""
The difference is not a matter of scheduling. With the very same weights the two compute
different things.
"""

# %%
torch.manual_seed(0)
one = Block(1, 32, 64).to(device)
other = Block(1, 32, 64, parallel=True).to(device)
other.load_state_dict(one.state_dict())

x = torch.randn(1, 2, 4, 32).to(device)
same = torch.allclose(one(x), other(x), atol=1e-2)
print("same outputs with the same weights:", same)
for name, block in (("sequential", one), ("parallel", other)):
    reads = []  # what the feed-forward network reads, before and after
    watch = block.feed_forward.register_forward_pre_hook
    hook = watch(lambda module, inputs, reads=reads: reads.extend(inputs))
    block(x)
    with torch.no_grad():
        block.attention.out.weight.zero_()  # attention falls silent
    block(x)
    hook.remove()
    waits = not torch.allclose(*reads, atol=1e-6)
    print(f"{name:10} block: what the network reads depends on attention: {waits}")

# %% [markdown]
r"""
What does the parallel block gain? Attention's three input projections and the network's
first layer now read the same $\operatorname{LN}(x)$, so that they can be *one* matrix
product with a wider matrix, which large accelerators do faster than two in a row.
"""

# %%
y = layer_norm(x)
wide = Linear(1, 32, 3 * 32 + 64).to(device)  # queries, keys, values, hidden numbers
with torch.no_grad():
    for name in ("weight", "bias"):
        parts = getattr(other.attention.qkv, name), getattr(other.feed_forward.up, name)
        getattr(wide, name).copy_(torch.cat(parts, dim=-1))
separate = torch.cat([other.attention.qkv(y), other.feed_forward.up(y)], dim=-1)
print("one wide product, same numbers:", torch.allclose(wide(y), separate, atol=1e-5))

# %% [markdown]
r"""
Such blocks exist. GPT-J has them (Wang and Komatsuzaki 2021 {cite}`wang2021`), PaLM
{cite}`chowdhery2022` and the Vision Transformer with 22 billion parameters
{cite}`dehghani2023` too. The authors of PaLM report training that is roughly 15 %
faster at large scale, thanks to the merged matrix products; the quality suffered a
little at 8 billion parameters and not at all at 62 billion. Whether a small machine
gains anything is another question, and this chapter makes no claim about it.

### Is it as good?

Train both on scikit-learn's digits (8 × 8 pixels, four tokens of two rows each, two
blocks), five runs each.

**Predict.** Does the parallel block lose accuracy?
"""

# %%
digits = data.digits()
train_x, test_x = (
    images.reshape(-1, 4, 16).to(device) for images in (digits.train_x, digits.test_x)
)
train_y, test_y = digits.train_y.to(device), digits.test_y.to(device)


def train_on_digits(**settings) -> torch.Tensor:
    """Test accuracies (5,) of five runs of two blocks after 150 steps."""
    torch.manual_seed(0)
    net = TinyTransformer(16, 10, depth=2, **settings).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(150):
        pick = torch.randint(len(train_y), (5, 32)).to(device)
        scores = net(train_x[pick]).mean(2)  # (5, 32, 10)
        loss = F.cross_entropy(scores.mT, train_y[pick], reduction="none").mean(1)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    with torch.no_grad():
        best = net(test_x.expand(5, -1, -1, -1)).mean(2).argmax(-1)
    return (best == test_y).float().mean(1).cpu()


# %%
def to_5_percent(accuracies: torch.Tensor) -> str:
    """The mean over five short runs, as coarsely as it deserves."""
    return f"{5 * round(20 * accuracies.mean().item())} % (to the nearest 5 %)"


SETTINGS = {
    "sequential": {},
    "parallel": {"parallel": True},
    "no attention": {"without": "attention"},
    "no feed forward": {"without": "feed forward"},
}
on_digits = {}
for name in ("sequential", "parallel"):
    on_digits[name] = train_on_digits(**SETTINGS[name])
    print(f"{name:15} {to_5_percent(on_digits[name])}")

# %% [markdown]
r"""
A different function of the same quality. Case closed? Not before asking whether this
test could have noticed anything.

**Predict.** On the same digits: leave *attention* out altogether. Then leave the
*feed-forward network* out instead. How much accuracy does each cost?
"""

# %%
for name in ("no attention", "no feed forward"):
    on_digits[name] = train_on_digits(**SETTINGS[name])
    print(f"{name:15} {to_5_percent(on_digits[name])}")

# %% [markdown]
r"""
Nothing that shows. Digits can be told apart without attention and without a
feed-forward network, so they cannot tell whether the two are arranged well. This is the
*negative control*: a benchmark says something about a component only if it fails
without it.

Here is a task that needs both. Each token is one number; its answer is $\sin 6u$ where
$u$ is the number of its *left neighbour* (the first token's is the last). Attention
must fetch the number, and something must bend it. One block.

**Predict.** Which of these can do it: the sequential block, the parallel block, no
attention, no feed-forward network?
"""


# %%
def neighbour(batch: int):
    """Five runs of four numbers (5, B, 4, 1), and the wave of each left neighbour."""
    u, y = wave(batch)
    return u, y.roll(1, dims=2)


needs_both = {}
for name, settings in SETTINGS.items():
    make = partial(TinyTransformer, 1, 1, **settings)
    needs_both[name, 1] = train(make, neighbour)[1]
    print(f"one block, {name:15}  {band(needs_both[name, 1])}")
ahead = needs_both["parallel", 1].mean() - needs_both["no feed forward", 1].mean()
print("parallel ahead of no feed forward by 10 points:", bool(ahead > 0.1))

# %% [markdown]
r"""
Now the control works: without attention the answer is out of reach, 0 %. And the
parallel block, which was as good as the sequential one on digits, is no better than a
block *without* a feed-forward network. Of course: its network reads $x$ before
attention has fetched anything, so it can bend only the token's own number. (That both
explain more than the 16 % of a straight line is the work of the other two bends, layer
norm and softmax.) What attention fetches must wait for the next block's network.

**Predict.** Then two parallel blocks?
"""

# %%
for name in ("sequential", "parallel"):
    make = partial(TinyTransformer, 1, 1, depth=2, **SETTINGS[name])
    needs_both[name, 2] = train(make, neighbour)[1]
    print(f"two blocks, {name:15}  {band(needs_both[name, 2])}")

# %% tags=["hide-input"]
#| name: fig-neighbour
#| caption: The wave of the left neighbour, five runs each (dots). The parallel block
#|   needs a second block (2 ×) to do what the sequential one does with one.
#| alt: Explained variance. One sequential block lies above 0.8; one parallel block, and
#|   one block without feed forward, scatter between 0.25 and 0.7; no attention lies at
#|   0. Two sequential and two parallel blocks both lie near 0.95.
rows = {f"{depth} × {name}": values for (name, depth), values in needs_both.items()}
fig = dots(rows, {row: int(row[0]) for row in rows})
one = (needs_both["sequential", 1].mean() - needs_both["parallel", 1].mean()).item()
two = (needs_both["sequential", 2].mean() - needs_both["parallel", 2].mean()).item()
text = f"sequential ahead by 30 points: one block {one > 0.3}, two blocks {two > 0.3}"
plots.show(fig, text, kind="png")

# %% [markdown]
r"""
So a parallel block is a sequential one whose network works one block late. In a stack
of two the delay is absorbed here; in a stack of a hundred it should hardly be felt,
which fits what PaLM's authors saw, although an experiment with four tokens cannot prove
that.

**Verdict on S2.3: does not hold.** In the Transformer and in the Vision Transformer,
the note's own equations included, the feed-forward network reads what attention wrote,
and waits for it. What it processes in parallel is positions. Blocks that run both side
by side exist, compute a different function, and gained roughly 15 % in PaLM.
"""

# %% [markdown]
r"""
## Verdicts

| Claim | What the source says | Verdict | Why |
|---|---|---|---|
| S2.1 | The feed-forward sublayer provides the non-linearity: activations such as ReLU let the Transformer capture patterns beyond linear ones | holds with conditions | Alone and without an activation it is one matrix: it explains 0 % of XOR, over 60 % with ReLU or GELU. But it is not the only bend: a block without any activation still does XOR, until layer norm *and* softmax go too (the network: Vaswani et al. 2017 {cite}`vaswani2017`) |
| S2.2 | Its computational cost is low | does not hold | Two thirds of a block's weights, and the largest part of its work up to $T = 2D$ tokens: 64 % in ViT-B/16. Linear in the number of tokens, but not low |
| S2.3 | It can run in parallel with self-attention, which greatly improves efficiency | does not hold | It reads what attention has written. Positions run in parallel; sublayers do so only in another block (GPT-J, PaLM, ViT-22B), which computes another function: roughly 15 % faster training in PaLM {cite}`chowdhery2022`, but in one such block the network cannot bend what attention fetches |
"""

# %% [markdown]
r"""
## Summary

- The feed-forward network is one small function of one token, applied to all tokens:
  widen, bend, narrow. It mixes channels, never tokens.
- Without the bend, two layers are one matrix. With it, the network can put any function
  of the token's content into the stream; which bend hardly matters; in the comparison
  cited here a gate did.
- Layer norm and softmax bend as well. An experiment on "the" non-linearity must switch
  off all three.
- What keeps tokens from becoming equal is, in a random stack, the skips.
- It has two thirds of the weights, and most of the work until $T = 2D$.
- It waits for attention, unless the block is redesigned; then it works one block late.
- A benchmark that works without a component says nothing about it. Remove the component
  first, and look whether the score falls.

Now build it: [Lab 2](../labs/lab_02_feed_forward.ipynb) has you write GELU, the network
and both blocks by hand, merge two linear layers into one, and count what a block costs,
with a check that tells you at once what is right.
"""
