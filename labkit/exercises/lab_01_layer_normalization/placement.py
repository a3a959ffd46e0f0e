"""Exercise 1.6: where the norm stands, before the sublayer or after the addition."""

import torch

from labkit.checks.exercise import Cases, Draw, Exercise, Replies
from labkit.checks.probes import Case, Layer


def pre_norm_lets_x_through(cases: Cases, replies: Replies) -> str | None:
    name = "pre_norm, a sublayer that returns 0"
    x, output = cases[name].args["x"], replies[name]["output"]
    if bool(((output - x).abs() > 1e-9).any()):
        return (
            "With a sublayer that returns 0, pre_norm should return x itself: the "
            "residual stream passes untouched."
        )
    return None


class Residual(Exercise):
    """pre_norm and post_norm: where the norm stands around a residual connection."""

    number = "1.6"
    properties = (pre_norm_lets_x_through,)

    @staticmethod
    def pre_norm(x, norm, sublayer):
        return x + sublayer(norm(x))

    @staticmethod
    def post_norm(x, norm, sublayer):
        return norm(x + sublayer(x))

    reference = {"pre_norm": pre_norm, "post_norm": post_norm}

    def draw_cases(self, draw: Draw):
        B, T, C = draw.sizes(3)
        x = draw.normal(B, T, C, mean=2, std=3)
        norm_state = {"weight": draw.normal(C), "bias": draw.normal(C)}
        norm = Layer("LayerNorm", (C,), state=norm_state)
        linear_state = {"weight": draw.normal(C, C), "bias": draw.normal(C)}
        linear = Layer("Linear", (C, C), state=linear_state)
        sublayer = Layer("Sequential", (linear, Layer("Tanh")))
        nothing = Layer(
            "Linear", (C, C), state={k: v * 0 for k, v in linear_state.items()}
        )
        for target in self.names:
            args = {"x": x, "norm": norm, "sublayer": sublayer}
            yield Case(target, target, args)
            args = {"x": x, "norm": norm, "sublayer": nothing}
            yield Case(f"{target}, a sublayer that returns 0", target, args)


@Residual.mistake(of="pre_norm")
def pre_is_post(x, norm, sublayer):
    """Your pre_norm is post-norm: it normalizes after the addition. Pre-norm normalizes
    what goes into the sublayer and leaves the stream x as it is."""
    return norm(x + sublayer(x))


@Residual.mistake(of="pre_norm")
def pre_without_residual(x, norm, sublayer):
    """Your pre_norm has no residual connection: add x."""
    return sublayer(norm(x))


@Residual.mistake(of="pre_norm")
def pre_residual_normalized(x, norm, sublayer):
    """Your pre_norm adds the normalized x. The residual is x itself: the stream is
    never normalized."""
    x = norm(x)
    return x + sublayer(x)


@Residual.mistake(of="pre_norm")
def pre_norm_behind_sublayer(x, norm, sublayer):
    """Your pre_norm normalizes what comes out of the sublayer. Normalize what goes
    in: x + sublayer(norm(x))."""
    return x + norm(sublayer(x))


@Residual.mistake(of="pre_norm")
def pre_norm_forgotten(x, norm, sublayer):
    """Your pre_norm does not normalize at all."""
    return x + sublayer(x)


@Residual.mistake(of="pre_norm")
def pre_in_place(x, norm, sublayer):
    """Your pre_norm adds into the caller's tensor (x += …). Return a new one: x + …."""
    right = x + sublayer(norm(x))
    with torch.no_grad():
        x += sublayer(norm(x))
    return right


@Residual.mistake(of="post_norm")
def post_is_pre(x, norm, sublayer):
    """Your post_norm is pre-norm. Post-norm adds first and normalizes the sum."""
    return x + sublayer(norm(x))


@Residual.mistake(of="post_norm")
def post_without_residual(x, norm, sublayer):
    """Your post_norm has no residual connection: normalize x + sublayer(x)."""
    return norm(sublayer(x))


@Residual.mistake(of="post_norm")
def post_residual_outside(x, norm, sublayer):
    """Your post_norm adds x after normalizing. Add first, then normalize the sum."""
    return x + norm(sublayer(x))


@Residual.mistake(of="post_norm")
def post_norm_forgotten(x, norm, sublayer):
    """Your post_norm does not normalize at all."""
    return x + sublayer(x)
