"""Exercise 4.3.5: one step of training, with its gradients clipped."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case, Layer, Optimizer


def by_norm(model, max_norm):
    clip_grad_norm_(model.parameters(), max_norm)


def stepped(
    model,
    optimizer,
    images,
    labels,
    max_norm,
    *,
    mode=nn.Module.train,
    loss=F.cross_entropy,
    clip=by_norm,
    report=torch.Tensor.item,
):
    """The right step, or with one part of it another way."""
    mode(model)
    optimizer.zero_grad()
    value = loss(model(images), labels)
    value.backward()
    clip(model, max_norm)
    optimizer.step()
    return report(value)


@looks_at("training", "output")
def left_in_training_mode(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        if not replies[name]["training"]:
            came = "training" if case.args["model"].training else "eval"
            return (
                f"In the case “{name}”, the model came in {came} mode and is in eval "
                "mode after the step."
            )
    return None


class Step(Exercise):
    """train_step(model, optimizer, images, labels, max_norm): one step, its loss."""

    number = "4.3.5"
    fixed = {"single sample": "batch norm in training needs two"}
    properties = (left_in_training_mode,)

    @staticmethod
    def train_step(model, optimizer, images, labels, max_norm=1.0):
        return stepped(model, optimizer, images, labels, max_norm)

    reference = {"train_step": train_step}

    def draw_cases(self, draw: Draw):
        B, side, hidden, K = draw.sizes(4)
        images = draw.normal(B, 1, side, side)
        labels = draw.integers(0, K - 1, B)
        sgd = Optimizer("SGD", "model", {"lr": 0.3, "momentum": 0.9})
        kinds = (
            Layer("Flatten"),
            Layer("Linear", (side * side, hidden), {"bias": False}),
            Layer("BatchNorm1d", (hidden,)),  # does in eval mode what it did not before
            Layer("GELU"),
            Layer("Linear", (hidden, K)),
        )
        state = {
            "1.weight": draw.normal(hidden, side * side),
            "2.weight": draw.normal(hidden, mean=2.0),
            "2.bias": draw.normal(hidden),
            "2.running_mean": draw.normal(hidden),
            "2.running_var": draw.normal(hidden).square() + 0.5,
            "4.weight": draw.normal(K, hidden, std=2.0),
            "4.bias": draw.normal(K),
        }

        def case(name, training=True, gradient=None, **limit):
            how = {"state": state, "training": training, "gradient": gradient}
            model = Layer("Sequential", kinds, **how)
            args = {"model": model, "optimizer": sgd, "images": images}
            return Case(
                name,
                "train_step",
                args | {"labels": labels},
                kwargs=limit,
                fills="model",
                gradients=False,
                tolerance=1e-5,
            )

        yield case("a gradient to clip", max_norm=0.05)
        yield case("a gradient short enough", max_norm=1000.0)
        yield case("a model in eval mode, max_norm left out", training=False)
        yield case("gradients left from before", gradient=2.0, max_norm=1000.0)


@Step.mistake
def nothing_returned(model, optimizer, images, labels, max_norm=1.0):
    """You return nothing. Return the loss as a float: loss.item()."""
    stepped(model, optimizer, images, labels, max_norm)


@Step.mistake
def tensor_returned(model, optimizer, images, labels, max_norm=1.0):
    """You return the loss as a tensor, which holds the whole graph of the step in
    memory as long as anyone keeps it. Return a number: loss.item()."""
    return stepped(model, optimizer, images, labels, max_norm, report=lambda x: x)


@Step.mistake
def without_gradients(model, optimizer, images, labels, max_norm=1.0):
    """You compute the loss under torch.no_grad(), or detach it: then there is no graph
    to go back through."""
    model.train()
    optimizer.zero_grad()
    with torch.no_grad():
        loss = F.cross_entropy(model(images), labels)
    loss.backward()


@Step.mistake
def arguments_exchanged(model, optimizer, images, labels, max_norm=1.0):
    """You gave F.cross_entropy the labels first. The logits come first."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda logits, labels: F.cross_entropy(labels, logits),
    )


@Step.mistake
def train_mode_not_set(model, optimizer, images, labels, max_norm=1.0):
    """You did not switch the model to training mode. Whoever measured accuracy before
    has left it in eval mode: call model.train() first."""
    return stepped(model, optimizer, images, labels, max_norm, mode=lambda m: None)


@Step.mistake
def eval_mode_set(model, optimizer, images, labels, max_norm=1.0):
    """You switch the model to eval mode. Dropout and batch norm then do not do what
    they do in training: call model.train()."""
    return stepped(model, optimizer, images, labels, max_norm, mode=nn.Module.eval)


@Step.mistake
def eval_mode_at_the_end(model, optimizer, images, labels, max_norm=1.0):
    """You switch the model to eval mode at the end of the step. Leave it in training
    mode: the next step follows."""
    loss = stepped(model, optimizer, images, labels, max_norm)
    model.eval()
    return loss


@Step.mistake
def softmax_before_cross_entropy(model, optimizer, images, labels, max_norm=1.0):
    """You took the softmax before the cross entropy, which takes it itself: give
    F.cross_entropy the logits. Taken twice, the model learns slowly and never gets
    sure."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda logits, labels: F.cross_entropy(logits.softmax(-1), labels),
    )


@Step.mistake
def likelihood_of_logits(model, optimizer, images, labels, max_norm=1.0):
    """You gave logits to the negative log-likelihood (nll_loss), which wants
    log-probabilities. F.cross_entropy takes logits."""
    return stepped(model, optimizer, images, labels, max_norm, loss=F.nll_loss)


@Step.mistake
def squared_error(model, optimizer, images, labels, max_norm=1.0):
    """You used the squared error against one-hot labels. The exercise asks for the
    cross entropy."""

    def loss(logits, labels):
        return F.mse_loss(logits, F.one_hot(labels, logits.shape[1]).to(logits))

    return stepped(model, optimizer, images, labels, max_norm, loss=loss)


@Step.mistake
def summed_over_the_batch(model, optimizer, images, labels, max_norm=1.0):
    """You summed the loss over the batch. The mean is wanted, which does not grow with
    the batch: F.cross_entropy's default."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum"),
    )


@Step.mistake
def divided_again(model, optimizer, images, labels, max_norm=1.0):
    """You divided the loss by the batch size. F.cross_entropy has done that: its
    default is the mean."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda logits, labels: F.cross_entropy(logits, labels) / len(labels),
    )


@Step.mistake
def labels_smoothed(model, optimizer, images, labels, max_norm=1.0):
    """You smoothed the labels. The exercise asks for the plain cross entropy."""
    return stepped(
        model,
        optimizer,
        images,
        labels,
        max_norm,
        loss=lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1),
    )


@Step.mistake
def loss_after_the_step(model, optimizer, images, labels, max_norm=1.0):
    """You return the loss after the step, from a second forward pass. Return the one
    that you went back through: it costs nothing."""
    stepped(model, optimizer, images, labels, max_norm)
    return F.cross_entropy(model(images), labels).item()


@Step.mistake
def accuracy_returned(model, optimizer, images, labels, max_norm=1.0):
    """You return the share of right answers. The loss is wanted."""
    right = []

    def loss(logits, labels):
        right.append((logits.argmax(-1) == labels).double().mean().item())
        return F.cross_entropy(logits, labels)

    stepped(model, optimizer, images, labels, max_norm, loss=loss)
    return right[0]


@Step.mistake
def two_forward_passes(model, optimizer, images, labels, max_norm=1.0):
    """You ran the model twice in one step. That takes twice the time, and batch norm's
    running statistics move twice: keep the loss of the first pass."""
    model.train()
    model(images)
    return stepped(model, optimizer, images, labels, max_norm)


@Step.mistake
def weights_as_before(model, optimizer, images, labels, max_norm=1.0):
    """Your weights are the same after the step. Either backward() or step() is missing,
    or you cleared the gradients between the two."""
    loss = stepped(
        model, optimizer, images, labels, max_norm, clip=lambda *_: model.zero_grad()
    )
    return loss


@Step.mistake
def gradients_not_cleared(model, optimizer, images, labels, max_norm=1.0):
    """You did not clear the gradients: backward() adds to what is there, so the second
    step still goes the first one's way. Call optimizer.zero_grad()."""
    model.train()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    by_norm(model, max_norm)
    optimizer.step()
    return loss.item()


@Step.mistake
def cleared_at_the_end(model, optimizer, images, labels, max_norm=1.0):
    """You clear the gradients after the step. That helps the next step only; whoever
    called backward() before this one left gradients that are added to yours. Clear
    them first."""
    loss = gradients_not_cleared(model, optimizer, images, labels, max_norm)
    optimizer.zero_grad()
    return loss


@Step.mistake
def not_clipped(model, optimizer, images, labels, max_norm=1.0):
    """You did not clip the gradients, or not between backward() and step(): before,
    there is nothing to clip; after, the step is taken."""
    return stepped(model, optimizer, images, labels, max_norm, clip=lambda *_: None)


@Step.mistake
def clipped_by_value(model, optimizer, images, labels, max_norm=1.0):
    """You clipped every number of the gradient by itself, which turns its direction.
    Clip the norm of the whole: nn.utils.clip_grad_norm_."""

    def clip(model, max_norm):
        clip_grad_value_(model.parameters(), max_norm)

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)


@Step.mistake
def clipped_one_by_one(model, optimizer, images, labels, max_norm=1.0):
    """You clipped every parameter's gradient by itself, which turns the direction of
    the step. The norm of all together is meant: clip_grad_norm_(model.parameters(),
    …)."""

    def clip(model, max_norm):
        for parameter in model.parameters():
            clip_grad_norm_(parameter, max_norm)

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)


@Step.mistake
def max_norm_ignored(model, optimizer, images, labels, max_norm=1.0):
    """You clip to 1 whatever max_norm is."""
    return stepped(model, optimizer, images, labels, 1.0)


@Step.mistake
def always_scaled(model, optimizer, images, labels, max_norm=1.0):
    """You scale every gradient to the norm max_norm, small ones too. Clipping only
    shortens those that are longer."""

    def clip(model, max_norm):
        gradients = [p.grad for p in model.parameters()]
        norm = torch.stack([g.norm() for g in gradients]).norm()
        for gradient in gradients:
            gradient.mul_(max_norm / norm)

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)


@Step.mistake
def norm_of_largest(model, optimizer, images, labels, max_norm=1.0):
    """You clipped by another norm than the usual one, the root of the sum of
    squares."""

    def clip(model, max_norm):
        clip_grad_norm_(model.parameters(), max_norm, norm_type=math.inf)

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)


@Step.mistake
def two_steps(model, optimizer, images, labels, max_norm=1.0):
    """You called optimizer.step() twice."""
    loss = stepped(model, optimizer, images, labels, max_norm)
    optimizer.step()
    return loss


@Step.mistake
def uphill(model, optimizer, images, labels, max_norm=1.0):
    """You climb: the gradient has the wrong sign, and the loss grows."""

    def clip(model, max_norm):
        by_norm(model, max_norm)
        for parameter in model.parameters():
            parameter.grad.neg_()

    return stepped(model, optimizer, images, labels, max_norm, clip=clip)
