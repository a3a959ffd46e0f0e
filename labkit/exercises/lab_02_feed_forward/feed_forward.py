"""Exercise 2.2: the feed-forward network as a function of its weights."""

from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case, Layer


def tokens_stand_alone(cases: Cases, replies: Replies) -> str | None:
    one, other = (
        replies[n]["output"] for n in ("x (B, T, D), GELU", "token 1 changed")
    )
    if bool(((one - other)[:, 0].abs() > 1e-9).any()):
        return (
            "Only the token at position 1 was changed, yet the output at position 0 "
            "changed: your network mixes tokens."
        )
    return None


class FeedForwardFunction(Exercise):
    """feed_forward(x, …): linear, activation, linear, each token by itself."""

    number = "2.2"
    properties = (tokens_stand_alone,)

    @staticmethod
    def feed_forward(x, weight1, bias1, weight2, bias2, activation):
        return F.linear(activation(F.linear(x, weight1, bias1)), weight2, bias2)

    reference = {"feed_forward": feed_forward}

    def draw_cases(self, draw: Draw):
        A, B, T, D, H = draw.sizes(5, high=8)
        weights = {
            "weight1": draw.normal(H, D),
            "bias1": draw.normal(H),
            "weight2": draw.normal(D, H),
            "bias2": draw.normal(D),
        }
        x = draw.normal(B, T, D)
        neighbour = x.clone()
        neighbour[:, 1] = draw.normal(B, D)
        for name, values, activation in (
            ("x (B, T, D), GELU", x, "GELU"),
            ("token 1 changed", neighbour, "GELU"),
            ("Tanh", x, "Tanh"),
            ("one token, shape (D,)", x[0, 0], "ReLU"),
            ("four axes", draw.normal(A, B, T, D), "SiLU"),
        ):
            args = {"x": values, **weights, "activation": Layer(activation)}
            yield Case(name, "feed_forward", args, edge=values.dim() != 3)


@FeedForwardFunction.mistake
def activation_forgotten(x, weight1, bias1, weight2, bias2, activation):
    """You left the activation out. Two linear maps in a row are one linear map
    (exercise 2.4)."""
    return F.linear(F.linear(x, weight1, bias1), weight2, bias2)


@FeedForwardFunction.mistake
def activation_at_the_end(x, weight1, bias1, weight2, bias2, activation):
    """You put the activation behind the second linear map. It belongs between the
    two."""
    return activation(F.linear(F.linear(x, weight1, bias1), weight2, bias2))


@FeedForwardFunction.mistake
def activation_twice(x, weight1, bias1, weight2, bias2, activation):
    """You put an activation behind the second linear map too. It stands between the two
    only: the output must be able to take any value."""
    return activation(F.linear(activation(F.linear(x, weight1, bias1)), weight2, bias2))


@FeedForwardFunction.mistake
def activation_first(x, weight1, bias1, weight2, bias2, activation):
    """You applied the activation to x. It stands between the two linear maps."""
    return F.linear(F.linear(activation(x), weight1, bias1), weight2, bias2)


@FeedForwardFunction.mistake
def always_gelu(x, weight1, bias1, weight2, bias2, activation):
    """You used a fixed activation; use the argument."""
    return F.linear(F.gelu(F.linear(x, weight1, bias1)), weight2, bias2)


@FeedForwardFunction.mistake
def always_relu(x, weight1, bias1, weight2, bias2, activation):
    """You used ReLU instead of the activation you were given; use the argument."""
    return F.linear(F.relu(F.linear(x, weight1, bias1)), weight2, bias2)


@FeedForwardFunction.mistake
def first_bias_forgotten(x, weight1, bias1, weight2, bias2, activation):
    """You left the first bias out."""
    return F.linear(activation(F.linear(x, weight1)), weight2, bias2)


@FeedForwardFunction.mistake
def second_bias_forgotten(x, weight1, bias1, weight2, bias2, activation):
    """You left the second bias out."""
    return F.linear(activation(F.linear(x, weight1, bias1)), weight2)


@FeedForwardFunction.mistake
def residual_added(x, weight1, bias1, weight2, bias2, activation):
    """You added x. The residual connection belongs to the block (exercise 2.6), not to
    the feed-forward network."""
    return x + F.linear(activation(F.linear(x, weight1, bias1)), weight2, bias2)


@FeedForwardFunction.mistake
def not_transposed(x, weight1, bias1, weight2, bias2, activation):
    """Your first product does not fit: it takes weight1 the wrong way round, or weight2
    in its place. PyTorch stores a linear map's weight as (outputs, inputs): write
    x @ weight1.T, or F.linear(x, weight1), which transposes by itself. With D = H the
    mistake would go unnoticed."""
    return activation(x @ weight1 + bias1) @ weight2 + bias2


@FeedForwardFunction.mistake
def tokens_averaged(x, weight1, bias1, weight2, bias2, activation):
    """You mixed tokens before the network (an average over positions). Every token goes
    through it alone."""
    x = x - x.mean(-2, keepdim=True) if x.dim() > 1 else x
    return F.linear(activation(F.linear(x, weight1, bias1)), weight2, bias2)
