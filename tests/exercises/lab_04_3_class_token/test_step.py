"""Exercise 4.3.5: legitimate answers that must pass, and wrong ones in other words."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.exercises import find

# -------------------------------------------------------------- legitimate alternatives


def step_with_a_module(model, optimizer, images, labels, max_norm=1.0):
    model.train(True)
    model.zero_grad(set_to_none=True)
    loss = nn.CrossEntropyLoss()(model(images), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=max_norm)
    optimizer.step()
    return loss.tolist()


def step_written_out(model, optimizer, images, labels, max_norm=1.0):
    """Softmax, likelihood and clipping by hand; the mean of the batch."""
    model.train()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
    logits = model(images)
    chosen = logits.gather(1, labels[:, None]).squeeze(1)
    loss = (logits.logsumexp(dim=-1) - chosen).sum() / len(labels)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    if norm > max_norm:
        for g in gradients:
            g *= max_norm / norm
    optimizer.step()
    return float(loss.detach())


def step_with_a_closure(model, optimizer, images, labels, max_norm=1.0):
    def closure():
        optimizer.zero_grad()
        loss = F.nll_loss(model(images).log_softmax(1), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        return loss

    model.train()
    return optimizer.step(closure).item()


ALTERNATIVES = [
    step_with_a_module,
    step_written_out,
    step_with_a_closure,
]


# ---------------------------------------------------- the same mistakes, in other words


def clipped_too_late(model, optimizer, images, labels, max_norm=1.0):
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    return loss.item()


def clipped_too_early(model, optimizer, images, labels, max_norm=1.0):
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    loss.backward()
    optimizer.step()
    return loss.item()


def step_cleared_at_the_end(model, optimizer, images, labels, max_norm=1.0):
    """After use: what was there before is added to the first step."""
    model.train()
    loss = F.cross_entropy(F.log_softmax(model(images), dim=-1), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def never_cleared(model, optimizer, images, labels, max_norm=1.0):
    model.train()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return loss.item()


def cleared_too_late(model, optimizer, images, labels, max_norm=1.0):
    model.train()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.zero_grad()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return loss.item()


def step_forgotten(model, optimizer, images, labels, max_norm=1.0):
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    return loss.item()


def backward_forgotten(model, optimizer, images, labels, max_norm=1.0):
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    optimizer.step()
    return loss.item()


def probabilities(model, optimizer, images, labels, max_norm=1.0):
    model.train()
    optimizer.zero_grad()
    loss = nn.CrossEntropyLoss()(nn.Softmax(dim=1)(model(images)), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return loss.item()


def mode_forgotten(model, optimizer, images, labels, max_norm=1.0):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return loss.item()


IN_OTHER_WORDS = [
    (clipped_too_late, "not_clipped"),
    (clipped_too_early, "not_clipped"),
    (step_cleared_at_the_end, "cleared_at_the_end"),
    (never_cleared, "gradients_not_cleared"),
    (cleared_too_late, "weights_as_before"),
    (step_forgotten, "weights_as_before"),
    (backward_forgotten, "weights_as_before"),
    (probabilities, "softmax_before_cross_entropy"),
    (mode_forgotten, "train_mode_not_set"),
]


# ------------------------------------------------------ what is said, and what is right


def test_an_error_of_pytorchs_is_not_taken_for_an_empty_answer():
    """PyTorch, too, raises NotImplementedError: for labels in the place of logits."""

    def exchanged(model, optimizer, images, labels, max_norm=1.0):
        F.cross_entropy(labels, model.train()(images))

    report = find("4.3.5").examine({"train_step": exchanged})
    assert "labels first" in report.text()

    def empty(model, optimizer, images, labels, max_norm=1.0):
        raise NotImplementedError("Exercise 4.3.5")

    report = find("4.3.5").examine({"train_step": empty})
    assert report.text() == "✗ 4.3.5 train_step: not written yet"


def test_a_step_that_tampers_with_the_images_is_caught():
    def in_place(model, optimizer, images, labels, max_norm=1.0):
        loss = step_with_a_module(model, optimizer, images, labels, max_norm)
        images.zero_()
        return loss

    report = find("4.3.5").examine({"train_step": in_place})
    assert "images in place" in " ".join(report.text().split())


@pytest.mark.parametrize("seed", range(30))
def test_the_cases_clip_where_they_say_so(seed):
    """Else a mistake about clipping would not change the weights."""
    for case in find("4.3.5").cases(seed):
        model = case.args["model"].build().train()
        loss = F.cross_entropy(model(case.args["images"]), case.args["labels"])
        loss.backward()
        gradients = [p.grad for p in model.parameters()]
        norm = torch.stack([g.norm() for g in gradients]).norm().item()
        limit = case.kwargs.get("max_norm", 1.0)
        assert norm < limit / 2 if limit > 1 else norm > 1.1 * limit, case.name
