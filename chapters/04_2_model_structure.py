# %% [markdown]
r"""
# Build the Vision Transformer: four equations, a hundred lines

A Vision Transformer is four equations. This chapter writes each of them as a line of
Python, puts the lines together, and proves the result equal to PyTorch's own encoder.
Then it takes the parts out again, one after the other, to see which of them matter.

The note that this course follows describes the model in six steps, S4.2.1 to S4.2.6,
and explains the letters of its equations in S4.2.7. Each claim is stated, then you
**predict**, then you **run** an experiment, then there is a **verdict**.

**You will**
- follow an image through the model, with the shape after every step;
- see what position embeddings do, and why the numbers 0 … 9 themselves do nothing;
- find out what happens without residuals, without norms, without the last norm;
- compute parameters and multiplications of ViT-Ti to ViT-H;
- load published weights and classify a photograph of your own.

**You need** [layer normalization](01_layer_normalization.ipynb), [the feed-forward
network](02_feed_forward.ipynb), [multi-head
attention](03_multi_head_attention.ipynb), and [patches](04_1_image_to_sequence.ipynb).

**Time** 60 minutes; the code runs in about a minute on a laptop.

Afterwards you build it all yourself in [Lab
4.2](../labs/lab_04_2_model_structure.ipynb).
"""

# %%
import copy
import math
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import labkit
from labkit import data, plots, seed_everything

seed_everything(0)
device = labkit.device()
torch.set_num_threads(1)  # tensors this small: two threads would wait for each other

# %% [markdown]
r"""
## S4.2.1 and S4.2.2 — Cut into patches, flatten

**Claims.** Cut the image into 16 × 16 patches; flatten each patch into a
one-dimensional vector.

An image has shape $(C, H, W)$; with patches of side $P$ there are $N = HW/P^2$ of them.
**Predict.** The note's figure has nine patches. How large is its image, and how long is
a flattened patch of three channels?
"""


# %% tags=["definition"]
def patchify(images: torch.Tensor, P: int) -> torch.Tensor:
    """Cut (B, C, H, W) into N flattened patches (B, N, C·P·P), row by row.

    Raises ValueError where the patch does not divide the image.
    """
    B, C, H, W = images.shape
    if H % P or W % P:
        raise ValueError(f"patches of side {P} do not divide {H} × {W} pixels")
    x = images.view(B, C, H // P, P, W // P, P)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (B, rows, columns, C, P, P)
    return x.reshape(B, -1, C * P * P)


# %%
photo = data.photograph(48)[None].to(device)  # (1, 3, 48, 48)
print("image", tuple(photo.shape), "→ patches", tuple(patchify(photo, 16).shape))

# %% [markdown]
r"""
Nine patches of 16 × 16 make an image of 48 × 48; 224 × 224 makes 196. A flattened patch
has $P^2 C = 768$ numbers, and that is *also* the width $D$ of ViT-B. **Predict.** In
how many of these seven models is $P^2 C = D$?
"""

# %%
SIZES = {  # patch P, width D, layers L, heads h; the MLP is 4 D wide
    "Ti/16": (16, 192, 12, 3),
    "S/16": (16, 384, 12, 6),
    "B/16": (16, 768, 12, 12),
    "B/32": (32, 768, 12, 12),
    "L/16": (16, 1024, 24, 16),
    "L/32": (32, 1024, 24, 16),
    "H/14": (14, 1280, 32, 16),
}
for name, (patch, dim, _, _) in SIZES.items():
    print(f"ViT-{name:5}  P²C = {3 * patch**2:4}  D = {dim:4}")

# %% [markdown]
r"""
In one, ViT-B/16, by coincidence. Flattening only puts the numbers in a row; it has no
parameters and leaves the length at $P^2C$. A matrix $E \in \mathbb{R}^{P^2C \times D}$
makes a token of width $D$ of it. In ViT-B/16 a forgotten $E$ would raise no error.

Flatten and multiply is the same as a convolution whose stride equals its size:
"""

# %%
linear = nn.Linear(768, 32).to(device)
kernel = linear.weight.view(32, 3, 16, 16)
convolved = F.conv2d(photo, kernel, linear.bias, stride=16)  # (1, 32, 3, 3)
tokens = linear(patchify(photo, 16))  # (1, 9, 32)
gap = (convolved.flatten(2).mT - tokens).abs().max()
print(f"linear map of patches and convolution: off by {gap:.4f}")

# %% [markdown]
r"""
**Verdicts.** S4.2.1 **holds with conditions**: $P$ is a choice (14, 16 and 32 are in
use) and has to divide the sides. S4.2.2 **holds**: that is what happens, and the note's
equation (1) has the $E$ that follows.

## The model

The four equations, numbered as in the source:

$$
z_0 = [x_{\text{class}};\, x_p^1 E;\, \dots;\, x_p^N E] + E_{\text{pos}},
\qquad E \in \mathbb{R}^{(P^2 C) \times D},\;
E_{\text{pos}} \in \mathbb{R}^{(N+1) \times D}
\tag{1}
$$

$$
z'_\ell = \operatorname{MSA}(\operatorname{LN}(z_{\ell-1})) + z_{\ell-1},
\qquad \ell = 1 \dots L
\tag{2}
$$

$$
z_\ell = \operatorname{MLP}(\operatorname{LN}(z'_\ell)) + z'_\ell,
\qquad \ell = 1 \dots L
\tag{3}
$$

$$
y = \operatorname{LN}(z_L^0)
\tag{4}
$$

Every $z$ has the shape $(B, N+1, D)$; $y$ has the shape $(B, D)$. A comment marks the
line of code that *is* the equation. `MSA` is Chapter 3's attention, all heads at once:
"""


# %% tags=["definition"]
def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, T, D) to (B, h, T, D/h)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    """(B, h, T, D/h) to (B, T, D)."""
    return x.transpose(-3, -2).flatten(-2)


# %% tags=["definition"]
class Block(nn.Module):
    """One layer of the encoder, pre-norm: (B, T, D) to (B, T, D), with h heads."""

    def __init__(self, dim: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = (nn.LayerNorm(dim, eps=1e-6) for _ in range(2))
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def attention(self, x: torch.Tensor) -> torch.Tensor:  # MSA
        q, k, v = (split_heads(p, self.heads) for p in self.qkv(x).chunk(3, dim=-1))
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)  # (B, h, T, T)
        return self.proj(merge_heads(weights @ v))

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        z = self.attention(self.norm1(z)) + z  # equation (2)
        return self.mlp(self.norm2(z)) + z  # equation (3)


# %% tags=["definition"]
class VisionTransformer(nn.Module):
    """Images (B, C, H, W) to logits (B, K); Dosovitskiy et al. 2021, arXiv:2010.11929.

    Square images of `image_size` pixels, patches of side `patch`, `depth` layers.
    """

    def __init__(
        self, image_size, patch, channels, num_classes, dim, depth, heads, hidden
    ):
        super().__init__()
        self.patch, patches = patch, (image_size // patch) ** 2  # N
        self.patch_embed = nn.Linear(channels * patch**2, dim)  # E, and a bias
        self.class_token = nn.Parameter(torch.zeros(dim))
        self.position = nn.Parameter(0.02 * torch.randn(patches + 1, dim))
        blocks = [Block(dim, heads, hidden) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(patchify(images, self.patch))  # (B, N, D)
        first = self.class_token.expand(len(x), 1, -1)  # (B, 1, D)
        return torch.cat([first, x], dim=1) + self.position  # equation (1)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        z = self.blocks(self.embed(images))  # (B, N + 1, D)
        return self.norm(z[:, 0])  # equation (4): y, (B, D)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.encode(images))


# %% [markdown]
r"""
That is the whole model. One of its layers, drawn:
"""

# %% tags=["hide-input"]
#| name: fig-encoder-layer
#| caption: One layer of the encoder. What enters runs through untouched; attention and
#|   the MLP each read a normalized copy of it and add what they found.
#| alt: Two block diagrams. The input splits; one branch passes through LN and then MSA
#|   and is added to the untouched other branch. The second diagram is the same with the
#|   MLP in place of MSA.
fig, axes = plt.subplots(2, 1, figsize=(3.6, 3.2))
plots.residual(axes[0], ["LN", "MSA", "+"], "equation (2)", ends=("z", "z'"))
plots.residual(axes[1], ["LN", "MLP", "+"], "equation (3)", ends=("z'", "z"))
small = VisionTransformer(48, 16, 3, 10, 64, depth=12, heads=4, hidden=128)
norms = sum(isinstance(part, nn.LayerNorm) for part in small.modules())
plots.show(fig, f"layer norms in a model of 12 layers: {norms} = 2 · 12 + 1")

# %% [markdown]
r"""
Now the note's figure, step by step:
"""

# %%
model = VisionTransformer(48, 16, 3, 10, 64, 2, 4, 128).to(device)
z0 = model.embed(photo)
z2 = model.blocks(z0)
y = model.norm(z2[:, 0])
steps = {
    "image": photo,
    "S4.2.1, S4.2.2  nine flat patches": patchify(photo, 16),
    "S4.2.3  [class], positions: z_0": z0,
    "S4.2.4  encoder: z_L": z2,
    "equation (4): y": y,
    "S4.2.5  head: logits": model.head(y),
}
for name, value in steps.items():
    print(f"{name:35} {tuple(value.shape)}")
print("S4.2.6  prediction: class", tuple(model(photo).argmax(-1).shape))

# %% [markdown]
r"""
## S4.2.3 — The [class] token and the positions

**Claim.** Prepend the [class] token and add position embeddings (0, …, 9).

The [class] token is one learned vector, the same for all images ([Chapter
4.3](04_3_class_token.ipynb) is about it). It is put in front *before* the positions are
added, so it has a row of its own, row 0.

What are the positions for? **Predict.** Shuffle the nine patches. How far does $y$
move, without position embeddings and with them? And if the *numbers* 0 … 9 are added, 0
to every channel of token 0, 1 to those of token 1, up to 9?
"""

# %%
seed_everything(0)
exact = copy.deepcopy(model).double().requires_grad_(False)
exact.class_token.copy_(torch.randn(exact.class_token.shape))
patches, order = patchify(photo.double(), 16), torch.randperm(9).to(device)


def encode_patches(patches: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """y (B, D) of flattened patches (B, N, C·P·P), with a table of positions."""
    first = exact.class_token.expand(len(patches), 1, -1)
    z = torch.cat([first, exact.patch_embed(patches)], 1) + table
    return exact.norm(exact.blocks(z)[:, 0])


tables = {
    "no positions": torch.zeros(10, 64),
    "random vectors": torch.randn(10, 64),
    "the numbers 0 … 9": torch.arange(10.0)[:, None].expand(10, 64),
}
plain = encode_patches(patches, 0)
for name, table in tables.items():
    table = table.to(patches)
    y, mixed = (encode_patches(p, table) for p in (patches, patches[:, order]))
    moved, added = (y - mixed).abs().max(), (y - plain).abs().max()
    print(f"{name:18} shuffled: y moves by {moved:.3f}; added: by {added:.3f}")

# %% [markdown]
r"""
Without positions the model sees a *bag* of patches. With a vector for each place it
does not. And numbers do nothing at all: layer norm subtracts each token's mean, and a
number added to all channels goes with it, in every layer and in the last norm too. (The
note does not say that numbers are added. The 0 … 9 in its figure *number* the rows of a
learned table $E_{\text{pos}}$; row $n$ is added to token $n$. But whoever writes a ViT
from the figure alone may add them, and nothing complains.)

### What they buy

Digits (Alpaydin and Kaynak 1998 {cite}`alpaydin1998`), 8 × 8 pixels, patches of 2 × 2,
two layers; four seeds. Four tables: none; the sines of Vaswani et al. 2017
{cite}`vaswani2017`, fixed; learned, starting as small as in the authors' code (standard
deviation 0.02); learned, starting at 0.3.

**Predict.** Put them in order.
"""

# %%
digits = data.digits()
train_x, test_x = (x[:, None].to(device) for x in (digits.train_x, digits.test_x))
train_y, test_y = digits.train_y.to(device), digits.test_y.to(device)


def draw(generator):
    """What one step learns from: 32 images and their classes."""
    pick = torch.randint(len(digits.train_y), (32,), generator=generator)
    return digits.train_x[pick, None], digits.train_y[pick]


def loss(net, images, classes):
    return F.cross_entropy(net(images), classes)


def train(make, steps: int, runs: int) -> tuple[torch.Tensor, nn.Module]:
    """Networks make() trained side by side; accuracies in %, (R,), and the last one."""
    trained = labkit.train(make, draw, loss, steps=steps, lr=3e-3, seeds=range(runs))
    right = trained(test_x).argmax(-1) == test_y  # (R, 397)
    return 100 * right.float().mean(1).cpu(), trained.nets[-1]


# %%
def sines(rows: int, dim: int) -> torch.Tensor:
    """Sines and cosines of the position at dim/2 frequencies: (rows, dim)."""
    frequency = 10000 ** (-torch.arange(0, dim, 2) / dim)
    angle = torch.arange(rows)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


def with_positions(kind: str) -> VisionTransformer:
    net = VisionTransformer(8, 2, 1, 10, 32, 2, 4, 64)
    table = net.position
    if kind in ("none", "sines"):
        table.data = 0 * table.data if kind == "none" else sines(*table.shape)
        table.requires_grad_(False)
    elif kind == "learned, from 0.3":
        table.data *= 15
    return net


# %%
KINDS = ("none", "learned, from 0.02", "sines", "learned, from 0.3")
positions = {}
for kind in KINDS:
    positions[kind], trained = train(partial(with_positions, kind), 200, runs=4)
means = {kind: found.mean().item() for kind, found in positions.items()}
for kind, low, high in zip(KINDS, (45, 65, 70, 80), (70, 85, 95, 100), strict=True):
    print(f"{kind:19} between {low} and {high} %: {low < means[kind] < high}")
least = min(means[kind] for kind in KINDS[1:])
print("any positions beat none by 5 points:", least > means["none"] + 5)


# %% tags=["hide-input"]
#| name: fig-position-embeddings
#| caption: Test accuracy on digits, four seeds each (dots), with mean and standard
#|   deviation.
#| alt: Without position embeddings the runs lie lowest, far below all others. Learned
#|   ones that start small come next, then sines; learned ones that start at 0.3 lie
#|   highest.
def dots(results: dict, ax) -> None:
    for row, (_, found) in enumerate(results.items()):
        ax.plot(found, [-row] * len(found), "o", ms=5, alpha=0.6, color=plots.BLUE)
        bar = {"xerr": found.std().item(), "fmt": "|", "ms": 14, "capsize": 4}
        ax.errorbar(found.mean().item(), -row - 0.25, color=plots.RED, **bar)
    ax.set(yticks=[-row for row in range(len(results))], yticklabels=results)
    ax.set(ylim=(-len(results) + 0.4, 0.5), xlabel="test accuracy, %")


fig, ax = plt.subplots(figsize=(4.6, 2.4))
dots(positions, ax)
ahead = means["learned, from 0.3"] > means["learned, from 0.02"] + 5
text = f"learned from 0.3 beats learned from 0.02 by 5 points: {ahead}"
plots.show(fig, text, kind="png")

# %% [markdown]
r"""
To have positions matters most. Of the tables, how large they *start* matters more here
than whether they are learned: in a run this short a table that starts near zero is
still being discovered. The paper compares no starts but kinds of positions (Dosovitskiy
et al. 2021 {cite}`dosovitskiy2021`, Table 8, ViT-B/16, ImageNet 5-shot linear
accuracy):

| Positions | Accuracy, % |
|---|---|
| none | 61.4 |
| learned, one index (1-D) | 64.2 |
| learned, row and column (2-D) | 64.0 |
| relative | 64.0 |

Having them is worth almost three points there, and the kind hardly matters. On digits
the gap is larger, because a patch of four pixels says next to nothing about the shape.

**Verdict on S4.2.3: holds.** The token is put in front, and vectors are added, one for
each of the places 0 … 9.
"""

# %% [markdown]
r"""
## S4.2.4 — The Transformer encoder

**Claim.** Feed the result to the Transformer encoder.

PyTorch has one, `nn.TransformerEncoder`. Here are the weights of our blocks in it, with
every parameter drawn at random, since parameters that are 0 or 1 hide mistakes.
"""


# %%
def torch_encoder(model: VisionTransformer, **changes) -> nn.TransformerEncoder:
    """nn.TransformerEncoder with the weights of our blocks and of our last norm."""
    block = model.blocks[0]
    dim, hidden = block.fc1.in_features, block.fc1.out_features
    settings = {"dropout": 0.0, "activation": "gelu", "layer_norm_eps": 1e-6}
    settings |= {"batch_first": True, "norm_first": True} | changes
    layer = nn.TransformerEncoderLayer(dim, block.heads, hidden, **settings)
    norm = nn.LayerNorm(dim, eps=1e-6)
    depth = len(model.blocks)
    encoder = nn.TransformerEncoder(layer, depth, norm, enable_nested_tensor=False)
    encoder.to(model.class_token).norm.load_state_dict(model.norm.state_dict())
    for theirs, ours in zip(encoder.layers, model.blocks, strict=True):
        qkv, proj = ours.qkv.state_dict(), ours.proj.state_dict()
        weights = {f"in_proj_{name}": value for name, value in qkv.items()}
        weights |= {f"out_proj.{name}": value for name, value in proj.items()}
        theirs.self_attn.load_state_dict(weights)
        theirs.linear1.load_state_dict(ours.fc1.state_dict())
        theirs.linear2.load_state_dict(ours.fc2.state_dict())
        theirs.norm1.load_state_dict(ours.norm1.state_dict())
        theirs.norm2.load_state_dict(ours.norm2.state_dict())
    return encoder.eval()


# %%
seed_everything(0)
for parameter in model.parameters():
    parameter.data += 0.1 * torch.randn(parameter.shape).to(device)
batch = torch.cat([photo, photo.flip(-1)])
for dtype in (torch.float32, torch.float64):
    ours, images = model.to(dtype), batch.to(dtype)
    theirs = torch_encoder(ours)
    with torch.no_grad():
        logits = ours.head(theirs(ours.embed(images))[:, 0])
        gap = (ours(images) - logits).abs().max()
    print(f"{str(dtype)[6:]}: off from nn.TransformerEncoder by {gap:.4f}")

# %% [markdown]
r"""
Equal, to rounding. But "the Transformer encoder" is a family: each of the settings in
`torch_encoder` differs from PyTorch's default. **Predict.** Which of these five raises
an error when it is left at its default, which changes the logits in silence, and which
changes nothing here?
"""

# %%
DEFAULTS = {"norm_first": False, "activation": "relu", "batch_first": False}
DEFAULTS |= {"layer_norm_eps": 1e-5, "dropout": 0.1}
batch = batch.double()
with torch.no_grad():
    for name, default in DEFAULTS.items():
        theirs = torch_encoder(model, **{name: default})
        gap = model.head(theirs(model.embed(batch))[:, 0]) - model(batch)
        print(f"{name:14} = {default!s:5}  logits off by {gap.abs().max():.5f}")

# %% [markdown]
r"""
None raises an error, and four change the logits in silence. (Dropout zeroes numbers at
random in training only. Here everything is in evaluation, where it does nothing; the
code of this chapter leaves it out.)

**Verdict on S4.2.4: holds.** It is an encoder of the Transformer's kind, in the form
that the note's equations (2) and (3) have: norms before the sublayers. With GELU and
one more norm at the end it is not the encoder of 2017, and not PyTorch's default.

### Take a part out

What do norms and residuals do for the model? Take them out, with 2 layers and with 8
(digits, patches of 4 × 4, three seeds, 120 steps). **Predict** which of these still
train.
"""


# %%
class NoResidual(Block):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.norm2(self.attention(self.norm1(z))))


def without(part: str, depth: int) -> VisionTransformer:
    net = VisionTransformer(8, 4, 1, 10, 32, depth, 4, 64)
    if part == "residuals":
        net.blocks = nn.Sequential(*[NoResidual(32, 4, 64) for _ in range(depth)])
    if part in ("final norm", "all norms"):
        net.norm = nn.Identity()
    if part == "all norms":
        for block in net.blocks:
            block.norm1, block.norm2 = nn.Identity(), nn.Identity()
    return net


PARTS = ("nothing", "final norm", "all norms", "residuals")
taken = {}  # test accuracies by variant
for depth in (2, 8):
    for part in PARTS:
        found, _ = train(partial(without, part, depth), 120, runs=3)
        label = "as taught" if part == "nothing" else f"without {part}"
        taken[f"{label}, {depth} layers"] = found
        mean = found.mean().item()
        says = "trains" if mean > 60 else "guesses" if mean < 25 else "between"
        print(f"{depth} layers, {label:18} {says}")

# %% tags=["hide-input"]
#| name: fig-parts
#| caption: Test accuracy with a part taken out, three seeds each (dots), with mean and
#|   standard deviation; guessing gives 10 %.
#| alt: All variants lie high, near each other, except one: eight layers without
#|   residuals lie at ten percent.
fig, ax = plt.subplots(figsize=(4.2, 3.6))
dots(taken, ax)
ax.axvline(10, color=plots.GREY, linestyle="--", linewidth=1)
whole, without_sums = taken["as taught, 8 layers"], taken["without residuals, 8 layers"]
gap = whole.mean() - without_sums.mean()
text = f"8 layers: residuals are worth 50 points or more: {bool(gap > 50)}"
plots.show(fig, text, kind="png")

# %% [markdown]
r"""
Without residuals two layers train, and eight guess, at this rate, from this start and
in so few steps: they are not lost in principle, and with a smaller rate, matrices that
start larger (`nn.init.xavier_uniform_`) and more steps they learn as well. What the
residuals buy is that they need none of this. The norms, which every explanation calls
essential, can be taken out here, all of them, and the network still learns: some points
worse with two layers, hardly worse with eight. Do not conclude that they are useless:
the network is tiny, the learning rate gentle, the task easy; [Chapter
1](01_layer_normalization.ipynb) shows what they do.

The last norm does something that no accuracy shows. Pre-norm never normalizes the
stream itself: every layer adds to it. **Predict.** How large is $z_\ell^0$ after 2, 8
and 32 layers, before any training, compared with $y$?
"""

# %%
seed_everything(0)
deep = VisionTransformer(48, 16, 3, 10, 64, 32, 4, 256).to(device)
with torch.no_grad():
    z, sizes = deep.embed(photo), []
    for block in deep.blocks:
        z = block(z)
        sizes.append(z[:, 0].square().mean().sqrt().item())
    last = deep.norm(z[:, 0]).square().mean().sqrt().item()
for layer in (2, 8, 32):
    print(f"root mean square of z_{layer}: {sizes[layer - 1]:.1f}")
print(f"root mean square of y: {last:.1f}")

# %% [markdown]
r"""
The stream grows with depth, and the head would have to know by how much. [Equation
(4)](#the-model) gives it the same scale at any depth.

## S4.2.5 and S4.2.6 — The head reads the [class] token

**Claims.** Feed the encoding to the MLP head; read the prediction, the class of the
image, from the [class] token.

Only $y$ of the encoding, of width $D$, goes to the head. The head is an MLP, with one
hidden layer, in pre-training; in fine-tuning it is a single linear layer (Dosovitskiy
et al. 2021 {cite}`dosovitskiy2021`, §3.1). $y$ is a *representation* of the image, the
head a reader of it.

**Predict.** What is the gradient of the logits by the other tokens of $z_L$? And can
another head read from the same $y$ something that the network was never asked, whether
a digit is even?
"""

# %%
z = model.blocks(model.embed(photo.double()))
z.retain_grad()
model.head(model.norm(z[:, 0])).sum().backward()
used = (z.grad[0].abs().sum(-1) > 0).int().tolist()
print("tokens of z_L that the logits depend on:", used)

with torch.no_grad():
    seen, unseen = (trained.encode(x).double().cpu() for x in (train_x, test_x))
even, even_test = (1.0 - 2 * (y.cpu() % 2).double() for y in (train_y, test_y))
ones = [torch.ones(len(y), 1, dtype=torch.float64) for y in (seen, unseen)]
read = torch.linalg.lstsq(torch.cat([seen, ones[0]], 1), even[:, None]).solution
right = (torch.cat([unseen, ones[1]], 1) @ read)[:, 0].sign() == even_test
over = right.double().mean().item() > 0.8
print("even or odd, read from y by a linear map, over 80 %:", over)

# %% [markdown]
r"""
**Verdicts.** S4.2.5 **holds**: an MLP in pre-training, one linear layer after. S4.2.6
**holds**: by equation (4) the logits depend on token 0 of $z_L$ and on nothing else
there. What the other tokens know reaches it through the attention of the layers before.

## S4.2.7 — The letters

**Claim.** $x_\text{class}$ is the [class] token; $x_p E$ flattens the block through
the parameter matrix $E$; LN is layer normalization, MSA multi-head attention; the
summands are residual connections; $z_L^0$ is element 0 of the last layer's output.

All of this stands in the code, marked (1) to (4), and equals PyTorch's encoder; all but
one thing. Does $E$ flatten? **Predict.** How many parameters does flattening have, and
how many the map behind it?
"""


# %%
def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


print("flattening:     ", count(nn.Flatten(2)))
print("E:              ", model.patch_embed.weight.numel(), "= 16² · 3 · 64")
print("E with its bias:", count(model.patch_embed))

# %% [markdown]
r"""
Flattening has nothing to learn and comes before; $E$ then maps $P^2C$ numbers to $D$.
And published models add a bias to $x_pE$, which [equation (1)](#the-model) leaves out.

**Verdict on S4.2.7: holds with conditions.** The letters mean what the note says, but
$E$ projects; it does not flatten.

## How large is it?

Count, do not quote. On the device "meta" a tensor has a shape but no numbers, so even
the largest model is there at once. With $K$ classes and an MLP of width $4D$, the
parameters should be

$$
\underbrace{CP^2D + D}_{E,\ \text{bias}}
+ \underbrace{(N + 2) D}_{x_\text{class},\ E_\text{pos}}
+ \underbrace{L (12 D^2 + 13 D)}_{\text{layers}}
+ \underbrace{2D}_{\text{last norm}} + \underbrace{(D + 1) K}_{\text{head}} .
$$
"""

# %%
PUBLISHED = {"B/16": 17.564, "B/32": 4.409, "L/16": 61.555, "L/32": 15.378}
for name, (patch, dim, depth, heads) in SIZES.items():
    with torch.device("meta"):
        net = VisionTransformer(224, patch, 3, 1000, dim, depth, heads, 4 * dim)
        with FlopCounterMode(display=False) as counter:
            net(torch.empty(1, 3, 224, 224))
    found = sum(p.numel() for p in net.parameters())
    tokens = (224 // patch) ** 2
    formula = 3 * patch**2 * dim + dim + (tokens + 2) * dim + 2 * dim
    formula += depth * (12 * dim**2 + 13 * dim) + (dim + 1) * 1000
    assert found == formula
    macs = counter.get_total_flops() / 2e9
    close = f", published {PUBLISHED[name]:.2f}" if name in PUBLISHED else ""
    print(f"ViT-{name:5} {found:11,} parameters  {macs:6.2f} billion MACs{close}")

# %% [markdown]
r"""
Published are torchvision's figures (its documentation calls multiply–accumulates
"GFLOPS"); its parameter counts are ours to the last digit, which a test holds fast. The
paper's Table 1 says 86, 307 and 632 million for B, L and H (Dosovitskiy et al. 2021
{cite}`dosovitskiy2021`); Ti and S, with 5 and 22 million, come from DeiT (Touvron et
al. 2021 {cite}`touvron2021`).

"""

# %% [markdown]
r"""
## Load weights that somebody else has trained

torchvision publishes weights. The same tensors have other names there, and some have
another shape: the projection is stored as a convolution kernel, and [class] token and
positions have axes of length 1 in front. Older checkpoints name the MLP's layers
`linear_1` and `linear_2`, where the library now says `0` and `3` (it renames them when
it loads them); both are accepted here.
"""

# %%
THEIRS_TO_OURS = {
    "conv_proj": "patch_embed",
    "encoder.pos_embedding": "position",
    "encoder.layers.encoder_layer_": "blocks.",
    "encoder.ln.": "norm.",
    ".ln_": ".norm",
    ".self_attention.in_proj_": ".qkv.",
    ".self_attention.out_proj": ".proj",
    ".mlp.linear_1": ".fc1",
    ".mlp.linear_2": ".fc2",
    ".mlp.0": ".fc1",
    ".mlp.3": ".fc2",
    "heads.head": "head",
}


def load_torchvision_weights(model: nn.Module, state_dict: dict) -> None:
    """Fill a VisionTransformer from torchvision's names and shapes.

    Raises RuntimeError, naming them, for missing and unknown names and wrong shapes.
    """
    renamed = {}
    for name, value in state_dict.items():
        if name == "conv_proj.weight":
            value = value.flatten(1)  # (D, C, P, P) to (D, C·P·P)
        if name in ("class_token", "encoder.pos_embedding"):
            value = value.flatten(0, -2)  # (1, T, D) to (T, D)
            value = value[0] if name == "class_token" else value
        for theirs, ours in THEIRS_TO_OURS.items():
            name = name.replace(theirs, ours)
        renamed[name] = value
    model.load_state_dict(renamed)


# %% [markdown]
r"""
This notebook downloads nothing, so here is a state dictionary of exactly torchvision's
names and shapes with random numbers, at the full size of ViT-B/16.
"""


# %%
def torchvision_shapes(image_size, patch, channels, num_classes, dim, depth, hidden):
    """The names and shapes of torchvision's VisionTransformer: {name: shape}."""
    pair = {"weight": (dim,), "bias": (dim,)}
    shapes = {
        "class_token": (1, 1, dim),
        "conv_proj.weight": (dim, channels, patch, patch),
        "conv_proj.bias": (dim,),
        "encoder.pos_embedding": (1, (image_size // patch) ** 2 + 1, dim),
    }
    for n in range(depth):
        layer = f"encoder.layers.encoder_layer_{n}."
        shapes |= {f"{layer}ln_{i}.{key}": pair[key] for i in (1, 2) for key in pair}
        for name, outputs, inputs in (
            ("self_attention.in_proj_", 3 * dim, dim),
            ("self_attention.out_proj.", dim, dim),
            ("mlp.0.", hidden, dim),
            ("mlp.3.", dim, hidden),
        ):
            shapes[f"{layer}{name}weight"] = (outputs, inputs)
            shapes[f"{layer}{name}bias"] = (outputs,)
    shapes |= {f"encoder.ln.{key}": pair[key] for key in pair}
    head = {"heads.head.weight": (num_classes, dim), "heads.head.bias": (num_classes,)}
    return shapes | head


# %%
def preprocess(photo: torch.Tensor) -> torch.Tensor:
    """A photograph (3, H, W) in [0, 1] as ViT-B/16 of torchvision wants it.

    Shorter side to 256, the middle 224 × 224, then ImageNet's mean and standard
    deviation per channel. Returns (1, 3, 224, 224).
    """
    H, W = photo.shape[1:]
    size = [256 * side // min(H, W) for side in (H, W)]
    photo = F.interpolate(photo[None], size, mode="bilinear", antialias=True)
    top, left = (round((side - 224) / 2) for side in size)
    photo = photo[:, :, top : top + 224, left : left + 224]
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    mean, std = (v.to(photo).view(3, 1, 1) for v in (mean, std))
    return (photo - mean) / std


seed_everything(0)
shapes = torchvision_shapes(224, 16, 3, 1000, 768, 12, 3072)
weights = {name: 0.02 * torch.randn(shape) for name, shape in shapes.items()}
large = VisionTransformer(224, 16, 3, 1000, 768, 12, 12, 3072).to(device)
load_torchvision_weights(large, weights)
with torch.no_grad():
    logits = large(preprocess(data.photograph(300).to(device)))
print(len(weights), "tensors loaded; logits", tuple(logits.shape))
weights["encoder.ln.wieght"] = weights.pop("encoder.ln.weight")
try:
    load_torchvision_weights(large, weights)
except RuntimeError as error:
    print("a wrong name is said:", "norm.wieght" in str(error))

# %% [markdown]
r"""
With a network connection, and `pip install torchvision` for the names of the classes,
a photograph of your own takes these lines more:

```python
from torchvision.io import read_image
from torchvision.models import ViT_B_16_Weights

published = ViT_B_16_Weights.IMAGENET1K_V1  # 81.1 % on ImageNet, says torchvision
load_torchvision_weights(large, published.get_state_dict())
photo = read_image("my_photograph.jpg")[:3] / 255
with torch.no_grad():
    shares = large(preprocess(photo.to(device))).softmax(-1)[0]
for share, n in zip(*shares.topk(5)):
    print(f"{share:.0%} {published.meta['categories'][n]}")
```

Images of another size need other positions, one per patch: the table is resized like a
picture, all but row 0. That is an exercise in the lab.

## Verdicts

| Claim | What the source says | Verdict | Why | Varied | Overturned by |
|---|---|---|---|---|---|
| S4.2.1 | Cut the image into 16 × 16 patches | holds with conditions | $P$ is a choice (14, 16, 32) and must divide the sides; 16 × 16 is the size of a patch, not their number (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`) | seven published sizes; counted, nothing trained | a published ViT for which 16 is not a choice |
| S4.2.2 | Flatten each patch into a vector | holds | That gives $P^2C$ numbers; the $E$ of equation (1) makes $D$ of them. $P^2C = D$ in ViT-B/16 alone, by coincidence (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`) | seven published sizes; counted, nothing trained | a ViT whose patches keep their rows and columns |
| S4.2.3 | Prepend the [class] token, add position embeddings 0 … 9 | holds | One vector for each place; 0 … 9 number them. (Added themselves, the numbers would change nothing.) Without positions $y$ does not notice a shuffle (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`) | no table, numbers, vectors, exactly; four tables on digits, four seeds, one learning rate | a shuffle that $y$ notices without positions |
| S4.2.4 | Feed the result to the Transformer encoder | holds | Equal to PyTorch's `nn.TransformerEncoder`, in the form that equations (2) and (3) have. Four of its defaults give another result, and none raises an error (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`) | float32 and float64, all parameters random, five settings | logits that differ by more than rounding |
| S4.2.5 | Feed the encoding to the MLP head | holds | Only $y$ goes there; the head is an MLP in pre-training, one linear layer in fine-tuning {cite}`dosovitskiy2021` | nothing trained: the paper says so | a paper that says otherwise |
| S4.2.6 | Read the prediction from the [class] token | holds | By equation (4): the logits depend on token 0 of $z_L$ and on no other | the gradient by every token of $z_L$ | a gradient by another token that is not zero |
| S4.2.7 | What the letters mean; $x_pE$ flattens the block | holds with conditions | Flattening has no parameters; $E$ projects what has been flattened. Published models add a bias (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`) | parameters counted, against torchvision's | a flattening with parameters |
"""

# %% [markdown]
r"""
## Summary

- Four equations, four marked lines: embed, attend, transform, read.
- Positions are vectors. A number added to all channels is erased by layer norm.
- With residuals eight layers train at once; without them they guess, until rate, start
  and budget are made to suit them. A tiny model still learns without its norms, which
  says little about a large one.
- $y$ represents the image; heads read it.
- PyTorch's defaults make another encoder, in silence. Compare values.

Now build it: [Lab 4.2](../labs/lab_04_2_model_structure.ipynb) has you write the
embedding, the block and the model, count its parameters, load torchvision's weights and
resize its positions, with a check that tells you at once what is right. [Chapter
4.4](04_4_real_vit.ipynb) then gives this very class real weights, and a photograph of
yours to name.
"""
