"""Go deeper: does normalizing queries and keys let a Transformer bear larger rates?

Varied: with and without a norm on queries and keys (pre-norm, depth 4), the learning
rate. Eight seeds. A row is one network: its accuracy, and the largest attention score
that it computes for the test images.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from labkit import data
from labkit.experiment import definitions
from labkit.training import train

Block, Encoder, initialize, merge_heads, split_heads = definitions(
    "01_layer_normalization",
    "Block",
    "Encoder",
    "initialize",
    "merge_heads",
    "split_heads",
)
FACTORS = ("qk_norm", "lr", "seed")
TOGETHER = ("lr", "seed")
TOLERANCE = {"start": 1e-3, "test": 0.03, "largest": 1.0}
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
RESTS_ON = {"largest": [("qk_norm and lr == 0.03", "not qk_norm and lr == 0.03")]}


class QKBlock(Block):
    """The chapter's block with a norm on every query and every key."""

    def __init__(self, dim, heads, hidden, norm):
        super().__init__(dim, heads, hidden)
        self.norm_q, self.norm_k = norm(dim // heads), norm(dim // heads)

    def scores(self, x):
        """Attention scores before the softmax (B, h, T, T), and the values."""
        q, k, v = (split_heads(p, self.heads) for p in self.qkv(x).chunk(3, dim=-1))
        q, k = self.norm_q(q), self.norm_k(k)
        return q @ k.mT / q.shape[-1] ** 0.5, v

    def attention(self, x):
        scores, v = self.scores(x)
        return self.proj(merge_heads(scores.softmax(-1) @ v))


def settings(record):
    for qk_norm, lr, seed in itertools.product((False, True), RATES, range(8)):
        yield dict(qk_norm=qk_norm, lr=lr, seed=seed)


def run(group):
    digits = data.digits()
    tokens, test_x = (x.reshape(-1, 4, 16) for x in (digits.train_x, digits.test_x))
    norm = nn.LayerNorm if group[0]["qk_norm"] else nn.Identity

    def make():
        net = Encoder(4)
        net.blocks = nn.Sequential(*[QKBlock(16, 2, 32, norm) for _ in range(4)])
        initialize(net)
        return net

    def draw(generator):
        pick = torch.randint(len(tokens), (16,), generator=generator)
        return tokens[pick], digits.train_y[pick]

    runs = train(
        make,
        draw,
        lambda net, x, y: F.cross_entropy(net(x), y),
        steps=300,
        lr=[setting["lr"] for setting in group],
        seeds=[setting["seed"] for setting in group],
    )
    right = (runs(test_x).argmax(-1).cpu() == digits.test_y).float().mean(1)
    return [
        dict(
            start=runs.losses[:3, n].log().mean().item(),
            test=right[n].item(),
            largest=_largest_score(net, test_x),
            converged=runs.converged[n].item(),
        )
        for n, net in enumerate(runs.nets)
    ]


@torch.no_grad()
def _largest_score(net, x):
    """The largest attention score of all blocks, in size."""
    x, largest = net.patch_embed(x) + net.position, 0.0
    for block in net.blocks:
        scores, _ = block.scores(block.norm1(x))
        largest, x = max(largest, scores.abs().max().item()), block(x)
    return largest


def checked(row):
    if row["qk_norm"] and row["lr"] < 0.003:
        return ["start", "test", "largest"]
    return ["start"]
