"""Exercise 4.3.4: legitimate answers that must pass, and wrong ones in other words."""

import math

import pytest
import torch
from torch import nn

from labkit.exercises.lab_04_3_class_token.schedule import scheduled

# -------------------------------------------------------------- legitimate alternatives


def schedule_by_minimum(step, warmup_steps, total_steps):
    rise = min(1.0, step / max(1, warmup_steps)) if warmup_steps else 1.0
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    done = min(max(done, 0.0), 1.0)
    return rise * 0.5 * (1 + math.cos(done * math.pi))


def schedule_by_square(step, warmup_steps, total_steps):
    """cos²(x / 2) is (1 + cos x) / 2; whole numbers at the ends."""
    if step >= total_steps:
        return 0
    if step < warmup_steps:
        return step / warmup_steps
    half = math.pi / 2 * (step - warmup_steps) / (total_steps - warmup_steps)
    return math.cos(half) ** 2


def schedule_by_torch(step, warmup_steps, total_steps):
    if step < warmup_steps:
        return float(step) / float(warmup_steps)
    done = torch.tensor((step - warmup_steps) / (total_steps - warmup_steps))
    return ((1 + torch.cos(torch.pi * done.clamp(max=1))) / 2).item()


ALTERNATIVES = [
    schedule_by_minimum,
    schedule_by_square,
    schedule_by_torch,
]


# ---------------------------------------------------- the same mistakes, in other words


def cosine_of_everything(step, warmup_steps, total_steps):
    done = min(1, step / total_steps)
    return 0.5 + 0.5 * math.cos(math.pi * done)


def whole_numbers(step, warmup_steps, total_steps):
    if step < warmup_steps:
        return float(step // warmup_steps)
    return schedule_by_minimum(step, warmup_steps, total_steps)


def not_stopped(step, warmup_steps, total_steps):
    if step < warmup_steps:
        return step / warmup_steps
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))


def from_one(step, warmup_steps, total_steps):
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return schedule_by_minimum(step, warmup_steps, total_steps)


IN_OTHER_WORDS = [
    (cosine_of_everything, "no_warmup"),
    (whole_numbers, "warmup_at_zero"),
    (not_stopped, "goes_up_again"),
    (from_one, "warmup_one_early"),
]


# ------------------------------------------------------ what is said, and what is right


def test_the_schedule_is_pytorchs():
    """The same curve from LinearLR and CosineAnnealingLR, one after the other."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-9, 1.0, total_iters=10)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [10])
    for step in range(111):
        wanted = optimizer.param_groups[0]["lr"]
        assert scheduled(step, 10, 110) == pytest.approx(wanted, abs=1e-6)
        optimizer.step()
        both.step()
