"""Lab 2: what is right, and the usual ways of being wrong, about the feed-forward net.

x is (B, T, D): samples, tokens, width; H is the hidden width. A misconception's
docstring is what the learner reads.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Records, looks_at, mistake
from labkit.checks.probes import Case, Layer

# ------------------------------------------------------------------------------ 2.1


def tanh_gelu(x):
    """Your gelu is the tanh approximation. It is close (within 0.0005), but this
    exercise asks for the exact one, with the normal distribution's erf."""
    return F.gelu(x, approximate="tanh")


def quick_gelu(x):
    """Your gelu is x · sigmoid(1.702 x), a rougher approximation. The exact one uses
    the normal distribution function, by erf."""
    return x * torch.sigmoid(1.702 * x)


def silu(x):
    """Your gelu is x · sigmoid(x), which is SiLU. GELU weighs x by the normal
    distribution function instead of the sigmoid."""
    return x * torch.sigmoid(x)


def relu(x):
    """Your gelu is ReLU. GELU does not cut at 0: it weighs x by the probability that a
    standard normal variable is smaller than x."""
    return x.clamp(min=0)


def cdf_alone(x):
    """Your gelu returns the normal distribution function alone. Multiply it by x."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def erf_unscaled(x):
    """You forgot the root of 2: the normal distribution function is
    (1 + erf(x / √2)) / 2."""
    return 0.5 * x * (1 + torch.erf(x))


def half_forgotten(x):
    """You forgot the factor 1/2: the normal distribution function is
    (1 + erf(x / √2)) / 2."""
    return x * (1 + torch.erf(x / math.sqrt(2)))


class GELU(Exercise):
    """gelu(x): x weighted by the standard normal distribution function, exactly."""

    number = "2.1"
    off_limits = ("gelu",)
    misconceptions = (
        tanh_gelu,
        quick_gelu,
        silu,
        relu,
        cdf_alone,
        erf_unscaled,
        half_forgotten,
    )

    @staticmethod
    def gelu(x):
        return F.gelu(x)

    reference = {"gelu": gelu}

    def draw_cases(self, draw: Draw):
        B, T, D = draw.sizes(3)
        rounded = 1e-6  # room for torch.sqrt(torch.tensor(2.0)), which is a float32
        x = draw.normal(B, T, D, std=2)
        yield Case("x (B, T, D)", "gelu", {"x": x}, tolerance=rounded)
        one = {"x": draw.normal(D, std=2)}
        yield Case("one axis", "gelu", one, edge=True, tolerance=rounded)
        far = torch.tensor([-30.0, 0.0, 30.0], dtype=torch.float64)
        yield Case("far from zero", "gelu", {"x": far}, edge=True, tolerance=rounded)
        single = draw.normal(B, T).float()
        yield Case("float32", "gelu", {"x": single}, edge=True, gradients=False)


# ------------------------------------------------------------------------------ 2.2


def activation_forgotten(x, weight1, bias1, weight2, bias2, activation):
    """You left the activation out. Two linear maps in a row are one linear map
    (exercise 2.4)."""
    return F.linear(F.linear(x, weight1, bias1), weight2, bias2)


def activation_at_the_end(x, weight1, bias1, weight2, bias2, activation):
    """You put the activation behind the second linear map. It belongs between the
    two."""
    return activation(F.linear(F.linear(x, weight1, bias1), weight2, bias2))


def activation_twice(x, weight1, bias1, weight2, bias2, activation):
    """You put an activation behind the second linear map too. It stands between the two
    only: the output must be able to take any value."""
    return activation(F.linear(activation(F.linear(x, weight1, bias1)), weight2, bias2))


def activation_first(x, weight1, bias1, weight2, bias2, activation):
    """You applied the activation to x. It stands between the two linear maps."""
    return F.linear(F.linear(activation(x), weight1, bias1), weight2, bias2)


def always_gelu(x, weight1, bias1, weight2, bias2, activation):
    """You used a fixed activation; use the argument."""
    return F.linear(F.gelu(F.linear(x, weight1, bias1)), weight2, bias2)


def always_relu(x, weight1, bias1, weight2, bias2, activation):
    """You used ReLU instead of the activation you were given; use the argument."""
    return F.linear(F.relu(F.linear(x, weight1, bias1)), weight2, bias2)


def first_bias_forgotten(x, weight1, bias1, weight2, bias2, activation):
    """You left the first bias out."""
    return F.linear(activation(F.linear(x, weight1)), weight2, bias2)


def second_bias_forgotten(x, weight1, bias1, weight2, bias2, activation):
    """You left the second bias out."""
    return F.linear(activation(F.linear(x, weight1, bias1)), weight2)


def residual_added(x, weight1, bias1, weight2, bias2, activation):
    """You added x. The residual connection belongs to the block (exercise 2.6), not to
    the feed-forward network."""
    return x + F.linear(activation(F.linear(x, weight1, bias1)), weight2, bias2)


def not_transposed(x, weight1, bias1, weight2, bias2, activation):
    """You used weight1 the wrong way round. PyTorch stores a linear map's weight as
    (outputs, inputs): write x @ weight1.T, or F.linear(x, weight1), which transposes by
    itself. With D = H the mistake would go unnoticed."""
    return activation(x @ weight1 + bias1) @ weight2 + bias2


def tokens_averaged(x, weight1, bias1, weight2, bias2, activation):
    """You mixed tokens before the network (an average over positions). Every token goes
    through it alone."""
    x = x - x.mean(-2, keepdim=True) if x.dim() > 1 else x
    return F.linear(activation(F.linear(x, weight1, bias1)), weight2, bias2)


def tokens_stand_alone(cases: Cases, records: Records) -> str | None:
    one, other = (
        records[n]["output"] for n in ("x (B, T, D), GELU", "token 1 changed")
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
    misconceptions = (
        activation_forgotten,
        activation_at_the_end,
        activation_twice,
        activation_first,
        always_gelu,
        always_relu,
        first_bias_forgotten,
        second_bias_forgotten,
        residual_added,
        not_transposed,
        tokens_averaged,
    )

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


# ------------------------------------------------------------------------------ 2.3


class RightModule(nn.Module):
    """The right module, for misconceptions to go wrong from in one place each."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.dropout = nn.Dropout(dropout)

    def activation(self, hidden):
        return F.gelu(hidden)

    def forward(self, x):
        hidden = self.activation(self.fc1(x))
        return self.dropout(self.fc2(self.dropout(hidden)))


class DropoutAlways(RightModule):
    """Your dropout acts in eval mode too. Use an nn.Dropout, or F.dropout with
    training=self.training."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__(dim, hidden_dim)
        self.p = dropout

    def forward(self, x):
        return F.dropout(super().forward(x), self.p, training=True)


class DropoutKeeps(RightModule):
    """Your dropout keeps a value with probability dropout. That is the probability to
    drop one, as in nn.Dropout(dropout)."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__(dim, hidden_dim, 1 - dropout if dropout else 0.0)


class DropoutNever(RightModule):
    """Your dropout does nothing: the dropout argument is not used in training."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__(dim, hidden_dim)


class ReluModule(RightModule):
    """You used ReLU; this module's activation is GELU."""

    def activation(self, hidden):
        return F.relu(hidden)


class TanhGeluModule(RightModule):
    """You used the tanh approximation of GELU; this module uses the exact one."""

    def activation(self, hidden):
        return F.gelu(hidden, approximate="tanh")


class NoActivation(RightModule):
    """You left the activation out: two linear maps in a row are one."""

    def activation(self, hidden):
        return hidden


class ActivationTwice(RightModule):
    """You put an activation behind the second linear map too."""

    def forward(self, x):
        return F.gelu(super().forward(x))


class ResidualInside(RightModule):
    """You added x inside the module. The residual connection belongs to the block."""

    def forward(self, x):
        return x + super().forward(x)


class NoHiddenWidth(nn.Module):
    """Both of your layers have width dim. The first goes from dim to hidden_dim, the
    second back."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, dim), nn.Linear(dim, dim)


class NoBias(nn.Module):
    """Your linear layers have no bias."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim, bias=False)
        self.fc2 = nn.Linear(hidden_dim, dim, bias=False)


class LayersInAList(nn.Module):
    """Your module has no layer registered: assign each to self.fc1 and self.fc2 in
    __init__. In a plain Python list, in a variable without self or made in forward,
    they are not part of the module."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.layers = [nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)]


class LayersInASequential(nn.Module):
    """You keep the layers in an nn.Sequential, which calls them 0 and 2. Here they are
    to be called fc1 and fc2: assign each to self."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, dim)
        )


class InPlaceOnInput(RightModule):
    """You changed the caller's x in place. The residual connection still needs it."""

    def forward(self, x):
        y = super().forward(x)
        with torch.no_grad():
            x.relu_()
        return y


# Not 0.5, where it makes no difference whether this is what is dropped or what is kept.
DROPPING = "dropout=0.75"


@looks_at("repeat")
def dropout_rests_in_evaluation(cases: Cases, records: Records) -> str | None:
    if not records[DROPPING]["repeat"]:
        return "In eval mode, two calls with the same x gave different outputs."
    return None


@looks_at("varies", "zeros")
def dropout_acts_in_training(cases: Cases, records: Records) -> str | None:
    record = records[DROPPING]
    if not record["varies"]:
        return f"In training mode with {DROPPING}, two calls gave the same output."
    if record["zeros"] == "some":  # none are 0 where no dropout comes last
        return (
            f"In training mode with {DROPPING}, less than half of the output is 0; "
            "expected about three quarters."
        )
    return None


class FeedForwardModule(Exercise):
    """FeedForward(dim, hidden_dim, dropout): fc1, GELU, fc2."""

    number = "2.3"
    reference = {"FeedForward": RightModule}
    probe = "module"
    properties = (dropout_rests_in_evaluation, dropout_acts_in_training)
    misconceptions = (
        DropoutAlways,
        DropoutKeeps,
        DropoutNever,
        ReluModule,
        TanhGeluModule,
        NoActivation,
        ActivationTwice,
        ResidualInside,
        NoHiddenWidth,
        NoBias,
        LayersInAList,
        LayersInASequential,
        InPlaceOnInput,
    )

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
                {"dim": D, "hidden_dim": H},
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


# ------------------------------------------------------------------------------ 2.4


def product_alone(weight1, bias1, weight2, bias2):
    """Your bias is bias2 alone. The first bias passes through the second map:
    weight2 @ bias1 + bias2."""
    return weight2 @ weight1, bias2


def biases_added(weight1, bias1, weight2, bias2):
    """You carried bias1 over as a number. It passes through the second map:
    weight2 @ bias1 + bias2."""
    return weight2 @ weight1, weight2.sum(-1) * bias1.mean() + bias2


def second_bias_lost(weight1, bias1, weight2, bias2):
    """You left bias2 out: weight2 @ bias1 + bias2."""
    return weight2 @ weight1, weight2 @ bias1


def product_turned(weight1, bias1, weight2, bias2):
    """You multiplied the weights in the wrong order: the map applied last stands
    first, weight2 @ weight1."""
    return weight1 @ weight2, weight2 @ bias1 + bias2


def product_transposed(weight1, bias1, weight2, bias2):
    """Your weight is transposed. PyTorch stores a weight as (outputs, inputs):
    weight2 @ weight1."""
    return (weight2 @ weight1).T, weight2 @ bias1 + bias2


class MergeLinear(Exercise):
    """merge_linear(…): the one linear map that two without an activation are."""

    number = "2.4"
    misconceptions = (
        product_alone,
        biases_added,
        second_bias_lost,
        product_turned,
        product_transposed,
    )

    @staticmethod
    def merge_linear(weight1, bias1, weight2, bias2):
        return weight2 @ weight1, weight2 @ bias1 + bias2

    reference = {"merge_linear": merge_linear}

    def draw_cases(self, draw: Draw):
        inputs, hidden, outputs = draw.sizes(3)
        for name in ("three widths", "other weights"):
            args = {
                "weight1": draw.normal(hidden, inputs),
                "bias1": draw.normal(hidden),
                "weight2": draw.normal(outputs, hidden),
                "bias2": draw.normal(outputs),
            }
            yield Case(name, "merge_linear", args)


# ------------------------------------------------------------------------------ 2.5


def macs(tokens, dim, hidden_dim, projections=4, core=2, layers=2):
    return {
        "attention_projections": projections * tokens * dim * dim,
        "attention_core": core * tokens * tokens * dim,
        "feed_forward": layers * tokens * dim * hidden_dim,
    }


@mistake(of="block_macs")
def multiplies_and_adds(tokens, dim, hidden_dim):
    """You counted every multiply-accumulate as two operations. That is the number of
    FLOPs; here one multiplication with its addition counts once."""
    return macs(tokens, dim, hidden_dim, 8, 4, 4)


@mistake(of="block_macs")
def output_projection_forgotten(tokens, dim, hidden_dim):
    """You counted three projections. There are four: query, key, value and the output
    projection."""
    return macs(tokens, dim, hidden_dim, projections=3)


@mistake(of="block_macs")
def core_counted_once(tokens, dim, hidden_dim):
    """You counted one product in the attention core. There are two of T·T·D each: the
    scores QKᵀ and the weighted sum of the values."""
    return macs(tokens, dim, hidden_dim, core=1)


@mistake(of="block_macs")
def one_layer_counted(tokens, dim, hidden_dim):
    """You counted one linear layer in the feed-forward network. There are two."""
    return macs(tokens, dim, hidden_dim, layers=1)


@mistake(of="block_macs")
def hidden_is_four_times(tokens, dim, hidden_dim):
    """You assumed that the hidden width is 4 · dim; use hidden_dim."""
    return macs(tokens, dim, 4 * dim)


@mistake(of="block_macs")
def one_token(tokens, dim, hidden_dim):
    """You counted one token. The cost is that of the whole sequence: multiply by
    tokens."""
    return {k: v // tokens for k, v in macs(tokens, dim, hidden_dim).items()}


@mistake(of="block_macs")
def core_quadratic_in_width(tokens, dim, hidden_dim):
    """Your attention core grows with dim². The matrix of weights is T×T: its two
    products cost T·T·D each."""
    return {
        **macs(tokens, dim, hidden_dim),
        "attention_core": 2 * tokens * dim * dim,
    }


@mistake(of="crossover_tokens")
def core_alone_against_network(dim, hidden_dim):
    """You compared the attention core alone with the feed-forward network. The
    projections belong to the attention sublayer too."""
    return hidden_dim


@mistake(of="crossover_tokens")
def projections_halved(dim, hidden_dim):
    """Your crossover subtracts dim once. Set 4·T·D² + 2·T²·D equal to 2·T·D·H and
    divide by 2·T·D."""
    return max(0, hidden_dim - dim)


@mistake(of="crossover_tokens")
def twice_the_width(dim, hidden_dim):
    """You returned 2 · dim, which is right only for hidden_dim = 4 · dim."""
    return 2 * dim


@mistake(of="crossover_tokens")
def negative_tokens(dim, hidden_dim):
    """You returned a negative number of tokens. Where the feed-forward network is
    narrow, attention costs more from the first token on: return 0."""
    return hidden_dim - 2 * dim


class BlockCost(Exercise):
    """block_macs and crossover_tokens: what a block costs."""

    number = "2.5"
    misconceptions = (
        multiplies_and_adds,
        output_projection_forgotten,
        core_counted_once,
        one_layer_counted,
        hidden_is_four_times,
        one_token,
        core_quadratic_in_width,
        core_alone_against_network,
        projections_halved,
        twice_the_width,
        negative_tokens,
    )

    @staticmethod
    def block_macs(tokens, dim, hidden_dim):
        return macs(tokens, dim, hidden_dim)

    @staticmethod
    def crossover_tokens(dim, hidden_dim):
        return max(0, hidden_dim - 2 * dim)

    reference = {"block_macs": block_macs, "crossover_tokens": crossover_tokens}

    def draw_cases(self, draw: Draw):
        for name, factor in (("wide", 5), ("narrow", 1)):
            tokens, dim, more = draw.sizes(3, high=60)
            sizes = {"dim": dim, "hidden_dim": factor * dim + more}
            if factor == 1:
                sizes["hidden_dim"] = dim + 1
            given = {"tokens": tokens, **sizes}
            yield Case(f"{name} {given}", "block_macs", given, gradients=False)
            yield Case(f"{name} {sizes}", "crossover_tokens", sizes, gradients=False)


# ------------------------------------------------------------------------------ 2.6


@mistake(of="sequential_block")
def sequential_is_parallel(x, norm1, attention, norm2, feed_forward):
    """Your feed-forward network reads x instead of what attention left behind: that is
    a parallel block. First z = x + attention(norm1(x)), then everything from z."""
    return x + attention(norm1(x)) + feed_forward(norm2(x))


@mistake(of="sequential_block")
def attention_lost(x, norm1, attention, norm2, feed_forward):
    """Your second residual adds x, so the attention's own contribution is lost. Add
    z = x + attention(norm1(x))."""
    z = x + attention(norm1(x))
    return x + feed_forward(norm2(z))


@mistake(of="sequential_block")
def one_norm_for_both(x, norm1, attention, norm2, feed_forward):
    """You used norm1 twice. The two sublayers have a norm each."""
    z = x + attention(norm1(x))
    return z + feed_forward(norm1(z))


@mistake(of="sequential_block")
def residual_of_normalized(x, norm1, attention, norm2, feed_forward):
    """Your residuals add what the norms return. The stream itself is never normalized:
    x + attention(norm1(x))."""
    x = norm1(x)
    x = norm2(x + attention(x))
    return x + feed_forward(x)


@mistake(of="sequential_block")
def post_norm_block(x, norm1, attention, norm2, feed_forward):
    """Your block is post-norm. Here, as in ViT, each norm stands before its
    sublayer."""
    z = norm1(x + attention(x))
    return norm2(z + feed_forward(z))


@mistake(of="sequential_block")
def no_residuals(x, norm1, attention, norm2, feed_forward):
    """Your block has no residual connections."""
    return feed_forward(norm2(attention(norm1(x))))


@mistake(of="sequential_block")
def feed_forward_first(x, norm1, attention, norm2, feed_forward):
    """Your feed-forward network comes first. Attention comes first."""
    z = x + feed_forward(norm2(x))
    return z + attention(norm1(z))


@mistake(of="parallel_block")
def parallel_is_sequential(x, norm, attention, feed_forward):
    """Your parallel block is sequential: the feed-forward network must not read what
    attention returns. Both read norm(x)."""
    z = x + attention(norm(x))
    return z + feed_forward(norm(z))


@mistake(of="parallel_block")
def parallel_without_residual(x, norm, attention, feed_forward):
    """Your parallel block has no residual connection: add x."""
    y = norm(x)
    return attention(y) + feed_forward(y)


@mistake(of="parallel_block")
def parallel_two_residuals(x, norm, attention, feed_forward):
    """Your parallel block adds x twice. There is one residual connection."""
    y = norm(x)
    return 2 * x + attention(y) + feed_forward(y)


@mistake(of="parallel_block")
def parallel_residual_normalized(x, norm, attention, feed_forward):
    """Your parallel block adds norm(x). The residual is x itself."""
    y = norm(x)
    return y + attention(y) + feed_forward(y)


@mistake(of="parallel_block")
def only_attention_normalized(x, norm, attention, feed_forward):
    """Your feed-forward network reads x without the norm. Both sublayers read
    norm(x)."""
    return x + attention(norm(x)) + feed_forward(x)


def nothing_added_changes_nothing(cases: Cases, records: Records) -> str | None:
    for target in ("sequential_block", "parallel_block"):
        name = f"{target}, sublayers that return 0"
        x, output = cases[name].args["x"], records[name]["output"]
        if bool(((output - x).abs() > 1e-9).any()):
            return f"With sublayers that return 0, {target} should return x itself."
    return None


class Blocks(Exercise):
    """sequential_block and parallel_block: who reads what."""

    number = "2.6"
    properties = (nothing_added_changes_nothing,)
    misconceptions = (
        sequential_is_parallel,
        attention_lost,
        one_norm_for_both,
        residual_of_normalized,
        post_norm_block,
        no_residuals,
        feed_forward_first,
        parallel_is_sequential,
        parallel_without_residual,
        parallel_two_residuals,
        parallel_residual_normalized,
        only_attention_normalized,
    )

    @staticmethod
    def sequential_block(x, norm1, attention, norm2, feed_forward):
        x = x + attention(norm1(x))
        return x + feed_forward(norm2(x))

    @staticmethod
    def parallel_block(x, norm, attention, feed_forward):
        y = norm(x)
        return x + attention(y) + feed_forward(y)

    reference = {
        "sequential_block": sequential_block,
        "parallel_block": parallel_block,
    }

    def draw_cases(self, draw: Draw):
        B, T, D = draw.sizes(3)
        x = draw.normal(B, T, D, mean=2, std=3)

        def norm():
            state = {"weight": draw.normal(D), "bias": draw.normal(D)}
            return Layer("LayerNorm", (D,), state=state)

        def sublayer(factor, *more):
            state = {"weight": draw.normal(D, D), "bias": draw.normal(D)}
            state = {name: factor * value for name, value in state.items()}
            linear = Layer("Linear", (D, D), state=state)
            return Layer("Sequential", (linear, *more))

        for name, factor in (("", 1.0), (", sublayers that return 0", 0.0)):
            attention = sublayer(factor, Layer("Tanh"))
            feed_forward = sublayer(factor, Layer("GELU"))
            args = {
                "x": x,
                "norm1": norm(),
                "attention": attention,
                "norm2": norm(),
                "feed_forward": feed_forward,
            }
            yield Case(f"sequential_block{name}", "sequential_block", args)
            args = {
                "x": x,
                "norm": norm(),
                "attention": attention,
                "feed_forward": feed_forward,
            }
            yield Case(f"parallel_block{name}", "parallel_block", args)


# ------------------------------------------------------------------------------ 2.7


def gate_and_up_exchanged(x, weight_gate, weight_up, weight_down):
    """You applied SiLU to the up branch. It belongs to the gate:
    silu(x @ gateᵀ) · (x @ upᵀ)."""
    return (F.linear(x, weight_gate) * F.silu(F.linear(x, weight_up))) @ weight_down.T


def sigmoid_gate(x, weight_gate, weight_up, weight_down):
    """Your gate is a sigmoid, which makes it GLU. SwiGLU's gate is SiLU:
    z · sigmoid(z)."""
    gate = torch.sigmoid(F.linear(x, weight_gate))
    return (gate * F.linear(x, weight_up)) @ weight_down.T


def gelu_gate(x, weight_gate, weight_up, weight_down):
    """Your gate is GELU, which makes it GEGLU. SwiGLU's gate is SiLU:
    z · sigmoid(z)."""
    gate = F.gelu(F.linear(x, weight_gate))
    return (gate * F.linear(x, weight_up)) @ weight_down.T


def no_gate_activation(x, weight_gate, weight_up, weight_down):
    """Your gate has no activation. SwiGLU's gate is SiLU: z · sigmoid(z)."""
    return (F.linear(x, weight_gate) * F.linear(x, weight_up)) @ weight_down.T


def gate_added(x, weight_gate, weight_up, weight_down):
    """You added the two branches. The gate multiplies."""
    return (F.silu(F.linear(x, weight_gate)) + F.linear(x, weight_up)) @ weight_down.T


def up_forgotten(x, weight_gate, weight_up, weight_down):
    """You left the up branch out: silu(x @ gateᵀ) is multiplied by x @ upᵀ."""
    return F.silu(F.linear(x, weight_gate)) @ weight_down.T


class SwiGLU(Exercise):
    """swiglu(x, weight_gate, weight_up, weight_down): a gated feed-forward network."""

    number = "2.7"
    misconceptions = (
        gate_and_up_exchanged,
        sigmoid_gate,
        gelu_gate,
        no_gate_activation,
        gate_added,
        up_forgotten,
    )

    @staticmethod
    def swiglu(x, weight_gate, weight_up, weight_down):
        return (F.silu(F.linear(x, weight_gate)) * F.linear(x, weight_up)) @ (
            weight_down.T
        )

    reference = {"swiglu": swiglu}

    def draw_cases(self, draw: Draw):
        B, T, D, H = draw.sizes(4)
        weights = {
            "weight_gate": draw.normal(H, D),
            "weight_up": draw.normal(H, D),
            "weight_down": draw.normal(D, H),
        }
        x = draw.normal(B, T, D)
        yield Case("x (B, T, D)", "swiglu", {"x": x, **weights})
        alone = {"x": x[0, 0], **weights}
        yield Case("one token, shape (D,)", "swiglu", alone, edge=True)


EXERCISES = (
    GELU,
    FeedForwardFunction,
    FeedForwardModule,
    MergeLinear,
    BlockCost,
    Blocks,
    SwiGLU,
)
