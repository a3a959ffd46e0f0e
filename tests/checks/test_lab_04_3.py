"""Lab 4.3: legitimate answers that must pass, and mistakes spelled in other words."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks import class_token, find, plain, probes, section_exercises
from labkit.checks.probes import Case, Layer, Optimizer

# ------------------------------------------------------------- legitimate alternatives


class TokenOfZeros(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x):
        return torch.cat((self.token.repeat(x.shape[0], 1, 1), x), 1)


class TokenByHstack(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.trunc_normal_(self.token, std=0.02)

    def forward(self, x):
        B, _, D = x.shape
        return torch.hstack([self.token.expand(B, 1, D), x])


class TokenByPadding(nn.Module):
    """Zeros in front, and the token added to them."""

    def __init__(self, dim):
        super().__init__()
        self.register_parameter("token", nn.Parameter(torch.ones(1, 1, dim)))

    def forward(self, x):
        room = torch.zeros_like(F.pad(x, (0, 0, 1, 0)))[:, :1] + self.token
        return torch.cat([room, x], dim=-2)


class TokenByStacking(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, dim))

    def forward(self, x):
        return torch.stack([torch.cat([self.token[0], sample]) for sample in x])


def pool_by_match(tokens, how):
    match how:
        case "class":
            return tokens.select(1, 0)
        case "mean":
            return torch.einsum("bnd->bd", tokens[:, 1:]) / (tokens.size(1) - 1)
    raise ValueError(f'expected "class" or "mean", got "{how}"')


def pool_by_lookup(tokens, how):
    ways = {
        "class": lambda: tokens[:, 0, :],
        "mean": lambda: (tokens.sum(1) - tokens[:, 0]) / (tokens.shape[1] - 1),
    }
    try:
        return ways[how]()
    except KeyError:
        known = ", ".join(ways)
        raise ValueError(f"unknown way to pool: {how}. Known: {known}") from None


def pool_checked_first(tokens, how):
    if how not in ("class", "mean"):
        raise ValueError("how must be class or mean, not " + how)
    first, patches = tokens.split([1, tokens.shape[1] - 1], dim=1)
    return first.squeeze(1) if how == "class" else torch.mean(patches, -2)


def rollout_normalized(weights):
    """A + I, its rows then divided by their sums; from the last layer back."""
    L, B, h, T, _ = weights.shape
    row = F.one_hot(torch.zeros(B, dtype=torch.int64, device=weights.device), T)
    row = row.to(weights)[:, None]
    for layer in reversed(weights):
        mixed = layer.mean(1) + torch.eye(T, dtype=layer.dtype, device=layer.device)
        row = row @ (mixed / mixed.sum(-1, keepdim=True))
    return row.squeeze(1)[:, 1:]


@torch.no_grad()
def rollout_sample_by_sample(weights):
    rows = []
    for b in range(weights.shape[1]):
        matrices = [
            0.5 * a.mean(0) + 0.5 * torch.eye(len(a[0])).to(a) for a in weights[:, b]
        ]
        total = matrices[0]
        for matrix in matrices[1:]:
            total = torch.matmul(matrix, total)
        rows.append(total[0][1:])
    return torch.stack(rows)


def rollout_by_multi_dot(weights):
    A = weights.sum(2) / weights.shape[2]
    A = A + torch.diag_embed(torch.ones_like(A[..., 0]))
    A = F.normalize(A, p=1, dim=-1).flip(0)
    return torch.stack(
        [torch.linalg.multi_dot([*A[:, b], A[0, b] * 0 + torch.eye(A.shape[-1]).to(A)])
         for b in range(A.shape[1])]
    )[:, 0, 1:]  # fmt: skip


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


def step_cleared_at_the_end(model, optimizer, images, labels, max_norm=1.0):
    """Cleared after use; cross entropy of log-probabilities is the same."""
    model.train()
    loss = F.cross_entropy(F.log_softmax(model(images), dim=-1), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


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
    ("4.3.1", TokenOfZeros),
    ("4.3.1", TokenByHstack),
    ("4.3.1", TokenByPadding),
    ("4.3.1", TokenByStacking),
    ("4.3.2", pool_by_match),
    ("4.3.2", pool_by_lookup),
    ("4.3.2", pool_checked_first),
    ("4.3.3", rollout_normalized),
    ("4.3.3", rollout_sample_by_sample),
    ("4.3.3", rollout_by_multi_dot),
    ("4.3.4", schedule_by_minimum),
    ("4.3.4", schedule_by_square),
    ("4.3.4", schedule_by_torch),
    ("4.3.5", step_with_a_module),
    ("4.3.5", step_written_out),
    ("4.3.5", step_cleared_at_the_end),
    ("4.3.5", step_with_a_closure),
]


# ------------------------------------------------- the same mistakes, in other words


class PlainTensor(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.token = torch.zeros(1, 1, dim)

    def forward(self, x):
        return torch.cat([self.token.expand(len(x), -1, -1), x], 1)


class DrawnInForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return torch.cat([torch.randn(len(x), 1, self.dim), x], 1)


class DrawnOver(TokenOfZeros):
    def forward(self, x):
        nn.init.uniform_(self.token)
        return super().forward(x)


class DataUsed(TokenOfZeros):
    def forward(self, x):
        return torch.cat([self.token.data.repeat(len(x), 1, 1), x], 1)


class NotExpanded(TokenOfZeros):
    def forward(self, x):
        return torch.concatenate([self.token, x], axis=1)


class Behind(TokenOfZeros):
    def forward(self, x):
        return super().forward(x).roll(-1, dims=1)


def mean_of_everything(tokens, how):
    if how not in ("class", "mean"):
        raise ValueError(f"{how}: not class, not mean")
    return tokens[:, 0] if how == "class" else tokens.mean(-2)


def first_of_the_batch(tokens, how):
    return pool_checked_first(tokens, how) if how != "class" else tokens[0]


def bare_else(tokens, how):
    if how == "class":
        return tokens[:, 0]
    else:
        return tokens[:, 1:].mean(1)


def message_printed(tokens, how):
    if how in ("class", "mean"):
        return pool_checked_first(tokens, how)
    print("how must be class or mean")


def dictionary(tokens, how):
    return {"class": tokens[:, 0], "mean": tokens[:, 1:].mean(1)}[how]


def plain_product(weights):
    R = torch.eye(weights.shape[-1]).to(weights)
    for layer in weights.mean(2):
        R = layer @ R
    return R[:, 0, 1:]


def identity_not_halved(weights):
    R = torch.eye(weights.shape[-1]).to(weights)
    for layer in weights.mean(2):
        R = R + layer @ R
    return R[:, 0, 1:]


def product_to_the_right(weights):
    R = eye = torch.eye(weights.shape[-1]).to(weights)
    for layer in weights.mean(2):
        R = R @ (0.5 * layer + 0.5 * eye)
    return R[:, 0, 1:]


def maximum(weights):
    A = (weights.max(dim=2).values + torch.eye(weights.shape[-1]).to(weights)) / 2
    R = A[0]
    for layer in A[1:]:
        R = layer @ R
    return R[:, 0, 1:]


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
    ("4.3.1", PlainTensor, "TokenNotAParameter"),
    ("4.3.1", DrawnInForward, "TokenNotAParameter"),
    ("4.3.1", DrawnOver, "DrawnAnew"),
    ("4.3.1", DataUsed, "TokenDetached"),
    ("4.3.1", NotExpanded, "ExpandMissing"),
    ("4.3.1", Behind, "Appended"),
    ("4.3.2", mean_of_everything, "mean_of_all_tokens"),
    ("4.3.2", first_of_the_batch, "first_sample"),
    ("4.3.2", bare_else, "anything_else_is_mean"),
    ("4.3.2", message_printed, "nothing_for_other_words"),
    ("4.3.2", dictionary, "wrong_error"),
    ("4.3.3", plain_product, "residual_forgotten"),
    ("4.3.3", identity_not_halved, "rows_not_normalized"),
    ("4.3.3", product_to_the_right, "earlier_on_the_left"),
    ("4.3.3", maximum, "largest_over_heads"),
    ("4.3.4", cosine_of_everything, "no_warmup"),
    ("4.3.4", whole_numbers, "warmup_at_zero"),
    ("4.3.4", not_stopped, "goes_up_again"),
    ("4.3.4", from_one, "warmup_one_early"),
    ("4.3.5", clipped_too_late, "not_clipped"),
    ("4.3.5", clipped_too_early, "not_clipped"),
    ("4.3.5", never_cleared, "gradients_not_cleared"),
    ("4.3.5", cleared_too_late, "weights_as_before"),
    ("4.3.5", step_forgotten, "weights_as_before"),
    ("4.3.5", backward_forgotten, "weights_as_before"),
    ("4.3.5", probabilities, "softmax_before_cross_entropy"),
    ("4.3.5", mode_forgotten, "train_mode_not_set"),
]


def test_an_error_that_says_too_little_is_not_enough():
    def silent(tokens, how):
        if how not in ("class", "mean"):
            raise ValueError("wrong")
        return pool_checked_first(tokens, how)

    report = find("4.3.2").examine({"pool": silent})
    assert report.failure.property == "the error says what is wrong"
    assert "'median'" in report.text()


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


# ----------------------------------------------------------- references, and catalogue


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


def test_the_schedule_is_pytorchs():
    """The same curve from LinearLR and CosineAnnealingLR, one after the other."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-9, 1.0, total_iters=10)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [10])
    for step in range(111):
        wanted = optimizer.param_groups[0]["lr"]
        assert class_token.scheduled(step, 10, 110) == pytest.approx(wanted, abs=1e-6)
        optimizer.step()
        both.step()


def test_an_optimizer_travels_as_plain_data():
    model = Layer("Linear", (2, 1), training=False)
    args = {"optimizer": Optimizer("AdamW", "model", {"lr": 0.1}), "model": model}
    (case,) = plain.loads(plain.dumps([Case("a", "f", args)]))
    assert case.args == args

    def f(optimizer, model):
        (group,) = optimizer.param_groups
        same = all(
            a is b for a, b in zip(group["params"], model.parameters(), strict=True)
        )
        return [type(optimizer).__name__, group["lr"], same, model.training]

    (record,) = probes.run("function", {"f": f}, [case])
    assert record["output"] == ["AdamW", 0.1, True, False]


def test_buffers_of_a_layer_stay_buffers():
    state = {"running_mean": torch.ones(3), "weight": torch.full((3,), 2.0)}
    norm = Layer("BatchNorm1d", (3,), state=state).build()
    assert [name for name, _ in norm.named_parameters()] == ["weight", "bias"]
    norm(torch.zeros(4, 3))
    assert norm.running_mean.tolist() == pytest.approx([0.9] * 3)
    assert state["running_mean"].tolist() == [1.0] * 3  # the case's own is not touched


def test_the_catalogue_is_as_large_as_promised():
    assert sum(len(e.misconceptions) for e in section_exercises("4.3")) >= 18
    assert len(ALTERNATIVES) >= 6
