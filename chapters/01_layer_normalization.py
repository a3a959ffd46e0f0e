# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import labkit
from labkit import about, better, data, explore, interval, plots, record
from labkit import seed_everything, train

seed_everything(0)
device = labkit.device()
torch.set_num_threads(1)  # tiny models: a second thread would only wait

# %% tags=["definition"]
class DynamicTanh(nn.Module):
    """γ · tanh(α x) + β for x (..., dim): Zhu et al. 2025, arXiv:2503.10622."""

    def __init__(self, dim: int, alpha: float = 0.5):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha))
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.alpha * x) * self.weight + self.bias


ARMS = {  # name: (place, norm)
    "pre": ("pre", nn.LayerNorm),
    "post": ("post", nn.LayerNorm),
    "peri": ("peri", nn.LayerNorm),
    "tanh": ("pre", DynamicTanh),
    "none": ("pre", nn.Identity),
}


# %% tags=["definition"]
def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, T, D) to (B, h, T, D/h)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    """(B, h, T, D/h) to (B, T, D)."""
    return x.transpose(-3, -2).flatten(-2)


# %% tags=["definition"]
class Block(nn.Module):
    """One encoder layer, x (B, T, D); `place` of the norms: "pre", "post" or "peri"."""

    def __init__(self, dim, heads, hidden, place="pre", norm=nn.LayerNorm):
        super().__init__()
        self.heads, self.place = heads, place
        self.norm1, self.norm2 = norm(dim), norm(dim)
        last = norm if place == "peri" else nn.Identity
        self.last1, self.last2 = last(dim), last(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, -1))
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)  # (B, h, T, T)
        return self.proj(merge_heads(weights @ v))

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.place == "post":
            x = self.norm1(x + self.attention(x))
            return self.norm2(x + self.mlp(x))
        x = x + self.last1(self.attention(self.norm1(x)))
        return x + self.last2(self.mlp(self.norm2(x)))


# %% tags=["definition"]
def initialize(net: nn.Module, scale: float = 1.0) -> None:
    """Glorot's weights; whatever a sublayer adds to the residual path, times scale."""
    for part in net.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)  # Glorot and Bengio 2010
            nn.init.zeros_(part.bias)
    for block in net.blocks:
        peri = block.place == "peri"  # there the last norms set the size
        for end in (block.last1, block.last2) if peri else (block.proj, block.fc2):
            end.weight.data *= scale


class Encoder(nn.Module):
    """Digits as four tokens (B, 4, 16) to class scores (B, 10) through `depth` blocks."""

    def __init__(self, depth, place="pre", norm=nn.LayerNorm, scale=1.0):
        super().__init__()
        self.patch_embed = nn.Linear(16, 16)
        self.position = nn.Parameter(0.02 * torch.randn(4, 16))
        self.blocks = nn.Sequential(
            *[Block(16, 2, 32, place, norm) for _ in range(depth)]
        )
        self.norm = nn.Identity() if place == "post" else norm(16)
        self.head = nn.Linear(16, 10)
        initialize(self, scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.blocks(self.patch_embed(x) + self.position))  # (B, 4, 16)
        return self.head(x.mean(-2))


# %% tags=["definition"]
class TokenBatchNorm(nn.BatchNorm1d):
    """PyTorch's batch norm, pooled over samples and positions, of x (B, T, C)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.mT).mT


BATCH_ARMS = {"layer": nn.LayerNorm, "batch": TokenBatchNorm}


# %% tags=["definition"]
class BatchNorm(nn.Module):
    """Batch norm of x (B, T, C) over the words that are there, with running statistics.

    rows   1: pooled, one mean for all positions; more: one mean per position. In
           evaluation, positions beyond the last row use the last row.
    """

    def __init__(self, channels: int, rows: int):
        super().__init__()
        self.rows = rows
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(rows, channels))
        self.register_buffer("var", torch.ones(rows, channels))

    def forward(self, x: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        if self.training:
            mean, var = self.statistics(x, alive[..., None])
        else:
            row = torch.arange(x.shape[1]).clamp(max=self.rows - 1)
            mean, var = self.mean[row], self.var[row]
        return (x - mean) / torch.sqrt(var + 1e-5) * self.weight + self.bias

    def statistics(self, x: torch.Tensor, here: torch.Tensor):
        """Mean and variance of this batch; the rows in use move a tenth towards them."""
        dims = (0, 1) if self.rows == 1 else (0,)
        count = here.sum(dims, keepdim=True).clamp(min=1)
        mean = (x * here).sum(dims, keepdim=True) / count
        var = ((x - mean) ** 2 * here).sum(dims, keepdim=True) / count
        step = 0.1 * (count > 1)[0]  # a row that one sample reaches learns nothing
        reached = slice(len(step))
        self.mean[reached] += step * (mean.detach()[0] - self.mean[reached])
        self.var[reached] += step * (var.detach()[0] - self.var[reached])
        return mean, var


class TokenNorm(nn.LayerNorm):
    """Layer norm, called like the others: it has no use for what is alive."""

    def forward(self, x: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


NORMS = {
    "layer norm": lambda: TokenNorm(16),
    "batch norm, pooled": lambda: BatchNorm(16, rows=1),
    "per position, last row reused": lambda: BatchNorm(16, rows=16),
    "per position, initial rows": lambda: BatchNorm(16, rows=48),
}


# %% tags=["definition"]
def sentences(count, shortest, longest, generator, shift=2.0):
    """Sentences x (B, T, 16), where there are words (B, T), and classes (B,)."""
    label = torch.randint(2, (count,), generator=generator)
    length = torch.randint(shortest, longest + 1, (count,), generator=generator)
    x = 5 + 3 * torch.randn(count, longest, 16, generator=generator)
    x[:, :, 0] += shift * (2 * label - 1)[:, None]
    alive = torch.arange(longest) < length[:, None]
    return x * alive[..., None], alive, label  # padding is zero


class Classifier(nn.Module):
    """Normalize, read each word with a small network, average over the words."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm
        self.read = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 2))

    def forward(self, x: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
        votes = self.read(self.norm(x, alive)) * alive[..., None]  # (B, T, 2)
        return votes.sum(1) / alive.sum(1, keepdim=True)


