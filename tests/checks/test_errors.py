"""Errors as PyTorch raises them are met with a sentence: it follows PyTorch's words."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks import errors, probes
from labkit.checks.probes import Case
from labkit.exercises import find

x = torch.randn(2, 3, 4, dtype=torch.float64)
keep = torch.ones(2, 3, 3, dtype=torch.bool)
layer = nn.Linear(4, 4)


class NoSuper(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(2, 2)


class NoSuperParameter(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter(torch.ones(2))


def endless(x):
    return endless(x)


def leave(x):
    raise SystemExit


def copied(x):
    layer.weight.copy_(torch.zeros(4, 4))


def changed_in_place():
    y = torch.ones(3, requires_grad=True).exp()
    out = (y * y).sum()
    y += 1
    out.backward()


def unpacked(x):
    B, T = x.shape
    return B * T


ROWS = [
    (leave, "exit()"),
    (endless, "calls itself without end"),
    (lambda x: np_is_not_imported.ones(3), "is called np_is_not_imported"),  # noqa: F821
    (unpacked, "another number of axes"),
    (lambda x: x(x), "A Tensor stands where a function"),
    (lambda x: (lambda a, b: a)(x), "number of arguments"),
    (lambda x: (lambda a: a)(x, 1), "number of arguments"),
    (lambda x: (lambda a: a)(b=x), "b does not stand where"),
    (lambda x: (lambda a, b=0: a)(x, a=1), "a does not stand where"),
    (lambda x: x * None, "is None"),
    (lambda x: None.shape, "is None"),
    (lambda x: (2).shape, "A int has no .shape"),
    (lambda x: (x, x).mean(), "A tuple has no .mean"),
    (lambda x: NoSuper(), "super().__init__() is missing"),
    (lambda x: NoSuperParameter(), "super().__init__() is missing"),
    (copied, "with torch.no_grad()"),
    (lambda x: changed_in_place(), "was changed in place"),
    (lambda x: x.sum().backward(), "nothing to differentiate"),
    (lambda x: layer(x.float()).numpy(), "NumPy records no gradients"),
    (lambda x: x @ torch.ones(4, 4), "different dtypes"),
    (lambda x: F.linear(x, torch.ones(4, 4)), "different dtypes"),
    (lambda x: F.conv2d(x[None], torch.ones(1, 2, 1, 1)), "different dtypes"),
    (lambda x: torch.arange(3).mean(), "whole numbers"),
    (lambda x: torch.arange(3).softmax(-1), "whole numbers"),
    (lambda x: x.masked_fill(x, 0.0), "A mask must be boolean"),
    (lambda x: x.masked_fill(~x, 0.0), "A mask must be boolean"),
    (lambda x: x if x > 0 else -x, "one truth value"),
    (lambda x: max(x, x + 1), "one truth value"),
    (lambda x: math.sqrt(x), "several entries"),
    (lambda x: float(x), "several entries"),
    (lambda x: torch.sqrt(4), "Use math's"),
    (lambda x: F.linear(3, x), "A int stands where a tensor"),
    (lambda x: x.reshape(2, 3, 2, 4 / 2), "Divide with //"),
    (lambda x: x.view(2, 3, 2, 4 / 2), "Divide with //"),
    (lambda x: x.unflatten(-1, (2, 4 / 2)), "Divide with //"),
    (lambda x: torch.zeros(2, 4 / 2), "Divide with //"),
    (lambda x: range(4 / 2), "Divide with //"),
    (lambda x: nn.Linear(4, 4 / 2), "Divide with //"),
    (lambda x: x @ x.T, ".T reverses all axes"),
    (lambda x: x - x.mean(-1), "at axis 2 of the result one has size 4, the other 3"),
    (lambda x: x - x.mean(-1), "without keepdim=True"),
    (lambda x: x.expand(2, 5, 4), "axis 1 has size 3, not 1 or 5"),
    (lambda x: torch.cat([x[:1], x], 1), "expand(len(x), -1, -1)"),
    (lambda x: torch.cat([x[0], x], 1), "equally many axes"),
    (lambda x: torch.stack([x, x[0]]), "stack adds an axis"),
    (lambda x: x @ x, "Keys need .mT"),
    (lambda x: x[0] @ x[0], "Keys need .mT"),
    (lambda x: x[0] @ x[0, 0, :3], "Keys need .mT"),
    (lambda x: x.reshape(5, 5), "equally many entries, 24 here; [5, 5] has another"),
    (lambda x: x.unflatten(-1, (3, 2)), "[3, 2] must multiply to that of the axis"),
    (lambda x: x.mT.view(2, 12), "use reshape"),
    (lambda x: x.mean(3), "There is no axis 3: the tensor's axes run from -3 to 2"),
    (lambda x: x[:, 3], "Axis 1 has 3 entries"),
    (lambda x: x.permute(1, 0), "permute wants every axis once"),
    (lambda x: torch.einsum("btd,bsd->bts", x, x[:, :, :3]), "each letter"),
    (lambda x: torch.einsum("btd,bsd->bts", x, x[0]), "each letter"),
]


@pytest.mark.parametrize("answer, means", ROWS, ids=[means for _, means in ROWS])
def test_an_error_is_explained(answer, means):
    case = Case("a", "f", {"x": x}, gradients=False)
    (reply,) = probes.run("function", {"f": answer}, [case])
    assert reply["error"], "it raised nothing"
    said = errors.sentence(reply["error"])
    assert means.lower() in said.lower(), (reply["error"], said)


def test_every_row_of_the_table_is_met():
    """But for the one that takes a second device: tests/exercises/test_devices.py."""
    met = {errors.sentence(_error(answer)) for answer, _ in ROWS}
    for pattern, _, means in errors.TABLE:
        start = means.partition("{")[0][:40].lower()
        spoken = any(start in said.lower() for said in met)
        assert spoken or pattern == "on the same device", pattern


def _error(answer):
    case = Case("a", "f", {"x": x}, gradients=False)
    return probes.run("function", {"f": answer}, [case])[0]["error"]


def test_other_errors_get_no_sentence():
    assert errors.sentence({"type": "KeyError", "message": "'a'", "line": ""}) == ""


# ------------------------------------------------ as a learner meets them, in exercises


def keepdim_forgotten(x, weight=None, bias=None, eps=1e-5):
    variance = x.var(-1, correction=0)
    return (x - x.mean(-1)) / (variance + eps).sqrt() * weight + bias


def ones_of_fixed_dtype(x, weight=None, bias=None, eps=1e-5):
    C = x.shape[-1]
    return x - x @ torch.ones(C, C) / C


def one_truth_value(x):
    return x if x > 0 else 0 * x


class NoSuperInAnExercise(nn.Module):
    def __init__(self, dim, hidden, dropout=0.0):
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)


def all_axes_reversed(query, key, value, keep=None):
    weights = (query @ key.T / math.sqrt(query.shape[-1])).softmax(-1)
    return weights @ value, weights


def float_in_a_shape(x, heads):
    B, T, D = x.shape
    return x.reshape(B, T, heads, D / heads).transpose(1, 2)


def heads_first(heads, x):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class NotExpanded(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x):
        return torch.cat([self.class_token, x], dim=1)


def copied_while_recording(weight, bias, patch, channels):
    conv = nn.Conv2d(channels, len(weight), patch, patch).to(weight)
    conv.weight.copy_(weight.unflatten(1, (channels, patch, patch)))
    return conv


@pytest.mark.parametrize(
    "number, answer, means",
    [
        ("1.2", keepdim_forgotten, "keepdim=True"),
        ("1.2", ones_of_fixed_dtype, "dtype=x.dtype"),
        ("2.1", one_truth_value, "Decide entry by entry"),
        ("2.3", NoSuperInAnExercise, "super().__init__()"),
        ("3.1", all_axes_reversed, ".T reverses all axes"),
        ("3.2", float_in_a_shape, "Divide with //"),
        ("3.2", heads_first, "arguments in another order"),
        ("4.3.1", NotExpanded, "Expand it to (B, 1, D) first"),
        ("4.1.4", copied_while_recording, "no_grad"),
    ],
)
def test_a_learner_reads_what_the_error_means(number, answer, means):
    exercise = find(number)
    report = exercise.examine({**exercise.reference, exercise.names[0]: answer})
    assert report.failure.property == "runs", report.text()
    assert means in report.explanation, report.text()
