"""Exercise 1.2: legitimate answers that must pass, and wrong ones in other words."""

import torch

# -------------------------------------------------------------- legitimate alternatives


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


ALTERNATIVES = [
    layer_norm_two_pass,
    layer_norm_transposed,
    layer_norm_by_matrix,
]


# ---------------------------------------------------- the same mistakes, in other words


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


IN_OTHER_WORDS = [
    (layer_norm_root_plus_eps, "std_plus_eps"),
    (layer_norm_by_joined_axes, "over_positions_too"),
    (layer_norm_std, "unbiased"),
    (layer_norm_minus_equals, "in_place"),
    (layer_norm_item_statistics, "detached"),
]


# -------------------------------------------------------- wrong, though nobody named it


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


WRONG = [
    (layer_norm_clamped, "values"),
    (layer_norm_one_sample, "shape"),
    (layer_norm_both_or_none, "edge cases"),
    (layer_norm_bias_beside_weight, "edge cases"),
    (lambda x, weight, bias: x, "runs"),
]
