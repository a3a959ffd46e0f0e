"""No call goes unseen, whichever way it is made; nothing that is printed is lost."""

import sys
import threading
import warnings

import pytest
import torch
from torch.nn import functional as F

from labkit.checks import watch
from labkit.exercises import find


@pytest.fixture
def told():
    """What a learner reads who hands in this answer, on one line."""

    def told(number, answer):
        exercise = find(number)
        report = exercise.examine({exercise.names[0]: answer})
        return " ".join(report.text().split())

    return told


def by_hand(x, weight, bias, eps):
    centred = x - x.mean(-1, keepdim=True)
    x = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def fused(x, weight, bias, eps):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def only_with_gradients(x, weight=None, bias=None, eps=1e-5):
    how = fused if x.requires_grad else by_hand
    return how(x, weight, bias, eps)


@torch.jit.script
def compiled(
    x,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
):
    return torch.layer_norm(x, [x.shape[-1]], weight, bias, eps)


def in_a_thread(x, weight=None, bias=None, eps=1e-5):
    done = []
    thread = threading.Thread(target=lambda: done.append(fused(x, weight, bias, eps)))
    thread.start()
    thread.join()
    return done[0]


def switched_off(x, weight=None, bias=None, eps=1e-5):
    with torch._C.DisableTorchFunction():
        return fused(x, weight, bias, eps)


@pytest.mark.parametrize(
    "answer",
    [only_with_gradients, compiled, in_a_thread, switched_off],
    ids=lambda f: getattr(f, "__name__", "compiled"),
)
def test_a_call_off_limits_is_seen(answer):
    report = find("1.2").examine({"layer_norm": answer})
    assert report.failure and report.failure.property == "written out", report.text()


class FusedInEvaluation(torch.nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = torch.nn.Parameter(torch.ones(normalized_shape))
        self.bias = torch.nn.Parameter(torch.zeros(normalized_shape))

    def forward(self, x):
        how = by_hand if self.training else fused
        return how(x, self.weight, self.bias, self.eps)


def test_a_module_is_watched_in_every_mode():
    report = find("1.3").examine({"LayerNorm": FusedInEvaluation})
    assert report.failure.property == "written out", report.text()


def test_attention_is_seen_where_nothing_else_shows_it():
    """Over three axes PyTorch has no fused kernel; what it calls inside tells."""
    q = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    name = "scaled_dot_product_attention"
    for x in (q, q[None]):
        output = F.scaled_dot_product_attention(x, x, x)
        (found,) = watch.in_graph([output], [name])
        assert "scaled_dot_product" in found
    assert not watch.in_graph([(q @ q.mT).softmax(-1) @ q], [name])


def test_a_function_of_ones_own_may_be_called_as_the_operation_is():
    class LayerNorm(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    x = torch.ones(3, requires_grad=True)
    assert watch.in_graph([F.layer_norm(x, (3,))], ["layer_norm"])
    assert not watch.in_graph([LayerNorm.apply(x)], ["layer_norm"])


def test_what_is_printed_is_shown_once_under_the_verdict(told, capsys):
    def layer_norm(x, weight=None, bias=None, eps=1e-5):
        print("mean", 3)
        warnings.warn("look here", stacklevel=1)
        return by_hand(x, weight, bias, eps)

    said = told("1.2", layer_norm)
    assert said.startswith("✓ 1.2")
    assert said.count("mean 3") == said.count("look here") == 1
    assert "Printed by the answer: │ mean 3" in said
    assert "UserWarning: look here" in said and "probes.py" not in said
    assert capsys.readouterr() == ("", "")


def test_where_in_pytorch_a_warning_comes_from_is_left_out(told):
    def gelu(x):
        place = "(Triggered internally at /__w/aten/src/ATen/TensorShape.cpp:4314.)"
        warnings.warn(f"Consider `x.mT`. {place}", stacklevel=1)
        return 0.5 * x * (1 + torch.erf(x / 2**0.5))

    said = told("2.1", gelu)
    assert "UserWarning: Consider `x.mT`." in said and "Triggered" not in said


@pytest.mark.parametrize("leave", [sys.exit, exit])
def test_leaving_python_is_explained(told, leave):
    said = told("2.1", lambda x: leave())
    assert "raised SystemExit" in said and "end Python" in said


def test_endless_recursion_is_explained(told):
    def gelu(x):
        return gelu(x)

    assert "calls itself without end" in told("2.1", gelu)
