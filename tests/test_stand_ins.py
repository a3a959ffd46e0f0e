"""Stand-ins for other machines are what they say they are."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.validate import VARIANTS, stand_ins
from labkit.validate.stand_ins import DEVICE, Elsewhere, OtherArithmetic

X = torch.arange(12.0).reshape(3, 4)


def test_every_variant_can_be_made():
    assert set(stand_ins.MAKE) == set(VARIANTS)


@pytest.mark.parametrize(
    "first, variant, said",
    [
        ("", "nowhere", "LABKIT_VARIANT is 'nowhere'; use one of"),
        ("import labkit.training", "elsewhere", "labkit.training has the real device"),
    ],
)
def test_what_cannot_be_made_is_said(first, variant, said):
    lines = [first, "from labkit.validate import stand_ins", "stand_ins.install()"]
    command = [sys.executable, "-c", "\n".join(lines)]
    env = os.environ | {"LABKIT_VARIANT": variant}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode and said in done.stderr


# ------------------------------------------------------------------ other arithmetic


@pytest.mark.parametrize("dtype, size", [(torch.float32, 1e-6), (torch.float64, 1e-15)])
def test_other_arithmetic_is_slightly_off_forward_and_backward(dtype, size):
    x = torch.rand(4, 64, dtype=dtype) + 1
    weight = torch.rand(64, 8, dtype=dtype, requires_grad=True)
    right = x @ weight
    (gradient,) = torch.autograd.grad(right.sum(), weight)
    state = torch.get_rng_state()
    with OtherArithmetic():
        off = x @ weight
        (off_gradient,) = torch.autograd.grad(off.sum(), weight)
    for a, b in ((right, off), (gradient, off_gradient)):
        error = ((a - b) / a).abs().max().item()
        assert 0 < error < 3 * size + torch.finfo(dtype).eps
    assert torch.equal(torch.get_rng_state(), state), "the notebook's random numbers"


# ---------------------------------------------------------------- the pretend device


@pytest.fixture(autouse=True)
def there():
    with Elsewhere():
        yield


@pytest.mark.parametrize("fused", [False, True])
def test_it_trains_as_the_cpu_does(fused):
    def train(device):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
        model = model.to(device).double()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
        x, labels = X.double().to(device), (X[:, 0].long() % 2).to(device)
        for _ in range(3):
            loss = F.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        assert loss.device == model[0].weight.grad.device == torch.device(device)
        return loss.item()

    assert train(DEVICE) == train("cpu")


@pytest.mark.parametrize(
    "mixing",
    [
        lambda away: away + torch.arange(4.0),
        lambda away: away @ torch.ones(4, 2),
        lambda away: torch.cat([away, X]),
        lambda away: torch.stack([away.sum(), torch.tensor(1.0)]),
        lambda away: X + away.sum(),
        lambda away: torch.where(X > 0, away, 0.0),
        lambda away: away.masked_fill(torch.arange(4) > 1, 0.0),
        lambda away: X[away.argmax(0)],
        lambda away: nn.Linear(4, 2)(away),
        lambda away: X.sum().add_(away.sum()),
        lambda away: F.cross_entropy(away, torch.tensor([0, 1, 2])),
        lambda away: away.gather(1, torch.zeros(3, 1, dtype=torch.int64)),
    ],
)
def test_mixing_devices_is_refused(mixing):
    with pytest.raises(RuntimeError, match="on the same device"):
        mixing(X.to(DEVICE))


@pytest.mark.parametrize(
    "fine",
    [
        lambda x: x * 2 + torch.tensor(0.5),
        lambda x: x[torch.tensor([2, 0])],
        lambda x: x[[2, 0], 1:],
        lambda x: x[:, torch.tensor([True, False, True, True])],
        lambda x: torch.zeros_like(x).copy_(X),
        lambda x: torch.where(x > 0, x, 0.0),
        lambda x: x @ torch.eye(4, device=x.device),
        lambda x: x + x.new_tensor([1, 2, 3, 4]),
        lambda x: x + torch.tensor([1, 2, 3, 4], device=x.device),
        lambda x: x.clone().unsqueeze_(1).squeeze_().t_(),
        lambda x: x.to(torch.float64).softmax(-1).float(),
        lambda x: F.scaled_dot_product_attention(x, x, x),
        lambda x: x.unfold(1, 2, 1).flatten(1).sort(1).values,
    ],
)
def test_what_a_gpu_allows_is_allowed_and_right(fine):
    away = fine(X.to(DEVICE))
    assert away.device.type == DEVICE.type
    assert torch.allclose(away.cpu(), fine(X))


def test_values_come_back_only_by_way_of_the_cpu():
    away = X.to(DEVICE)
    with pytest.raises(TypeError, match="Use Tensor.cpu()"):
        away.numpy()
    assert away.cpu().numpy().tolist() == away.tolist() == X.tolist()
    assert f"{away.sum():.1f}" == "66.0" and away[0, 1].item() == 1


def test_the_same_seed_gives_other_numbers_there():
    def drawn(device):
        torch.manual_seed(3)
        x = torch.ones(200, device=device)
        return [t.cpu() for t in (torch.randn(5, device=device), F.dropout(x))]

    here, away = drawn("cpu"), drawn(DEVICE)
    assert not any(map(torch.equal, here, away))
    assert all(map(torch.equal, away, drawn(DEVICE)))
    assert all(map(torch.equal, here, drawn("cpu")))
