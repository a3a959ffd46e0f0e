"""Exercise 1.3: legitimate answers that must pass, and wrong ones in other words."""

import torch
from torch import nn

from .test_layer_norm import layer_norm_root_plus_eps, layer_norm_two_pass

# -------------------------------------------------------------- legitimate alternatives


class ModuleOneRow(nn.Module):
    """Everything in forward, parameters by register_parameter, an extra attribute."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.normalized_shape, self.eps = (normalized_shape,), eps
        self.register_parameter("weight", nn.Parameter(torch.ones(normalized_shape)))
        self.register_parameter("bias", nn.Parameter(torch.zeros(normalized_shape)))

    def forward(self, x):
        y = x - x.mean(-1, keepdim=True)
        y = y / (y.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()
        return torch.addcmul(self.bias, y, self.weight)


class ModuleBiasFirst(nn.Module):
    """Parameters in the other order: the state dict goes by names."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros([normalized_shape]))
        self.weight = nn.Parameter(torch.ones([normalized_shape]))
        self.epsilon = eps

    def forward(self, input):
        return layer_norm_two_pass(input, self.weight, self.bias, self.epsilon)


class ModuleInFloat64(ModuleOneRow):
    """Parameters in float64 from the start."""

    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.double()


ALTERNATIVES = [
    ModuleOneRow,
    ModuleBiasFirst,
    ModuleInFloat64,
]


# ---------------------------------------------------- the same mistakes, in other words


class ModuleTensorAttributes(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        self.scale, self.eps = torch.ones(normalized_shape), eps

    def forward(self, x):
        return layer_norm_two_pass(x, self.scale, None, self.eps)


class ModuleListOfParameters(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__()
        size, self.eps = normalized_shape, eps
        self.both = [nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))]

    def forward(self, x):
        return layer_norm_two_pass(x, *self.both, self.eps)


class ModuleKeepsEpsToItself(ModuleOneRow):
    def forward(self, x):
        return layer_norm_two_pass(x, self.weight, self.bias)


class ModuleRootPlusEps(ModuleOneRow):
    def forward(self, x):
        return layer_norm_root_plus_eps(x, self.weight, self.bias, self.eps)


class ModuleCancelling(ModuleOneRow):
    def forward(self, x):
        mean, square = x.mean(-1, keepdim=True), x.pow(2).mean(-1, keepdim=True)
        y = (x - mean) / (square - mean.pow(2) + self.eps).sqrt()
        return y * self.weight + self.bias


class ModuleRootOfStd(ModuleOneRow):
    def forward(self, x):
        y = x - x.mean(-1, keepdim=True)
        y = y / torch.sqrt(x.std(-1, keepdim=True) + self.eps)
        return y * self.weight + self.bias


class ModuleWithoutKeepdim(ModuleOneRow):
    def forward(self, x):
        y = (x - x.mean(-1)) / torch.sqrt(x.var(-1, correction=0) + self.eps)
        return y * self.weight + self.bias


IN_OTHER_WORDS = [
    (ModuleCancelling, "cancelling_variance"),
    (ModuleRootOfStd, "root_of_deviation"),
    (ModuleWithoutKeepdim, "keepdim_forgotten"),
    (ModuleTensorAttributes, "PlainTensors"),
    (ModuleListOfParameters, "PlainTensors"),
    (ModuleKeepsEpsToItself, "ModuleEpsIgnored"),
    (ModuleRootPlusEps, "std_plus_eps"),
]


# -------------------------------------------------------- wrong, though nobody named it


class ModuleForThreeAxes(ModuleOneRow):
    def forward(self, x):
        B, T, C = x.shape
        return super().forward(x.view(B * T, C)).view(B, T, C)


class ModuleForgetsEps(ModuleOneRow):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, 1e-6)


class ModuleDropsInTraining(ModuleOneRow):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.1, self.training)


class ModuleFrozen(ModuleOneRow):
    def __init__(self, normalized_shape, eps=1e-5):
        super().__init__(normalized_shape, eps)
        self.weight.requires_grad_(False)


CLOSE = [ModuleCancelling]
WRONG = [
    (ModuleFrozen, "gradients"),
    (ModuleForThreeAxes, "edge cases"),
    (ModuleForgetsEps, "values"),
    (ModuleDropsInTraining, "values"),
    (lambda *a, **k: nn.LayerNorm(*a, **k), "parameters"),
]


# ------------------------------------------------------ what is said, and what is right


def test_a_frozen_parameter_is_told_as_that(told):
    assert "weight is frozen" in told("1.3", ModuleFrozen)
