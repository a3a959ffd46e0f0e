"""Questions are plain data, and are put as they were written."""

import pytest
import torch

from labkit.checks import plain, probes
from labkit.checks.probes import Case, Layer, Optimizer


def test_an_optimizer_travels_as_plain_data():
    model = Layer("Linear", (2, 1), training=False)
    args = {"optimizer": Optimizer("AdamW", "model", {"lr": 0.1}), "model": model}
    (case,) = plain.loads(plain.dumps([Case("a", "f", args)]))
    assert case.args == args

    def f(optimizer, model):
        (group,) = optimizer.param_groups
        same = all(
            a is b for a, b in zip(group["params"], model.parameters(), strict=True)
        )
        return [type(optimizer).__name__, group["lr"], same, model.training]

    (reply,) = probes.run("function", {"f": f}, [case])
    assert reply["output"] == ["AdamW", 0.1, True, False]


def test_buffers_of_a_layer_stay_buffers():
    state = {"running_mean": torch.ones(3), "weight": torch.full((3,), 2.0)}
    norm = Layer("BatchNorm1d", (3,), state=state).build()
    assert [name for name, _ in norm.named_parameters()] == ["weight", "bias"]
    norm(torch.zeros(4, 3))
    assert norm.running_mean.tolist() == pytest.approx([0.9] * 3)
    assert state["running_mean"].tolist() == [1.0] * 3  # the case's own is not touched
