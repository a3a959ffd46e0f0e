"""Exercise 2.7: SwiGLU, a gate instead of an activation."""

import torch
from torch.nn import functional as F

from labkit.checks.exercise import Draw, Exercise
from labkit.checks.probes import Case


class SwiGLU(Exercise):
    """swiglu(x, weight_gate, weight_up, weight_down): a gated feed-forward network."""

    number = "2.7"

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


@SwiGLU.mistake
def gate_and_up_exchanged(x, weight_gate, weight_up, weight_down):
    """You applied SiLU to the up branch. It belongs to the gate:
    silu(x @ gateᵀ) · (x @ upᵀ)."""
    return (F.linear(x, weight_gate) * F.silu(F.linear(x, weight_up))) @ weight_down.T


@SwiGLU.mistake
def sigmoid_gate(x, weight_gate, weight_up, weight_down):
    """Your gate is a sigmoid, which makes it GLU. SwiGLU's gate is SiLU:
    z · sigmoid(z)."""
    gate = torch.sigmoid(F.linear(x, weight_gate))
    return (gate * F.linear(x, weight_up)) @ weight_down.T


@SwiGLU.mistake
def gelu_gate(x, weight_gate, weight_up, weight_down):
    """Your gate is GELU, which makes it GEGLU. SwiGLU's gate is SiLU:
    z · sigmoid(z)."""
    gate = F.gelu(F.linear(x, weight_gate))
    return (gate * F.linear(x, weight_up)) @ weight_down.T


@SwiGLU.mistake
def no_gate_activation(x, weight_gate, weight_up, weight_down):
    """Your gate has no activation. SwiGLU's gate is SiLU: z · sigmoid(z)."""
    return (F.linear(x, weight_gate) * F.linear(x, weight_up)) @ weight_down.T


@SwiGLU.mistake
def silu_of_the_product(x, weight_gate, weight_up, weight_down):
    """You applied SiLU to the product of gate and up. It belongs to the gate alone:
    silu(x @ gateᵀ) · (x @ upᵀ)."""
    product = F.linear(x, weight_gate) * F.linear(x, weight_up)
    return F.silu(product) @ weight_down.T


@SwiGLU.mistake
def gate_added(x, weight_gate, weight_up, weight_down):
    """You added the two branches. The gate multiplies."""
    return (F.silu(F.linear(x, weight_gate)) + F.linear(x, weight_up)) @ weight_down.T


@SwiGLU.mistake
def up_forgotten(x, weight_gate, weight_up, weight_down):
    """You left the up branch out: silu(x @ gateᵀ) is multiplied by x @ upᵀ."""
    return F.silu(F.linear(x, weight_gate)) @ weight_down.T
