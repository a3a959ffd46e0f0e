"""Lab 1: legitimate answers that must pass, and mistakes spelled in other words."""

import torch
from torch import nn

from labkit.checks import find, section_exercises

# ------------------------------------------------------------- legitimate alternatives


def batch_norm_by_loop(x, eps=1e-5):
    columns = []
    for c in range(x.shape[-1]):
        values = x[:, :, c]
        spread = ((values - values.mean()) ** 2).mean()
        columns.append((values - values.mean()) / (spread + eps) ** 0.5)
    return torch.stack(columns, dim=-1)


def batch_norm_flat(x, eps=1e-5):
    variance, mean = torch.var_mean(x.reshape(-1, x.shape[-1]), 0, correction=0)
    return ((x - mean) * torch.rsqrt(variance + eps)).reshape(x.shape)


def batch_norm_einsum(x, eps=1e-5):
    n = x.shape[0] * x.shape[1]
    x = x - torch.einsum("btc->c", x) / n
    return x / torch.sqrt(torch.einsum("btc,btc->c", x, x) / n + eps)


def layer_norm_two_pass(x, weight=None, bias=None, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    y = centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + eps)
    weight = 1 if weight is None else weight
    return y * weight + (0 if bias is None else bias)


def layer_norm_transposed(x, weight=None, bias=None, eps=1e-5):
    channels = x.movedim(-1, 0)
    variance, mean = torch.var_mean(channels, 0, unbiased=False)
    y = ((channels - mean) / (variance + eps).sqrt()).movedim(0, -1)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def layer_norm_by_matrix(x, weight=None, bias=None, eps=1e-5):
    C = x.shape[-1]
    centring = torch.eye(C, dtype=x.dtype, device=x.device) - 1 / C
    y = x @ centring
    y = y / (y.square().sum(-1, keepdim=True) / C + eps).sqrt()
    y = y if weight is None else torch.einsum("...c,c->...c", y, weight)
    return y if bias is None else torch.add(y, bias)


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


def backward_textbook(grad_output, x, weight, eps=1e-5):
    """Path by path, as in the batch norm paper."""
    C = x.shape[-1]
    mu = x.mean(-1, keepdim=True)
    variance = ((x - mu) ** 2).mean(-1, keepdim=True)
    inverse = (variance + eps) ** -0.5
    h = grad_output * weight
    grad_variance = (h * (x - mu) * -0.5 * inverse**3).sum(-1, keepdim=True)
    grad_mu = (-h * inverse).sum(-1, keepdim=True)
    grad_x = h * inverse + grad_variance * 2 * (x - mu) / C + grad_mu / C
    x_hat = (x - mu) * inverse
    return (
        grad_x,
        (grad_output * x_hat).flatten(0, 1).sum(0),
        grad_output.flatten(0, 1).sum(0),
    )


def backward_einsum_list(grad_output, x, weight, eps=1e-5):
    """A list instead of a tuple, einsum for the sums."""
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    x_hat = (x - mean) / (variance + eps).sqrt()
    h, C = grad_output * weight, x.shape[-1]
    dot = torch.einsum("btc,btc->bt", h, x_hat)[..., None]
    grad_x = (C * h - h.sum(-1, keepdim=True) - x_hat * dot) / C
    return [
        grad_x / (variance + eps).sqrt(),
        torch.einsum("btc,btc->c", grad_output, x_hat),
        torch.einsum("btc->c", grad_output),
    ]


def statistics_by_loop(x, lengths):
    T, C = x.shape[1:]
    nothing = torch.full((C,), float("nan"), dtype=x.dtype, device=x.device)
    count, mean, var = [], [], []
    for t in range(T):
        alive = x[lengths > t, t]
        count.append(len(alive))
        mean.append(alive.mean(0) if len(alive) else nothing)
        var.append(alive.var(0, correction=0) if len(alive) else nothing)
    return torch.tensor(count, device=x.device), torch.stack(mean), torch.stack(var)


def statistics_by_nanmean(x, lengths):
    dead = torch.arange(x.shape[1], device=x.device)[None] >= lengths[:, None]
    x = x.masked_fill(dead[..., None], float("nan"))
    mean = x.nanmean(0)
    return (~dead).sum(0, dtype=torch.int32), mean, ((x - mean) ** 2).nanmean(0)


def pre_norm_steps(x, norm, sublayer):
    stream = x.clone()
    stream += sublayer(norm(x))
    return stream


def post_norm_steps(x, norm, sublayer):
    return norm(torch.add(sublayer(x), x))


def rms_norm_by_length(x, weight=None, eps=1e-6):
    C = x.shape[-1]
    y = x / torch.sqrt(torch.linalg.vector_norm(x, dim=-1, keepdim=True) ** 2 / C + eps)
    return y if weight is None else weight * y


ALTERNATIVES = [
    ("1.1", batch_norm_by_loop),
    ("1.1", batch_norm_flat),
    ("1.1", batch_norm_einsum),
    ("1.2", layer_norm_two_pass),
    ("1.2", layer_norm_transposed),
    ("1.2", layer_norm_by_matrix),
    ("1.3", ModuleOneRow),
    ("1.3", ModuleBiasFirst),
    ("1.3", ModuleInFloat64),
    ("1.4", backward_textbook),
    ("1.4", backward_einsum_list),
    ("1.5", statistics_by_loop),
    ("1.5", statistics_by_nanmean),
    ("1.6", pre_norm_steps, post_norm_steps),
    ("1.7", rms_norm_by_length),
]


# ------------------------------------------------- the same mistakes, in other words


def layer_norm_by_joined_axes(x, weight=None, bias=None, eps=1e-5):
    flat = x.reshape(*x.shape[:-2], -1) if x.dim() > 1 else x
    y = layer_norm_two_pass(flat, None, None, eps).reshape(x.shape)
    weight = 1 if weight is None else weight
    return y * weight + (0 if bias is None else bias)


def layer_norm_std(x, weight=None, bias=None, eps=1e-5):
    spread = torch.sqrt(torch.std(x, dim=-1, keepdim=True) ** 2 + eps)
    y = (x - x.mean(-1, keepdim=True)) / spread
    weight = 1 if weight is None else weight
    return y * weight + (0 if bias is None else bias)


def batch_norm_root_plus_eps(x, eps=1e-5):
    flat = x.flatten(0, 1)
    return (x - flat.mean(0)) / (flat.var(0).sqrt() + eps)


def layer_norm_root_plus_eps(x, weight=None, bias=None, eps=1e-5):
    y = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True).sqrt() + eps)
    weight = 1 if weight is None else weight
    return y * weight + (0 if bias is None else bias)


def layer_norm_minus_equals(x, weight=None, bias=None, eps=1e-5):
    x -= x.mean(-1, keepdim=True)
    return layer_norm_two_pass(x, weight, bias, eps)


def layer_norm_item_statistics(x, weight=None, bias=None, eps=1e-5):
    with torch.no_grad():
        mean = x.mean(-1, keepdim=True)
        spread = torch.sqrt(x.var(-1, correction=0, keepdim=True) + eps)
    y = (x - mean) / spread
    weight = 1 if weight is None else weight
    return y * weight + (0 if bias is None else bias)


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


def backward_missing_both(grad_output, x, weight, eps=1e-5):
    std = (x.var(-1, correction=0, keepdim=True) + eps).sqrt()
    x_hat = (x - x.mean(-1, keepdim=True)) / std
    grad_weight = (grad_output * x_hat).sum((0, 1))
    return grad_output * weight / std, grad_weight, grad_output.sum((0, 1))


def statistics_divided_by_batch(x, lengths):
    alive = (torch.arange(x.shape[1])[None] < lengths[:, None].cpu()).to(x)
    mean = (x * alive[..., None]).sum(0) / x.shape[0]
    squares = (x * alive[..., None] - mean) ** 2
    return alive.sum(0).long(), mean, squares.sum(0) / x.shape[0]


def statistics_times_alive(x, lengths):
    alive = (torch.arange(x.shape[1], device=x.device) < lengths[:, None]).to(x)
    count = alive.sum(0)[:, None]
    mean = torch.einsum("btc,bt->tc", x, alive) / count
    variance = torch.einsum("btc,bt->tc", (x - mean).square(), alive) / count
    return alive.sum(0).int(), mean, variance


IN_OTHER_WORDS = [
    ("1.1", batch_norm_root_plus_eps, "batch_std_plus_eps"),
    ("1.2", layer_norm_root_plus_eps, "std_plus_eps"),
    ("1.2", layer_norm_by_joined_axes, "over_positions_too"),
    ("1.2", layer_norm_std, "unbiased"),
    ("1.2", layer_norm_minus_equals, "in_place"),
    ("1.2", layer_norm_item_statistics, "detached"),
    ("1.3", ModuleTensorAttributes, "PlainTensors"),
    ("1.3", ModuleListOfParameters, "PlainTensors"),
    ("1.3", ModuleKeepsEpsToItself, "ModuleEpsIgnored"),
    ("1.3", ModuleRootPlusEps, "ModuleStdPlusEps"),
    ("1.4", backward_missing_both, "statistics_constant"),
    ("1.5", statistics_divided_by_batch, "padding_as_zeros"),
    ("1.5", statistics_times_alive, "padding_multiplied"),
]


# ------------------------------------------------------ wrong, though nobody named it


def layer_norm_clamped(x, weight=None, bias=None, eps=1e-5):
    return layer_norm_two_pass(x, weight, bias, eps).clamp(-2, 2)


def layer_norm_one_sample(x, weight=None, bias=None, eps=1e-5):
    return layer_norm_two_pass(x[:1], weight, bias, eps)


def layer_norm_both_or_none(x, weight=None, bias=None, eps=1e-5):
    if weight is None or bias is None:
        weight = bias = None
    return layer_norm_two_pass(x, weight, bias, eps)


def layer_norm_bias_beside_weight(x, weight=None, bias=None, eps=1e-5):
    return layer_norm_two_pass(x, weight, None if weight is None else bias, eps)


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


def statistics_with_float_count(x, lengths):
    count, *rest = statistics_by_loop(x, lengths)
    return count.float(), *rest


WRONG = [
    ("1.2", layer_norm_clamped, "values"),
    ("1.2", layer_norm_one_sample, "shape"),
    ("1.2", layer_norm_both_or_none, "edge cases"),
    ("1.2", layer_norm_bias_beside_weight, "edge cases"),
    ("1.2", lambda x, weight, bias: x, "runs"),
    ("1.3", ModuleForThreeAxes, "edge cases"),
    ("1.3", ModuleForgetsEps, "values"),
    ("1.3", ModuleDropsInTraining, "values"),
    ("1.3", lambda *a, **k: nn.LayerNorm(*a, **k), "parameters"),
    ("1.5", statistics_with_float_count, "dtype"),
]


def test_calls_off_limits_are_named():
    for number in ("1.1", "1.2", "1.3", "1.4", "1.7"):
        exercise = find(number)
        text = exercise.examine(exercise.reference).text()
        assert "off limits" in text and "norm" in text
    autograd = find("1.4").examine(find("1.4").reference).text()
    assert "torch.autograd.grad" in autograd


def test_the_catalogue_is_as_large_as_promised():
    assert sum(len(e.misconceptions) for e in section_exercises("1")) >= 25
    assert len(ALTERNATIVES) >= 8
