"""Exercise 4.2.2: equations (2) and (3), one layer of the encoder."""

from torch import nn
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case

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


@looks_at("repeat")
def no_dropout(cases: Cases, replies: Replies) -> str | None:
    if replies["z (B, T, D)"]["repeat"]:
        return None
    return "Two calls in training mode with the same z gave different results."


class Block(Exercise):
    """Block(dim, heads, hidden): equations (2) and (3)."""

    number = "4.2.2"
    reference = {"Block": RightBlock}
    probe = "module"
    properties = (no_dropout,)

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
class FirstNormTwice(RightBlock):
    """You used norm1 for both sublayers. Equation (3) has a layer norm of its own,
    norm2."""

    def forward(self, z):
        z = z + self.attend(self.norm1(z))
        return z + self.feed_forward(self.norm1(z))


@Block.mistake
class NormsExchanged(RightBlock):
    """You exchanged the two layer norms: norm1 goes before the attention, norm2 before
    the feed-forward network."""

    def forward(self, z):
        z = z + self.attend(self.norm2(z))
        return z + self.feed_forward(self.norm1(z))


@Block.mistake
class PostNorm(RightBlock):
    """You normalized after the sum (post-norm, the first Transformer's). Equations (2)
    and (3) normalize the input of the sublayer."""

    def forward(self, z):
        z = self.norm1(z + self.attend(z))
        return self.norm2(z + self.feed_forward(z))


@Block.mistake
class NoNorms(RightBlock):
    """You left the layer norms out: the sublayers read LN(z), not z."""

    def forward(self, z):
        z = z + self.attend(z)
        return z + self.feed_forward(z)


@Block.mistake
class ResidualFromNorm(RightBlock):
    """You added LN(z) instead of z. The residual connection carries the input itself;
    only the sublayer reads the normalized copy."""

    def forward(self, z):
        z = self.norm1(z)
        z = z + self.attend(z)
        z = self.norm2(z)
        return z + self.feed_forward(z)


@Block.mistake
class AttentionWithoutResidual(RightBlock):
    """Your attention has no residual connection: add z, equation (2)."""

    def forward(self, z):
        z = self.attend(self.norm1(z))
        return z + self.feed_forward(self.norm2(z))


@Block.mistake
class FeedForwardWithoutResidual(RightBlock):
    """Your feed-forward network has no residual connection: add z′, equation (3)."""

    def forward(self, z):
        z = z + self.attend(self.norm1(z))
        return self.feed_forward(self.norm2(z))


@Block.mistake
class NoResiduals(RightBlock):
    """You left both residual connections out: + z and + z′ in equations (2) and (3)."""

    def forward(self, z):
        return self.feed_forward(self.norm2(self.attend(self.norm1(z))))


@Block.mistake
class ResidualFromTheInput(RightBlock):
    """Your second residual connection starts at the block's input. Equation (3) adds
    z′, what the attention sublayer gave."""

    def forward(self, z):
        between = z + self.attend(self.norm1(z))
        return z + self.feed_forward(self.norm2(between))


@Block.mistake
class Parallel(RightBlock):
    """Your two sublayers both read the block's input. In equation (3) the feed-forward
    network reads what the attention sublayer gave."""

    def forward(self, z):
        return z + self.attend(self.norm1(z)) + self.feed_forward(self.norm2(z))


@Block.mistake
class FeedForwardFirst(RightBlock):
    """You ran the feed-forward network before the attention. Equation (2) comes before
    equation (3)."""

    def forward(self, z):
        z = z + self.feed_forward(self.norm2(z))
        return z + self.attend(self.norm1(z))


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
class NoActivation(RightBlock):
    """You left the activation out between fc1 and fc2: two linear maps in a row are
    one."""

    def activation(self, hidden):
        return hidden


@Block.mistake
class ActivationAtTheEnd(RightBlock):
    """You put an activation behind fc2. GELU stands between fc1 and fc2 only."""

    def feed_forward(self, x):
        return F.gelu(super().feed_forward(x))


@Block.mistake
class AttentionWithDropout(RightBlock):
    """Your block has dropout (an argument of nn.MultiheadAttention, perhaps): two calls
    in training mode differ. This block has none."""

    def __init__(self, dim, heads, hidden):
        super().__init__(dim, heads, hidden)
        self.attention.dropout = 0.5
