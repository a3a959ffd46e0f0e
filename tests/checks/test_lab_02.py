"""Lab 2: legitimate answers that must pass, and mistakes spelled in other words."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks import find, section_exercises

# ------------------------------------------------------------- legitimate alternatives


def gelu_by_distribution(x):
    return x * torch.distributions.Normal(0, 1).cdf(x)


def gelu_by_erfc(x):
    return x * torch.special.erfc(-x / math.sqrt(2)) / 2


def gelu_by_rounded_root(x):
    return x / 2 * (1 + torch.erf(x / torch.sqrt(torch.tensor(2.0))))


def gelu_by_ndtr(x):
    return torch.special.ndtr(x).mul(x)


def feed_forward_matmul(x, weight1, bias1, weight2, bias2, activation):
    return activation(x @ weight1.T + bias1) @ weight2.mT + bias2


def feed_forward_einsum(x, weight1, bias1, weight2, bias2, activation):
    hidden = activation(torch.einsum("...d,hd->...h", x, weight1) + bias1)
    return torch.einsum("...h,dh->...d", hidden, weight2) + bias2


def feed_forward_flat(x, weight1, bias1, weight2, bias2, activation):
    flat = x.reshape(-1, x.shape[-1])
    rows = [weight2 @ activation(weight1 @ row + bias1) + bias2 for row in flat]
    return torch.stack(rows).reshape(x.shape)


class ModuleWithFunctionalDropout(nn.Module):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act, self.p = nn.GELU(), dropout

    def forward(self, x):
        return F.dropout(self.fc2(self.act(self.fc1(x))), self.p, self.training)


class ModuleOneDropout(nn.Module):
    """Other initial values, dropout once, the exact GELU written out."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.zeros_(self.fc2.bias)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        return self.fc2(self.drop(gelu_by_erfc(self.fc1(x))))


def merge_by_probing(weight1, bias1, weight2, bias2):
    def both(x):
        return F.linear(F.linear(x, weight1, bias1), weight2, bias2)

    zero = torch.zeros_like(weight1[0])
    bias = both(zero)
    return (both(torch.eye(len(zero)).to(zero)) - bias).T, bias


def merge_by_einsum(weight1, bias1, weight2, bias2):
    bias = (weight2 * bias1).sum(1) + bias2
    return [torch.einsum("oh,hd->od", weight2, weight1), bias]


def macs_step_by_step(tokens, dim, hidden_dim):
    up = tokens * dim * hidden_dim
    scores = tokens * dim * tokens
    return {
        "feed_forward": up + up,
        "attention_core": float(scores + scores),
        "attention_projections": sum(tokens * dim**2 for _ in range(4)),
    }


def crossover_by_search(dim, hidden_dim):
    tokens = 0
    while 4 * dim + 2 * tokens < 2 * hidden_dim:
        tokens += 1
    return tokens


def sequential_steps(x, norm1, attention, norm2, feed_forward):
    for norm, sublayer in ((norm1, attention), (norm2, feed_forward)):
        x = torch.add(sublayer(norm(x)), x)
    return x


def parallel_sum(x, norm, attention, feed_forward):
    return sum(layer(norm(x)) for layer in (attention, feed_forward)) + x


def swiglu_by_hand(x, weight_gate, weight_up, weight_down):
    gate, up = x @ weight_gate.T, x @ weight_up.T
    return (gate * torch.sigmoid(gate) * up) @ weight_down.T


def swiglu_packed(x, weight_gate, weight_up, weight_down):
    both = F.linear(x, torch.cat([weight_gate, weight_up]))
    gate, up = both.chunk(2, dim=-1)
    return F.linear(F.silu(gate) * up, weight_down)


ALTERNATIVES = [
    ("2.1", gelu_by_distribution),
    ("2.1", gelu_by_erfc),
    ("2.1", gelu_by_ndtr),
    ("2.1", gelu_by_rounded_root),
    ("2.2", feed_forward_matmul),
    ("2.2", feed_forward_einsum),
    ("2.2", feed_forward_flat),
    ("2.3", ModuleWithFunctionalDropout),
    ("2.3", ModuleOneDropout),
    ("2.4", merge_by_probing),
    ("2.4", merge_by_einsum),
    ("2.5", macs_step_by_step, crossover_by_search),
    ("2.6", sequential_steps, parallel_sum),
    ("2.7", swiglu_by_hand),
    ("2.7", swiglu_packed),
]


# ------------------------------------------------- the same mistakes, in other words


def gelu_tanh_by_hand(x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + torch.tanh(inner))


def feed_forward_linear(x, weight1, bias1, weight2, bias2, activation):
    weight, bias = weight2 @ weight1, weight2 @ bias1 + bias2
    return x @ weight.T + bias


class ModuleListed(nn.Module):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.steps = (nn.Linear(dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, dim))


class ModuleMadeInForward(nn.Module):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.widths = dim, hidden_dim

    def forward(self, x):
        dim, hidden_dim = self.widths
        fc1, fc2 = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)
        return fc2(F.gelu(fc1(x)))


class ModuleWithoutSelf(nn.Module):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        fc1 = nn.Linear(dim, hidden_dim)
        fc2 = nn.Linear(hidden_dim, dim)
        self.steps = lambda x: fc2(F.gelu(fc1(x)))


class ModuleKeeping(ModuleWithFunctionalDropout):
    def forward(self, x):
        drop = 1 - self.p if self.p else 0.0
        hidden = F.dropout(self.act(self.fc1(x)), drop, self.training)
        return F.dropout(self.fc2(hidden), drop, self.training)


class ModuleDropoutByHand(ModuleOneDropout):
    def forward(self, x):
        y = self.fc2(gelu_by_erfc(self.fc1(x)))
        return y * (torch.rand_like(y) > self.drop.p) / (1 - self.drop.p)


IN_OTHER_WORDS = [
    ("2.1", gelu_tanh_by_hand, "tanh_gelu"),
    ("2.2", feed_forward_linear, "activation_forgotten"),
    ("2.3", ModuleListed, "LayersInAList"),
    ("2.3", ModuleMadeInForward, "LayersInAList"),
    ("2.3", ModuleWithoutSelf, "LayersInAList"),
    ("2.3", ModuleKeeping, "DropoutKeeps"),
    ("2.3", ModuleDropoutByHand, "DropoutAlways"),
]


# ------------------------------------------------------ wrong, though nobody named it


class ModuleForThreeAxes(ModuleOneDropout):
    def forward(self, x):
        B, T, D = x.shape
        return super().forward(x.reshape(B * T, D)).reshape(B, T, D)


class ModuleKeepingAtTheEnd(ModuleOneDropout):
    def forward(self, x):
        y = self.fc2(gelu_by_erfc(self.fc1(x)))
        drop = 1 - self.drop.p if self.drop.p else 0.0
        return F.dropout(y, drop, self.training)


WRONG = [
    ("2.3", ModuleForThreeAxes, "edge cases"),
    ("2.3", ModuleKeepingAtTheEnd, "dropout acts in training"),
]


def test_a_rounded_root_of_two_is_right_with_every_seed():
    for seed in range(20):
        report = find("2.1").examine({"gelu": gelu_by_rounded_root}, seed)
        assert report.passed, report.text()


def test_the_catalogue_is_as_large_as_promised():
    assert sum(len(e.misconceptions) for e in section_exercises("2")) >= 18
    assert len(ALTERNATIVES) >= 6
