# %% [markdown]
r"""
# Lab 2: write the feed-forward sublayer yourself

**You will** write GELU and the feed-forward network from their formulas, turn them
into a module, show that without an activation two layers are one, count what a block
costs and where attention becomes the dearer half, and wire a block in sequence and in
parallel.

**You need** [chapter 2](../chapters/02_feed_forward.ipynb) and
[lab 1](lab_01_layer_normalization.ipynb). **Time:** about 60 minutes.

`x` has shape $(B, T, D)$: $B$ samples, $T$ tokens, width $D$. The hidden width of the
feed-forward network is $H$. Write all that an exercise needs inside its own cell:
grading takes these cells and nothing else. The checks ask in float64 and in float32:
whatever you make takes its dtype from the input. The check below each cell says what is
right or which mistake it looks like.
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
## Exercise 2.1 — GELU, exactly (1 point)

ReLU keeps or drops a value by its sign. GELU weighs it by the probability $\Phi(x)$
that a standard normal variable is smaller than $x$:

$$
\operatorname{gelu}(x) = x\, \Phi(x), \qquad
\Phi(x) = \tfrac{1}{2} \bigl( 1 + \operatorname{erf}(x / \sqrt{2}) \bigr) .
$$

Write the exact form with `torch.erf`. PyTorch's own (`F.gelu`, `nn.GELU`) is off limits
in this exercise.

Worked number: $\Phi(1) \approx 0.8413$, so $\operatorname{gelu}(1) \approx 0.8413$ and
$\operatorname{gelu}(-1) \approx -0.1587$.
"""


# %% tags=["exercise"]
def gelu(x):
    """Weigh x by the standard normal distribution function.

    x        (...)
    Returns  (...)

    Hendrycks and Gimpel 2016, arXiv:1606.08415
    """
    # BEGIN SOLUTION
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
    # END SOLUTION


# %% tags=["check"]
check("2.1", gelu)

# %%
points = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0], device=device)
print([round(value, 4) for value in gelu(points).tolist()])

# %% [markdown]
r"""
## Exercise 2.2 — The feed-forward network (2 points)

Every token goes by itself through a wider layer and back:

$$
\operatorname{ffn}(x) = W_2\, \phi(W_1 x + b_1) + b_2,
\qquad W_1 \in \mathbb{R}^{H \times D},\; W_2 \in \mathbb{R}^{D \times H},
$$

with an activation $\phi$. The weights have the shapes that `nn.Linear` stores,
(outputs, inputs), so a token is multiplied by their transposes; `F.linear` does that.
The function should work for any number of axes before the last.

Worked number: with $D = 1$, $H = 2$, $W_1 = (1, -1)^\top$, $W_2 = (1, 1)$, no bias and
ReLU the network computes $|x|$.
"""


# %% tags=["exercise"]
def feed_forward(x, weight1, bias1, weight2, bias2, activation):
    """Linear, activation, linear: each token by itself.

    x           (..., D)
    weight1     (H, D), bias1 (H,)
    weight2     (D, H), bias2 (D,)
    activation  callable (..., H) → (..., H)
    Returns     (..., D)

    Vaswani et al. 2017, equation 2, arXiv:1706.03762
    """
    # BEGIN SOLUTION
    hidden = activation(F.linear(x, weight1, bias1))  # (..., H)
    return F.linear(hidden, weight2, bias2)  # (..., D)
    # END SOLUTION


# %% tags=["check"]
check("2.2", feed_forward)

# %%
x = torch.tensor([[-2.0], [-0.5], [3.0]], device=device)  # (3, 1)
weight1 = torch.tensor([[1.0], [-1.0]], device=device)  # (2, 1)
weight2 = torch.tensor([[1.0, 1.0]], device=device)  # (1, 2)
none1, none2 = torch.zeros(2, device=device), torch.zeros(1, device=device)
y = feed_forward(x, weight1, none1, weight2, none2, torch.relu)
print("absolute values:", *[f"{value:.1f}" for value in y.flatten().tolist()])

# %% [markdown]
r"""
## Exercise 2.3 — The module (2 points)

Put the network into an `nn.Module` with GELU (PyTorch's is fine here), its two linear
layers in `fc1` and `fc2`, both with bias. Dropout stands in two places, after the
activation and again after the second layer; it acts in training mode only. `dropout` is
the probability to drop a value, as in `nn.Dropout`: with `dropout=0.4`, which the check
tries, about two values in five become 0, and the others are divided by 0.6.

Worked number: `FeedForward(768, 3072)`, the size of ViT-B, has
$2 \cdot 768 \cdot 3072 + 3072 + 768 = 4{,}722{,}432$ parameters.
"""


# %% tags=["exercise"]
class FeedForward(nn.Module):
    """The feed-forward sublayer of a Transformer block.

    dim      int, width D of a token
    hidden   int, hidden width H
    dropout  float, probability to drop a value in training
    forward  x (..., D) → (..., D)
    """

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        # BEGIN SOLUTION
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)
        # END SOLUTION

    def forward(self, x):
        # BEGIN SOLUTION
        hidden = self.dropout(F.gelu(self.fc1(x)))  # (..., H)
        return self.dropout(self.fc2(hidden))  # (..., D)
        # END SOLUTION


# %% tags=["check"]
check("2.3", FeedForward)

# %%
print("parameters:", sum(p.numel() for p in FeedForward(768, 3072).parameters()))

# %% [markdown]
r"""
## Exercise 2.4 — Two linear maps are one (1 point)

Why the activation? Without it the network is

$$
W_2 (W_1 x + b_1) + b_2 = W x + b .
$$

Return $W$ and $b$. The widths may all differ: $W_1$ is $(H, D)$, $W_2$ is $(O, H)$.

Worked number: with $W_1 = 2$, $b_1 = 1$, $W_2 = 3$, $b_2 = 5$ (all widths 1) the one
map is $6 x + 8$.
"""


# %% tags=["exercise"]
def merge_linear(weight1, bias1, weight2, bias2):
    """The one linear map that two, without an activation between, amount to.

    weight1  (H, D), bias1 (H,)  applied first
    weight2  (O, H), bias2 (O,)
    Returns  weight (O, D), bias (O,)
    """
    # BEGIN SOLUTION
    return weight2 @ weight1, weight2 @ bias1 + bias2
    # END SOLUTION


# %% tags=["check"]
check("2.4", merge_linear)

# %%
network = FeedForward(16, 64)
weight, bias = merge_linear(
    network.fc1.weight, network.fc1.bias, network.fc2.weight, network.fc2.bias
)
before = sum(p.numel() for p in network.parameters())
print(f"{before} parameters do the work of {weight.numel() + bias.numel()}")

# %% [markdown]
r"""
## Exercise 2.5 — What a block costs (3 points)

Count the multiply–accumulates of one block for a sequence of $T$ tokens: one
multiplication together with its addition counts once; norms, biases, activations and
the softmax are left out. An $a \times b$ matrix times a $b \times c$ matrix costs
$a \cdot b \cdot c$.

- `attention_projections`: query, key, value and output, each from $D$ to $D$;
- `attention_core`: the scores $Q K^\top$ and the weighted sum of the values, over all
  heads together;
- `feed_forward`: both layers.

Then find the crossover: the number of tokens at which the attention sublayer
(projections and core) costs exactly as much as the feed-forward network. With more
tokens attention costs more. Where the network is so narrow that attention costs more
from the first token on, return 0. All these are whole numbers; whether they come as int
or as float is the same to the check.

Worked number: a ViT-B block ($T = 197$, $D = 768$, $H = 3072$) spends 929,562,624 on
the feed-forward network, and the crossover lies at 1,536 tokens.
"""


# %% tags=["exercise"]
def block_macs(tokens, dim, hidden):
    """Multiply-accumulates of one Transformer block for a whole sequence.

    tokens, dim, hidden  ints T, D, H
    Returns  dict with the ints attention_projections, attention_core, feed_forward
    """
    # BEGIN SOLUTION
    return {
        "attention_projections": 4 * tokens * dim * dim,
        "attention_core": 2 * tokens * tokens * dim,
        "feed_forward": 2 * tokens * dim * hidden,
    }
    # END SOLUTION


def crossover_tokens(dim, hidden):
    """The number of tokens from which the attention sublayer costs more.

    dim, hidden  ints D, H
    Returns  int: both sublayers cost the same there; 0 if attention always costs more
    """
    # BEGIN SOLUTION
    # 4·T·D² + 2·T²·D = 2·T·D·H, divided by 2·T·D: 2·D + T = H
    return max(0, hidden - 2 * dim)
    # END SOLUTION


# %% tags=["check"]
check("2.5", block_macs, crossover_tokens)

# %%
macs = block_macs(197, 768, 3072)
for name, count in macs.items():
    print(f"{name:21} {count:11,} {count / sum(macs.values()):6.1%}")
print(f"attention costs more beyond {crossover_tokens(768, 3072):,} tokens")

# %% [markdown]
r"""
## Exercise 2.6 — One after the other, or side by side (2 points)

In the first Transformer and in ViT the feed-forward network waits for attention:

$$
z = x + \operatorname{attention}(\operatorname{norm}_1(x)),
\qquad
y = z + \operatorname{ffn}(\operatorname{norm}_2(z)) .
$$

GPT-J and PaLM let both read the same normalized input:

$$
\hat{x} = \operatorname{norm}(x),
\qquad
y = x + \operatorname{attention}(\hat{x}) + \operatorname{ffn}(\hat{x}) .
$$

Write both. All arguments but `x` are callables that keep the shape.

Worked number: if both sublayers return 0, both blocks return $x$.
"""


# %% tags=["exercise"]
def sequential_block(x, norm1, attention, norm2, feed_forward):
    """A pre-norm block: the feed-forward network reads what attention left behind.

    x        (B, T, D); the other arguments are callables (B, T, D) → (B, T, D)
    Returns  (B, T, D)

    Dosovitskiy et al. 2020, equations 2 and 3, arXiv:2010.11929
    """
    # BEGIN SOLUTION
    z = x + attention(norm1(x))
    return z + feed_forward(norm2(z))
    # END SOLUTION


def parallel_block(x, norm, attention, feed_forward):
    """Both sublayers read the same normalized x.

    x        (B, T, D); the other arguments are callables (B, T, D) → (B, T, D)
    Returns  (B, T, D)

    Chowdhery et al. 2022, section 2, arXiv:2204.02311
    """
    # BEGIN SOLUTION
    x_hat = norm(x)
    return x + attention(x_hat) + feed_forward(x_hat)
    # END SOLUTION


# %% tags=["check"]
check("2.6", sequential_block, parallel_block)

# %% [markdown]
"""
The same weights in both arrangements give different functions: the parallel block is
not a faster way to compute the sequential one.
"""

# %%
seed_everything(1)
x = torch.randn(2, 5, 16).to(device)
norm = nn.LayerNorm(16).to(device)
mixing, network = nn.Linear(16, 16).to(device), FeedForward(16, 64).to(device)
with torch.no_grad():
    one = sequential_block(x, norm, mixing, norm, network)
    other = parallel_block(x, norm, mixing, network)
print("same function:", torch.allclose(one, other, atol=1e-3))

# %% [markdown]
r"""
## Exercise 2.7 — SwiGLU: a gate instead of an activation (bonus)

Many recent models replace the activation by a product of two branches:

$$
\operatorname{swiglu}(x) = W_{\text{down}} \bigl( \operatorname{silu}(W_{\text{gate}} x)
\cdot (W_{\text{up}} x) \bigr),
\qquad \operatorname{silu}(z) = z \cdot \operatorname{sigmoid}(z) .
$$

There are no biases; `F.silu` is allowed. Worked number: with all widths 1 and all
weights 1, $x = 2$ gives $\operatorname{silu}(2) \cdot 2 \approx 3.523$.
"""


# %% tags=["exercise"]
def swiglu(x, weight_gate, weight_up, weight_down):
    """A gated feed-forward network.

    x            (..., D)
    weight_gate  (H, D)
    weight_up    (H, D)
    weight_down  (D, H)
    Returns      (..., D)

    Shazeer 2020, equation 6, arXiv:2002.05202
    """
    # BEGIN SOLUTION
    gate = F.silu(F.linear(x, weight_gate))  # (..., H)
    return F.linear(gate * F.linear(x, weight_up), weight_down)  # (..., D)
    # END SOLUTION


# %% tags=["check"]
check("2.7", swiglu)

# %%
one = torch.ones(1, 1, device=device)
print(round(swiglu(2 * one, one, one, one).item(), 3))

# %% [markdown]
"""
## What you built

The part of a block that holds two thirds of its weights: exact GELU, the network as a
function and as a module, the proof that it needs its activation, the bill for a block,
and both ways to wire it. [Chapter 2](../chapters/02_feed_forward.ipynb) tests the
source's claims about it.

## Further reading

- Vaswani et al. 2017, *Attention Is All You Need*, section 3.3, arXiv:1706.03762.
- Hendrycks and Gimpel 2016, *Gaussian Error Linear Units*, arXiv:1606.08415.
- Shazeer 2020, *GLU Variants Improve Transformer*, arXiv:2002.05202.
- Chowdhery et al. 2022, *PaLM*, section 2, arXiv:2204.02311.
"""
