# %% [markdown]
r"""
# Lab 4.2: build the Vision Transformer yourself

**You will** write the Vision Transformer's four equations, one after the other, until
they are a model; count its parameters with a formula; load weights that somebody else
has trained, under other names; and make the model read images of another size.

**You need** [chapter 4.2](../chapters/04_2_model_structure.ipynb),
[lab 3](lab_03_multi_head_attention.ipynb) and
[lab 4.1](lab_04_1_image_to_sequence.ipynb). **Time:** about 120 minutes.

Images have shape $(B, C, H, W)$; patches are squares of side $P$; $N$ patches become
$N$ tokens of width $D$, and the [class] token makes them $N + 1$. There are $L$ layers
of $h$ heads, and $K$ classes. Write all that an exercise needs inside its own cell, or
call your answers to those that it builds on: grading takes these cells and nothing
else. The checks ask in float64 and in float32: whatever you make takes its dtype from
the input.
"""

# %%
import re

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import labkit
from labkit import check, data, plots, seed_everything

seed_everything(0)
device = labkit.device()

# %% [markdown]
r"""
## Exercise 4.2.1 — Equation (1), the input (2 points)

$$
z_0 = [x_{\text{class}};\; x_p^1 E;\; x_p^2 E;\; \dots;\; x_p^N E] + E_{\text{pos}},
\qquad E \in \mathbb{R}^{(P^2 C) \times D},\quad
E_{\text{pos}} \in \mathbb{R}^{(N + 1) \times D}
$$

Cut each image into patches, row by row; flatten each patch in the order channel, row,
column; project it with `patch_embed_weight` $(D, C P^2)$, which is $E^\top$, and
`patch_embed_bias` $(D)$. Put `class_token` $(D)$ in front of each image's tokens, then
add `position` $(N + 1, D)$. Height and width need not be equal.

Worked number: a 6 × 9 image cut into patches of side 3 has $N = 2 \cdot 3 = 6$ patches.
The pixel in row 4, column 7 lies in the second row of patches, third column: patch 6,
so token 6.
"""


# %% tags=["exercise"]
def embed(images, patch_embed_weight, patch_embed_bias, class_token, position, patch):
    """The encoder's input z_0.

    images              (B, C, H, W)
    patch_embed_weight  (D, C·P·P)
    patch_embed_bias    (D,)
    class_token         (D,)
    position            (N + 1, D)
    patch               int P; divides H and W
    Returns             (B, N + 1, D)

    Dosovitskiy et al. 2021, equation (1), arXiv:2010.11929
    """
    # BEGIN SOLUTION
    B, C, H, W = images.shape
    grid = images.reshape(B, C, H // patch, patch, W // patch, patch)
    patches = grid.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, N, C·P·P)
    tokens = F.linear(patches, patch_embed_weight, patch_embed_bias)  # (B, N, D)
    first = class_token.expand(B, 1, -1)
    return torch.cat([first, tokens], dim=1) + position
    # END SOLUTION


# %% tags=["check"]
check("4.2.1", embed)

# %%
image = torch.zeros(1, 1, 6, 9, device=device)
weight, zeros = torch.eye(9, device=device), torch.zeros(7, 9, device=device)
before = embed(image, weight, zeros[0], zeros[0], zeros, patch=3)
image[0, 0, 4, 7] = 1
after = embed(image, weight, zeros[0], zeros[0], zeros, patch=3)
print("the pixel is in token", (before != after).any(-1).nonzero()[0, 1].item())

# %% [markdown]
r"""
## Exercise 4.2.2 — Equations (2) and (3), one layer (3 points)

$$
\begin{aligned}
z'_l &= \operatorname{MSA}(\operatorname{LN}(z_{l-1})) + z_{l-1} \\
z_l &= \operatorname{MLP}(\operatorname{LN}(z'_l)) + z'_l
\end{aligned}
$$

The two layer norms have weights of their own. Register `norm1` and `norm2`
(`nn.LayerNorm` with `eps=1e-6`, as the Vision Transformer was trained), `attention`
(`nn.MultiheadAttention` with `batch_first=True`) and the MLP's `fc1` and `fc2`
(`nn.Linear`), with the exact GELU between them. No dropout. The names matter: weights
are loaded by name, here in the check and below from torchvision.

Worked number: if `out_proj` of the attention and `fc2` are all zeros, both sublayers
give 0 and the block returns $z$ itself.
"""


# %% tags=["exercise"]
class Block(nn.Module):
    """One layer of the encoder: attention, then feed-forward, each with its residual.

    dim      int, width D of a token
    heads    int h, divides dim
    hidden   int, hidden width of the feed-forward network
    forward  z (B, T, D) → (B, T, D)

    Dosovitskiy et al. 2021, equations (2) and (3)
    """

    def __init__(self, dim, heads, hidden):
        super().__init__()
        # BEGIN SOLUTION
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        # END SOLUTION

    def forward(self, z):
        # BEGIN SOLUTION
        x = self.norm1(z)
        z = z + self.attention(x, x, x, need_weights=False)[0]
        return z + self.fc2(F.gelu(self.fc1(self.norm2(z))))
        # END SOLUTION


# %% tags=["check"]
check("4.2.2", Block)

# %%
block = Block(12, 3, 48).to(device)
z = torch.randn(2, 5, 12).to(device)
for layer in (block.attention.out_proj, block.fc2):
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
print("the stream passes untouched:", torch.equal(block(z), z))

# %% [markdown]
r"""
## Exercise 4.2.3 — Equation (4), the model (3 points)

$$
y = \operatorname{LN}(z_L^0)
$$

Register `patch_embed` (`nn.Linear` from $C P^2$ to $D$), the parameters `class_token`
$(1, 1, D)$ and `position` $(1, N + 1, D)$, the layers `blocks` ($L$ times your `Block`,
in an `nn.ModuleList` or `nn.Sequential`), `norm` (`eps=1e-6`), and `head` (`nn.Linear`
from $D$ to $K$). Images are square. How parameters start is up to you.

`encode` returns $y$, the representation of the image; `forward` returns the logits,
what the head makes of $y$.

Builds on 4.2.1 and 4.2.2: you may call your `embed` and your `Block`.

Worked number: with `image_size=8`, `patch=2`, the digits make 16 patches, so
`position` has shape $(1, 17, D)$.
"""


# %% tags=["exercise"]
class VisionTransformer(nn.Module):
    """The Vision Transformer.

    image_size   int, height and width of the images; patch divides it
    patch        int P              channels     int C
    num_classes  int K              dim          int D
    depth        int L              heads        int h
    hidden       int, hidden width of the feed-forward networks
    encode       images (B, C, H, W) → y (B, D), equation (4)
    forward      images (B, C, H, W) → logits (B, K)

    Dosovitskiy et al. 2021, arXiv:2010.11929
    """

    def __init__(
        self,
        image_size,
        patch,
        channels,
        num_classes,
        dim,
        depth,
        heads,
        hidden,
    ):
        super().__init__()
        # BEGIN SOLUTION
        self.patch = patch
        tokens = (image_size // patch) ** 2 + 1
        self.patch_embed = nn.Linear(channels * patch**2, dim)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes)
        # END SOLUTION

    def encode(self, images):
        # BEGIN SOLUTION
        weights = self.patch_embed.weight, self.patch_embed.bias
        first, position = self.class_token[0, 0], self.position[0]
        z = embed(images, *weights, first, position, self.patch)  # (B, N + 1, D)
        return self.norm(self.blocks(z)[:, 0])
        # END SOLUTION

    def forward(self, images):
        # BEGIN SOLUTION
        return self.head(self.encode(images))
        # END SOLUTION


# %% tags=["check"]
check("4.2.3", VisionTransformer)

# %% [markdown]
r"""
Your model, on real images. Untrained it knows nothing about digits, and yet two images
of the same digit already give somewhat more similar $y$ than two different ones?
**Predict** before you look.
"""

# %%
model = VisionTransformer(8, 2, 1, 10, 32, 2, 4, 64).to(device)
images, labels, *_ = data.digits()
images, labels = images[:400, None].to(device), labels[:400].to(device)
with torch.no_grad():
    y, logits = model.encode(images), model(images)
likeness = F.cosine_similarity(y[:, None], y[None], dim=-1)
same = (labels[:, None] == labels) & ~torch.eye(400, dtype=bool, device=device)
more = likeness[same].mean() > likeness[labels[:, None] != labels].mean()
print("y", tuple(y.shape), " logits", tuple(logits.shape))
print("same digit, more alike:", bool(more))

# %% [markdown]
r"""
More alike, because equal digits have alike pixels, and a random network keeps part of
that. Training is the matter of chapter 4.3.

## Exercise 4.2.4 — How many parameters? (2 points)

Find the closed form: no model is to be built. Count the projection, the [class] token,
the position embeddings, $L$ blocks (two layer norms, four $D \times D$ matrices of the
attention, two matrices of the feed-forward network), the last layer norm, and the head;
every linear layer has a bias, every layer norm a weight and a bias. The count is a
whole number; whether it comes as int or as float is the same to the check.

Worked number: ViT-B/16 has $P = 16$, $C = 3$, $D = 768$, $L = 12$ and hidden width
3072. For images of side 224 and 1000 classes that is 86,567,656, in torchvision too.
"""


# %% tags=["exercise"]
def parameter_count(image_size, patch, channels, num_classes, dim, depth, hidden):
    """Number of parameters of a VisionTransformer; the number of heads is no matter.

    All arguments are ints, as in VisionTransformer.
    Returns  int
    """
    # BEGIN SOLUTION
    patches = (image_size // patch) ** 2
    embedding = (channels * patch**2 + 1) * dim + dim + (patches + 1) * dim
    attention = 4 * (dim + 1) * dim
    feed_forward = (dim + 1) * hidden + (hidden + 1) * dim
    norm = 2 * dim
    head = (dim + 1) * num_classes
    return embedding + depth * (attention + feed_forward + 2 * norm) + norm + head
    # END SOLUTION


# %% tags=["check"]
check("4.2.4", parameter_count)

# %%
sizes = {"Ti": (192, 12), "S": (384, 12), "B": (768, 12), "L": (1024, 24)}
for name, (dim, depth) in sizes.items():
    number = parameter_count(224, 16, 3, 1000, dim, depth, 4 * dim)
    print(f"ViT-{name + '/16':5} {number:11,}")

# %% [markdown]
r"""
## Exercise 4.2.5 — Somebody else's weights (3 points)

torchvision's `vit_b_16` is the same model under other names. With `i` the number of a
layer, its state dict holds

| torchvision | yours |
|---|---|
| `conv_proj.weight` $(D, C, P, P)$ | `patch_embed.weight` $(D, C P^2)$ |
| `conv_proj.bias` | `patch_embed.bias` |
| `class_token` | `class_token` |
| `encoder.pos_embedding` | `position` |
| `encoder.layers.encoder_layer_i.ln_1.…` | `blocks.i.norm1.…` |
| `encoder.layers.encoder_layer_i.self_attention.…` | `blocks.i.attention.…` |
| `encoder.layers.encoder_layer_i.ln_2.…` | `blocks.i.norm2.…` |
| `encoder.layers.encoder_layer_i.mlp.0.…`, `.mlp.3.…` | `blocks.i.fc1.…`, `.fc2.…` |
| `encoder.ln.…` | `norm.…` |
| `heads.head.…` | `head.…` |

The model may be any module with your parameter names. Fill it and return it. When a
name is missing, or one is there that you do not know, raise an error that says which
(a `KeyError`, `ValueError` or `RuntimeError`, with torchvision's name or yours):
half-loaded models give no error later, only bad answers.
"""


# %% tags=["exercise"]
def load_torchvision_weights(model, state_dict):
    """Fill a model with weights under torchvision's names.

    model       a module with the parameter names of VisionTransformer
    state_dict  {name: tensor}, as of torchvision.models.vit_b_16()
    Returns     model

    Raises KeyError, ValueError or RuntimeError naming what is missing or unknown.
    """
    # BEGIN SOLUTION
    names = {
        r"^conv_proj\.": "patch_embed.",
        r"^encoder\.pos_embedding$": "position",
        r"^encoder\.layers\.encoder_layer_(\d+)\.": r"blocks.\1.",
        r"^encoder\.ln\.": "norm.",
        r"^heads\.head\.": "head.",
        r"\.ln_(\d)\.": r".norm\1.",
        r"\.self_attention\.": ".attention.",
        r"\.mlp\.0\.": ".fc1.",
        r"\.mlp\.3\.": ".fc2.",
    }
    state = {}
    for name, value in state_dict.items():
        if name == "conv_proj.weight":
            value = value.flatten(1)  # (D, C, P, P) → (D, C·P·P)
        for theirs, ours in names.items():
            name = re.sub(theirs, ours, name)
        state[name] = value
    model.load_state_dict(state)  # strict: it says which names are missing or unknown
    return model
    # END SOLUTION


# %% tags=["check"]
check("4.2.5", load_torchvision_weights)

# %% [markdown]
r"""
With a network connection and `pip install torchvision`, these lines make your model a
real one, trained on ImageNet. (They are not run here: nothing in this course needs the
network.)

```python
from torchvision.models import ViT_B_16_Weights, vit_b_16

chosen = ViT_B_16_Weights.IMAGENET1K_V1
theirs = vit_b_16(weights=chosen)  # downloads 330 MB, once
model = VisionTransformer(224, 16, 3, 1000, 768, 12, 12, 3072)
load_torchvision_weights(model, theirs.state_dict()).eval()

photo = chosen.transforms()(Image.open("my_photo.jpg").convert("RGB"))
with torch.no_grad():
    print(chosen.meta["categories"][model(photo[None]).argmax()])
```

## Exercise 4.2.6 — Images of another size (2 points)

The blocks do not care how many tokens there are; the position embeddings do. To read
larger images, resize them as if they were one: lay the $N$ rows out in their grid,
interpolate (`F.interpolate`, `mode="bicubic"`, `align_corners=False`), and make rows
again. The [class] token's row has no place in the grid and stays as it is. A grid is
(rows, columns).

Worked number: ViT-B/16 trained at 224 pixels has a 14 × 14 grid, 197 rows. For images
of 384 pixels the grid is 24 × 24, and 577 rows are needed.
"""


# %% tags=["exercise"]
def resize_position_embeddings(position, old_grid, new_grid):
    """Position embeddings for another grid of patches.

    position  (1, 1 + h·w, D)
    old_grid  (h, w), rows and columns
    new_grid  (h', w')
    Returns   (1, 1 + h'·w', D); row 0 is the same

    Dosovitskiy et al. 2021, section 3.2
    """
    # BEGIN SOLUTION
    first, rest = position[:, :1], position[:, 1:]
    grid = rest.unflatten(1, old_grid).permute(0, 3, 1, 2)  # (1, D, h, w)
    grid = F.interpolate(grid, tuple(new_grid), mode="bicubic", align_corners=False)
    return torch.cat([first, grid.flatten(2).mT], dim=1)
    # END SOLUTION


# %% tags=["check"]
check("4.2.6", resize_position_embeddings)

# %% [markdown]
r"""
To see it, position embeddings with something to see: one channel, a wave that runs
diagonally over the grid of 7 × 7 patches, and what your function makes of it for 14 ×
14.
"""

# %%
#| name: fig-resized-positions
#| caption: A channel of position embeddings in two grids: the same wave, finer.
#| alt: Two square maps of the same diagonal wave, the left one in 7 by 7 coarse cells,
#|   the right one in 14 by 14 fine cells.
place = torch.arange(7.0) / 7
wave = (6 * (place[:, None] + place)).sin().view(1, 49, 1)  # (1, N, D) with D = 1
given = torch.cat([torch.zeros(1, 1, 1), wave], dim=1).to(device)  # (1, 50, 1)
fine = resize_position_embeddings(given, (7, 7), (14, 14))
fig, axes = plt.subplots(1, 2, figsize=(5, 2.6))
for ax, rows, side in ((axes[0], given, 7), (axes[1], fine, 14)):
    ax.imshow(rows[0, 1:].view(side, side).cpu(), cmap="PuOr", vmin=-1, vmax=1)
    ax.set_title(f"{side} × {side}, {rows.shape[1]} rows")
    ax.set_axis_off()
plots.show(fig, f"50 rows became {fine.shape[1]}", kind="png")

# %% [markdown]
r"""
## What you built

The whole Vision Transformer, from pixels to logits, in about fifty lines that take real
weights. [Chapter 4.2](../chapters/04_2_model_structure.ipynb) takes its parts out one
by one to see what each is good for.

## Further reading

- Dosovitskiy et al. 2021, *An Image is Worth 16x16 Words*, equations (1) to (4), and
  section 3.2 on images of another size, arXiv:2010.11929.
- Touvron et al. 2019, *Fixing the train-test resolution discrepancy*, arXiv:1906.06423.
"""
