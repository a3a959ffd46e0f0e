"""Exercise 2.3: the feed-forward network as a module, with dropout."""

import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks import compare
from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case
from labkit.exercises.lab_02_feed_forward.feed_forward import FeedForwardFunction
from labkit.exercises.lifted import lift


class RightModule(nn.Module):
    """The right module, for mistakes to go wrong from in one place each."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def activation(self, hidden):
        return F.gelu(hidden)

    def forward(self, x):
        hidden = self.activation(self.fc1(x))
        return self.dropout(self.fc2(self.dropout(hidden)))


# Not 0.5, where it makes no difference whether this is what is dropped or what is kept.
P = 0.4
DROPPING = f"dropout={P}"


@looks_at("repeat")
def dropout_rests_in_evaluation(cases: Cases, replies: Replies) -> str | None:
    if not replies[DROPPING]["repeat"]:
        return "In eval mode, two calls with the same x gave different outputs."
    return None


@looks_at("varies", "drawn")
def dropout_acts_in_training(cases: Cases, replies: Replies) -> str | None:
    """Every channel is on its own here, so that the numbers tell what was dropped."""
    case, reply = cases[DROPPING], replies[DROPPING]
    if not reply["varies"]:
        return f"In training mode with {DROPPING}, two calls gave the same output."
    bias = case.state["fc2.bias"][0].item()
    hidden = F.gelu(case.inputs["x"][0, 0, 0] + case.state["fc1.bias"][0]).item()
    at_rest = reply["output_eval"]
    if not compare.close(at_rest, torch.full_like(at_rest, hidden + bias)):
        return None  # wrong without dropout, too: told among the values
    kept = 1 - P
    wanted = (0.0, bias / kept, (hidden / kept + bias) / kept)
    gap = (reply["drawn"][0][:, None] - torch.tensor(wanted)).abs() > 1e-3
    start = f"In training mode with {DROPPING}, "
    if gap[:, 0].all():
        return f"{start}no output is 0: dropout follows the second layer, too."
    if gap.all(1).any():
        return (
            f"{start}a value is dropped elsewhere than after the activation and after "
            "the second layer, or with another probability, or what is kept is not "
            f"divided by {kept}."
        )
    return None


class FeedForwardModule(Exercise):
    """FeedForward(dim, hidden, dropout): fc1, GELU, fc2."""

    number = "2.3"
    reference = {"FeedForward": RightModule}
    probe = "module"
    properties = (dropout_rests_in_evaluation, dropout_acts_in_training)

    def draw_cases(self, draw: Draw):
        B, T, D, H = draw.sizes(4)
        for name, shape in (("no dropout", (B, T)), ("one token, shape (D,)", ())):
            state = {
                "fc1.weight": draw.normal(H, D),
                "fc1.bias": draw.normal(H),
                "fc2.weight": draw.normal(D, H),
                "fc2.bias": draw.normal(D),
            }
            sizes, x = {"dim": D, "hidden": H}, {"x": draw.normal(*shape, D)}
            edge = not shape
            yield Case(name, "FeedForward", sizes, state=state, inputs=x, edge=edge)
        alone = torch.eye(D, dtype=torch.float64)
        like = torch.ones(D, dtype=torch.float64)
        # The hidden values lie between 0.5 and 1.5, where GELU is bent: beyond, dropout
        # gives the same before it and after it.
        first, value = 0.25 + draw.normal(2).sigmoid() / 2
        second = 1 + draw.normal(1).abs()
        yield Case(
            DROPPING,
            "FeedForward",
            {"dim": D, "hidden": D},
            {"dropout": P},
            state={
                "fc1.weight": alone,
                "fc1.bias": first * like,
                "fc2.weight": alone,
                "fc2.bias": second * like,
            },
            inputs={"x": value * like.expand(B, T, D)},
            stochastic=True,
        )


@FeedForwardModule.mistake
class DropoutAlways(RightModule):
    """Your dropout acts in eval mode too. Use an nn.Dropout, or F.dropout with
    training=self.training."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__(dim, hidden)
        self.p = dropout

    def forward(self, x):
        return F.dropout(super().forward(x), self.p, training=True)


@FeedForwardModule.mistake
class DropoutKeeps(RightModule):
    """Your dropout keeps a value with probability dropout. That is the probability to
    drop one, as in nn.Dropout(dropout)."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__(dim, hidden, 1 - dropout if dropout else 0.0)


@FeedForwardModule.mistake
class DropoutNever(RightModule):
    """Your dropout does nothing: the dropout argument is not used in training."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__(dim, hidden)


@FeedForwardModule.mistake
class DropoutWrittenIn(RightModule):
    """Your dropout has a probability that you wrote in, 0.1. Use the argument
    dropout."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__(dim, hidden, 0.1 if dropout else 0.0)


@FeedForwardModule.mistake
class DropoutOnlyInside(RightModule):
    """Your dropout follows the activation only. It follows the second layer, too."""

    def forward(self, x):
        return self.fc2(self.dropout(self.activation(self.fc1(x))))


@FeedForwardModule.mistake
class DropoutOnlyAtTheEnd(RightModule):
    """Your dropout follows the second layer only. It follows the activation, too."""

    def forward(self, x):
        return self.dropout(self.fc2(self.activation(self.fc1(x))))


@FeedForwardModule.mistake
class DropoutBeforeTheActivation(RightModule):
    """Your dropout stands before the activation. It follows it."""

    def forward(self, x):
        hidden = self.activation(self.dropout(self.fc1(x)))
        return self.dropout(self.fc2(hidden))


@FeedForwardModule.mistake
class DropoutOnTheInput(RightModule):
    """You drop values of x. Dropout follows the activation and the second layer."""

    def forward(self, x):
        return super().forward(self.dropout(x))


@FeedForwardModule.mistake
class ReluModule(RightModule):
    """You used ReLU; this module's activation is GELU."""

    def activation(self, hidden):
        return F.relu(hidden)


@FeedForwardModule.mistake
class TanhGeluModule(RightModule):
    """You used the tanh approximation of GELU; this module uses the exact one."""

    def activation(self, hidden):
        return F.gelu(hidden, approximate="tanh")


@FeedForwardModule.mistake
class NoHiddenWidth(nn.Module):
    """Both of your layers have width dim. The first goes from dim to hidden, the
    second back."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, dim), nn.Linear(dim, dim)


@FeedForwardModule.mistake
class NoBias(nn.Module):
    """Your linear layers have no bias."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, dim, bias=False)


@FeedForwardModule.mistake
class LayersInAList(nn.Module):
    """Your module has no layer registered: assign each to self.fc1 and self.fc2 in
    __init__. In a plain Python list, in a variable without self or made in forward,
    they are not part of the module."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.layers = [nn.Linear(dim, hidden), nn.Linear(hidden, dim)]


@FeedForwardModule.mistake
class LayersInASequential(nn.Module):
    """You keep the layers in an nn.Sequential, which calls them 0 and 2. Here they are
    to be called fc1 and fc2: assign each to self."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim)
        )


@FeedForwardModule.mistake
class InPlaceOnInput(RightModule):
    """You changed the caller's x in place. The residual connection still needs it."""

    def forward(self, x):
        y = super().forward(x)
        with torch.no_grad():
            x.relu_()
        return y


def as_module(function):
    """A module that computes by a wrong function of exercise 2.2."""

    class Wrong(RightModule):
        def forward(self, x):
            def activation(hidden):
                return self.dropout(self.activation(hidden))

            first, second = self.fc1, self.fc2
            weights = (first.weight, first.bias, second.weight, second.bias)
            return self.dropout(function(x, *weights, activation))

    return Wrong


# Without those about the activation that the function is given.
GIVEN = ("always_gelu", "always_relu")
lift(FeedForwardFunction, FeedForwardModule, as_module, without=GIVEN)
