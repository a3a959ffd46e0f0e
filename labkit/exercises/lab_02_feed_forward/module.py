"""Exercise 2.3: the feed-forward network as a module, with dropout."""

import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case


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
DROPPING = "dropout=0.75"


@looks_at("repeat")
def dropout_rests_in_evaluation(cases: Cases, replies: Replies) -> str | None:
    if not replies[DROPPING]["repeat"]:
        return "In eval mode, two calls with the same x gave different outputs."
    return None


@looks_at("varies", "zeros")
def dropout_acts_in_training(cases: Cases, replies: Replies) -> str | None:
    reply = replies[DROPPING]
    if not reply["varies"]:
        return f"In training mode with {DROPPING}, two calls gave the same output."
    if reply["zeros"] == "some":  # none are 0 where no dropout comes last
        return (
            f"In training mode with {DROPPING}, less than half of the output is 0; "
            "expected about three quarters."
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
        for name, shape, options in (
            ("no dropout", (B, T), {}),
            (DROPPING, (B, T), {"dropout": 0.75}),
            ("one token, shape (D,)", (), {}),
        ):
            yield Case(
                name,
                "FeedForward",
                {"dim": D, "hidden": H},
                options,
                state={
                    "fc1.weight": draw.normal(H, D),
                    "fc1.bias": draw.normal(H),
                    "fc2.weight": draw.normal(D, H),
                    "fc2.bias": draw.normal(D),
                },
                inputs={"x": draw.normal(*shape, D)},
                stochastic=bool(options),
                edge=not shape,
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
class NoActivation(RightModule):
    """You left the activation out: two linear maps in a row are one."""

    def activation(self, hidden):
        return hidden


@FeedForwardModule.mistake
class ActivationTwice(RightModule):
    """You put an activation behind the second linear map too."""

    def forward(self, x):
        return F.gelu(super().forward(x))


@FeedForwardModule.mistake
class ResidualInside(RightModule):
    """You added x inside the module. The residual connection belongs to the block."""

    def forward(self, x):
        return x + super().forward(x)


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
