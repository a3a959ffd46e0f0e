# %% [markdown]
r"""
# Normalize a layer: which numbers share a mean?

Four sentences stand in one batch. They are four, three, two and nine words long, and
each word is a vector of numbers. Before the next layer reads them, they should have
mean 0 and variance 1. The mean of *which* numbers? Of the whole batch? Of all fifth
words, of which there is exactly one? Of the numbers of a single word?

The answer decides whether a network can be trained on one sentence at a time, whether a
sentence gives the same result alone and in company, and whether a sentence longer than
all of the training set can be read at all. Transformers answer: of a single word. That
is *layer normalization* (Ba et al. 2016 {cite}`ba2016`).

This chapter follows a short note on the interesting parts of the Transformer, which
explains layer normalization in six claims, S1.1 to S1.6. Each claim is stated, then you
**predict**, then you **run** an experiment, then there is a **verdict**. Some claims
hold, some hold under a condition that the note leaves out; the numbers will show which.
S1.2 is the conclusion from S1.5 and S1.6, so it comes after them.

**You will**
- say, for any normalization, which numbers share a mean, and read it off the shape of
  the mean;
- watch batch normalization erase the end of a sentence, and find the one design in
  which it does;
- see where layer normalization sits in a Transformer, and what goes wrong in the other
  place.

**You need** PyTorch tensors, broadcasting, and what a training loop does.

**Time** 45 minutes; the code runs in about a minute on a laptop.

**Then** build it all yourself in [Lab 1](../labs/lab_01_layer_normalization.ipynb).
"""

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from labkit import data, device, explore, plots, seed_everything

seed_everything(0)
device = device()
torch.set_num_threads(1)  # tiny models: a second thread would only wait

# %% [markdown]
r"""
## One word, four numbers

Take a single token, a vector $x$ of $C$ numbers. Layer normalization subtracts their
mean, divides by their standard deviation, and then gives each channel a learned scale
and shift:

$$
\operatorname{LN}(x)
= \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} \odot \gamma + \beta,
\quad
\mu = \frac1C \sum_{c=1}^{C} x_c,
\quad
\sigma^2 = \frac1C \sum_{c=1}^{C} (x_c - \mu)^2 .
$$

$\mu$ and $\sigma^2$ are two numbers for the whole token; $\gamma$ and $\beta$ (`weight`
and `bias` in PyTorch) have shape $(C,)$, start at one and zero, and are shared by all
tokens. Two details are easy to get wrong: the variance divides by $C$ and not by $C-1$,
and $\varepsilon$ stands inside the root.

**Predict.** What becomes of $x = [1, 0, 0, 0]$? The mean is $1/4$; do the rest in your
head before you run it.
"""

# %%
x = torch.tensor([1.0, 0.0, 0.0, 0.0], device=device)  # (C,)
mean = x.mean()
var = ((x - mean) ** 2).mean()  # divided by C, not by C - 1
normalized = (x - mean) / torch.sqrt(var + 1e-5)
bessel = (x - mean) / x.std()  # divided by C - 1

print("variance        ", var.item())
print("layer norm      ", *[f"{v:.4f}" for v in normalized.tolist()])
print("divided by C - 1", *[f"{v:.4f}" for v in bessel.tolist()])
print("agrees with PyTorch:", torch.allclose(normalized, F.layer_norm(x, (4,))))

# %% [markdown]
r"""
The rounder answer, 1.5 and −0.5, is the wrong one: it comes from the variance that
divides by $C-1$. The two differ by the factor $\sqrt{C/(C-1)}$. How much that is
depends on the width, which is why the slip survives so often: a test with wide vectors
hardly sees it.
"""

# %%
for channels in (2, 4, 8, 64, 768):
    error = 1 - math.sqrt((channels - 1) / channels)
    print(f"C = {channels:3}: every output too small by {100 * error:6.3f} %")

# %% [markdown]
r"""
## S1.1 — It standardizes what the next layer reads

**Claim.** The "norm" in a Transformer is layer normalization. It acts on a layer's
output, so that the next layer's input is standardized, and this speeds up and
stabilizes training.

That is two claims in one. First the mechanics: what does the next layer see? Training
comes further below, under "S1.1 again", when the pieces are there.

**Predict.** A signal passes through 24 random linear layers. If each layer makes
numbers 1.5 times as large, how large are they at the end? And if each halves them? And
with layer norm after each layer?
"""


# %%
def signal_after(layers: int, gain: float, norm: bool) -> float:
    """Standard deviation of 64 random tokens of width 32 after that many layers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 32, generator=generator).to(device)
    for _ in range(layers):
        weight = torch.randn(32, 32, generator=generator).to(device)
        x = x @ weight * gain / math.sqrt(32)  # keeps the size when gain is 1
        if norm:
            x = F.layer_norm(x, (32,))
    return x.std(correction=0).item()


for gain in (0.5, 1.0, 1.5):
    without, with_norm = (signal_after(24, gain, norm) for norm in (False, True))
    print(f"gain {gain}: without norm {without:.0e}, with layer norm {with_norm:.2f}")

# %% [markdown]
r"""
Without normalization a factor per layer becomes a power of it; with layer norm the next
layer sees numbers of size 1, whatever came before. So far the claim is right.

Two qualifications. The learned $\gamma$ and $\beta$ come last, so after training the
input of the next layer has whatever mean and variance the network has learned to want:
standardized are the numbers *before* scale and shift. And "a layer's output" describes
the first Transformer, which normalizes each sublayer's sum, $\operatorname{LN}(x +
f(x))$ (Vaswani et al. 2017 {cite}`vaswani2017`). The Vision Transformer of this course
normalizes a sublayer's *input* instead (Dosovitskiy et al. 2021
{cite}`dosovitskiy2021`), and the difference turns out to be large.
"""

# %% [markdown]
r"""
## S1.3 and S1.4 — Which axes

**Claim S1.3.** With $N$ samples, $C$ channels and $T$ features, batch normalization
normalizes one channel over the different samples (part (a) of the note's figure); layer
normalization normalizes the different channels of one sample (part (b)).

**Claim S1.4.** In language, a sentence is a sample, a word of it is a feature, and the
dimension of the word vector is the number of channels.

In code the three letters are the three axes of a tensor `x`, and this course calls them
so:

| the note | here | axis of `x` | in language | in the Vision Transformer |
|---|---|---|---|---|
| samples $N$ | batch $B$ | 0 | sentences | images |
| features $T$ | positions $T$ | 1 | words | patches |
| channels $C$ | channels $C$ | 2 | numbers of a word | numbers of a patch |

Beware of one word: the note calls positions *features*, while most papers call channels
*features*.

A normalization is nothing but the choice of axes to average over. One function can be
all of them:
"""


# %%
def standardize(x: torch.Tensor, dims: tuple[int, ...], eps: float = 1e-5):
    """Mean 0 and variance 1 over the axes in dims; x and the result are (B, T, C)."""
    var, mean = torch.var_mean(x, dim=dims, keepdim=True, correction=0)
    return (x - mean) / torch.sqrt(var + eps)


AXES = {
    "layer norm": (2,),
    "batch norm, pooled": (0, 1),
    "batch norm, per position": (0,),
    "over T and C together": (1, 2),
    "instance norm": (1,),
}

# %% [markdown]
r"""
The shape of the mean tells everything: an axis of size 1 has been averaged away, and
every axis that is left keeps its own means. PyTorch has an operation for each.
"""

# %%
B, T, C = 4, 6, 5
x = torch.randn(B, T, C).to(device)
per_position = nn.BatchNorm1d(T * C, device=device)  # one mean per (t, c)
in_pytorch = {
    "layer norm": F.layer_norm(x, (C,)),
    "batch norm, pooled": nn.BatchNorm1d(C, device=device)(x.mT).mT,
    "batch norm, per position": per_position(x.flatten(1)).view(B, T, C),
    "over T and C together": F.layer_norm(x, (T, C)),
    "instance norm": F.instance_norm(x.mT).mT,
}
for name, dims in AXES.items():
    shape = tuple(x.mean(dims, keepdim=True).shape)
    means = math.prod(shape)
    same = torch.allclose(standardize(x, dims), in_pytorch[name], atol=1e-5)
    print(f"{name:25} mean {shape}: {means:2} means of {x.numel() // means:2} numbers")
    assert same, f"{name} differs from PyTorch's operation"
print("all five agree with PyTorch: True")

# %% [markdown]
r"""
Note the transposition `x.mT`: PyTorch's batch and instance norm want the channels in
the middle, $(B, C, T)$. Forget it where $T = C$, and nothing complains.

Here is the note's figure, drawn from the same table. For batch norm it can be read in
two ways, and the difference will matter: the note's later claims speak of (a),
PyTorch's `nn.BatchNorm1d` does (a′).
"""

# %% tags=["hide-input"]
#| name: fig-blocks
#| caption: The cells that share one mean and one variance, in a batch of four samples,
#|   six positions and five channels. (a) and (b) are the note's figure.
#| alt: Four blocks of cells. In (a), batch norm per position, one row of cells through
#|   all samples is filled. In (a′), pooled batch norm, the whole layer of one channel.
#|   In (b), layer norm, one column of channels of a single token. In the last, all
#|   positions and channels of one sample.
panels = {
    "(a) batch norm, per position": (slice(None), 2, 0),
    "(a′) batch norm, pooled": (slice(None), slice(None), 0),
    "(b) layer norm": (0, 2, slice(None)),
    "not layer norm: T and C": (0, slice(None), slice(None)),
}
fig, axes = plt.subplots(2, 2, figsize=(4.5, 4.2))
counts = []
for ax, (title, where) in zip(axes.flat, panels.items(), strict=True):
    shared = np.zeros((B, T, C), dtype=bool)
    shared[where] = True
    plots.block(ax, shared, title)
    counts.append(f"{title}: {shared.sum()} cells")
fig.subplots_adjust(0, 0, 1, 0.94, wspace=0.05, hspace=0.12)
plots.show(fig, "\n".join(counts))

# %% [markdown]
r"""
Try it. Choose a normalization and a cell, and see which cells it shares its mean with.
Which of the five never leave the sample? Which never leave the token?
"""

# %%
explore.which_axes()

# %% [markdown]
r"""
Layer norm, instance norm and "over T and C together" never leave the sample; only layer
norm never leaves the token. The last block of [the figure](#fig-blocks) is a common
slip: layer norm drawn, or coded, over $T$ *and* $C$ together. Its output has the right
shape. So what is wrong with it?

**Predict.** Add 10 to one number of the third word of one sentence. Which words come
out different: that word only, other words of the sentence, other sentences?
"""

# %%
touched = x.clone()
touched[1, 2, 3] += 10  # sample 1, position 2, channel 3
for name, dims in AXES.items():
    change = (standardize(touched, dims) - standardize(x, dims)).abs()
    words = change.amax(2) > 1e-3  # (B, T) which words come out different
    earlier = words[1, :2].any().item()
    others = words[[0, 2, 3]].any().item()
    print(f"{name:25} earlier words: {earlier!s:5}  other sentences: {others}")

# %% [markdown]
r"""
With the slip, a word changes the words *before* it: a language model that predicts the
next word would see the future through its normalization. Layer norm is the only one of
the five in which neither an earlier word nor another sentence notices anything.

**Verdict on S1.3: holds with conditions.** Layer norm takes "the different channels of
one sample" *at one position*: statistics of shape $(B, T, 1)$, not $(B, 1, 1)$. Batch
norm takes one channel over the samples, and in its usual form over the positions too.

**Verdict on S1.4: holds.** It names axes, and with its names the rest can be said
precisely.
"""

# %% [markdown]
r"""
## S1.5 — One sample left

**Claim.** Samples differ in length. In a batch in which only one sample is longer than
4, for $T > 4$ only that sample still has features. Statistics from a single sample do
not reflect the global distribution, so batch normalization works badly.

The argument needs statistics *per position*: every fifth word is normalized with the
other fifth words. That is case (a). Here is such a batch:
"""

# %% tags=["hide-input"]
#| name: fig-ragged
#| caption: A batch of unequal lengths, one channel of it. From position 5 on, a mean
#|   over the samples is a mean of one number.
#| alt: Four rows of cells, 4, 3, 2 and 9 long. Positions 1 and 2 are reached by four
#|   samples, position 3 by three, position 4 by two, positions 5 to 9 by one.
lengths = torch.tensor([4, 3, 2, 9])
alive_at = [(lengths >= t).sum().item() for t in range(1, 10)]
fig, ax = plt.subplots(figsize=(4.4, 2.2))
plots.ragged(ax, lengths.tolist(), highlight=range(5, 10))
plots.show(fig, f"samples alive at positions 1 to 9: {alive_at}")

# %% [markdown]
r"""
**Predict.** The numbers have mean 5 and standard deviation 3. What does batch norm per
position make of the only fifth word: is it a little off, far off, or something else?
And of the fourth words, of which there are two?
"""

# %%
words = (5 + 3 * torch.randn(4, 9, 16)).to(device)  # (B, T, C)
for t in range(9):
    column = words[lengths.to(device) > t, t]  # (samples alive, C)
    var = column.var(0, correction=0).mean().item()
    out = standardize(column, (0,)).abs()
    print(
        f"position {t + 1}: {len(column)} alive, variance {var:4.1f}, "
        f"size of the output {out.min():.2f} to {out.max():.2f}"
    )

# %% [markdown]
r"""
It is worse than the claim says. With one sample the number *is* its own mean, so the
output is exactly 0, plus $\beta$: whatever the fifth word was, nothing of it is left.
With two samples every output is +1 or −1 (a little less where the two are so close that
$\varepsilon$ shows): of each number only one bit remains, which of the two was larger.
PyTorch knows the first case, and refuses:
"""

# %%
norm = nn.BatchNorm1d(16, device=device)
try:
    norm(words[3:, 4])  # the fifth words: one sample, 16 channels
except ValueError as error:
    print(f"ValueError:\n{error}")

# %% [markdown]
r"""
How many samples would it take? Draw $n$ numbers from the same distribution many times,
and look how far their mean strays from the true mean 5, and what their variance is on
average, when the true one is 9.
"""

# %%
draws = 5 + 3 * torch.randn(20000, 32)
for n in (1, 2, 4, 8, 32):
    var, mean = torch.var_mean(draws[:, :n], dim=1, correction=0)
    print(f"n = {n:2}: mean strays by {mean.std():.1f}, variance {var.mean():.1f}")

# %% [markdown]
r"""
The mean strays by $3/\sqrt n$ and the variance comes out too small by the factor
$(n-1)/n$. So "does not reflect the global distribution" is right, gradually: terrible
at 1, poor at 4, tolerable at 32.

**But is it what batch norm does?** PyTorch's batch norm pools over positions: for each
channel all 18 words of the batch share one mean, and no position is short of company.
"""

# %%
alive = torch.arange(9) < lengths[:, None]  # (B, T) True where there is a word
pooled = standardize(words[alive.to(device)], (0,))  # (18, C) the words, end to end
fifth = pooled[-5:]  # sample 4 from position 5 on
print("numbers per mean:", len(pooled))
print(f"positions 5 to 9 come out with standard deviation {fifth.std():.1f}")
sentence = norm(words[3:].mT)  # (1, C, 9) a batch of one sentence
print("a batch of one sentence of nine words runs:", tuple(sentence.shape))

# %% [markdown]
r"""
Pooling has a trap of its own: the tensor is a rectangle, and where a sentence has ended
there is padding. `nn.BatchNorm1d` does not know which cells are words; in this batch
half of them are not.
"""

# %%
padded = words * alive[..., None].to(device)  # zeros where there is no word
print(f"share of padding: {100 * (1 - alive.float().mean()):.0f} %")
print(f"mean over the words: {words[alive.to(device)].mean():.1f}")
print(f"mean with padding counted: {padded.mean():.1f}")

# %% [markdown]
r"""
**Verdict on S1.5: holds with conditions.** For statistics per position it holds, and
more strongly than stated: one sample is not a bad estimate but no information at all.
The setting is that of Ba et al. 2016 {cite}`ba2016` (§3.1): *recurrent* networks, where
separate statistics for each time step were the obvious way to use batch norm. (The
argument they draw from it is the next claim.) For batch norm pooled over positions, the
usual form, it does not apply.
"""

# %% [markdown]
r"""
## S1.6 — Longer than every training sample

**Claim.** If a test sample is longer than every training sample, there are no
statistics learned from training for the extra positions, so batch normalization cannot
run.

At test time batch norm uses *running* statistics, averaged during training. Kept per
position they form a table with one row per position; pooled, a single row. Both in one
class:
"""


# %%
class BatchNorm(nn.Module):
    """Batch norm of x (B, T, C) over the words that are there, with running statistics.

    rows   1: pooled, one mean for all positions; more: one mean per position. In
           evaluation, positions beyond the last row use the last row.
    """

    def __init__(self, channels: int, rows: int):
        super().__init__()
        self.rows = rows
        self.register_buffer("mean", torch.zeros(rows, channels))
        self.register_buffer("var", torch.ones(rows, channels))

    def forward(self, x: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        if not self.training:
            row = torch.arange(x.shape[1]).clamp(max=self.rows - 1)
            return (x - self.mean[row]) / torch.sqrt(self.var[row] + 1e-5)
        dims = (0, 1) if self.rows == 1 else (0,)
        here = alive[..., None].float()  # (B, T, 1)
        count = here.sum(dims, keepdim=True).clamp(min=1)
        mean = (x * here).sum(dims, keepdim=True) / count
        var = ((x - mean) ** 2 * here).sum(dims, keepdim=True) / count
        self.update(mean.detach()[0], var.detach()[0], count[0])
        return (x - mean) / torch.sqrt(var + 1e-5)

    def update(self, mean: torch.Tensor, var: torch.Tensor, count: torch.Tensor):
        """Move the rows that two samples or more have reached a tenth of the way."""
        step, reached = 0.1 * (count > 1), slice(len(mean))
        unbiased = var * count / (count - 1).clamp(min=1)  # as PyTorch keeps it
        self.mean[reached] += step * (mean - self.mean[reached])
        self.var[reached] += step * (unbiased - self.var[reached])


# %% [markdown]
r"""
What stands in the rows that no training sentence has reached? The claim says: nothing.
PyTorch's own operation agrees, `nn.BatchNorm1d` over all of $T \cdot C$, which met six
positions when we used it above. Give it nine:
"""

# %%
longer = torch.zeros(B, 9, C, device=device)
try:
    per_position.eval()(longer.flatten(1))
except RuntimeError as error:
    print(f"RuntimeError:\n{error}")

# %% [markdown]
r"""
But in a table of one's own, such as the class above, two other choices are as natural:

- spare rows with the initial values, mean 0 and variance 1, with which PyTorch's
  buffers start too;
- the last row, used for all later positions too, as Cooijmans et al. 2017
  {cite}`cooijmans2017` did in recurrent networks.

**Predict.** Train on sentences of 3 to 16 words, test on 32 to 48. The class of a
sentence is a shift of its first channel by ±2. Which normalizations still classify the
long sentences: layer norm, pooled, per position with 48 rows of which training reaches
16, per position with 16 rows and the last one reused? (The numbers have mean 5 and
standard deviation 3. With mean 0 and variance 1 the initial values would happen to be
right, and would hide the effect.)
"""


# %%
def sentences(count: int, shortest: int, longest: int, generator: torch.Generator):
    """Sentences x (B, T, 16), where there are words (B, T), and classes (B,)."""
    label = torch.randint(2, (count,), generator=generator)
    length = torch.randint(shortest, longest + 1, (count,), generator=generator)
    x = 5 + 3 * torch.randn(count, longest, 16, generator=generator)
    x[:, :, 0] += (4 * label - 2)[:, None]
    alive = torch.arange(longest) < length[:, None]
    x = x * alive[..., None]  # padding is zero
    return x.to(device), alive.to(device), label.to(device)


class Classifier(nn.Module):
    """Normalize, read each word with a small network, average over the words."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm  # (x, alive) -> x normalized
        self.read = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 2))

    def forward(self, x: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        votes = self.read(self.norm(x, alive)) * alive[..., None]  # (B, T, 2)
        return votes.sum(1) / alive.sum(1, keepdim=True)


# %% [markdown]
"""
One training run, 200 steps of Adam, then the accuracy on new sentences of the same
lengths and on longer ones.
"""


# %%
def train_classifier(norm, seed: int) -> tuple[Classifier, list[float]]:
    """The trained network; its accuracy on the same lengths and on longer ones."""
    generator = torch.Generator().manual_seed(seed)
    train, same = (sentences(800, 3, 16, generator) for _ in range(2))
    longer = sentences(800, 32, 48, generator)
    torch.manual_seed(seed)
    net = Classifier(norm).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(200):
        pick = torch.randint(800, (32,), generator=generator).to(device)
        x, alive, label = (part[pick] for part in train)
        loss = F.cross_entropy(net(x, alive), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        right = [net(x, a).argmax(1) == label for x, a, label in (same, longer)]
    return net, [hit.float().mean().item() for hit in right]


# %%
NORMS = {
    "layer norm": lambda: lambda x, alive: standardize(x, (2,)),
    "batch norm, pooled": lambda: BatchNorm(16, rows=1),
    "per position, initial rows": lambda: BatchNorm(16, rows=48),
    "per position, last row reused": lambda: BatchNorm(16, rows=16),
}
trained = {}
for name, make in NORMS.items():
    runs = [train_classifier(make(), seed) for seed in range(5)]
    same, longer = torch.tensor([accuracy for _, accuracy in runs]).mean(0).tolist()
    trained[name] = runs[0][0]
    coarse = [f"{5 * round(20 * value)} %" for value in (same, longer)]
    print(f"{name:30} same lengths {coarse[0]:>5}, longer {coarse[1]:>5}")
print("(means of 5 runs, to the nearest 5 %; guessing gives 50 %)")

# %% [markdown]
r"""
Three of the four read the long sentences, and better than the short ones, since a
longer sentence has more words that vote. Only the table with initial rows falls back to
guessing, and it does so *silently*: it runs. Look at what it hands to the next layer.
"""

# %% tags=["hide-input"]
#| name: fig-longer
#| caption: What the next layer reads from one long sentence, in evaluation; each dot is
#|   a number, three channels are shown. Training sentences end at position 16.
#| alt: Three scatter plots over positions 1 to 48. Layer norm and the reused last row
#|   give a cloud around 0 throughout. The table with initial rows gives the same cloud
#|   up to position 16 and a wider one around 5, the raw numbers, beyond it.
x, alive, _ = sentences(500, 48, 48, torch.Generator().manual_seed(99))
shown = ("layer norm", "per position, last row reused", "per position, initial rows")
colours = (plots.BLUE, plots.GREEN, plots.RED)
fig, axes = plt.subplots(3, 1, figsize=(5.0, 4.6), sharex=True, sharey=True)
report = []
for ax, name, colour in zip(axes, shown, colours, strict=True):
    out = trained[name].norm(x, alive).cpu()[..., 1:]  # channel 0 carries the class
    ax.axvspan(0.5, 16.5, color=plots.PAPER, zorder=0)
    for channel in range(3):
        dots = out[0, :, channel].double().numpy().round(1)
        ax.plot(range(1, 49), dots, "o", ms=3.5, color=colour)
    ax.set(title=name, ylim=(-5, 13), yticks=(0, 5, 10))
    later = out[:, 16:]
    mean, std = later.mean().abs(), later.std()
    report.append(f"{name}: beyond position 16 mean {mean:.0f}, std {std:.0f}")
axes[0].text(8.5, 8.5, "trained", ha="center", color=plots.GREY)
axes[2].set_xlabel("position")
fig.tight_layout(h_pad=0.4)
plots.show(fig, "\n".join(report))

# %% [markdown]
r"""
**Verdict on S1.6: holds with conditions.** The premise is right for statistics kept per
position: no row exists beyond the longest training sample. Ba et al. 2016
{cite}`ba2016` call exactly this problematic, and `nn.BatchNorm1d` over positions and
channels indeed refuses. But that is a choice: such a layer runs well if it reuses its
last row, and with spare rows it runs and is wrong, which is worse than an error. For
batch norm with one row per channel there is no problem at all.
"""

# %% [markdown]
r"""
## S1.2 — So layer norm, not batch norm?

**Claim.** Samples can differ in length, *so* Transformers use layer normalization and
not batch normalization.

That they use it is true. But if unequal lengths were the reason, the pooled batch norm
above would do as well, and a Vision Transformer, whose images all have the same number
of patches, would need no layer norm; yet it uses it in every block (Dosovitskiy et al.
2021 {cite}`dosovitskiy2021`). A stronger reason is the company that a sample keeps.

**Predict.** A sentence stands in a batch with three others. Replace the three others.
How much does the normalized sentence change? And when training mode is switched to
evaluation?
"""

# %%
mine = 5 + 3 * torch.randn(1, 8, 16)
first, second = (torch.cat([mine, 5 + 3 * torch.randn(3, 8, 16)]) for _ in range(2))
first, second = first.to(device), second.to(device)
alive = torch.ones(4, 8, dtype=torch.bool, device=device)
for name in ("layer norm", "batch norm, pooled", "per position, initial rows"):
    norm = trained[name].norm
    trained[name].train()
    company = (norm(first, alive) - norm(second, alive))[0].abs().max().item()
    training = norm(first, alive)
    trained[name].eval()
    mode = (norm(first, alive) - training)[0].abs().max().item()
    print(f"{name:27} other company {company:.1f}, evaluation {mode:.1f}")

# %% [markdown]
r"""
Under layer norm a sentence comes out the same alone, in any batch, in training and in
evaluation; the abstract of Ba et al. 2016 {cite}`ba2016` names just this. Under batch
norm its numbers depend, in training, on sentences it has nothing to do with, and
evaluation computes something else than training did.

The literature on batch norm in Transformers gives a third reason, with a twist. Shen et
al. 2020 {cite}`shen2020` find that plain batch norm loses much in language tasks, and
trace it to batch statistics that fluctuate strongly throughout training. But when they
calm these statistics down (PowerNorm, with running quadratic means), a *batch* method
beats layer norm, by 0.4 and 0.6 points of BLEU, the usual score of machine translation
from 0 to 100 (on IWSLT14 and WMT14, two collections of translated sentences).

**Verdict on S1.2: holds with conditions.** Unequal lengths rule out only statistics per
position. Independence of the other samples, and one computation for training and test,
are the reasons that carry.
"""

# %% [markdown]
r"""
## What layer norm does not see

Whatever a layer subtracts and divides out, the next layer cannot know. **Predict:**
which of these changes of a token does layer norm hide: $2x + 3$? $-x$? $x$ a thousand
times smaller? Then the same for RMSNorm (Zhang and Sennrich 2019 {cite}`zhang2019`),
which many language models use today: it divides by the root of the mean square and
subtracts nothing.
"""

# %%
x = torch.randn(200, 64).to(device)
rms_norm = {"normalized_shape": (64,), "eps": 1e-5}
changes = {"x + 3": x + 3, "2x": 2 * x, "-x": -x, "0.1x": 0.1 * x, "0.001x": 0.001 * x}
for name, changed in changes.items():
    layer = F.layer_norm(changed, (64,)) - F.layer_norm(x, (64,))
    rms = F.rms_norm(changed, **rms_norm) - F.rms_norm(x, **rms_norm)
    hidden = [bool(difference.abs().max() < 0.01) for difference in (layer, rms)]
    print(f"{name:7} hidden by layer norm: {hidden[0]!s:5}  by RMSNorm: {hidden[1]}")
flipped = F.layer_norm(-x, (64,)) + F.layer_norm(x, (64,))
print("LN(-x) = -LN(x):", bool(flipped.abs().max() < 1e-5))

# %% [markdown]
r"""
So $\operatorname{LN}(ax + b) = \operatorname{LN}(x)$ for every shift $b$ and every
*positive* factor $a$. A negative factor is not hidden: it turns the sign. And
$\varepsilon$ ends the invariance for very small inputs: here at a thousandth, where the
variance is a tenth of $\varepsilon = 10^{-5}$.

RMSNorm keeps the invariance to scale and gives up the one to shifts. Its authors report
comparable quality and a running time shorter by 7 to 64 % {cite}`zhang2019`. So the
first sentence of S1.1, that the norm of a Transformer *is* layer norm, was true in 2017
and is no longer so everywhere.

What can a token still say? Its $C$ numbers sum to zero, and their length is $\sqrt C$:
layer norm puts every token on a sphere. For wide tokens that is a small loss. For
narrow ones it is the same loss as that of batch norm with few samples:
"""

# %%
for channels in (1, 2, 3, 64):
    token = torch.randn(1000, channels).to(device)
    out = F.layer_norm(token, (channels,), eps=1e-12)
    values = len(out.double().mul(100).round().unique())
    length = out.norm(dim=1).median().item()
    different = "many" if values > 10 else values
    print(f"C = {channels:2}: output values {different}, length √{length**2:.0f}")

# %% [markdown]
r"""
## S1.1 again — Does it stabilize training?

The second half of S1.1: normalizing "speeds up and stabilizes training". To test it,
one must say *where* the norm stands, because two places are in use:

- **post-norm**, $y = \operatorname{LN}(x + f(x))$: after the residual sum, as in the
  first Transformer {cite}`vaswani2017`;
- **pre-norm**, $y = x + f(\operatorname{LN}(x))$: before the sublayer $f$, with one
  more layer norm at the very end, as in the Vision Transformer {cite}`dosovitskiy2021`.
"""

# %% tags=["hide-input"]
#| name: fig-pre-post
#| caption: Where layer norm stands. In post-norm every path passes through it; in
#|   pre-norm the residual path runs through untouched.
#| alt: Two block diagrams. Post-norm: x splits, one branch passes through f, both are
#|   added, and the sum passes through LN. Pre-norm: x splits, one branch passes through
#|   LN and then f, and is added to the untouched other branch.
fig, axes = plt.subplots(2, 1, figsize=(3.6, 3.2))
plots.residual(axes[0], ["f", "+", "LN"], "post-norm: LN(x + f(x))")
plots.residual(axes[1], ["LN", "f", "+"], "pre-norm: x + f(LN(x))")
plots.show(fig, "paths from x to y without LN: post-norm 0, pre-norm 1")

# %% [markdown]
r"""
The test bed is a small Transformer encoder on real data: scikit-learn's handwritten
digits, 8 × 8 pixels, read as four tokens of two pixel rows each. The parts that this
course explains later, attention and the feed-forward network, are written as briefly as
they go; what matters here is the loop in `forward`, which puts the norm in its place or
leaves it out.

One run proves nothing, so five networks are trained side by side: every tensor has a
leading axis for the *run*, and `Linear` multiplies each run with its own matrix.
"""


# %%
class Linear(nn.Module):
    """Linear layers of R separate runs: x (R, B, T, inputs) to (R, B, T, outputs)."""

    def __init__(self, runs: int, inputs: int, outputs: int):
        super().__init__()
        bound = math.sqrt(6 / (inputs + outputs))  # Glorot and Bengio 2010
        weight = bound * (2 * torch.rand(runs, inputs, outputs) - 1)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(runs, 1, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(1, 2)  # (R, B*T, inputs)
        out = torch.baddbmm(self.bias, tokens, self.weight)
        return out.unflatten(1, x.shape[1:3])


def layer_norm(x: torch.Tensor) -> torch.Tensor:
    """Normalize every token; no learned scale and shift, to keep the test simple."""
    return F.layer_norm(x, x.shape[-1:])


# %%
class Block(nn.Module):
    """One encoder layer of width 32 with four heads; the norm where `place` says."""

    def __init__(self, runs: int, place: str):
        super().__init__()
        self.place = place  # "pre", "post" or "none"
        self.qkv, self.mix = Linear(runs, 32, 96), Linear(runs, 32, 32)
        self.up, self.down = Linear(runs, 32, 64), Linear(runs, 64, 32)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, 4, 8))  # (R, B, T, 3, heads, 8)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)  # each (R, B, heads, T, 8)
        weights = (q @ k.mT / math.sqrt(8)).softmax(-1)  # (R, B, heads, T, T)
        return self.mix((weights @ v).transpose(2, 3).flatten(3))

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.relu(self.up(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for f in (self.attention, self.feed_forward):
            if self.place == "post":
                x = layer_norm(x + f(x))
            elif self.place == "pre":
                x = x + f(layer_norm(x))
            else:
                x = x + f(x)
        return x


# %%
class Encoder(nn.Module):
    """Tokens (R, B, 4, 16) to class scores (R, B, 10) through `depth` blocks."""

    def __init__(self, depth: int, place: str, runs: int = 5):
        super().__init__()
        self.place = place
        self.embed = Linear(runs, 16, 32)
        self.position = nn.Parameter(0.02 * torch.randn(runs, 1, 4, 32))
        self.blocks = nn.Sequential(*[Block(runs, place) for _ in range(depth)])
        self.head = Linear(runs, 32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.embed(x) + self.position)
        if self.place == "pre":
            x = layer_norm(x)  # the residual path has met no norm so far
        return self.head(x.mean(2, keepdim=True)).squeeze(2)


# %% [markdown]
r"""
Before any training, look at the gradient that reaches the last block. Xiong et al. 2020
{cite}`xiong2020` argue that here lies the difference: near the output, post-norm's
gradients are large at initialization, so that a large step does damage; pre-norm's are
well-behaved.

**Predict.** As the network gets deeper, does the gradient of the last block grow,
shrink or stay, for each of the three places?
"""

# %%
digits = data.digits()
images = digits.train_x.reshape(-1, 4, 16).to(device)  # four tokens of two rows
labels = digits.train_y.to(device)
for depth in (2, 6, 12, 24):
    sizes = []
    for place in ("pre", "post", "none"):
        torch.manual_seed(0)
        net = Encoder(depth, place).to(device)
        scores = net(images[:64].expand(5, -1, -1, -1))
        F.cross_entropy(scores.flatten(0, 1), labels[:64].repeat(5)).backward()
        gradient = 5 * net.blocks[-1].down.weight.grad  # 5: the mean was over all runs
        sizes.append(gradient.flatten(1).norm(dim=1).mean().item())
    pre, post, none = sizes
    none = round(none, -math.floor(math.log10(none)))  # to one digit
    print(f"depth {depth:2}: pre {pre:.1f}, post {post:.1f}, no norm {none:,.0f}")

# %% [markdown]
r"""
With pre-norm the gradient falls with depth, with post-norm it does not, and without any
norm it explodes. Now train: 100 steps of Adam with a fairly large learning rate, 0.003.
*Warm-up* means that the learning rate climbs from zero to its full value over the first
50 steps.

**Predict.** Which of these reach a good accuracy at depth 4, and which at depth 12:
pre-norm, post-norm, post-norm with warm-up, no norm at all?
"""


# %%
def train_encoder(depth: int, place: str, warm_up: int = 0):
    """Train five runs; return the losses (steps, 5) and the test accuracies (5,)."""
    torch.manual_seed(0)
    net = Encoder(depth, place).to(device)
    optimizer = torch.optim.Adam(net.parameters())
    losses = []
    for step in range(1, 101):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, step / max(warm_up, 1))
        pick = torch.randint(len(labels), (5, 32)).to(device)
        scores = net(images[pick])  # (5, 32, 10)
        loss = F.cross_entropy(scores.mT, labels[pick], reduction="none").mean(1)
        optimizer.zero_grad()
        loss.sum().backward()  # the runs share nothing: each gets its own gradient
        optimizer.step()
        losses.append(loss.detach().cpu())
    test = digits.test_x.reshape(-1, 4, 16).to(device)
    with torch.no_grad():
        best = net(test.expand(5, -1, -1, -1)).argmax(-1).cpu()
    return torch.stack(losses), (best == digits.test_y).float().mean(1)


# %%
ARMS = {
    "pre-norm": ("pre", 0),
    "post-norm": ("post", 0),
    "post-norm, warm-up": ("post", 50),
    "no norm": ("none", 0),
}


def band(accuracy: torch.Tensor) -> str:
    """The mean over the runs, as coarsely as five short runs allow."""
    mean = accuracy.mean().item()
    return "above 75 %" if mean > 0.75 else "below 40 %" if mean < 0.4 else "40 to 75 %"


results = {}
for depth in (4, 12):
    for name, (place, warm_up) in ARMS.items():
        results[depth, name] = train_encoder(depth, place, warm_up)
        print(f"depth {depth:2}, {name:18} {band(results[depth, name][1])}")

# %% tags=["hide-input"]
#| name: fig-training
#| caption: Training loss on digits, five runs each (line, mean; shade, lowest to
#|   highest), at depth 4 and depth 12; thin dotted line, the loss of guessing.
#| alt: At depth 4 all four curves fall together. At depth 12 pre-norm falls as before,
#|   post-norm with warm-up falls later, and post-norm without warm-up and no norm stay
#|   near the loss of guessing or above it.
fig, axes = plt.subplots(2, 1, figsize=(5.0, 5.6), sharex=True)
styles = dict(zip(ARMS, ("-", "--", "-", ":"), strict=True))
for ax, depth in zip(axes, (4, 12), strict=True):
    for name, colour in zip(ARMS, plots.COLOURS, strict=False):
        losses = results[depth, name][0].unfold(0, 5, 5).mean(2)  # means of 5 steps
        steps = range(3, 101, 5)
        low, high = losses.amin(1), losses.amax(1)
        ax.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.plot(steps, losses.mean(1), styles[name], color=colour, label=name)
    ax.axhline(math.log(10), color=plots.GREY, linestyle=":", linewidth=1)
    ticks = (0.3, 1, 3) if depth == 4 else (1, 10, 100)
    ax.set(title=f"depth {depth}", ylabel="loss", yscale="log")
    ax.set(ylim=(0.2, 6 * ticks[2]), yticks=ticks, yticklabels=ticks)
    ax.minorticks_off()
axes[0].legend(loc="upper right", ncols=2)
axes[1].set_xlabel("step")
accuracy = {key: result[1].mean() for key, result in results.items()}
gain = accuracy[12, "post-norm, warm-up"] - accuracy[12, "post-norm"]
text = f"warm-up lifts post-norm at depth 12 by more than 20 points: {bool(gain > 0.2)}"
ends = {name: results[12, name][0][-20:].mean().item() for name in ARMS}
stays = abs(ends["post-norm"] - math.log(10)) < 0.5
text += f"\npost-norm ends within 0.5 of the loss of guessing: {stays}"
text += f"\nno norm ends above 10: {ends['no norm'] > 10}"
plots.show(fig, text, kind="png")

# %% [markdown]
r"""
At depth 4 it makes no difference: every arm passes 75 %, and the loss without any norm
falls no later than the others. At depth 12 it decides. Pre-norm trains as before.
Post-norm without warm-up ends below 40 %, as *no norm at all* does, though its loss
only stays near that of guessing while the other's explodes; with warm-up it lies in
between. So "layer norm speeds up and stabilizes training" is true of deep networks, for
layer norm *in the right place*, or in the other place with the right learning-rate
schedule.

The literature has the same at full size. Xiong et al. 2020 {cite}`xiong2020` train a
post-norm Transformer for translation (IWSLT14, German to English): without warm-up it
reaches 8.45 BLEU, with warm-up about 34; pre-norm does without warm-up. Small networks
on 8 × 8 digits cannot stand in for that experiment; they let you see the same effect in
seconds. As to speed, the classic figure belongs to batch norm: the same accuracy in an
image network with 14 times fewer steps (Ioffe and Szegedy 2015 {cite}`ioffe2015`).

And *why* does it help? The usual story, a calmer distribution of each layer's inputs
("internal covariate shift", {cite}`ioffe2015`), did not survive a test for batch norm:
Santurkar et al. 2018 {cite}`santurkar2018` find that it has little to do with batch
norm's success, and that what counts is a smoother loss. For layer norm, Xu et al. 2019
{cite}`xu2019` find that the derivatives of mean and variance, which re-centre and
re-scale the *gradients*, matter more than the standardized numbers themselves.

**Verdict on S1.1: holds with conditions.** Layer norm standardizes, before scale and
shift. It stabilizes deep networks if it stands before the sublayer, or with warm-up.
That it speeds up a network which trains without it as well, our test does not show: at
depth 4 it did not, while Ba et al. 2016 {cite}`ba2016` report it for recurrent
networks. And what stabilizes is not the standardized input alone.
"""

# %% [markdown]
r"""
## Verdicts

| Claim | What the source says | Verdict | Why |
|---|---|---|---|
| S1.1 | Norm is layer norm; it standardizes the next layer's input, which speeds up and stabilizes training | holds with conditions | Standardized before $\gamma$ and $\beta$ only. At depth 12 pre-norm trains, post-norm without warm-up does no better than no norm; at depth 4 all train, and none sooner for its norm. Xiong et al. 2020 {cite}`xiong2020`: 8.45 against about 34 BLEU |
| S1.2 | Lengths differ, so Transformers use layer norm and not batch norm | holds with conditions | They do use it. But unequal lengths rule out only statistics per position; independence of the other samples, and the same computation in training and test, are the better reasons |
| S1.3 | Batch norm normalizes one channel over the samples, layer norm the channels of one sample | holds with conditions | Layer norm: the channels of one *position* of one sample, shape $(B, T, 1)$. Batch norm usually pools over positions too (Ioffe and Szegedy 2015 {cite}`ioffe2015`, §3.2) |
| S1.4 | A sentence is a sample, a word a feature, the dimension of the word vector the number of channels | holds | It names the axes of $(B, T, C)$; elsewhere "feature" means channel (Ioffe and Szegedy 2015 {cite}`ioffe2015`, §3, normalize "each scalar feature") |
| S1.5 | With one sample left, statistics do not reflect the global distribution, and batch norm works badly | holds with conditions | Per position only, and there it is worse: one sample gives exactly 0, two give ±1. Pooled batch norm averages all words |
| S1.6 | Longer than all training samples: no statistics, batch norm cannot run | holds with conditions | Per position only, where `nn.BatchNorm1d` refuses; another table runs, as a guess with spare rows and well with the last row reused. Pooled batch norm reads sentences of 48 words after training on 16 |
"""

# %% [markdown]
r"""
## Summary

- A normalization is a choice of axes. Layer norm averages over the last one, the $C$
  numbers of one token, and nothing else.
- Per position, batch norm has as many numbers as samples are alive: with one, its
  output is $\beta$ whatever the input was. Pooled over positions it does not have this
  problem, but it counts padding, depends on the other samples, and computes in
  evaluation something else than in training.
- Layer norm computes the same alone, in any batch, in training and in evaluation. That,
  more than unequal lengths, is what recommends it.
- It hides shift and positive scale, not the sign. RMSNorm hides scale only.
- Where it stands matters as much as that it stands there: pre-norm trains deep networks
  without warm-up.

Now build it: [Lab 1](../labs/lab_01_layer_normalization.ipynb) has you write layer norm
and its gradient by hand, count the statistics of a ragged batch, and put the norm in
both places, with a check that tells you at once what is right.
"""
