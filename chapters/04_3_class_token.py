# %% [markdown]
r"""
# Read one token: what the [class] token collects

A Vision Transformer turns an image into many vectors, one for each patch, and then has
to say *one* thing: a seven. Which of the vectors should it read? The answer of the
paper is: none of them. It adds one more, which belongs to no patch and is the same for
every image, sends it through all layers with the others, and reads only that one
(Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`).

The note that this course follows says five things about this token: it is fixed and
randomly initialized (S4.3.1), stands at the front and is processed together with the
patches (S4.3.2), collects the whole image through self-attention (S4.3.3), concentrates
what aggregating the patches would leave spread out (S4.3.4), and comes from BERT
(S4.3.5). Each claim is stated, then you **predict**, then you see what a **record** of
many runs says, then there is a **verdict**; and a part of each experiment runs here,
for you to change.

This is the last chapter. It ends with the question that the whole course has put off:
when is attention *needed*?

**You will**
- find out what happens when the [class] token is zero, random, frozen, moved or
  exchanged;
- see how information gets into it, cut the ways one by one, and find the same
  information where nobody put it;
- count what it saves, and meet rivals without attention, each at a learning rate of its
  own;
- test with deletion whether a map of attention shows what the network uses;
- meet a task that a Vision Transformer solves and its rivals guess.

**You need** [Chapter 4.1](04_1_image_to_sequence.ipynb), for patches and positions, and
attention from [Chapter 3](03_multi_head_attention.ipynb).

**Time** 60 minutes; the code runs in about a minute on a laptop.

Afterwards you build it all yourself in [Lab
4.3](../labs/lab_04_3_class_token.ipynb).
"""

# %%
import math

import matplotlib.pyplot as plt
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

import labkit
from labkit import about, around, data, interval, plots, record, seed_everything
from labkit.explore import attention_map

seed_everything(0)
device = labkit.device()
torch.set_num_threads(1)  # tensors this small: two threads would wait for each other

# %% [markdown]
r"""
## A network with a choice

The images are scikit-learn's digits (Alpaydin and Kaynak 1998 {cite}`alpaydin1998`),
8 × 8 pixels, cut into $N = 16$ patches of 2 × 2. The network is built like those of the
last two chapters: patches, a linear map to width $D = 32$, position embeddings, two
pre-norm blocks, a last layer norm, a linear head. Two things are new. The token that
the head reads can be chosen, and attention can be left out.
"""


# %% tags=["definition"]
def patchify(images: torch.Tensor, P: int) -> torch.Tensor:
    """Images (B, C, H, W) to patches (B, N, C·P·P), row by row."""
    B, C, H, W = images.shape
    x = images.reshape(B, C, H // P, P, W // P, P)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (B, H/P, W/P, C, P, P)
    return x.flatten(3).flatten(1, 2)  # (B, N, C·P·P)


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, T, D) to (B, h, T, D/h)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    """(B, h, T, D/h) to (B, T, D)."""
    return x.transpose(-3, -2).flatten(-2)


# %% tags=["definition"]
class Block(nn.Module):
    """Pre-norm: x (B, T, D) to x (B, T, D) and weights (B, h, T, T).

    Without heads there is no attention, and no weights.
    """

    def __init__(self, dim: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        if heads:
            self.norm1 = nn.LayerNorm(dim)
            self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def attention(self, x, cut: bool = False):
        q, k, v = (split_heads(p, self.heads) for p in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if cut:  # token 0 may attend to nothing but itself
            scores[..., 0, 1:] = -torch.inf
        weights = scores.softmax(-1)
        return self.proj(merge_heads(weights @ v)), weights

    def mlp(self, x):
        return self.fc2(F.gelu(self.fc1(x)))

    def forward(self, x, cut: bool = False):
        weights = None
        if self.heads:
            found, weights = self.attention(self.norm1(x), cut)
            x = x + found
        return x + self.mlp(self.norm2(x)), weights


# %% tags=["definition"]
class TinyViT(nn.Module):
    """Images (B, side, side) to scores (B, 10); `read` says what the head reads."""

    def __init__(
        self, read="class", heads=4, start=1.0, frozen=False, side=8, P=2, dim=32
    ):
        super().__init__()
        self.read, self.P, N = read, P, (side // P) ** 2
        self.patch_embed = nn.Linear(P * P, dim)
        self.position = nn.Parameter(0.3 * torch.randn(N, dim))
        if read == "class":  # the token, and row 0 of the position embeddings
            self.class_token = nn.Parameter(start * torch.randn(1, dim), not frozen)
            self.class_position = nn.Parameter(0.3 * torch.randn(1, dim), not frozen)
        if read == "attention":
            self.query = nn.Parameter(torch.randn(dim) / math.sqrt(dim))
        hidden = 2 * dim if heads else 4 * dim  # as many parameters either way
        self.blocks = nn.ModuleList(Block(dim, heads, hidden) for _ in range(2))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(N * dim if read == "all" else dim, 10)

    def forward(self, images):
        return self.answer(self.encode(self.embed(images))[0][-1])

    def embed(self, images):  # z_0: (B, N + 1, D) with [class], else (B, N, D)
        x = self.patch_embed(patchify(images[:, None], self.P)) + self.position
        if self.read == "class":
            first = self.class_token + self.class_position
            x = torch.cat([first.expand(len(x), 1, -1), x], dim=1)
        return x

    def encode(self, x, cut=()):  # [z_0, z_1, z_2] and the weights of both blocks
        states, maps = [x], []
        for number, block in enumerate(self.blocks, 1):
            x, weights = block(x, cut=number in cut)
            states.append(x)
            maps.append(weights)
        return states, maps

    def answer(self, x):  # scores (B, 10) from z_2
        return self.head(READ[self.read](self.norm(x), self))


# %% tags=["definition"]
READ = {  # (B, T, D) to (B, D), or to (B, N·D) for "all"
    "class": lambda y, net: y[:, 0],
    "mean": lambda y, net: y.mean(1),
    "attention": lambda y, net: ((y @ net.query).softmax(-1)[:, None] @ y)[:, 0],
    "all": lambda y, net: y.flatten(1),
    "corner": lambda y, net: y[:, 0],  # without [class], index 0 is a patch
}

# %% [markdown]
r"""
What is learned from: 1,415 digits, each turned, scaled and shifted a little anew each
time (*augmentation*). 382 others are the test.
"""


# %% tags=["definition"]
def jiggle(images: torch.Tensor, generator=None) -> torch.Tensor:
    """Images (..., 8, 8), each a little turned, scaled, slanted and shifted."""
    x, black = images.view(-1, 1, 8, 8), images.min()
    size = torch.tensor([0.05, 0.07, 0.06, 0.07, 0.05, 0.06])  # 0.25 is one pixel
    change = size * (2 * torch.rand(len(x), 6, generator=generator) - 1)
    matrix = torch.tensor([1.0, 0, 0, 0, 1, 0]) + change
    grid = F.affine_grid(matrix.view(-1, 2, 3), x.shape, align_corners=False)
    return F.grid_sample(x - black, grid, align_corners=False).view_as(images) + black


def digit_batch(split, generator, size=32):
    """Images (B, 8, 8), drawn from the training images and jiggled; classes (B,)."""
    pick = torch.randint(len(split.train_y), (size,), generator=generator)
    return jiggle(split.train_x[pick], generator), split.train_y[pick]


def class_error(net, images, classes):
    return F.cross_entropy(net(images), classes)


# %% tags=["definition"]
digits = data.digits(test=382)
RUNS = range(2)


@torch.no_grad()
def accuracy(net, images=digits.test_x, classes=digits.test_y) -> float:
    """Per cent that a network, or another function of images, gets right."""
    said = net(images.to(device)).argmax(-1).cpu()
    return 100 * (said == classes).double().mean().item()


# %% [markdown]
r"""
And the whole of training, to copy: draw a batch, compare, take a step. The learning
rate rises for the first twentieth of the steps and falls to 0 along a cosine.
"""


# %%
def learn(net, draw, steps=600, lr=3e-3, seed=0):
    """Train a network on the batches that draw(generator) gives; return it."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr)

    def factor(step):
        return min(20 * (step + 1) / steps, (1 + math.cos(math.pi * step / steps)) / 2)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for _ in range(steps):
        images, classes = (part.to(device) for part in draw(generator))
        loss = F.cross_entropy(net(images), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net


# %%
plain = record("04_3_digits").query("seed < 8")
by_arm = dict(list(plain.groupby(["arm", "test"])))
usual = by_arm["[class]", "random"]
nets = []
for seed in RUNS:
    seed_everything(seed)
    net = TinyViT().to(device)
    nets.append(learn(net, lambda g: digit_batch(digits, g), lr=usual.lr.iloc[0]))
net = nets[0]
print(f"{sum(p.numel() for p in net.parameters()):,} parameters")
for seed, trained in enumerate(nets):
    right = about(accuracy(trained), *around(100 - 100 * usual.missed))
    print(f"seed {seed}: {right} % of the test digits")

# %% [markdown]
r"""
## S4.3.1 — A fixed vector, randomly initialized

**Claim.** [class] is a fixed vector, randomly initialized.

"Fixed" can mean two things. The same for all images: yes, the token is not computed
from the image. Not changed in training: no. The paper calls it a *learnable* embedding
(Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`, §3.1), in the authors' code it starts
at zero, and gradient descent moves it like any other weight.

Does any of this matter? First look at where the token enters. Row 0 of the sequence is
$x_\text{class} + E_\text{pos}^0$, the token plus its position embedding.

**Predict.** How are the gradients of the two related?
"""

# %%
class_error(
    net, digits.test_x[:64].to(device), digits.test_y[:64].to(device)
).backward()
size = net.class_token.grad.abs().max().item()
gap = (net.class_token.grad - net.class_position.grad).abs().max().item()
print(f"gradients of token and position differ by {gap:.1f}; neither is 0: {size > 0}")

# %% [markdown]
r"""
They only ever occur as a sum, the same for every image: two parameters with one job.
Freeze the token, and its position still learns. A fair test freezes both.

**Predict.** A token that starts random; one that starts at zero, as in the authors'
code; one that starts random and stays as it is, with its position. Which is worst?
"""


# %%
def per_cent(missed):
    """Mean and 95 % interval of what is right, from shares of wrong answers."""
    return "{:.1f} [{:.1f}, {:.1f}] %".format(*interval(100 - 100 * missed))


ways = {"zero, learned": {"start": 0.0}, "random, frozen": {"frozen": True}}
others = {}
for name, settings in ways.items():
    seed_everything(0)
    others[name] = TinyViT(**settings).to(device)
    learn(others[name], lambda g: digit_batch(digits, g), lr=usual.lr.iloc[0])
    right = about(accuracy(others[name]), *around(100 - 100 * usual.missed))
    print(f"{name}: {right} % right")
print(f"random, learned, eight seeds: {per_cent(usual.missed)}")

# %% [markdown]
r"""
Both lie among the eight: then the token is "fixed and randomly initialized" in the full
sense of the note, and the network works around it. Any vector will do as a starting
point, because queries, keys and everything behind them are learned *for* that vector.

**Predict.** So does its value not matter at all? In the trained networks exchange the
token, together with its position: for zeros; for fresh ones, drawn as its own were
before training; for those of another trained network.
"""


# %% tags=["definition"]
def exchanged(net, token, place):
    """The network with another [class] token and another position for it, (1, D)."""
    changed = {"class_token": token, "class_position": place}
    return lambda images: functional_call(net, changed, (images,))


# %%
zeros = torch.zeros(1, 32, device=device)
generator = torch.Generator().manual_seed(1)
fresh = torch.randn(2, 1, 32, generator=generator).to(device)
pairs = {
    "zeros": (zeros, zeros),
    "fresh ones": (fresh[0], 0.3 * fresh[1]),
    "those of another network": (nets[1].class_token, nets[1].class_position),
}
for name, pair in pairs.items():
    lost = accuracy(net) - accuracy(exchanged(net, *pair))
    print(f"began random, exchanged for {name}: costs 10 points or more: {lost > 10}")

# %%
zero = others["zero, learned"]
pairs = {"zeros": (zeros, zeros), "fresh ones": (zeros, 0.3 * fresh[1])}
for name, pair in pairs.items():
    lost = accuracy(zero) - accuracy(exchanged(zero, *pair))
    print(f"began at zero, exchanged for {name}: costs 10 points or more: {lost > 10}")

# %% [markdown]
r"""
*Which* vector it is is of no importance before training, and of great importance after
it, wherever it began: token and position together are a key that is cut together with
the lock.
"""

# %% [markdown]
r"""
**Verdict on S4.3.1: holds with conditions.** Fixed means the same for every image. In
training it is learned, and it may start anywhere: at zero in the authors' code. Yet a
vector that stays fixed and random does as well here.
"""

# %% [markdown]
r"""
## S4.3.2 — At the front of the sequence

**Claim.** [class] is put at the front of the input sequence and processed in the
encoder together with the patches.

As a description of ViT this is right: index 0 of $z_0$, [equation
(1)](04_2_model_structure.ipynb#the-model). Why the front? BERT has it there, and
`x[:, 0]` finds it without knowing $N$. Does the *model* need it there? [Chapter
4.1](04_1_image_to_sequence.ipynb) found that an encoder reads a set.

**Predict.** Put the token last, behind the patches, in a network that was trained with
it in front, and read it there. What happens to the scores? And if one forgets to read
it there, and goes on reading index 0?
"""

# %%
x = digits.test_x.to(device)
with torch.no_grad():
    front = net.embed(x)
    scores = net.answer(net.encode(front)[0][-1])
    moved = net.encode(front.roll(-1, dims=1))[0][-1]  # [class] at index 16
    gap = (net.answer(moved.roll(1, dims=1)) - scores).abs().max().item()
    still = (net.answer(moved).argmax(-1) == scores.argmax(-1)).double().mean()
print(f"moved, and read there: scores change by {gap:.2f}")
print(
    f"moved, still reading index 0: fewer than half of the answers agree: {still < 0.5}"
)

# %% [markdown]
r"""
Same scores: for the encoder there is no front. What tells the token from the patches is
its content, and the position embedding that travels with it.

*Processed together with the patches* is a choice too. CaiT (Touvron et al. 2021
{cite}`touvron2021b`) lets the patches work alone first and brings [class] in only for
the last layers, where it reads and the patches no longer change; its authors find that
better, and argue that a layer which serves both has two contradictory objectives.

**Verdict on S4.3.2: holds.** That is how ViT does it. The front is a convention: any
index gives the same scores, as long as the token's position embedding moves with it and
the head reads there.
"""

# %% [markdown]
r"""
## S4.3.3 — It aggregates all patches through self-attention

**Claim.** Through self-attention [class] aggregates the information of all patches and
serves as the global representation of the image for the final classification.

Follow the token through the layers. At the input it is the same for all images.

**Predict.** Its standard deviation over the test images, averaged over the 32 channels:
before the first block, after the first, after the second?
"""

# %%
with torch.no_grad():
    states = net.encode(net.embed(x))[0]
spread = [z[:, 0].std(0).mean().item() for z in states]
print(f"spread over images before block 1: {spread[0]:.1f}")
print(f"at the end: {'above 0.1' if spread[2] > 0.1 else 'none'}")

# %% [markdown]
r"""
So everything that the token knows at the end has come in through two doors, the
attention of the two blocks (the feed-forward network looks at one token only). Shut
them: in the trained network, forbid [class] to attend to anything but itself, in block
1, in block 2, in both.

**Predict.** How many of the digits are still recognized?
"""


# %% tags=["definition"]
def shut(net, cut):
    """The network in which [class] cannot attend to others in the blocks of `cut`."""
    return lambda images: net.answer(net.encode(net.embed(images), cut)[0][-1])


# %%
doors = {
    "both open": (),
    "block 1 shut": (1,),
    "block 2 shut": (2,),
    "both shut": (1, 2),
}
for name, closed in doors.items():
    right = sum(accuracy(shut(net, closed)) for net in nets) / len(nets)
    where = (
        "below 20" if right < 20 else "above 90" if right > 90 else "between 20 and 90"
    )
    print(f"{name:12} {where} % right")
blind = shut(net, (1, 2))(x).argmax(-1)
print("different answers with both shut:", len(blind.unique()))

# %% [markdown]
r"""
With both shut the network says the same for every image; each door alone lets through
a part. And how does training reach the patches? The loss reads $z_2^0$ only.

**Predict.** How large is the gradient of the loss with respect to the output of the
last block at the sixteen patches? And at the output of the block before?
"""

# %%
states, _ = net.encode(net.embed(x[:64]))
for z in states:
    z.retain_grad()
F.cross_entropy(net.answer(states[-1]), digits.test_y[:64].to(device)).backward()
for layer, z in enumerate(states):
    reached = (z.grad.abs().amax((0, 2)) > 0).sum().item()
    print(f"z_{layer}: a gradient at {reached} of 17 tokens")

# %% [markdown]
r"""
What the last block writes at the patches is not trained, and not read by anybody; its
feed-forward network could leave them out. One layer earlier they matter, because the
token still has to read them.

### Is it the only one that knows?

If [class] aggregates the image, then after the last block the digit can be read from it
with a linear classifier: a *linear probe*, here logistic regression on the 32 numbers
of one token. Take one more token to compare with: patch 1, the upper left *corner*.
What the last block writes there, nobody reads. Many corners have some ink; so ask once
more about those images alone whose corner is empty.

**Predict.** The probe's accuracy for [class], for the corner, for an empty corner:
before block 1, after block 1, after block 2?
"""


# %% tags=["definition"]
def probe(net, token: int, empty: bool = False) -> list[float]:
    """Per cent right: logistic regression on one token, after 0, 1 and 2 blocks.

    empty   learn from and test with images whose corner patch has no ink
    """
    learn, test = digits.train_x, digits.test_x
    keep = [patchify(x[:, None], 2)[:, 0].amax(1) == x.min() for x in (learn, test)]
    if not empty:
        keep = [torch.ones_like(k) for k in keep]
    with torch.no_grad():
        states = [
            net.encode(net.embed(x[k].to(device)))[0]
            for x, k in zip((learn, test), keep, strict=True)
        ]
    results = []
    for z, z_test in zip(*states, strict=True):
        mean, std = z[:, token].mean(0), z[:, token].std(0) + 1e-3
        z, z_test = ((x[:, token] - mean).div(std).cpu().numpy() for x in (z, z_test))
        model = LogisticRegression(max_iter=200).fit(z, digits.train_y[keep[0]])
        results.append(100 * model.score(z_test, digits.test_y[keep[1]]))
    return results


# %%
probes = {
    name: torch.tensor([probe(net, token, empty) for net in nets])
    for name, token, empty in (
        ("[class]", 0, False),
        ("corner patch", 1, False),
        ("empty corner", 1, True),
    )
}
for name, results in probes.items():
    first, _, last = results.T
    print(f"{name}: before below 30 %: {bool(first.max() < 30)}", end=", ")
    print(f"after above 70 %: {bool(last.min() > 70)}")

# %% tags=["hide-input"]
#| name: fig-probes
#| caption: What a linear probe reads from a single token, two networks. Dashed, chance.
#| alt: Three pairs of curves start near chance. [class] climbs to about 90 per cent
#|   after one block and 98 after two; the corner patch and the empty corner climb to
#|   between 70 and 85 after one block, and to a little over 80 after two.
fig, ax = plt.subplots(figsize=(4.6, 2.8))
for n, (name, results) in enumerate(probes.items()):
    style = {"color": plots.COLOURS[n], "marker": "os^"[n]}
    for run, values in enumerate(results):
        ax.plot(range(3), values, label=None if run else name, lw=1.4, **style)
ax.axhline(10, color=plots.GREY, linestyle="--", linewidth=1)
ax.set(xticks=range(3), xlabel="blocks", ylabel="probe, % right", ylim=(0, 100))
ax.legend(loc="lower right")
gained = (probes["empty corner"][:, 2] - probes["empty corner"][:, 0]).min()
plots.show(fig, f"the empty corner gains 50 points or more: {bool(gained > 50)}", "png")

# %% [markdown]
r"""
[class] goes from nothing to nearly everything. But the corner knows more than seven
digits in ten at the end, even where it is empty. Nobody asked it to, and nobody reads
it. All tokens pass through the same matrices, and what lets one of them collect the
image lets them all.

In large models this becomes spectacular. Darcet et al. 2024 {cite}`darcet2024` found
that in DINOv2-g about 2 % of the patch tokens have a norm roughly ten times that of the
others. They stand in uniform, uninformative parts of the image, say less than others
about their own pixels and position, and a linear probe reads the class of the image
from one of them much better than from an ordinary patch: the network has recycled them
as memory. Given extra learned tokens that nobody reads, *registers*, it uses those
instead, and the patches stay clean. Size is not the whole condition: Bach et al. 2025
{cite}`bach2025` find such tokens in a *small* DeiT-III. And registers have a price.
With them, or with [class] alone in a large model, the map of attention no longer says
which patches the answer rests on (Lappe and Giese 2025 {cite}`lappe2025`). Does the
tiny network have such tokens?
"""

# %%
with torch.no_grad():
    norms = [net.encode(net.embed(x))[0][-1][:, 1:].norm(dim=-1) for net in nets]
ratio = max((n.max() / n.median()).item() for n in norms)
print("longest patch token below 4 times the median:", ratio < 4)

# %% [markdown]
r"""
### What does the model look at?

If [class] collects the image through attention, then its attention should show *where*
it collects. Such maps are often shown and rarely tested. Two are made of the weights
alone: those of [class] in the last block, averaged over the heads; and *attention
rollout* (Abnar and Zuidema 2020 {cite}`abnar2020`), the weights of all blocks
multiplied, each averaged with the identity, because of the residual path,

$$
R = \hat A_L \cdots \hat A_1, \qquad
\hat A_\ell = \tfrac12 \bigl( \bar A_\ell + I \bigr),
\qquad \bar A_\ell \in \mathbb{R}^{T \times T} \text{ the mean over heads.}
$$

Row 0 of $R$, without its first entry, is the map. The method of Chefer et al. 2021
{cite}`chefer2021` counts each weight only as far as a little more of it would help the
answer, by its gradient.
"""


# %% tags=["definition"]
def rollout(net, images):
    """How much of each patch reaches [class], by the weights alone: (B, 16)."""
    same = total = torch.eye(17, device=device)
    for weights in net.encode(net.embed(images))[1]:
        total = (weights.mean(1) + same) / 2 @ total
    return total[:, 0, 1:].detach()


def chefer(net, images):
    """The same, each weight counted as far as it helps the answer: (B, 16)."""
    states, maps = net.encode(net.embed(images))
    answer = net.answer(states[-1]).amax(1).sum()
    total = torch.eye(17, device=device)
    for weights, slope in zip(maps, torch.autograd.grad(answer, maps), strict=True):
        helps = (weights * slope).clamp(min=0).mean(1)  # over heads
        total = total + helps @ total
    return total[:, 0, 1:].detach()


# %% [markdown]
r"""
The test is *deletion*: replace the $k$ patches that a map calls most important by the
average patch of the training images at that place, and see how fast the accuracy falls.
A good map makes it fall fast. The rival that looks at no weight at all is *occlusion*:
replace one patch at a time, and see how much less sure the network becomes.
"""


# %% tags=["definition"]
AVERAGE = patchify(digits.train_x[:, None], 2).mean(0)  # (16, 4)
BLACK = digits.train_x.min().expand(16, 4)


def without(images, importance, k: int, instead=AVERAGE):
    """Images (B, 8, 8), the k patches of most importance (B, 16) replaced."""
    gone = importance.argsort(1, descending=True).argsort(1) < k  # (B, 16)
    patches = patchify(images[:, None], 2)
    patches = torch.where(gone[..., None], instead.to(images.device), patches)
    return patches.view(-1, 4, 4, 2, 2).transpose(2, 3).reshape(-1, 8, 8)


@torch.no_grad()
def occlusion(net, images):
    """How much less sure the answer is without each patch alone: (B, 16)."""
    sure, said = net(images).log_softmax(-1).max(1)
    falls = []
    for patch in torch.eye(16, device=images.device):
        scores = net(without(images, patch.expand(len(images), 16), 1))
        falls.append(sure - scores.log_softmax(-1).gather(1, said[:, None])[:, 0])
    return torch.stack(falls, 1)


# %% tags=["definition"]
def maps_of(net, images) -> dict[str, torch.Tensor]:
    """What could say which patches matter: a map (B, 16) for each method."""
    last = net.encode(net.embed(images))[1][-1].detach()
    found = rollout(net, images)
    generator = torch.Generator().manual_seed(1)
    chance = torch.rand(found.shape, generator=generator).to(found.device)
    return {
        "chance": chance,
        "rollout, reversed": -found,
        "ink": patchify(images[:, None], 2).sum(-1),
        "attention, block 2": last[:, :, 0, 1:].mean(1),
        "rollout": found,
        "Chefer": chefer(net, images),
        "occlusion": occlusion(net, images),
    }


# %% [markdown]
r"""
Three controls: patches drawn by chance, rollout reversed, and simply the patches with
the most ink.

**Predict.** Delete 4 of the 16 patches. Order the maps.
"""

# %%
DELETED = (1, 2, 4, 6, 8)
deletion = {}
for net in nets:
    for name, importance in maps_of(net, x).items():
        curve = [accuracy(net, without(x, importance, k)) for k in (0, *DELETED)]
        black = accuracy(net, without(x, importance, 4, BLACK))
        deletion.setdefault(name, []).append([*curve, black])
deletion = {name: torch.tensor(curves).mean(0) for name, curves in deletion.items()}
at_4 = {name: curve[3].item() for name, curve in deletion.items()}

# %%
for first, second in (
    ("chance", "rollout, reversed"),
    ("rollout", "chance"),
    ("rollout", "ink"),
    ("Chefer", "chance"),
    ("occlusion", "rollout"),
    ("occlusion", "Chefer"),
):
    ahead = at_4[second] - at_4[first] > 5
    print(f"4 deleted: {first} hurts 5 points more than {second}: {ahead}")

# %% tags=["hide-input"]
#| name: fig-deletion
#| caption: Accuracy after the deletion of k patches, chosen by each map; mean of two
#|   networks.
#| alt: Five curves from 98 per cent. With four patches deleted reversed rollout is
#|   still there, chance has fallen to about 80, Chefer's method to about 40, rollout to
#|   about 30, occlusion to below 20.
fig, ax = plt.subplots(figsize=(5.0, 3.4))
for n, name in enumerate(
    ("rollout, reversed", "chance", "rollout", "Chefer", "occlusion")
):
    curve, style = deletion[name][:6], {"color": plots.COLOURS[n]}
    ax.plot((0, *DELETED), curve, "os^dv"[n] + "-", lw=1.6, **style)
    ax.text(8.3, curve[-1], name, va="center", fontsize=9, **style)
ax.set(xlabel="patches deleted", ylabel="% right", ylim=(0, 100), xlim=(-0.3, 12.5))
ax.set_xticks(range(0, 9, 2))
lost = at_4["chance"] - at_4["occlusion"]
plots.show(
    fig, f"4 deleted: occlusion hurts 20 points more than chance: {lost > 20}", "png"
)

# %% [markdown]
r"""
Rollout passes: it hurts more than chance, it does not merely find the ink, and reversed
it does not hurt at all. Yet the map that looks at no weight is better than both that
do. Weights say where the network *can* get something; what it uses one learns by taking
it away. (Two networks, one data set: for other models the order may be another.)

But the test has a choice in it too.

**Predict.** Make the 4 patches *black* instead of average. For which map does it
matter, ink or rollout?
"""

# %%
black = {name: curve[-1].item() for name, curve in deletion.items()}
for name in ("ink", "rollout"):
    dearer = at_4[name] - black[name] > 15
    print(f"{name}: black costs 15 points more than average: {dearer}")

# %% [markdown]
r"""
For ink it matters: black is not "nothing", it wipes ink off. Say what was deleted, what
it was replaced by, and what chance does, or do not show a map at all. And a map that
passes says where a network *gets* its information, not what it does with it.

Look for yourself: choose a digit and a map, delete patches, and read what the network
says.
"""

# %% tags=["nbval-ignore-output"]
# The maps of a trained network differ from machine to machine: not compared.
shown = [int((digits.test_y == digit).nonzero()[0]) for digit in (0, 3, 4, 7, 8)]
found = maps_of(net, x[shown])
choices = {
    name: found[name].clamp(min=0) for name in ("rollout", "Chefer", "occlusion")
}
steps = (0, 1, 2, 4, 8)
answers = {
    name: torch.stack([net(without(x[shown], m, k)).argmax(-1) for k in steps], 1)
    for name, m in choices.items()
}
attention_map(x[shown], choices, answers, digits.test_y[shown].tolist(), steps)

# %% [markdown]
r"""
**Verdict on S4.3.3: holds with conditions.** [class] starts out empty, fills through
attention alone, and a classifier can be trained on it. But it aggregates what attention
gives it, not "all patches" alike, and it is *a* global representation, not the only
one: other tokens know nearly as much, and in larger models some patches serve as memory
for it.
"""

# %% [markdown]
r"""
## S4.3.4 — Concentrated, and simpler

**Claim.** Compared with aggregating directly over all patches, [class] gives a
concentrated feature representation and simplifies the classification.

Four ways to read an image after the last block:

- **[class]**: one extra token;
- **mean** of the patches, then a head for 32 numbers;
- **attention pool**: one learned query $q$ of width $D$, which weights the tokens
  $x_i$ that the last layer norm gives out with softmax$_i(q \cdot x_i)$, and their
  weighted sum (the simplest form of it);
- **all** patches side by side, $16 \cdot 32$ numbers: nothing is aggregated.

And, for contrast, one **corner** patch: no extra token, no pooling.

*Concentrated* and *simpler* can be counted: how many numbers reach the head, and how
many parameters it has.
"""

# %%
for name in READ:
    head = TinyViT(name).head
    size = sum(p.numel() for p in head.parameters())
    print(f"{name:10} {head.in_features:3} numbers, a head of {size:5,} parameters")
print(f"ViT-B, 196 patches, 1,000 classes: {196 * 768 * 1000:,} weights to read all")

# %% [markdown]
r"""
Against *all* the claim is plainly right: a sixteenth of the numbers, and a head that
does not grow with the image. One that reads everything would have more weights in
ViT-B than the whole rest of the model (86 million). Against *mean* nothing is simpler:
the head is the same, and there is one token more to process.

The note does not say that [class] is more *accurate*. Is it? Try: the other read-outs,
trained like the two networks above.

**Predict.** Which of them falls behind?
"""

# %%
for reads in ("mean", "attention", "all", "corner"):
    seed_everything(0)
    other = learn(TinyViT(reads).to(device), lambda g: digit_batch(digits, g))
    print(f"{reads:9} above 90 %: {accuracy(other) > 90}")

# %% [markdown]
r"""
All four read most digits: *some* token, or any mixture of tokens, will do.

One run each ranks nothing, and a comparison needs a learning rate for each arm. The
paper had that experience. Its authors first tried mean pooling, found it very poor, and
then found that neither the missing token nor the pooling was to blame: it needed
another learning rate (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`, App. D.3). Zhai
et al. 2022 {cite}`zhai2022` compared the three side by side at large scale and found
that all perform similarly; they dropped the token, because one token more can cost much
memory on hardware that pads. Beyer et al. 2022 {cite}`beyer2022` use the mean.

**Verdict on S4.3.4: holds with conditions.** Against reading all patches [class] does
what the note says: few numbers, a small head, at any size of image. It is not the only
way to that. The mean and an attention pool concentrate as much with one token less, and
the note claims no accuracy: here reading everything is the most accurate.
"""

# %% [markdown]
r"""
## S4.3.5 — Borrowed from BERT

**Claim.** The idea is borrowed from BERT.

The paper says so in the sentence that introduces it: similar to BERT's [class] token
(Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`, §3.1). In BERT the first token of
every sequence is the special token [CLS], and its final state is used as the
representation of the whole sequence for classification (Devlin et al. 2019
{cite}`devlin2019`, §3).

One difference meets the eye. BERT's token is a *word*: an entry of the vocabulary,
looked up in the same table as all others. ViT has no vocabulary, and keeps a parameter.

**Predict.** Does the network notice? Replace the parameter by row 0 of an
`nn.Embedding`.
"""

# %%
vocabulary = nn.Embedding(3, 32).to(device)
with torch.no_grad():
    vocabulary.weight[0] = net.class_token[0]
word = torch.zeros(64, 1, dtype=torch.int64, device=device)
patches = net.embed(x[:64])[:, 1:]
sequence = torch.cat([vocabulary(word) + net.class_position, patches], dim=1)
scores = net.answer(net.encode(sequence)[0][-1])
gap = (scores - net(x[:64])).abs().max().item()
print(f"scores differ by {gap:.2f}")

# %%
classes = digits.test_y[:64].to(device)
row = torch.autograd.grad(F.cross_entropy(scores, classes), vocabulary.weight)[0]
own = torch.autograd.grad(class_error(net, x[:64], classes), net.class_token)[0]
apart = (row[0] - own[0]).abs().max()
print(f"gradient of the word and of the token differ by {apart:.2f}")
print(f"gradient of the other words: {row[1:].abs().max():.2f}")

# %% [markdown]
r"""
A vocabulary with one word. What was *not* borrowed is how the token is trained. BERT's
learns in pre-training to say whether one sentence follows another, and its authors warn
that without fine-tuning it is not a meaningful representation of a sentence
({cite}`devlin2019`, §3.1, footnote 6). ViT's is trained on the classes themselves, from
the first step on.

**Verdict on S4.3.5: holds.** The paper says so, and a row of an embedding table does
the same as a parameter.
"""

# %% [markdown]
r"""
## All of it, on real digits

A Vision Transformer that reads [class], as equations (1) to (4) say, against everything
else that reads digits: is it a good way to do that? Every rival gets the same jiggled
images, and every network its own learning rate, chosen on images held back from
training. The rival that matters most is the network itself **without attention**: the
same patches and positions, and feed-forward networks twice as wide, so that it has as
many parameters. No patch ever learns of another before the head.

### Which test?

The usual split draws the test digits at random. But the digits were written on sheets,
by 43 people in all, 13 of whom, says its description, are in this file. The file does
not say who wrote what. Or does it?
"""

# %%
writers = data.digits(test=382, new_writers=True)
classes = torch.cat([writers.train_y, writers.test_y])  # in the order of the file
sheet = classes[:130]
windows = classes.unfold(0, 130, 1)  # (1668, 130), one for each place in the file
starts = (windows == sheet).all(1).nonzero()[:, 0].tolist()
print("the first thirty classes:", *sheet[:30].tolist())
print("the first 130 classes come back at images", *starts)

# %% [markdown]
r"""
Everybody, it seems, was given the same 130 digits to write (on other sheets some are
missing). Drawn at random, a test set is full of people whose hand the network has
learned. The honest question is about *new writers*: train on the first 1,415 images,
test on the 382 from image 1415 on, the last three sheets. (Thirteen sheets of 130 would
be 1,690 images, and the file has 1,797, so somebody filled more than one. If that sheet
is among the three, the test is a little too kind.)

**Predict.** The accuracy of the ViT on both tests; of the same without attention; of
three neighbours, logistic regression and a support vector machine (SVC), which get four
jiggled copies of each image.
"""


# %%
for name in ("[class]", "all, no attention"):
    rows = by_arm[name, "random"]
    trained = f"{100 - 100 * rows.train_missed.mean():.1f} % of training images"
    print(f"{name}: {per_cent(rows.missed)} right, {trained}")
    print(f"    rate {rows.lr.iloc[0]:g}, {rows.converged.sum()} of 8 converged")
without_it = by_arm["all, no attention", "random"]
p = labkit.sign_flip(without_it.missed, usual.missed)
ahead = 100 * (usual.missed.mean() - without_it.missed.mean())
print(f"without attention minus [class]: {ahead:+.1f} points, p = {p:.3f}")

# %%
TESTS = ("random", "new writers")
for name in ("3 neighbours", "logistic regression", "SVC"):
    right = [f"{100 - 100 * by_arm[name, t].missed.item():.1f} %" for t in TESTS]
    print(f"{name}: random {right[0]}, new writers {right[1]}")

# %%
for reads, heads in (("class", 4), ("all", 0)):
    seed_everything(0)
    other = TinyViT(reads, heads).to(device)
    learn(other, lambda g: digit_batch(writers, g), lr=usual.lr.iloc[0])
    lost = 100 - 100 * usual.missed.mean() - accuracy(other, *writers[2:])
    name = "[class]" if heads else "all, no attention"
    print(f"{name}: two points or more lost on new writers: {lost > 2}")

# %% [markdown]
r"""
Without attention the network is a point *ahead* of the Vision Transformer that reads
[class], at equal parameters in its blocks. Not all of this is attention's doing, for
its head reads all patches; but on digits attention buys nothing that cannot be had
without it. Three neighbours, which learn nothing, and a support vector machine, a
method of the 1990s that needs a second, are ahead of both. And the test matters as much
as the method: hold out *people* instead of images, and the Vision Transformer loses two
points or more, as do the three without a network.

None of this speaks against Vision Transformers, which were made for millions of images
and are good at those ([Chapter 4.1](04_1_image_to_sequence.ipynb)). It says that 8 × 8
digits are a place to *understand* one, not to need one.
"""

# %% [markdown]
r"""
## When is attention needed?

If the same network does without attention, digits cannot say what attention is good
for. What can it do that no other part can? It lets the *content* of one token decide
which other token is read. So ask for that.

A canvas has 3 × 3 tiles. Eight hold a digit, each in a frame of its own, one of sixteen
random patterns of dots. The ninth, anywhere, is the *cue*: it is empty, and its frame
is that of one of the eight. **Name the digit that wears the cue's frame.** Each tile is
a token. Every canvas is drawn anew, and nothing tells beforehand which tile to read.

The control asks something else of the same canvases: one digit is *inverted*, black for
white; name it. For that no tile has to be compared with another.
"""

# %% tags=["definition"]
FRAMES = torch.rand(16, 10, 10, generator=torch.Generator().manual_seed(0))
FRAMES = FRAMES.round() * 2 - 1  # sixteen patterns of -1 and 1


def canvases(images, classes, generator, number=64, question="frame"):
    """Canvases (B, 30, 30) of 3 × 3 framed tiles, and the right answers (B,)."""
    every = torch.arange(number)
    pick = torch.randint(len(images), (number, 9), generator=generator)
    frames = torch.rand(number, 16, generator=generator).argsort(1)[:, :9]
    cue = torch.randint(9, (number,), generator=generator)
    asked = (cue + torch.randint(1, 9, (number,), generator=generator)) % 9
    frames[every, cue] = frames[every, asked]  # the cue wears the same frame
    inside = images[pick]
    inside[every, cue] = images.min()  # and is empty
    if question == "inverted":
        inside[every, asked] *= -1
    tiles = FRAMES[frames]  # (B, 9, 10, 10)
    tiles[:, :, 1:9, 1:9] = inside
    canvas = tiles.unflatten(1, (3, 3)).transpose(2, 3).reshape(number, 30, 30)
    return canvas, classes[pick[every, asked]]


# %% tags=["hide-input"]
#| name: fig-canvas
#| caption: Two canvases. The empty tile is the cue; the answer is the digit whose tile
#|   wears the same frame.
#| alt: Two squares of three by three tiles. Eight tiles hold a digit in a frame of
#|   black and white dots, each frame another pattern; one tile is empty, and its frame
#|   is that of one of the digits.
some, right = canvases(*writers[2:], torch.Generator().manual_seed(5), 2)
fig, axes = plt.subplots(1, 2, figsize=(5.0, 2.7))
for ax, image, answer in zip(axes, some, right.tolist(), strict=True):
    plots.picture(ax, image, f"answer: {answer}")
plots.show(fig, f"answers: {right.tolist()}", kind="photo")

# %% [markdown]
r"""
What can one know without looking up? The set of the digits: best is to name the one
that occurs most often among the eight.
"""

# %%
generator = torch.Generator().manual_seed(0)
eight = writers.test_y[torch.randint(382, (100_000, 8), generator=generator)]
commonest = F.one_hot(eight, 10).sum(1).amax(1).double().mean() / 8
print(f"naming the commonest of the eight digits: {100 * commonest:.1f} % right")

# %% [markdown]
r"""
**Predict.** A ViT that reads the mean, and a rival without attention that gets every
help: its head reads all nine tokens, has a hidden layer of 128, and makes the network
nearly three times as large. New writers, each at its own learning rate, on both
questions: who is right how often?
"""

# %%
frame = record("04_3_frame")
NETS = ("mean", "all, no attention")
found = {
    name: frame.query("question == 'frame' and seed < 8 and arm == @name")
    for name in NETS
}
for name, rows in found.items():
    trained = f"{100 - 100 * rows.train_missed.mean():.1f} % on training images"
    print(f"{name}: {per_cent(rows.missed)} right, {trained}")
    print(f"    rate {rows.lr.iloc[0]:g}, {rows.converged.sum()} of 8 converged")
p = labkit.sign_flip(*(rows.missed for rows in found.values()))
first, second = (rows.missed.mean() for rows in found.values())
ahead = 100 * (second - first)
print(f"with attention minus without: {ahead:+.1f} points, p = {p:.3f}")

# %%
tried = frame.query("seed >= 100")  # the seeds for choosing, other writers held back
for (question, name, lr), rows in tried.groupby(["question", "arm", "lr"], sort=False):
    right = 100 - 100 * rows.missed.mean()
    print(f"{question:8} {name:17} rate {lr:<6g} {right:.1f} % right")

# %% tags=["hide-input"]
#| name: fig-frame
#| caption: New writers, mean and 95 % interval of eight seeds, each arm at its own
#|   learning rate; the control with three seeds, on writers held back from training.
#|   Dashed, naming the commonest digit.
#| alt: Four rows. The cue's frame with attention lies at 92 per cent, without attention
#|   at 27, left of the dashed line at 30. The inverted digit lies at 95 per cent with
#|   attention and without.
fig, ax = plt.subplots(figsize=(5.0, 2.6))
arms = {f"frame: {name}": [100 - 100 * rows.missed] for name, rows in found.items()}
for name in NETS:
    rows = tried.query("question == 'inverted' and arm == @name and lr == 0.003")
    arms[f"inverted: {name}"] = [100 - 100 * rows.missed]
plots.dots(ax, arms, ("",))
ax.axvline(100 * commonest, color=plots.GREY, linestyle="--", linewidth=1)
ax.set(xlabel="% right", xlim=(0, 100))
ends = [100 - 100 * rows.missed.mean() for rows in found.values()]
plots.show(fig, "the cue's frame: {:.1f} %, without attention {:.1f} %".format(*ends))

# %% [markdown]
r"""
With attention nearly every canvas is read; what is missed is what new writers cost, for
on canvases of the training images hardly a mistake is left. Without attention the
network does what one does who cannot look: it is no better than naming the commonest
digit. And the control says that nothing else is in its way. Where nothing has to be
looked up, it is as good.

Nothing *forbids* a network without attention to solve the task: a hidden layer with a
unit for every place and every frame could. But each of these combinations it would have
to learn by itself, from examples. Attention compares two tokens by one product of
theirs, wherever they stand and whatever they carry.

At none of the three learning rates does it get there; its loss no longer falls. (With
attention the rate matters in its own way: at 0.001 the look-up had not been found after
1,000 steps.)

So this is when attention is needed: when **which** token matters is said by another
token. In a sentence that is the rule, a pronoun and its noun. In a centred digit each
place has its meaning beforehand, and fixed weights will do.

See it happen: the same loop as at the beginning, the same 1,415 images. The question,
the seed, the budget and the network are yours to change.
"""


# %%
def asked(generator, question="frame"):
    return canvases(*writers[:2], generator, question=question)


test = canvases(*writers[2:], torch.Generator().manual_seed(1000), 1000)
for name, heads, reads in (("mean", 4, "mean"), ("all, no attention", 0, "all")):
    seed_everything(0)
    rows = found[name]
    vit = TinyViT(reads, heads, side=30, P=10).to(device)
    learn(vit, asked, steps=1000, lr=rows.lr.iloc[0])
    print(
        f"{name:18} {about(accuracy(vit, *test), *around(100 - 100 * rows.missed))} %"
    )

# %% [markdown]
r"""
## Verdicts

| Claim | What the source says | Verdict | Why | Varied | Overturned by |
|---|---|---|---|---|---|
| S4.3.1 | [class] is a fixed vector, randomly initialized | holds with conditions | The same for every image, but learned (Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`), and not random in the authors' code. Zero and frozen ones lie among eight random ones. Exchanged after training, with its position, it costs 10 points or more, wherever it began | the start: eight random, a zero and a frozen one; token and position exchanged together | a start that costs accuracy at its own learning rate |
| S4.3.2 | It is put at the front and processed together with the patches | holds | That is ViT. The front is a convention: moved and read elsewhere, the same scores. CaiT brings it in later (Touvron et al. 2021 {cite}`touvron2021b`) | an identity, in every network; control: read at the old place, it fails | scores that change when token, position and reading move together |
| S4.3.3 | Through self-attention it aggregates all patches and serves as the global representation | holds with conditions | Empty at the input; with attention shut, one answer for all images. But not the only one: an empty corner patch tells more than seven digits in ten; registers, in small models too (Darcet et al. 2024 {cite}`darcet2024`, Bach et al. 2025 {cite}`bach2025`) | two runs at the learning rate chosen for this network; controls: both doors shut, a probe before block 1, deletion by chance, reversed and by ink | an untrained or shut token that tells the digit; patches from which it cannot be read |
| S4.3.4 | Compared with aggregating the patches, [class] concentrates and simplifies | holds with conditions | Against reading all patches: 32 numbers in place of 512, a head that does not grow with the image. Against a mean nothing is simpler. More accurate is not claimed; at scale all are alike (Zhai et al. 2022 {cite}`zhai2022`) or the mean is ahead (Beyer et al. 2022 {cite}`beyer2022`) | counts, exact; one trained run each of five read-outs | a head on all patches that is as small, or does not grow with the image |
| S4.3.5 | The idea is borrowed from BERT | holds | The paper says so; [CLS] of BERT (Devlin et al. 2019 {cite}`devlin2019`) is a row of an embedding table, which computes the same | an identity: scores and gradients | an earlier paper that reads an extra token |
"""

# %% [markdown]
r"""
## What the verdicts add up to

The note made 25 claims. The page [Every claim and its verdict](verdicts.md) counts them
and has them all, each with its experiment, what was varied, and what would overturn it.

**What holds describes.** Which numbers share a mean, that heads are fused, that
language came first, how the equations read, where the token stands, from whom it was
borrowed: the claims that hold as they stand say what is done, or who did it first.

**What does not hold compares.** The feed-forward network runs beside attention: a
comparison of two wirings, made without a number. Derive, and the parallel part waits.

**What is left needs its condition.** Most claims are right about one design, one size,
one moment of training: batch norm *per position* fails on ragged batches, not batch
norm; the feed-forward network is cheap *in long sequences*; the sequence grows with the
square of the *side*; heads take different distances *if the task rewards it*; a token
is simpler *than reading everything*. The condition is what one has to know to use the
claim.

Four habits did most of the work, and they outlast the architecture:

1. **Ask what the number would be without it.** Digits can be read without attention,
   without a feed-forward network, even with scrambled pixels, so they cannot praise any
   of them. Find the task that fails first.
2. **Repeat before you report.** Several seeds, intervals, the rival's own learning
   rate, an honest test set. One seed crowns one way of reading the image, another seed
   another.
3. **Do not trust shapes, and do not trust accuracy.** Heads cut the wrong way keep
   every shape; patches cut the wrong way train as well as right ones. Test an inverse,
   an invariance, a gradient that must be zero.
4. **Look for the theorem.** A linear map stays linear, $h$ heads span $h$ directions,
   attention does not see order. One line of algebra says more than a table of runs, and
   tells what the runs must show.
"""

# %% [markdown]
r"""
## Summary

- [class] is one vector for all images, learned, added to a position embedding of its
  own. It may start as anything, stand anywhere, even stay frozen.
- It starts empty and fills through attention only. After the last block the patches get
  no gradient at all, and know the digit nonetheless.
- Against reading all patches it is few numbers and a small head; so is a mean.
- A map of attention is a hypothesis; deletion tests it, and occlusion, which looks at
  no weight, is the rival to beat.
- On centred digits a network without attention reads as well. On new writers all fall.
- Attention is needed where one token says which other token matters.

Now build it: [Lab 4.3](../labs/lab_04_3_class_token.ipynb) has you write the token, the
pooling, the rollout, the schedule and the training step, with a check that tells you at
once what is right; then train your own ViT, and let it read your own handwriting.
"""
