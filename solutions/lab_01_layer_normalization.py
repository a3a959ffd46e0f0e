# %% [markdown]
r"""
# Lab 1: write layer normalization yourself

**You will** write batch norm and layer norm from their formulas, turn layer norm into
a module that interchanges with PyTorch's, derive its backward pass by hand, measure
what batch norm knows at each position of a ragged batch, and put a norm before or
after a sublayer.

**You need** [chapter 1](../chapters/01_layer_normalization.ipynb) and PyTorch tensors.
**Time:** about 75 minutes.

Throughout, `x` has shape $(B, T, C)$: $B$ samples, $T$ positions, $C$ channels. Each
exercise is a cell to fill in and a check below it. Run the check as often as you like:
it says what is right or, if something is not, which property breaks and often which
mistake it looks like. Write all that an exercise needs inside its own cell: grading
takes these cells and nothing else. The checks ask in float64 and in float32: whatever
you make takes its dtype from the input.

The exercises ask you to write out what PyTorch has. Its ready-made norms
(`F.batch_norm`, `F.layer_norm`, `F.rms_norm` and their modules) are off limits here;
`mean`, `var`, `sqrt` and the rest of PyTorch are yours.
"""

# %%
import torch
from torch import nn

import labkit
from labkit import check, seed_everything

seed_everything(0)
device = labkit.device()

# %% [markdown]
r"""
## Exercise 1.1 — Batch norm over samples and positions (2 points)

Batch norm gives every channel mean 0 and variance 1. The statistics of channel $c$ are
taken over all $B \cdot T$ entries $x_{\cdot\cdot c}$:

$$
\hat{x}_{btc} = \frac{x_{btc} - \mu_c}{\sqrt{\sigma^2_c + \varepsilon}},
\qquad
\mu_c = \frac{1}{BT} \sum_{b,t} x_{btc},
\qquad
\sigma^2_c = \frac{1}{BT} \sum_{b,t} (x_{btc} - \mu_c)^2 .
$$

Both have shape $(C,)$. The variance is the biased one: it divides by $BT$, not by
$BT - 1$.

Worked number: one channel with the four values 0, 0, 0, 4 has mean 1 and variance 3, so
4 becomes $3 / \sqrt{3} \approx 1.732$.
"""


# %% tags=["exercise"]
def batch_norm(x, eps=1e-5):
    """Normalize each channel over all samples and positions (training mode).

    x        (B, T, C)
    eps      float, added to the variance inside the root
    Returns  (B, T, C), every channel with mean 0 and variance close to 1

    Ioffe and Szegedy 2015, algorithm 1, arXiv:1502.03167
    """
    # BEGIN SOLUTION
    mean = x.mean(dim=(0, 1))  # (C,)
    variance = x.var(dim=(0, 1), correction=0)  # (C,)
    return (x - mean) / torch.sqrt(variance + eps)
    # END SOLUTION


# %% tags=["check"]
check("1.1", batch_norm)

# %% [markdown]
"""
The worked number, from your function: four samples of one position and one channel.
"""

# %%
column = torch.tensor([0.0, 0.0, 0.0, 4.0], device=device).reshape(4, 1, 1)
print([round(value, 3) for value in batch_norm(column).flatten().tolist()])

# %% [markdown]
r"""
## Exercise 1.2 — Layer norm over the channels of each token (2 points)

Layer norm turns the axes around. Every token $x_{bt}$, a vector of $C$ channels, is
normalized by its own mean and variance, whatever the other tokens are:

$$
y_{btc} = \frac{x_{btc} - \mu_{bt}}{\sqrt{\sigma^2_{bt} + \varepsilon}}\, w_c + b_c .
$$

Here $\mu$ and $\sigma^2$ have shape $(B, T, 1)$; the weight $w$ and the bias $b$ have
shape $(C,)$ and are the same for all tokens. Leave a factor out where it is `None`.
The function should work for any number of axes before the last: $(C,)$ alone, or
$(A, B, T, C)$.

Worked number: the token $[1, 0, 0, 0]$ has mean 0.25 and variance 0.1875, so its first
channel becomes $0.75 / \sqrt{0.1875} \approx 1.732$.
"""


# %% tags=["exercise"]
def layer_norm(x, weight=None, bias=None, eps=1e-5):
    """Normalize the last axis of x, then scale and shift it.

    x        (..., C)
    weight   (C,) or None for no scaling
    bias     (C,) or None for no shift
    eps      float, added to the variance inside the root
    Returns  (..., C)

    Ba, Kiros and Hinton 2016, section 3, arXiv:1607.06450
    """
    # BEGIN SOLUTION
    mean = x.mean(dim=-1, keepdim=True)  # (..., 1)
    variance = x.var(dim=-1, correction=0, keepdim=True)  # (..., 1)
    y = (x - mean) / torch.sqrt(variance + eps)  # (..., C)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y
    # END SOLUTION


# %% tags=["check"]
check("1.2", layer_norm)

# %%
token = torch.tensor([1.0, 0.0, 0.0, 0.0], device=device)
print([round(value, 3) for value in layer_norm(token).tolist()])

# %% [markdown]
r"""
The same token with the two classic slips. With the unbiased variance ($C - 1$ instead
of $C$) and `eps` outside the root, the first channel becomes 1.5. The more channels,
the smaller the difference between $C$ and $C - 1$, which is why a test with 768
channels does not notice.
"""

# %%
centred = token - token.mean()
slip = centred / (centred.std() + 1e-5)
print([round(value, 3) for value in slip.tolist()])

# %% [markdown]
r"""
## Exercise 1.3 — A module that interchanges with nn.LayerNorm (2 points)

Put the function into an `nn.Module`. Its two parameters are called `weight` and `bias`
as in `nn.LayerNorm`, have shape $(C,)$ and start at 1 and 0, so that a state dict of
either module loads into the other. `normalized_shape` is the number of channels $C$.
The module keeps no running statistics: it computes the same in training and in
evaluation.

Builds on 1.2: you may call your `layer_norm`.

Worked number: with 6 channels the module has $6 + 6 = 12$ trainable numbers.
"""


# %% tags=["exercise"]
class LayerNorm(nn.Module):
    """Layer norm with a learned weight and bias per channel.

    normalized_shape  int, the number of channels C
    eps               float, added to the variance inside the root
    forward           x (..., C) → (..., C)
    """

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        # BEGIN SOLUTION
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))
        # END SOLUTION

    def forward(self, x):
        # BEGIN SOLUTION
        return layer_norm(x, self.weight, self.bias, self.eps)
        # END SOLUTION


# %% tags=["check"]
check("1.3", LayerNorm)

# %%
mine, theirs = LayerNorm(6), nn.LayerNorm(6)
print(mine.load_state_dict(theirs.state_dict()))
print("trainable numbers:", sum(p.numel() for p in mine.parameters()))

# %% [markdown]
r"""
## Exercise 1.4 — The backward pass by hand (3 points)

What does layer norm do to gradients? Let $g$ be the gradient of the loss with respect
to the output $y$, $\hat{x}$ the normalized token before weight and bias, and
$\sigma_\varepsilon = \sqrt{\sigma^2 + \varepsilon}$. Weight and bias are used by every
token, so their gradients add up over all of them:

$$
\frac{\partial \ell}{\partial w_c} = \sum_{b,t} g_{btc}\, \hat{x}_{btc},
\qquad
\frac{\partial \ell}{\partial b_c} = \sum_{b,t} g_{btc} .
$$

For $x$ there are three paths: directly, through the mean, and through the variance.
With $h = g \cdot w$ (the gradient of $\hat{x}$) they add up, token by token, to

$$
\frac{\partial \ell}{\partial x}
= \frac{1}{\sigma_\varepsilon}
\Bigl( h - \operatorname{mean}(h) - \hat{x} \cdot \operatorname{mean}(h \cdot \hat{x})
\Bigr),
$$

where both means run over the $C$ channels. The last two terms remove from the gradient
what would shift or stretch the whole token: the norm undoes such changes anyway.

Write the three gradients out; autograd (`backward`, `torch.autograd.grad`) is off
limits.

Worked number: if $g$ is constant over the channels of a token and $w = 1$, then
$h = \operatorname{mean}(h)$ and $\operatorname{mean}(h \cdot \hat{x}) = 0$, so the
gradient of $x$ is 0.
"""


# %% tags=["exercise"]
def layer_norm_backward(grad_output, x, weight, eps=1e-5):
    """Gradients of layer norm, written out.

    grad_output  (B, T, C)  gradient of the loss with respect to the output
    x            (B, T, C)  input of the forward pass
    weight       (C,)
    eps          float, as in the forward pass
    Returns      grad_x (B, T, C), grad_weight (C,), grad_bias (C,)
    """
    # BEGIN SOLUTION
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    scale = torch.rsqrt(variance + eps)  # (B, T, 1)
    x_hat = (x - mean) * scale  # (B, T, C)
    h = grad_output * weight  # (B, T, C)
    through_mean = h.mean(dim=-1, keepdim=True)  # (B, T, 1)
    through_variance = x_hat * (h * x_hat).mean(dim=-1, keepdim=True)  # (B, T, C)
    grad_x = (h - through_mean - through_variance) * scale
    return grad_x, (grad_output * x_hat).sum(dim=(0, 1)), grad_output.sum(dim=(0, 1))
    # END SOLUTION


# %% tags=["check"]
check("1.4", layer_norm_backward)

# %% [markdown]
"""
Two directions get no gradient through: adding a constant to a token, and stretching it.
The gradient of `x` is orthogonal to both, up to `eps`.
"""

# %%
x = torch.randn(2, 3, 5, dtype=torch.float64).to(device)
g = torch.randn(2, 3, 5, dtype=torch.float64).to(device)
grad_x, _, _ = layer_norm_backward(g, x, torch.ones(5).to(x))
shift = grad_x.sum(dim=-1).abs().max().item()
stretch = (grad_x * (x - x.mean(dim=-1, keepdim=True))).sum(dim=-1).abs().max().item()
print("no gradient for a shift:", shift < 1e-12)
print("hardly any for a stretch:", stretch < 1e-4)

# %% [markdown]
r"""
## Exercise 1.5 — What batch norm knows at each position (2 points)

Sentences differ in length. Suppose a batch is padded to $T$ positions, and batch norm
keeps separate statistics for every position, as the source of this course has in mind.
At position $t$ only the samples longer than $t$ are alive:

$$
n_t = \#\{ b : t < \text{length}_b \},
\qquad
\mu_{tc} = \frac{1}{n_t} \sum_{b \text{ alive}} x_{btc},
\qquad
\sigma^2_{tc} = \frac{1}{n_t} \sum_{b \text{ alive}} (x_{btc} - \mu_{tc})^2 .
$$

Positions count from $t = 0$. Entries of `x` at $t \ge \text{length}_b$ are padding:
they may hold anything and must not matter. Where nobody is alive there is no statistic:
return NaN there, not 0.

Worked number: lengths 2, 3, 4, 9 leave 4, 4, 3, 2, 1, 1, 1, 1, 1 samples alive. Where
one is left, its variance is 0.
"""


# %% tags=["exercise"]
def position_statistics(x, lengths):
    """Statistics per position over the samples that still have a token there.

    x        (B, T, C)  padded to T positions
    lengths  (B,)       integers between 1 and T
    Returns  count (T,) integers, mean (T, C), biased variance (T, C);
             mean and variance are NaN where count is 0
    """
    # BEGIN SOLUTION
    alive = torch.arange(x.shape[1], device=x.device) < lengths[:, None]  # (B, T)
    count = alive.sum(dim=0)  # (T,)
    n = count[:, None].to(x.dtype)  # (T, 1); 0/0 gives NaN
    kept = torch.where(alive[:, :, None], x, 0.0)  # (B, T, C)
    mean = kept.sum(dim=0) / n  # (T, C)
    squares = torch.where(alive[:, :, None], (x - mean) ** 2, 0.0)  # (B, T, C)
    return count, mean, squares.sum(dim=0) / n
    # END SOLUTION


# %% tags=["check"]
check("1.5", position_statistics)

# %% [markdown]
"""
The batch of the source's figure: only one sample is longer than 4.
"""

# %%
lengths = torch.tensor([2, 3, 4, 9], device=device)
x = (3 + 2 * torch.randn(4, 9, 6)).to(device)
count, mean, variance = position_statistics(x, lengths)
print("samples alive:  ", count.tolist())
print("variance is zero:", (variance == 0).all(dim=-1).int().tolist())

# %% [markdown]
r"""
## Exercise 1.6 — Before or after the sublayer (2 points)

A Transformer wraps every sublayer (attention or feed-forward network) in a residual
connection and a norm. The first Transformer put the norm behind the addition; ViT and
most later models put it in front of the sublayer:

$$
\text{post-norm: } \operatorname{norm}(x + \operatorname{sublayer}(x)),
\qquad
\text{pre-norm: } x + \operatorname{sublayer}(\operatorname{norm}(x)) .
$$

Write both. `norm` and `sublayer` are callables that keep the shape. Return a new
tensor: the caller still needs `x`.

Worked number: with a sublayer that returns 0, pre-norm gives $x$ itself and post-norm
gives $\operatorname{norm}(x)$.
"""


# %% tags=["exercise"]
def pre_norm(x, norm, sublayer):
    """Normalize what goes into the sublayer; the stream x stays as it is.

    x               (B, T, C)
    norm, sublayer  callables (B, T, C) → (B, T, C)
    Returns         (B, T, C)

    Dosovitskiy et al. 2020, equations 2 and 3, arXiv:2010.11929
    """
    # BEGIN SOLUTION
    return x + sublayer(norm(x))
    # END SOLUTION


def post_norm(x, norm, sublayer):
    """Add first, then normalize the sum.

    x               (B, T, C)
    norm, sublayer  callables (B, T, C) → (B, T, C)
    Returns         (B, T, C)

    Vaswani et al. 2017, section 3.1, arXiv:1706.03762
    """
    # BEGIN SOLUTION
    return norm(x + sublayer(x))
    # END SOLUTION


# %% tags=["check"]
check("1.6", pre_norm, post_norm)

# %% [markdown]
"""
A stack of 24 random sublayers shows the difference. Under post-norm every token leaves
each layer with variance 1; under pre-norm nothing ever normalizes the stream, and it
grows. That is why a pre-norm model needs one more norm at its very end.
"""

# %%
seed_everything(1)
before = after = torch.randn(2, 3, 64).to(device)
with torch.no_grad():
    for _ in range(24):
        layer, norm = nn.Linear(64, 64).to(device), LayerNorm(64).to(device)
        before, after = pre_norm(before, norm, layer), post_norm(after, norm, layer)
for name, x in (("pre-norm", before), ("post-norm", after)):
    print(f"{name}: a token's variance after 24 layers is {x.var(-1).mean():.0f}")

# %% [markdown]
r"""
## Exercise 1.7 — RMS norm: what if we do not centre? (bonus)

Zhang and Sennrich (2019) asked which half of layer norm matters and dropped the mean:

$$
y_c = \frac{x_c}{\sqrt{\frac{1}{C} \sum_k x_k^2 + \varepsilon}}\, w_c .
$$

There is no bias. Worked number: the token $[3, 4]$ has mean square 12.5 and becomes
$[0.849, 1.131]$.
"""


# %% tags=["exercise"]
def rms_norm(x, weight=None, eps=1e-6):
    """Divide every token by its root mean square, then scale it.

    x        (..., C)
    weight   (C,) or None for no scaling
    eps      float, added to the mean square inside the root
    Returns  (..., C)

    Zhang and Sennrich 2019, equation 4, arXiv:1910.07467
    """
    # BEGIN SOLUTION
    mean_square = x.pow(2).mean(dim=-1, keepdim=True)  # (..., 1)
    y = x * torch.rsqrt(mean_square + eps)  # (..., C)
    return y if weight is None else y * weight
    # END SOLUTION


# %% tags=["check"]
check("1.7", rms_norm)

# %%
pair = torch.tensor([3.0, 4.0], device=device)
print([round(value, 3) for value in rms_norm(pair).tolist()])

# %% [markdown]
"""
## What you built

Two norms that differ only in the axes they average over, a module that any PyTorch
checkpoint can load into, its backward pass, the evidence that per-position batch norm
runs out of samples, and the two places a norm can stand. The pre-norm arrangement
returns in [chapter 1](../chapters/01_layer_normalization.ipynb) and in every block of
the Vision Transformer.

## Further reading

- Ba, Kiros and Hinton 2016, *Layer Normalization*, arXiv:1607.06450.
- Ioffe and Szegedy 2015, *Batch Normalization*, arXiv:1502.03167.
- Xiong et al. 2020, *On Layer Normalization in the Transformer Architecture*,
  arXiv:2002.04745.
- Zhang and Sennrich 2019, *Root Mean Square Layer Normalization*, arXiv:1910.07467.
"""
