# %% [markdown]
r"""
# Lab 4.1: turn images into sequences yourself

**You will** count the patches of an image, cut a photograph into them, shuffle them,
and put it together again without losing a pixel; find the convolution that does the
same as a linear map of patches; and work out what attention over the sequence costs in
memory.

**You need** [chapter 4.1](../chapters/04_1_image_to_sequence.ipynb) and
`reshape` and `permute`; [lab 3](lab_03_multi_head_attention.ipynb) is good practice.
**Time:** about 60 minutes.

Images have shape $(B, C, H, W)$: $B$ samples, $C$ channels, height $H$, width $W$. A
patch is a square of side $P$ pixels, $N$ is the number of patches, $D$ the width of a
token. Images need not be square, and may have any number of channels. Write all that an
exercise needs inside its own cell: grading takes these cells and nothing else. The
checks ask in float64 and in float32: whatever you make takes its dtype from the input.
"""

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

import labkit
from labkit import check, data, plots, seed_everything

seed_everything(0)
device = labkit.device()

# %% [markdown]
"""
Everything you write will be tried on a photograph of Chelsea, a cat. It is wider than
high: if height and width get confused, you will see it.
"""

# %%
photo = data.photograph(160)[None, :, 26:].to(device)
print("photograph (B, C, H, W):", tuple(photo.shape))


# %% tags=["hide-input"]
#| name: fig-lab-photo
#| caption: The photograph that this lab cuts (by Stefan van der Walt).
#| alt: The face of a tabby cat with yellow eyes, from the ears to the chin.
def draw(*images):
    """One image (3, H, W) below the other."""
    fig, _ = plt.subplots(len(images), 1, figsize=(3.2, 2.6 * len(images)))
    for ax, image in zip(fig.axes, images, strict=True):
        ax.imshow(image.clamp(0, 1).permute(1, 2, 0).cpu(), interpolation="nearest")
        ax.set_axis_off()
    fig.tight_layout()
    return fig


plots.show(draw(photo[0]), "134 rows, 160 columns, 3 channels", kind="png")

# %% [markdown]
r"""
## Exercise 4.1.1 — How long is the sequence? (1 point)

An image of $H \times W$ pixels, cut into squares of $P \times P$, gives

$$
N = \frac{H}{P} \cdot \frac{W}{P}
$$

patches. Only patches count here: the [class] token comes later. Where $P$ does not
divide the height or the width, some pixels would fill no whole patch. Losing them
silently is worse than stopping, so raise a `ValueError`, and let its message contain
the two numbers that do not fit together: the side and the patch.

Worked number: 48 × 32 pixels in patches of 16 make $3 \cdot 2 = 6$ patches; 50 × 32
pixels are an error about 50 and 16.
"""


# %% tags=["exercise"]
def sequence_length(height, width, patch):
    """The number of patches in an image.

    height, width  ints, in pixels
    patch          int P, side of a patch in pixels
    Returns        int N, without the [class] token

    Raises ValueError if patch does not divide height or width; the message contains
    that side and the patch.
    Dosovitskiy et al. 2020, section 3.1, arXiv:2010.11929
    """
    # BEGIN SOLUTION
    for side in (height, width):
        if side % patch != 0:
            raise ValueError(f"{side} pixels do not divide into patches of {patch}")
    return (height // patch) * (width // patch)
    # END SOLUTION


# %% tags=["check"]
check("4.1.1", sequence_length)

# %%
for patch in (1, 8, 16, 32):
    print(f"224 × 224 pixels, patch {patch:2}: {sequence_length(224, 224, patch):6,}")
try:
    sequence_length(134, 160, 16)
except ValueError as error:
    print("the photograph:", error)
photo = photo[:, :, :128]  # the last six rows, given up knowingly
print("without its last rows:", sequence_length(128, 160, 16))

# %% [markdown]
r"""
Half the patch side, four times the tokens: the length is linear in the number of pixels
and quadratic in $H/P$.
"""

# %% [markdown]
r"""
## Exercise 4.1.2 — Cut (3 points)

Turn images $(B, C, H, W)$ into sequences $(B, N, C \cdot P \cdot P)$.

- The patches follow each other row by row, as you read a page: patch 0 is the top left
  corner, patch 1 lies to its right.
- Inside a patch the numbers are in the order channel, row, column: first the whole
  patch of channel 0, row by row, then that of channel 1, and so on.

You may assume that $P$ divides $H$ and $W$. Beware: reshaping the images straight to
$(B, N, C \cdot P \cdot P)$ has the right shape and the wrong content.

Worked number: in one channel, with $P = 2$,

$$
\begin{pmatrix} 0 & 1 & 2 & 3 \\ 4 & 5 & 6 & 7 \end{pmatrix}
\;\to\; [0, 1, 4, 5],\; [2, 3, 6, 7] .
$$
"""


# %% tags=["exercise"]
def patchify(images, patch):
    """Cut images into patches, and every patch into a row of numbers.

    images   (B, C, H, W)
    patch    int P, divides H and W
    Returns  (B, N, C * P * P): patches row by row; in a patch channel, row, column

    Dosovitskiy et al. 2020, section 3.1, arXiv:2010.11929
    """
    # BEGIN SOLUTION
    B, C, H, W = images.shape
    cut = images.reshape(B, C, H // patch, patch, W // patch, patch)
    cut = cut.permute(0, 2, 4, 1, 3, 5)  # (B, H/P, W/P, C, P, P)
    return cut.reshape(B, -1, C * patch * patch)  # (B, N, C·P·P)
    # END SOLUTION


# %% tags=["check"]
check("4.1.2", patchify)

# %%
page = torch.arange(8, device=device).reshape(1, 1, 2, 4)
print(patchify(page, 2)[0].tolist())

# %% [markdown]
"""
Now the photograph: 80 tokens, each of 16 · 16 · 3 = 768 numbers. They are drawn in the
order of the sequence, ten to a line, with gaps between them. Below, what the tempting
`reshape` takes for patches.
"""

# %%
tokens = patchify(photo, 16)
tempting = photo.reshape(tokens.shape)
print(tuple(tokens.shape), "rows alike:", (tokens == tempting).all(-1).sum().item())


# %% tags=["hide-input"]
#| name: fig-lab-tokens
#| caption: The sequence of the photograph's patches (top), and what a plain reshape
#|   makes of the photograph, in the same shape (bottom).
#| alt: Above, the photograph in 8 rows of 10 squares with white gaps between them.
#|   Below, every square is full of garish horizontal stripes, and nothing can be seen.
def spread(tokens, columns=10):
    """Tokens of 3 × 16 × 16 numbers as little pictures with gaps, (3, H, W)."""
    little = tokens.reshape(-1, 3, 16, 16)
    framed = F.pad(little, (1, 1, 1, 1), value=1.0).flatten(1)  # a white frame
    size = (len(little) // columns * 18, columns * 18)
    return F.fold(framed.T[None], size, 18, stride=18)[0]


fig = draw(spread(tokens), spread(tempting))
plots.show(fig, f"{tokens.shape[1]} tokens of {tokens.shape[2]} numbers", kind="png")

# %% [markdown]
r"""
## Exercise 4.1.3 — Put together again (2 points)

The way back: from $(B, N, C \cdot P \cdot P)$, in the order of exercise 4.1.2, to
images $(B, C, H, W)$. Height and width are given, since 12 patches may be 3 × 4 or
2 × 6; how many channels there are you can tell from the width of a token.

Worked number: $[0, 1, 4, 5]$ and $[2, 3, 6, 7]$ with $P = 2$, height 2 and width 4 give
the rows $[0, 1, 2, 3]$ and $[4, 5, 6, 7]$; with height 4 and width 2 they would give
$[0, 1]$, $[4, 5]$, $[2, 3]$, $[6, 7]$.
"""


# %% tags=["exercise"]
def unpatchify(patches, patch, height, width):
    """Put patches together to images; undoes patchify.

    patches        (B, N, C * P * P), in the order that patchify gives
    patch          int P, divides height and width
    height, width  ints H, W of the images, in pixels
    Returns        (B, C, H, W)
    """
    # BEGIN SOLUTION
    B, rows, columns = len(patches), height // patch, width // patch
    cut = patches.reshape(B, rows, columns, -1, patch, patch)
    cut = cut.permute(0, 3, 1, 4, 2, 5)  # (B, C, H/P, P, W/P, P)
    return cut.reshape(B, -1, height, width)
    # END SOLUTION


# %% tags=["check"]
check("4.1.3", unpatchify)

# %% [markdown]
"""
Now play with it. As a sequence, a picture can be shuffled, or sorted, with one index.
Sort the patches from dark to light, then put every patch back in its place.
"""

# %%
brightness = tokens.mean(-1)[0]  # (80,)
order = brightness.argsort(stable=True)
dark_to_light = unpatchify(tokens[:, order], 16, 128, 160)
back = order.argsort()  # where each patch has gone
again = unpatchify(tokens[:, order][:, back], 16, 128, 160)
print("pixels that differ in the end:", (again != photo).sum().item())

# %% tags=["hide-input"]
#| name: fig-lab-sorted
#| caption: The same patches from dark to light (top), and back in their places
#|   (bottom).
#| alt: Above, a patchwork that begins with pieces of the eyes and the nose and ends in
#|   pale fur. Below, the photograph, whole again.
fig = draw(dark_to_light[0], again[0])
plots.show(fig, f"the same {len(order)} patches in two orders", kind="png")

# %% [markdown]
r"""
No pixel is lost either way. But note that both pictures are the same *set* of tokens:
without position embeddings, attention could not tell them apart.
"""

# %% [markdown]
r"""
## Exercise 4.1.4 — The embedding is a convolution (3 points)

A patch becomes a token by a linear map,

$$
z = W x + b, \qquad W \in \mathbb{R}^{D \times C P^2},\; b \in \mathbb{R}^D ,
$$

the same for every patch. Programs rarely cut anything for it: a convolution whose
kernel is as large as a patch, and which moves by a whole patch, computes the same
numbers from the image.

Return that `nn.Conv2d`, with `weight` and `bias` in its parameters, on the device and
of the dtype of `weight`. Given images $(B, C, H, W)$ it returns $(B, D, H/P, W/P)$: the
tokens, still lying in their grid.

Worked number: ViT-B/16 has $D = 768$, $C = 3$, $P = 16$, so `weight` is
$(768, 768)$ and the kernel $(768, 3, 16, 16)$: 589,824 numbers each. That
$C P^2$ equals $D$ there is a coincidence.
"""


# %% tags=["exercise"]
def embedding_as_convolution(weight, bias, patch, channels):
    """The convolution that does what F.linear(patchify(images, patch), …) does.

    weight    (D, C * P * P), bias (D,), as nn.Linear stores them
    patch     int P
    channels  int C
    Returns   nn.Conv2d, (B, C, H, W) → (B, D, H / P, W / P)
    """
    # BEGIN SOLUTION
    width = weight.shape[0]
    conv = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
    conv = conv.to(device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        conv.weight.copy_(weight.reshape(width, channels, patch, patch))
        conv.bias.copy_(bias)
    return conv
    # END SOLUTION


# %% tags=["check"]
check("4.1.4", embedding_as_convolution)

# %% [markdown]
"""
A network learns these weights. Here they are made by hand: the mean of red, the mean of
green, the mean of blue, three numbers for a patch. Since the tokens still lie in their
grid, they can be looked at.
"""

# %%
mean = torch.eye(3, device=device).repeat_interleave(16 * 16, dim=1) / 256  # (3, 768)
no_bias = torch.zeros(3, device=device)
with torch.no_grad():
    colours = embedding_as_convolution(mean, no_bias, 16, 3)(photo)  # (1, 3, 8, 10)
gap = (colours.flatten(2).mT - F.linear(tokens, mean, no_bias)).abs().max().item()
print(tuple(colours.shape), "equal to the linear map:", gap < 1e-5)

# %% tags=["hide-input"]
#| name: fig-lab-colours
#| caption: The photograph as 1,280 tokens of width 3 (top, patches of 4), and as 80
#|   (bottom, patches of 16).
#| alt: Two mosaics in the photograph's colours. In the upper one the cat is easy to
#|   recognize, in the lower one hardly.
mean4 = torch.eye(3, device=device).repeat_interleave(16, dim=1) / 16  # (3, 48)
with torch.no_grad():
    finer = embedding_as_convolution(mean4, no_bias, 4, 3)(photo)  # (1, 3, 32, 40)
counts = [f"{tokens[0, 0].numel():,}" for tokens in (finer, colours)]
fig = draw(finer[0], colours[0])
plots.show(fig, f"{' and '.join(counts)} tokens of width 3", kind="png")

# %% [markdown]
"""
Width 3 cannot hold a patch of 768 numbers. Width 768 can, and a network learns which
numbers are worth keeping.
"""

# %% [markdown]
r"""
## Exercise 4.1.5 — What attention costs in memory (2 points)

In every head each token has an attention weight for each token. Count the bytes that
the weights of **one layer** take for **one image**, over all heads. This time the
[class] token is in the sequence: it attends, and is attended to, like every patch.

A value takes 4 bytes in float32 and 2 in bfloat16.

Worked number: 224 × 224 pixels in patches of 16 are $196 + 1$ tokens, so one head in
float32 takes $197^2 \cdot 4 = 155{,}236$ bytes.
"""


# %% tags=["exercise"]
def attention_bytes(height, width, patch, heads, bytes_per_value):
    """Memory of the attention weights of one layer, for one image.

    height, width    ints, in pixels
    patch            int P, divides both
    heads            int h
    bytes_per_value  int
    Returns          int, in bytes; the [class] token counts
    """
    # BEGIN SOLUTION
    tokens = (height // patch) * (width // patch) + 1
    return heads * tokens**2 * bytes_per_value
    # END SOLUTION


# %% tags=["check"]
check("4.1.5", attention_bytes)

# %%
for side in (224, 448, 896):
    for patch in (32, 16, 1):
        length = sequence_length(side, side, patch) + 1
        mebibytes = attention_bytes(side, side, patch, 12, 4) / 2**20
        row = f"{side} × {side} pixels, patch {patch:2}: {length:7,} tokens"
        print(f"{row} {mebibytes:12,.1f} MiB")

# %% [markdown]
"""
Twice the side: four times the tokens, sixteen times the memory. With a token for every
pixel, one layer would take 113 GiB for one small image. That is why a word of an image
is 16 × 16 pixels.

## What you built

Both directions between images and sequences, with the order under control, the
convolution that every Vision Transformer begins with, and the two counts that decide
which patch size is affordable. [Chapter 4.1](../chapters/04_1_image_to_sequence.ipynb)
asks what is lost on the way.

## Further reading

- Dosovitskiy et al. 2020, *An Image is Worth 16x16 Words*, section 3.1,
  arXiv:2010.11929.
- Dumoulin and Visin 2016, *A guide to convolution arithmetic for deep learning*,
  arXiv:1603.07285.
- Xiao et al. 2021, *Early Convolutions Help Transformers See Better*, arXiv:2106.14881.
"""
