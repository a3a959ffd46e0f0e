# %% [markdown]
r"""
# Cut an image into a sequence: what is lost, what it costs

A Transformer reads a list of vectors. A photograph is a grid of pixels. To bring the
two together, someone has to decide what a "word" of a picture is. A pixel? Then a small
photograph has fifty thousand words, and attention wants a table of two and a half
billion numbers. The *Vision Transformer* (ViT, Dosovitskiy et al. 2021
{cite}`dosovitskiy2021`) takes square patches of pixels instead. To cut them out needs
three lines of code, which can be wrong without anyone noticing.

The note that this course follows says two things about the way from image to sequence:
that vision hopes to gain from what made the Transformer a success in language (S4.1.1);
and that an image has to be unrolled for it, so that the sequence grows quadratically
(S4.1.2). Each claim is stated, then you **predict**, then you **run** an experiment,
then there is a **verdict**. S4.1.2 comes first: before asking whether it pays to cut up
an image, we cut one up.

**You will**
- cut a photograph into patches in three ways that agree, and in one way that has the
  right shape and the wrong content;
- say which quantity grows with the side of an image, with its square, and with its
  fourth power, and check it;
- show what an encoder without positions cannot see, and what position embeddings give
  back, and what not;
- compare a tiny ViT with logistic regression and a convolutional network on few images,
  and find out what such a comparison can and cannot tell.

**You need** PyTorch's `reshape` and `permute`, and attention from [Chapter
3](03_multi_head_attention.ipynb).

**Time** 50 minutes; the code runs in less than a minute on a laptop.

Afterwards you build it all yourself in [Lab
4.1](../labs/lab_04_1_image_to_sequence.ipynb).
"""

# %%
import math
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

import labkit
from labkit import data, explore, plots, seed_everything
from labkit.training import BATCHES, Runs

seed_everything(0)
device = labkit.device()
torch.set_num_threads(1)  # tensors this small: two threads would wait for each other

# %% [markdown]
r"""
## A photograph, cut into patches

An image is a tensor of shape $(C, H, W)$: $C$ channels (red, green, blue), $H$ rows and
$W$ columns of pixels. (In the chapters before, $H$ was the hidden width of a
feed-forward network; here it is a height.) Cut it into squares of $P \times P$ pixels,
row by row, and write the numbers of each square in a line. That gives

$$
N = \frac{H}{P} \cdot \frac{W}{P} \;\text{ patches of }\; P^2 C \;\text{ numbers.}
$$

**Predict.** A photograph of 224 × 224 pixels in colour, patches of 16 × 16: how many
patches, and how many numbers in each?
"""

# %% tags=["hide-input"]
#| name: fig-photograph
#| caption: 224 × 224 pixels, and where ViT-B/16 cuts. (Chelsea, photographed by Stefan
#|   van der Walt.)
#| alt: The face of a tabby cat under a grid of fourteen by fourteen squares. Each eye
#|   fills about nine squares.
C, H, W, P = 3, 224, 224, 16
image = data.photograph(224).to(device)  # (C, H, W)
fig, ax = plt.subplots(figsize=(3.4, 3.4))
plots.picture(ax, image)
for line in range(0, H + 1, P):
    ax.plot([-0.5, W - 0.5], [line - 0.5] * 2, color="white", lw=0.7)
    ax.plot([line - 0.5] * 2, [-0.5, H - 0.5], color="white", lw=0.7)
N = (H // P) * (W // P)
text = f"{tuple(image.shape)}: {image.numel():,} numbers = {N} patches × {P * P * C}"
plots.show(fig, text, kind="photo")

# %% [markdown]
r"""
Not one number more or less: cutting only *sorts* the numbers anew. In which order? The
convention of this course, and of PyTorch's convolutions: patches row by row, and inside
a patch first the channel, then the row, then the column. On a toy image, one channel of
4 × 4 pixels that are numbered from 0 to 15, and patches of 2 × 2, this is what has to
come out:

     0  1 |  2  3     patch 0:  0  1  4  5
     4  5 |  6  7     patch 1:  2  3  6  7
    ------+------     patch 2:  8  9 12 13
     8  9 | 10 11     patch 3: 10 11 14 15
    12 13 | 14 15

In code: split both axes into (which patch, which pixel inside), then bring the two
"which patch" axes to the front.
"""


# %%
def patchify(images: torch.Tensor, P: int) -> torch.Tensor:
    """Images (B, C, H, W) to patches (B, N, C·P·P), row by row."""
    B, C, H, W = images.shape
    x = images.reshape(B, C, H // P, P, W // P, P)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (B, H/P, W/P, C, P, P)
    return x.flatten(3).flatten(1, 2)  # (B, N, C·P·P)


toy = torch.arange(16, device=device).view(1, 1, 4, 4)
for number, patch in enumerate(patchify(toy, 2)[0].tolist()):
    print(f"patch {number}:", *patch)

# %% [markdown]
r"""
### Three ways that agree

The same again with two other tools. `F.unfold` exists for this very purpose: it cuts
blocks out of images, here without overlap, and lays each one out as a *column*. And a
strided convolution multiplies each block with kernels: if kernel number $k$ is 1 at the
$k$-th number of a block and 0 elsewhere, the convolution copies.

**Predict.** `F.unfold` returns the shape $(B, P^2C, N)$. What is missing?
"""

# %%
batch = image[None]  # (B, C, H, W) with B = 1
identity = torch.eye(C * P * P, device=device).view(-1, C, P, P)  # one kernel a number
ways = {
    "reshape and permute": patchify(batch, P),
    "unfold, transposed": F.unfold(batch, P, stride=P).mT,
    "strided convolution": F.conv2d(batch, identity, stride=P).flatten(2).mT,
}
for name, patches in ways.items():
    same = torch.allclose(patches, ways["reshape and permute"], atol=1e-5)
    print(f"{name:20} {tuple(patches.shape)}  equal: {same}")

# %% [markdown]
r"""
The third way is how ViTs are written in practice, because the next step, a linear map
of every patch to the width $D$ (the *patch embedding*), can be merged into it: instead
of copying, the kernels hold the columns of the matrix
$E \in \mathbb{R}^{P^2C \times D}$.
"""

# %%
patches = ways["reshape and permute"]  # (1, 196, 768)
E = torch.randn(C * P * P, 64).to(device) / math.sqrt(C * P * P)  # here D = 64
linear = patches @ E  # (1, 196, 64)
kernels = E.T.reshape(64, C, P, P)
convolution = F.conv2d(batch, kernels, stride=P).flatten(2).mT
same = torch.allclose(linear, convolution, atol=1e-4)
print(tuple(linear.shape), "linear map of patches = convolution:", same)

# %% [markdown]
r"""
### The right shape and the wrong content

A natural shortcut: the result has shape $(B, N, P^2C)$, so ask for that shape.
`batch.reshape(1, 196, 768)` runs, without any warning.

**Predict.** How does its first "patch" look: from how many rows, columns and channels
of the image does it come?
"""


# %%
def sources(cut) -> str:
    """From how many rows, columns and channels the first patch takes its pixels."""
    grid = torch.meshgrid(*(torch.arange(n) for n in (C, H, W)), indexing="ij")
    counts = [len(cut(axis[None])[0, 0].unique()) for axis in grid]
    return "{1:3} rows, {2:3} columns, {0} channels".format(*counts)


cuts = {
    "patchify": lambda x: patchify(x, P),
    "reshape alone": lambda x: x.reshape(1, N, C * P * P),
}
for name, cut in cuts.items():
    print(f"{name:14} {tuple(cut(batch).shape)}  first patch: {sources(cut)}")

# %% tags=["hide-input"]
#| name: fig-wrong-cut
#| caption: The 196 "patches" of both, each shown as a picture of 16 × 16 pixels, laid
#|   out in order.
#| alt: On the left, patchify, the cat cut into squares. On the right, reshape alone, a
#|   grid of squares of coloured stripes in which no cat can be seen.
fig, axes = plt.subplots(1, 2, figsize=(5.0, 2.7))
for ax, (name, cut) in zip(axes, cuts.items(), strict=True):
    tiles = cut(batch).view(H // P, W // P, C, P, P)
    tiles = F.pad(tiles, (1, 1, 1, 1), value=1.0)  # a white edge around each patch
    plots.picture(ax, tiles.permute(2, 0, 3, 1, 4).reshape(C, 14 * 18, 14 * 18), name)
fig.tight_layout(pad=0.3)
moved = (cuts["patchify"](batch) != cuts["reshape alone"](batch)).float().mean().item()
sorted_alike = torch.equal(
    *(cut(batch).flatten().sort().values for cut in cuts.values())
)
text = f"more than 90 % of the numbers in another place: {moved > 0.9}"
plots.show(fig, f"{text}\nthe same numbers altogether: {sorted_alike}", kind="photo")

# %% [markdown]
r"""
The shortcut takes 768 numbers in the order in which they lie in memory: three rows and
a half of the red channel. Shape, sum, mean and every other summary are right; the
picture is gone. Will at least the accuracy of a trained network tell? (We shall train
one on such patches further down.) Look at the patches, or test the inverse: patches put
together again must be the image, bit for bit.
"""


# %%
def unpatchify(patches: torch.Tensor, P: int, H: int, W: int) -> torch.Tensor:
    """Patches (B, N, C·P·P) back to images (B, C, H, W): the inverse of patchify."""
    B, N, _ = patches.shape
    x = patches.reshape(B, H // P, W // P, -1, P, P)
    x = x.permute(0, 3, 1, 4, 2, 5)  # (B, C, H/P, P, W/P, P)
    return x.reshape(B, -1, H, W)


for name, cut in cuts.items():
    same = torch.equal(unpatchify(cut(batch), P, H, W), batch)
    print(f"{name:14} put together again, bit for bit the image: {same}")

# %% [markdown]
r"""
One more trap. **Predict.** What do the three ways do with 230 × 230 pixels, which 16
does not divide?
"""

# %%
odd = data.photograph(230)[None].to(device)
try:
    patchify(odd, P)
except RuntimeError as error:
    print("reshape:     RuntimeError,", str(error).split(" for ")[0], "…")
for name, out in (
    ("unfold", F.unfold(odd, P, stride=P).mT),
    ("convolution", F.conv2d(odd, identity, stride=P).flatten(2).mT),
):
    lost = 230**2 - out.shape[1] * P**2
    print(f"{name + ':':12} {tuple(out.shape)}, {lost:,} pixels never looked at")

# %% [markdown]
r"""
Only the first complains. The other two silently ignore a margin of 6 pixels at the
right and at the bottom: resize, crop or pad on purpose before cutting.
"""

# %% [markdown]
r"""
## S4.1.2 — Unrolled, the sequence grows quadratically

**Claim.** A Transformer takes a one-dimensional sequence while an image is
two-dimensional, so the image has to be unrolled; that makes the length of the input
sequence grow quadratically.

Quadratically in *what*? And the length is not yet the cost: each layer compares every
token with every other. Let $S$ be the side of a square image, and count everything for
one head of one layer, $N + 1$ tokens (the [class] token joins the patches, see [Chapter
4.2](04_2_model_structure.ipynb)), four bytes a number.

**Predict.** Twice the side: how many times as many patches, and how many times as large
is the attention matrix?
"""

# %%
SIDES = (112, 224, 448, 896)


def attention_bytes(side: int, P: int) -> int:
    """Bytes of one attention matrix in float32: one head, one layer, one image."""
    return 4 * ((side // P) ** 2 + 1) ** 2


print("side S    pixels  patches    matrix entries   bytes")
for side in SIDES:
    count, size = (side // 16) ** 2, attention_bytes(side, 16)
    print(f"{side:6} {side**2:9,} {count:8,} {size // 4:17,} {size / 1e6:6.2f} MB")
for before, after in pairwise(SIDES):
    patches_by = (after // 16) ** 2 / (before // 16) ** 2
    matrix_by = attention_bytes(after, 16) / attention_bytes(before, 16)
    print(f"{before} → {after}: patches × {patches_by:.0f}, matrix × {matrix_by:.1f}")

# %% [markdown]
r"""
The matrix grows with the *fourth* power of the side (× 16, a little less while the one
[class] token still counts). And single pixels as tokens?
"""

# %% tags=["hide-input"]
#| name: fig-growth
#| caption: The number of patches, and the size of one attention matrix (one head, one
#|   layer, one image), by the side of the image. Dashed: 224. All axes logarithmic.
#| alt: Four straight lines. Tokens rise with slope 2, bytes of the matrix with slope 4.
#|   At side 224 the matrix takes 0.16 megabytes with patches of 16 pixels and 10
#|   gigabytes with single pixels.
sides = [2**n for n in range(5, 11)]
fig, (top, bottom) = plt.subplots(2, 1, figsize=(4.8, 5.2), sharex=True)
for P_, colour in ((1, plots.RED), (16, plots.BLUE)):
    label = "single pixels" if P_ == 1 else "16 × 16 patches"
    tokens = [(side // P_) ** 2 for side in sides]
    size = [attention_bytes(side, P_) / 1e6 for side in sides]
    top.plot(sides, tokens, "o-", color=colour, label=label)
    bottom.plot(sides, size, "o-", color=colour, label=label)
for ax, title in ((top, "patches N"), (bottom, "attention matrix, megabytes")):
    ax.set(xscale="log", yscale="log", title=title)
    ax.set_xticks(sides, [str(side) for side in sides])
    ax.minorticks_off()
    ax.axvline(224, color=plots.GREY, linestyle="--", linewidth=1)
top.legend(loc="upper left")
bottom.set_xlabel("side S of the image in pixels")
fig.tight_layout()
slopes = [math.log2(values[-1] / values[-2]) for values in (tokens, size)]
text = "from 512 to 1024 pixels: slopes {:.1f} and {:.1f}".format(*slopes)
small, large = (attention_bytes(224, P_) / 1e6 for P_ in (16, 1))
text += f"\nmatrix at 224 pixels: patches {small:.2f} MB, single pixels {large:,.0f} MB"
plots.show(fig, text)

# %% [markdown]
r"""
In summary, with $S$ pixels a side and patches of $P$:

| quantity | size | by the number of pixels | by the side |
|---|---|---|---|
| patches $N$ | $S^2/P^2$ | linear | square |
| work of projections and feed-forward network | $N$ times a constant | linear | square |
| attention matrix: its memory, its work | $N^2$ times a constant | square | **fourth power** |

So "the length grows quadratically" is right for the *side*. In pixels the length grows
linearly; what is quadratic in pixels is the matrix. That is how the paper puts the
obstacle too: attention from every pixel to every other has a cost quadratic in the
number of pixels (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`, §2). Its remedy is
$P$: patches 16 times as wide make the matrix $16^4 = 65{,}536$ times as small.

### Counted, and measured

Formulas can be wrong, so let PyTorch weigh the matrices that it makes and count the
multiplications that it does, in the size of ViT-B (width 768, 12 heads). The *meta*
device computes shapes without numbers, so the 50,177 tokens of single pixels cost
nothing here.

**Predict.** Which share of a block's multiplications is due to the $T \times T$
matrices ($T = N + 1$ tokens), with patches and with pixels?
"""

# %%
layer = nn.MultiheadAttention(768, 12, batch_first=True).to(device)
with torch.no_grad():
    for side in (112, 224, 448):
        x = torch.randn(1, (side // 16) ** 2 + 1, 768).to(device)
        weights = layer(x, x, x, average_attn_weights=False)[1]  # (1, 12, T, T)
        same = weights.nbytes == 12 * attention_bytes(side, 16)
        print(f"side {side}: {weights.nbytes / 1e6:5.1f} MB, as counted: {same}")

for tokens in (197, 50177):
    sizes = (tokens, 768), (768, 768), (768, 3072), (3072, 768)
    x, square, fc1, fc2 = (torch.empty(size, device="meta") for size in sizes)
    with FlopCounterMode(display=False) as matrix:
        (x @ x.T) @ x  # scores, then weights times values
    with FlopCounterMode(display=False) as rest:
        for _ in range(4):  # queries, keys, values, output
            x @ square
        x @ fc1 @ fc2
    share = matrix.get_total_flops()
    share /= share + rest.get_total_flops()
    print(f"{tokens:6,} tokens: T × T matrices take {100 * share:.0f} % of the work")

# %% [markdown]
r"""
With patches, 4 %: at the usual size the fourth power is a *threat*, not yet a cost.
With pixels it is nearly everything. (A fused kernel, as in Chapter 3, need not store
the matrix, so its memory grows with the square of the side only. The multiplications
remain.)

Times are multiplications plus much else. The next cell doubles the side of an image
twice and measures, on your machine, how attention's core and a linear layer follow.
The counts say × 16 and × 4 each time. Small sizes may stay below that, because every
call has a fixed price; a matrix that no longer fits into the processor's cache can
exceed it.
"""

# %% tags=["nbval-ignore-output"]
# Times differ from run to run: this output is not compared.
linear = nn.Linear(192, 768).to(device)


def core(x: torch.Tensor) -> torch.Tensor:
    """Scores, softmax and their use, written out; x (T, 192)."""
    return (x @ x.T).softmax(-1) @ x


with torch.no_grad():
    times = {core: [], linear: []}
    for side in (16, 32, 64):
        x = torch.randn(side**2, 192).to(device)
        for f, seconds in times.items():
            timer = Timer("f(x)", globals={"f": f, "x": x})
            seconds.append(min(timer.blocked_autorange(min_run_time=0.1).times))
for name, seconds in zip(("attention's core", "linear"), times.values(), strict=True):
    growth = [f"× {after / before:.1f}" for before, after in pairwise(seconds)]
    print(f"{name:16} 16 → 32 → 64 tokens a side:", *growth)

# %% [markdown]
r"""
Try other sizes: where does the matrix become the largest part of the work, and what
happens to 384 pixels with patches of 14?
"""

# %%
explore.sequence_explorer()

# %% [markdown]
r"""
### What unrolling loses

The first half of the claim: a Transformer takes a *one-dimensional sequence*. Does it?
Here is PyTorch's encoder with two layers and random weights, without any position
embeddings. It reads the photograph's 196 patches.

**Predict.** Shuffle the patches. What happens to the outputs, and to their mean?
"""

# %%
torch.manual_seed(0)
settings = {"dropout": 0, "activation": "gelu", "batch_first": True, "norm_first": True}
layer = nn.TransformerEncoderLayer(64, 4, 128, **settings)
encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).to(device)
order = torch.randperm(196).to(device)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4)


with torch.no_grad():
    tokens = patches @ E  # (1, 196, 64)
    straight, shuffled = encoder(tokens), encoder(tokens[:, order])
print("the same outputs in the same order:", close(shuffled, straight))
print("the same outputs in the new order: ", close(shuffled, straight[:, order]))
print("the same mean:                     ", close(shuffled.mean(1), straight.mean(1)))

# %% tags=["hide-input"]
#| name: fig-same-to-the-encoder
#| caption: To an encoder without positions these two are the same image.
#| alt: On the left the cat. On the right its 196 patches in random order; an eye, the
#|   nose and stripes of fur lie scattered.
fig, axes = plt.subplots(1, 2, figsize=(5.0, 2.7))
mixed = unpatchify(patches[:, order], P, H, W)[0]
plots.picture(axes[0], image, "in order")
plots.picture(axes[1], mixed, "shuffled")
fig.tight_layout(pad=0.3)
stay = (order.cpu() == torch.arange(196)).sum().item()
plots.show(fig, f"patches that stayed where they were: {stay} of 196", kind="photo")

# %% [markdown]
r"""
The encoder is *permutation equivariant*: reorder the tokens and you reorder the
outputs. It reads neither a sequence nor a grid but a **set**. So unrolling is not what
loses the second dimension. An encoder never had the first: words need position
embeddings as much as patches do.

**Predict.** Add to every token a position embedding, a vector that belongs to its
*place*: `encoder(tokens + position)`. Does shuffling the patches change the mean now?
And if the rows of `position` are shuffled in the same way?
"""

# %%
position = torch.randn(1, 196, 64).to(device)
with torch.no_grad():
    straight = encoder(tokens + position).mean(1)
    patches_only = encoder(tokens[:, order] + position).mean(1)
    both = encoder(tokens[:, order] + position[:, order]).mean(1)
print("patches shuffled, places not: same mean", close(patches_only, straight))
print("patches and places shuffled:  same mean", close(both, straight))

# %% [markdown]
r"""
The first line is what position embeddings give back: the encoder can tell places
apart. The second is what they do *not* give back. A learned embedding is a name tag.
Nothing says that place 15 lies below place 1, or next to place 16. Shuffle the
patches of all images in the same way, and a ViT can learn exactly as well, with the
name tags exchanged. What is next to what has to be learned from data. (Embeddings that
know rows and columns are possible; in the paper they were no better: Dosovitskiy et al.
2021 {cite}`dosovitskiy2021`, Table 8, and [Chapter 4.2](04_2_model_structure.ipynb).)

How much are places worth? A tiny ViT for scikit-learn's digits, 8 × 8 pixels in 16
patches of 2 × 2, answers. It is trained in several runs, side by side: networks with
their own first weights, their own images and their own batches.
"""


# %%
def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, T, D) to (B, h, T, D/h)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    """(B, h, T, D/h) to (B, T, D)."""
    return x.transpose(-3, -2).flatten(-2)


# %%
class Block(nn.Module):
    """One pre-norm Transformer block: x (B, T, D) to (B, T, D)."""

    def __init__(self, dim: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def attention(self, x):
        q, k, v = (split_heads(p, self.heads) for p in self.qkv(x).chunk(3, dim=-1))
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)  # (B, h, T, T)
        return self.proj(merge_heads(weights @ v))

    def mlp(self, x):
        return self.fc2(F.gelu(self.fc1(x)))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


# %%
class TinyViT(nn.Module):
    """Digits (B, 8, 8) to scores (B, 10): 16 patches, two blocks, mean, head."""

    def __init__(self, positions: bool = True, cut=patchify):
        super().__init__()
        self.cut = cut
        self.patch_embed, self.head = nn.Linear(4, 32), nn.Linear(32, 10)
        start = 0.3 * torch.randn(16, 32)
        self.position = nn.Parameter(start) if positions else None
        self.blocks = nn.Sequential(Block(32, 4, 64), Block(32, 4, 64))
        self.norm = nn.LayerNorm(32)

    def forward(self, images):
        x = self.patch_embed(self.cut(images[:, None], 2))
        if self.position is not None:
            x = x + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))


# %% [markdown]
r"""
Run number $r$ learns from `SIZES[r]` images of its own, drawn with $r$ as the seed; all
models get the same ones.
"""

# %%
digits = data.digits()
train_x, train_y = digits.train_x, digits.train_y  # batches are drawn on the CPU
test_x, test_y = digits.test_x.to(device), digits.test_y.to(device)
SIZES = [100] * 4 + [350] * 4 + [1400] * 4  # training images: four runs of each
ALL_IMAGES = range(8, 12)  # the last four


def subset(run: int) -> torch.Tensor:
    """The numbers of a run's training images; the same for every model."""
    generator = torch.Generator().manual_seed(run)
    return torch.randperm(1400, generator=generator)[: SIZES[run]]


def train(make, images, runs=range(12), lr=3e-3, steps=250) -> Runs:
    """Networks make(), from (B, 8, 8) to (B, 10), trained side by side, one a run."""

    def draw(generator):
        own = subset(generator.initial_seed() - BATCHES)  # by the run's number
        pick = own[torch.randint(len(own), (32,), generator=generator)]
        return images[pick], train_y[pick]

    def loss(net, x, y):
        return F.cross_entropy(net(x), y)

    return labkit.train(make, draw, loss, steps=steps, lr=lr, seeds=runs)


# %%
def accuracy(nets, images) -> torch.Tensor:
    """Share of right answers of each run, (R,)."""
    return (nets(images).argmax(-1) == test_y).double().mean(1).cpu()


# %% [markdown]
r"""
**Predict.** Without position embeddings, how good can it get? (Chance is 10 %.) And
when the patches of every test image are shuffled, each image differently?
"""


# %%
def shuffle_patches(images: torch.Tensor) -> torch.Tensor:
    """The 16 patches of every image (B, 8, 8) in an order of its own."""
    patches = patchify(images[:, None], 2)  # (B, 16, 4)
    order = torch.rand(patches.shape[:2]).argsort(1).to(device)
    patches = patches.gather(1, order[..., None].expand_as(patches))
    return unpatchify(patches, 2, 8, 8)[:, 0]


torch.manual_seed(0)
mixed_x = shuffle_patches(test_x)
vit = train(TinyViT, train_x)
blind = train(lambda: TinyViT(positions=False), train_x, ALL_IMAGES)
unmoved = (blind(test_x).argmax(-1) == blind(mixed_x).argmax(-1)).float().mean()
by_positions = {
    "with places": [accuracy(vit, x)[8:] for x in (test_x, mixed_x)],
    "without places": [accuracy(blind, x) for x in (test_x, mixed_x)],
}
for name, results in by_positions.items():
    whole, mixed = (f"{10 * round(10 * r.mean().item())} %" for r in results)
    print(f"{name:14}  whole images {whole}, shuffled images {mixed}")
print(f"answers that shuffling leaves alone, without places: {100 * unmoved:.0f} %")

# %% [markdown]
r"""
(To the nearest 10 %.) Without places the network sees *which* strokes there are, not
where, and gives every shuffled image the same answer as before. That is worth six
digits in ten; the rest needs the places.

And the wrong cut? **Predict.** A ViT whose patches come from `reshape` alone, trained
on the same digits: how many points does it lose?
"""


# %%
def reshape_alone(images: torch.Tensor, P: int) -> torch.Tensor:
    """The right shape and the wrong content."""
    B, C, H, W = images.shape
    return images.reshape(B, (H // P) * (W // P), C * P * P)


wrong = train(lambda: TinyViT(cut=reshape_alone), train_x, ALL_IMAGES)
right = by_positions["with places"][0].mean().item()
lost = right - accuracy(wrong, test_x).mean().item()
print("the wrong cut costs 5 points or more:", lost > 0.05)

# %% [markdown]
r"""
Nothing that shows: on digits the "patches" are strips of 1 × 4 pixels, and a ViT learns
strips as well as squares. Accuracy is no test of correctness. (Weights pretrained on
squares, though, would meet strips.)

**Verdict on S4.1.2: holds with conditions.** An image must be made into tokens, and
their number grows with the square of the *side*; in pixels it grows linearly. The
expensive part grows faster still, with the fourth power of the side, and is the reason
for patches. And what a Transformer encoder takes is not a sequence but a set; order, in
one dimension or two, comes with the position embeddings.
"""

# %% [markdown]
r"""
## S4.1.1 — Vision gains too?

**Claim.** The Transformer was a great success in language, so vision hopes to gain from
it too.

As history this is right; the paper says so itself in its first paragraphs. What there
is to test is whether the hope was justified, and at what price. A convolutional
network has two things built in that a ViT must learn: a pixel's neighbours are its
neighbours, and what is worth looking for in one place is worth looking for everywhere.
This is called an *inductive bias*, and the popular story goes: it saves data.

Here is a small convolutional network with both. Its pictures are closed to a ring (what
leaves on the right comes in on the left), and at the end it keeps each feature's
maximum over all places, so it is *exactly* indifferent to shifts.

**Predict.** Four runs each on 100, 350 and 1,400 digits: who wins at 100, who at 1,400,
ViT, convolution, or plain logistic regression on the 64 pixels?
"""


# %%
class SmallCNN(nn.Module):
    """Digits (B, 8, 8) to scores (B, 10), two circular convolutions, then a maximum."""

    def __init__(self):
        super().__init__()
        ring = {"padding": "same", "padding_mode": "circular"}
        self.first = nn.Conv2d(1, 16, 5, **ring)
        self.second = nn.Conv2d(16, 32, 3, **ring)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.second(self.first(x[:, None]).relu()).relu()
        return self.head(x.amax((-1, -2)))


def logistic_regression(images, tests, runs=range(12)) -> torch.Tensor:
    """Accuracies (R,) of scikit-learn's, trained on the same images as the others."""
    images, tests = images.flatten(1), tests.flatten(1).cpu()
    scores = []
    for pick in map(subset, runs):
        model = LogisticRegression(max_iter=1000)
        model.fit(images[pick], train_y[pick])
        scores.append(model.score(tests, digits.test_y))
    return torch.tensor(scores)


# %%
LEARN = {"lr": 1e-2, "steps": 200}  # a convolutional network learns faster
cnn = train(SmallCNN, train_x, **LEARN)
centred = {
    "logistic regression": logistic_regression(train_x, test_x),
    "convolution": accuracy(cnn, test_x),
    "ViT": accuracy(vit, test_x),
}
means = {name: results.view(3, 4).mean(1) for name, results in centred.items()}
best = max(means, key=lambda name: means[name][0])
print("best with 100 images:", best)
for name in ("logistic regression", "convolution"):
    few, _, many = (means[name] - means["ViT"] > 0.08).tolist()
    print(f"{name:19} ahead of the ViT by 8 points: {few}; with 1,400 images: {many}")
lowest = min(mean[-1].item() for mean in means.values())
print("1,400 images: all means above 88 %:", lowest > 0.88)

# %% [markdown]
r"""
With 100 images the linear model is the best and the ViT the last, far behind; with
1,400 it has nearly caught up. (Trained too briefly? Try `steps=600`: with 100 images it
does not help, with 1,400 the ViT draws level with the convolution.) So the bias of the
convolution saved data?

**Predict.** Not so fast. A *negative control*: permute the 64 pixels, in the same way
in all images, training and test. Now neighbours are strangers and nothing of an image
is left. To logistic regression that makes no difference at all. What does it do to the
convolutional network?
"""

# %%
pixel_order = torch.randperm(64, generator=torch.Generator().manual_seed(0))


def scramble(images: torch.Tensor) -> torch.Tensor:
    """The same permutation of the pixels in every image (B, 8, 8)."""
    return images.flatten(1)[:, pixel_order.to(images.device)].view(-1, 8, 8)


scrambled_cnn = train(SmallCNN, scramble(train_x), range(4), **LEARN)
scrambled = accuracy(scrambled_cnn, scramble(test_x)).mean()
lost = (means["convolution"][0] - scrambled).item()
print("convolution, 100 images: scrambling costs 5 points or more:", lost > 0.05)
ahead = (scrambled - means["ViT"][0]).item()
print("scrambled convolution ahead of the ViT on digits by 5:    ", ahead > 0.05)

# %% [markdown]
r"""
Nothing that shows. The convolutional network is as good on scrambled digits as on
digits, so whatever made it better than the ViT here, it was *not* that it knows what a
neighbour is. Centred digits of 64 pixels cannot test that. ([Chapter
2](02_feed_forward.ipynb) met the same trap: a benchmark says something about a
component only if it fails without it.)

What would need the bias? Digits *anywhere*: shift every image by its own random number
of rows and columns, around the ring. **Predict.** All four again, with 1,400 images.
The convolutional network is not even trained anew: it has never seen a shifted digit.
(Its scrambled twin is trained on shifted ones.)
"""


# %%
def anywhere(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Every image (B, 8, 8) shifted around the ring, by its own rows and columns."""
    generator = torch.Generator().manual_seed(seed)
    shifts = torch.randint(8, (2, len(images), 1), generator=generator)
    rows, columns = (torch.arange(8) - shifts) % 8  # each (B, 8)
    sample = torch.arange(len(images))[:, None, None]
    return images[sample, rows[:, :, None], columns[:, None, :]]


rolled_x, rolled_test = anywhere(train_x, 1), anywhere(test_x, 2)
shifted = {
    "logistic regression": logistic_regression(rolled_x, rolled_test, ALL_IMAGES),
    "convolution": accuracy(cnn, rolled_test)[8:],
    "convolution, scrambled": accuracy(
        train(SmallCNN, scramble(rolled_x), ALL_IMAGES, **LEARN), scramble(rolled_test)
    ),
    "ViT": accuracy(train(TinyViT, rolled_x, ALL_IMAGES), rolled_test),
}
for name, results in shifted.items():
    band = "above 85 %" if results.min() > 0.85 else "between"
    band = "below 45 %" if results.max() < 0.45 else band
    print(f"{name:22}  every run {band}")
gap = (shifted["convolution"] - centred["convolution"][8:]).abs().max().item()
print("convolution, shifted and centred: the same accuracy:", gap < 0.005)

# %% tags=["hide-input"]
#| name: fig-data
#| caption: Accuracy on 397 test digits, four runs each, mean ± standard deviation.
#|   Left, centred digits by the number of training images; right, digits anywhere,
#|   1,400 images.
#| alt: Left, three curves rise from 100 to 1,400 images; logistic regression lies
#|   highest, the convolutional network just below, the ViT starts near 0.75 and almost
#|   catches up. Right, the convolutional network stays near 0.95; the ViT and the
#|   network on scrambled pixels lie near 0.3, logistic regression near 0.1.
COLOUR = {
    "logistic regression": plots.GREY,
    "convolution": plots.BLUE,
    "ViT": plots.RED,
}
fig, (left, right) = plt.subplots(1, 2, figsize=(5.6, 3.4), width_ratios=(1.5, 1))
for name, results in centred.items():
    mean, std = results.view(3, 4).mean(1), results.view(3, 4).std(1)
    left.errorbar((100, 350, 1400), mean, std, marker="o", capsize=3, lw=1.6,
                  color=COLOUR[name], label=name)  # fmt: skip
for place, (name, results) in enumerate(shifted.items()):
    colour = COLOUR.get(name, plots.PURPLE)
    right.errorbar(place, results.mean(), results.std(), marker="o", capsize=3,
                   color=colour)  # fmt: skip
left.set(xscale="log", title="centred", xlabel="training images", ylabel="accuracy")
left.set_xticks([100, 350, 1400], ["100", "350", "1,400"])
left.minorticks_off()
left.legend(loc="lower right", fontsize=8.5)
short = ["logistic", "conv.", "conv.,\nscrambled", "ViT"]
right.set_xticks(range(4), short, rotation=90)
right.set(title="anywhere", xlim=(-0.5, 3.5))
for ax in (left, right):
    ax.set_ylim(0, 1.03)
fig.tight_layout()
behind = (centred["logistic regression"] - centred["ViT"]).view(3, 4).mean(1)
text = f"ViT behind logistic regression: at 100 images by 10 points {behind[0] > 0.1}, "
plots.show(fig, text + f"at 1,400 {behind[2] > 0.1}", kind="png")

# %% [markdown]
r"""
Now the control works. The convolutional network does not lose a single point, because a
shifted digit is the same digit to it, by construction. Take its neighbours away by
scrambling, and it is as lost as the others. The ViT has 1,400 images for 64 shifts of
ten digits, about two examples of each, and learns little from them. All its patches do
share one matrix $E$ and the same blocks. But a shift by one pixel makes other patches,
and a shift by a whole patch gives them other name tags.

So the story is right where it can be tested: **what is not built in has to be learned,
and costs data.** What 1,400 images cannot tell is what happens when there *is* data.

### At scale

That is known from the literature, and it changed within two years.

| Model | trained on | result on ImageNet |
|---|---|---|
| Dosovitskiy et al. 2021 {cite}`dosovitskiy2021` | ImageNet alone, without strong regularization | a few percentage points *below* ResNets of comparable size |
| the same | JFT-300M, 300 million images, then fine-tuned | 88.55 %: on a par with or above the best convolutional networks of the time |
| DeiT, Touvron et al. 2021 {cite}`touvron2021` | ImageNet alone, 1.28 million images, strong augmentation | 83.1 % with 86 million parameters, trained in less than three days on one computer |
| Beyer et al. 2022 {cite}`beyer2022` | ImageNet alone, standard augmentation | above 76 % after 90 epochs, in under seven hours on a TPUv3-8; 80 % after 300 epochs |

The first paper concluded that large-scale training trumps inductive bias. The second
and third found that much of what seemed to be hunger for data was a matter of the
training recipe. "A ViT needs 300 million images" is out of date; "a ViT has less built
in, and must get it from data or from augmentation" is not.

**Verdict on S4.1.1: holds with conditions.** Vision did gain, at scale: with enough
data, or with a recipe that makes much of little. With little data a ViT starts behind a
network that has images built in, or even behind logistic regression.
"""

# %% [markdown]
r"""
## Verdicts

| Claim | What the source says | Verdict | Why |
|---|---|---|---|
| S4.1.1 | The Transformer was a great success in NLP, so vision hopes to gain from it too | holds with conditions | It did, given data or a recipe: below ResNets on ImageNet alone, 88.55 % after 300 million images (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`), 83.1 % without them (Touvron et al. 2021 {cite}`touvron2021`). On 100 digits a tiny ViT is more than 10 points behind logistic regression |
| S4.1.2 | A Transformer takes a one-dimensional sequence, an image is two-dimensional; unrolled, its length grows quadratically | holds with conditions | Quadratic in the side, linear in pixels; the attention matrix grows with the fourth power of the side. At 224 pixels one matrix takes 0.16 MB with patches of 16, 10 GB with pixels. And an encoder takes a set: order comes from position embeddings |
"""

# %% [markdown]
r"""
## Summary

- $N = HW/P^2$ patches of $P^2C$ numbers: cutting only sorts. Test it with its inverse,
  never by the shape.
- Reshape and permute, unfold and transpose, strided convolution: three ways to the same
  patches. A reshape alone gives stripes. Two of the three silently drop a margin that
  $P$ does not divide.
- Twice the side: four times the tokens, sixteen times the attention matrix. At 224
  pixels and $P = 16$ the matrix is 4 % of the work, with single pixels 92 %.
- Without position embeddings an encoder reads a set. With them it knows places by name,
  but not which of them are neighbours.
- On centred digits even scrambling the pixels does not hurt a convolutional network:
  that benchmark cannot test its bias. On digits anywhere, the bias is everything.
- At scale, data and recipe make up for what is not built in.

Now build it: [Lab 4.1](../labs/lab_04_1_image_to_sequence.ipynb) has you count tokens,
cut and reassemble images, turn the embedding into a convolution, and count the bytes of
attention, with a check that tells you at once what is right.
"""
