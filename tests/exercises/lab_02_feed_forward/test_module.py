"""Exercise 2.3: legitimate answers that must pass, and wrong ones in other words."""

import torch
from torch import nn
from torch.nn import functional as F

from .test_gelu import gelu_by_erfc

# -------------------------------------------------------------- legitimate alternatives


class ModuleWithFunctionalDropout(nn.Module):
    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.fc2 = nn.Linear(hidden, dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.act, self.p = nn.GELU(), dropout

    def forward(self, x):
        hidden = F.dropout(self.act(self.fc1(x)), self.p, self.training)
        return F.dropout(self.fc2(hidden), self.p, self.training)


class ModuleWrittenOut(nn.Module):
    """Other initial values, two dropouts, the exact GELU written out."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.zeros_(self.fc2.bias)
        self.drop, self.drop_hidden = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x):
        return self.drop(self.fc2(self.drop_hidden(gelu_by_erfc(self.fc1(x)))))


class ModuleNamedTwice(nn.Module):
    """The layers by their own names, and once more in a Sequential."""

    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        drop = nn.Dropout(dropout)
        self.net = nn.Sequential(self.fc1, nn.GELU(), drop, self.fc2, drop)

    def forward(self, x):
        return self.net(x)


class ModuleSequentialFirst(ModuleNamedTwice):
    """The same, the Sequential first."""

    def __init__(self, dim, hidden, dropout=0.0):
        nn.Module.__init__(self)
        drop = nn.Dropout(dropout)
        layers = nn.Linear(dim, hidden), nn.GELU(), drop, nn.Linear(hidden, dim), drop
        self.net = nn.Sequential(*layers)
        self.fc1, self.fc2 = self.net[0], self.net[3]


ALTERNATIVES = [
    ModuleWithFunctionalDropout,
    ModuleWrittenOut,
    ModuleNamedTwice,
    ModuleSequentialFirst,
]


# ---------------------------------------------------- the same mistakes, in other words


class ModuleListed(nn.Module):
    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.steps = (nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))


class ModuleMadeInForward(nn.Module):
    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        self.widths = dim, hidden

    def forward(self, x):
        dim, hidden = self.widths
        fc1, fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        return fc2(F.gelu(fc1(x)))


class ModuleWithoutSelf(nn.Module):
    def __init__(self, dim, hidden, dropout=0.0):
        super().__init__()
        fc1 = nn.Linear(dim, hidden)
        fc2 = nn.Linear(hidden, dim)
        self.steps = lambda x: fc2(F.gelu(fc1(x)))


class ModuleKeeping(ModuleWithFunctionalDropout):
    def forward(self, x):
        drop = 1 - self.p if self.p else 0.0
        hidden = F.dropout(self.act(self.fc1(x)), drop, self.training)
        return F.dropout(self.fc2(hidden), drop, self.training)


class ModuleDropoutByHand(ModuleWrittenOut):
    def forward(self, x):
        y = self.fc2(gelu_by_erfc(self.fc1(x)))
        return y * (torch.rand_like(y) > self.drop.p) / (1 - self.drop.p)


IN_OTHER_WORDS = [
    (ModuleListed, "LayersInAList"),
    (ModuleMadeInForward, "LayersInAList"),
    (ModuleWithoutSelf, "LayersInAList"),
    (ModuleKeeping, "DropoutKeeps"),
    (ModuleDropoutByHand, "DropoutAlways"),
]


# -------------------------------------------------------- wrong, though nobody named it


class ModuleDropsAndTenth(ModuleWithFunctionalDropout):
    """A probability that nobody would guess."""

    def forward(self, x):
        p = 0.9 * self.p
        hidden = F.dropout(self.act(self.fc1(x)), p, self.training)
        return F.dropout(self.fc2(hidden), p, self.training)


class ModuleForThreeAxes(ModuleWrittenOut):
    def forward(self, x):
        B, T, D = x.shape
        return super().forward(x.reshape(B * T, D)).reshape(B, T, D)


class ModuleKeepingAtTheEnd(ModuleWrittenOut):
    def forward(self, x):
        y = self.fc2(gelu_by_erfc(self.fc1(x)))
        drop = 1 - self.drop.p if self.drop.p else 0.0
        return F.dropout(y, drop, self.training)


WRONG = [
    (ModuleForThreeAxes, "edge cases"),
    (ModuleDropsAndTenth, "dropout acts in training"),
    (ModuleKeepingAtTheEnd, "dropout acts in training"),
]
