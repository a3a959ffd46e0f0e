"""Exercise 4.2.2: equations (2) and (3), one layer of the encoder."""

from torch import nn
from torch.nn import functional as F

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case
from labkit.exercises.lab_02_feed_forward.blocks import Blocks
from labkit.exercises.lab_02_feed_forward.feed_forward import FeedForwardFunction
from labkit.exercises.lifted import lift
from labkit.exercises.properties import the_same_every_time

EPS = 1e-6  # Dosovitskiy et al.'s, not PyTorch's 1e-5


def start_anyhow(module: nn.Module) -> None:
    """Leave no constant to compare with: how parameters start is up to the learner."""
    for parameter in module.parameters():
        nn.init.uniform_(parameter)  # normal_ takes a millisecond on the meta device


class RightBlock(nn.Module):
    """The right block, for mistakes to go wrong from in one place each."""

    eps, batch_first = EPS, True

    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=self.eps)
        first = self.batch_first
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=first)
        self.norm2 = nn.LayerNorm(dim, eps=self.eps)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        start_anyhow(self)

    def attend(self, x):
        return self.attention(x, x, x, need_weights=False)[0]

    def activation(self, hidden):
        return F.gelu(hidden)

    def feed_forward(self, x):
        return self.fc2(self.activation(self.fc1(x)))

    def forward(self, z):
        z = z + self.attend(self.norm1(z))
        return z + self.feed_forward(self.norm2(z))


def state_of(module: nn.Module, draw: Draw, std: float = 0.5) -> dict:
    """Random weights for all parameters of a module, norms and biases included."""
    return {n: draw.normal(*p.shape, std=std) for n, p in module.named_parameters()}


class Block(Exercise):
    """Block(dim, heads, hidden): equations (2) and (3)."""

    number = "4.2.2"
    reference = {"Block": RightBlock}
    probe = "module"
    properties = (the_same_every_time,)

    def draw_cases(self, draw: Draw):
        B, T, h, d, H = draw.sizes(5, low=2)
        sizes = {"dim": h * d, "heads": h, "hidden": 3 * h * d + H}
        target = "Block"
        yield Case("a fresh block", target, sizes)
        state = state_of(RightBlock(**sizes), draw)
        z = draw.normal(B, T, h * d)
        yield Case("z (B, T, D)", target, sizes, state=state, inputs={"z": z})
        far = draw.normal(B, T, h * d, mean=2.0, std=0.01)
        yield Case(
            "z far from 0, close together",
            target,
            sizes,
            state=state,
            inputs={"z": far},
            edge=True,
            gradients=False,
        )


@Block.mistake
class OneNorm(nn.Module):
    """You registered one layer norm for both sublayers. Each has its own, norm1 and
    norm2, with weights of its own."""

    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)


@Block.mistake
class SequentialFeedForward(nn.Module):
    """You put the feed-forward network into an nn.Sequential. Here its layers are
    called fc1 and fc2, so that weights can be loaded by name."""

    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        layers = nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim)
        self.mlp = nn.Sequential(*layers)


@Block.mistake
class AttentionsTuple(RightBlock):
    """You added what nn.MultiheadAttention returns, a pair of output and weights. Take
    the first of the two."""

    def attend(self, x):
        return self.attention(x, x, x)


@Block.mistake
class BatchFirstForgotten(RightBlock):
    """Your attention mixes the samples, not the tokens: nn.MultiheadAttention wants
    batch_first=True for (B, T, D)."""

    batch_first = False


@Block.mistake
class OnlyTheQueryNormalized(RightBlock):
    """You normalized only the queries. Keys and values are made of LN(z) too."""

    def forward(self, z):
        z = z + self.attention(self.norm1(z), z, z, need_weights=False)[0]
        return z + self.feed_forward(self.norm2(z))


@Block.mistake
class EpsOfPyTorch(RightBlock):
    """Your layer norms have eps=1e-5, PyTorch's default. The Vision Transformer was
    trained with 1e-6, and so is this block."""

    eps = 1e-5


@Block.mistake
class TanhGelu(RightBlock):
    """You used the tanh approximation of GELU; the Vision Transformer uses the exact
    one."""

    def activation(self, hidden):
        return F.gelu(hidden, approximate="tanh")


@Block.mistake
class Relu(RightBlock):
    """You used ReLU; the Vision Transformer's activation is GELU."""

    def activation(self, hidden):
        return F.relu(hidden)


@Block.mistake
class AttentionWithDropout(RightBlock):
    """Your block has dropout (an argument of nn.MultiheadAttention, perhaps): two calls
    in training mode differ. This block has none."""

    def __init__(self, dim, heads, hidden):
        super().__init__(dim, heads, hidden)
        self.attention.dropout = 0.5


def with_order(function):
    """A block that puts its parts together as a wrong function of exercise 2.6."""

    class Wrong(RightBlock):
        def forward(self, z):
            return function(z, self.norm1, self.attend, self.norm2, self.feed_forward)

    return Wrong


def with_network(function):
    """A block whose network is a wrong function of exercise 2.2."""

    class Wrong(RightBlock):
        def feed_forward(self, x):
            weights = (self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias)
            return function(x, *weights, self.activation)

    return Wrong


PARALLEL = [w.__name__ for w in Blocks.mistakes if w.stands_in_for == "parallel_block"]
lift(Blocks, Block, with_order, without=PARALLEL)
# Without those about the activation that the function is given.
GIVEN = ("always_gelu", "always_relu")
lift(FeedForwardFunction, Block, with_network, without=GIVEN)
