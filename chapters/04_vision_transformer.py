# %% [markdown]
r"""
# Read an image as a Transformer does: the Vision Transformer

Cut an image into squares, line them up like the words of a sentence, and give them to
the encoder that was made for sentences. That is the *Vision Transformer*, ViT
(Dosovitskiy et al. 2021 {cite}`dosovitskiy2021`), and it is hardly more than the three
chapters before: layer normalization, a feed-forward network, attention with several
heads. What is new stands before and after them.

This page shows the whole and says where each part is taken to pieces. It has no claims
to judge and no lab of its own; five minutes are enough.
"""

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

import labkit
from labkit import data, plots, record, seed_everything

seed_everything(0)
device = labkit.device()

# %% tags=["hide-input"]
#| name: fig-vit-sees
#| caption: Three photographs, and what a trained ViT makes of them, patch by patch;
#|   Chapter 4.4 has the rest.
#| alt: Above, an astronaut, a cat's face and a cup of coffee; below, coarse pictures of
#|   16 by 16 squares, in which the parts of each photograph have colours of their own.
maps = record("04_4_maps").set_index(["photo", "map"])
fig, axes = plt.subplots(2, 3, figsize=(4.4, 3.0))
for (above, below), name in zip(
    axes.T, ("astronaut", "chelsea", "coffee"), strict=True
):
    rows = [maps.loc[(name, f"pc{n}"), "v0":"v255"] for n in (1, 2, 3)]
    seen = torch.tensor([row.tolist() for row in rows])
    low, high = seen.amin(1, keepdim=True), seen.amax(1, keepdim=True)
    plots.picture(above, data.photographs(112)[name])
    plots.picture(below, ((seen - low) / (high - low)).view(3, 16, 16))
plots.show(fig, "3 photographs, 16 × 16 patches each", kind="photo")

# %% [markdown]
r"""
The colours are the three main directions of its outputs, one output for each patch:
eyes, fur and background are told apart before any class is named.

[The next figure](#fig-vit) follows the one in the note; read it from the bottom to the
top. It has nine patches. A ViT-B/16, which looks at 224 × 224 pixels, has 196.
"""

# %% tags=["hide-input"]
INK, PEACH = "#1B222C", "#F6C9AD"


def box(ax, x, y, width, height, label, colour=plots.PAPER, **style):
    """A box with its middle at x and its lower edge at y."""
    corner = (x - width / 2, y)
    ax.add_patch(plt.Rectangle(corner, width, height, fc=colour, ec=plots.GREY))
    style = {"color": INK, "ha": "center", "va": "center", **style}
    ax.text(x, y + height / 2 - 0.03, label, **style)


def arrow(ax, start, end, colour=plots.GREY):
    style = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=style)


def picture(ax, x, y, side):
    """The image and where it is cut, and the six steps in words beside it."""
    plots.scene(ax, x, y, side)
    for cut in (side / 3, 2 * side / 3):
        ax.plot([x, x + side], [y + cut] * 2, color="white", lw=1.6)
        ax.plot([x + cut] * 2, [y, y + side], color="white", lw=1.6)
    steps = ("cut into patches", "flatten each, map it to width D")
    steps += ("[class] in front, positions added", "encode")
    steps += ("first output to the MLP head", "the class")
    for number, step in enumerate(steps, 1):
        ax.text(x + 3.7, y + 3.3 - 0.55 * number, f"{number}  {step}", color=INK)


# %% tags=["hide-input"]
#| name: fig-vit
#| caption: From an image to its class, with nine patches. The numbers 0 to 9 are
#|   positions, the star is the [class] token.
#| alt: A flow from bottom to top. An image is cut into nine patches, in three rows of
#|   three. The patches stand in a line and each goes through the same linear map. A
#|   star, the [class] token, is put before them. The ten tokens get the position
#|   embeddings 0 to 9 and enter the Transformer encoder. From its ten outputs only the
#|   first, that of the star, goes on to the MLP head, which says house.
fig, ax = plt.subplots(figsize=(5.4, 6.6))
picture(ax, 0.3, -4.6, 3.2)
for n in range(10):
    x, colour = 0.55 + 1.1 * n, plots.GREY if n else plots.RED
    if n:
        plots.scene(ax, x - 0.45, -0.9, 0.9, divmod(n - 1, 3))
        arrow(ax, (x, 0), (x, 0.5))
    else:
        ax.text(x, 0.42, "∗", ha="center", fontsize=18, color=plots.RED)
    arrow(ax, (x, 1.1), (x, 1.7), colour)
    box(ax, x, 1.7, 0.9, 0.7, f"{n}", plots.FAINT)
    arrow(ax, (x, 2.4), (x, 3.0), colour)
    arrow(ax, (x, 4.2), (x, 4.75), colour)
    box(ax, x, 4.75, 0.9, 0.5, "" if n else "y", plots.PAPER if n else PEACH)
box(ax, 6.05, 0.5, 9.9, 0.6, "the same linear map for every patch")
box(ax, 5.5, 3.0, 11, 1.2, "Transformer encoder: L blocks", plots.BLUE, color="white")
arrow(ax, (0.55, 5.25), (0.55, 5.8), plots.RED)
box(ax, 1.4, 5.8, 2.6, 0.7, "MLP head", PEACH)
arrow(ax, (2.7, 6.15), (3.6, 6.15), plots.RED)
ax.text(3.8, 6.12, "house", va="center", weight="bold", color=INK)
ax.set(xlim=(-0.05, 11.1), ylim=(-4.7, 6.6), aspect="equal")
ax.set_axis_off()
plots.show(
    fig, "9 patches + 1 [class] token = 10 tokens, positions 0 to 9; 1 output read"
)

# %% [markdown]
r"""
The same flow in code, with nine patches of 16 × 16 pixels, so an image of 48 × 48, and
PyTorch's own encoder. Nothing is trained; what counts is the shapes. The width $D$ of a
token is 64 here.
"""

# %%
steps = {}
steps["image"] = x = torch.randn(1, 3, 48, 48).to(device)
x = x.reshape(1, 3, 3, 16, 3, 16).permute(0, 2, 4, 1, 3, 5)  # rows and columns first
steps["9 patches, flattened"] = x = x.reshape(1, 9, 3 * 16 * 16)
steps["linear map"] = x = nn.Linear(768, 64).to(device)(x)
star = torch.zeros(1, 1, 64, device=device)
steps["[class] in front"] = x = torch.cat([star, x], dim=1)
steps["plus positions"] = x = x + 0.02 * torch.randn(1, 10, 64).to(device)
settings = {"activation": "gelu", "batch_first": True, "norm_first": True}
block = nn.TransformerEncoderLayer(64, 4, 256, dropout=0, **settings)
encoder = nn.TransformerEncoder(block, 2, nn.LayerNorm(64), enable_nested_tensor=False)
steps["encoder"] = x = encoder.to(device)(x)
steps["y, the [class] output"] = y = x[:, 0]
steps["head: ten classes"] = nn.Linear(64, 10).to(device)(y)
for name, tensor in steps.items():
    print(f"{name:22} {tuple(tensor.shape)}")

# %% [markdown]
r"""
What follows:

| The note says | Claims | Where |
|---|---|---|
| why: success in language, and images as sequences | S4.1.1, S4.1.2 | [4.1 From image to sequence](04_1_image_to_sequence.ipynb) |
| how: patches, flattening, positions, encoder, head; equations (1) to (4) | S4.2.1 to S4.2.7 | [4.2 Model structure](04_2_model_structure.ipynb) |
| the [class] token: what it is, what it collects, where it comes from | S4.3.1 to S4.3.5 | [4.3 The class token](04_3_class_token.ipynb) |
| not in the note: all of it again, with weights trained on photographs | | [4.4 A real Vision Transformer](04_4_real_vit.ipynb) |

And inside the encoder: [layer normalization](01_layer_normalization.ipynb), the
[feed-forward network](02_feed_forward.ipynb), [multi-head
attention](03_multi_head_attention.ipynb).

Begin with [how an image becomes a sequence](04_1_image_to_sequence.ipynb).
"""
