"""Exercise 1.5: legitimate answers that must pass, and wrong ones in other words."""

import torch

# -------------------------------------------------------------- legitimate alternatives


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


ALTERNATIVES = [
    statistics_by_loop,
    statistics_by_nanmean,
]


# ---------------------------------------------------- the same mistakes, in other words


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
    (statistics_divided_by_batch, "padding_as_zeros"),
    (statistics_times_alive, "padding_multiplied"),
]


# -------------------------------------------------------- wrong, though nobody named it


def statistics_with_float_count(x, lengths):
    count, *rest = statistics_by_loop(x, lengths)
    return count.float(), *rest


WRONG = [
    (statistics_with_float_count, "dtype"),
]


# ------------------------------------------------------ what is said, and what is right


def test_it_is_said_which_of_the_three_has_another_dtype(told):
    said = told("1.5", statistics_with_float_count)
    assert "output[0] has dtype torch.float32" in said
