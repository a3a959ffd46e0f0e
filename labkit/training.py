"""The loop that is not the lesson: several runs trained side by side.

    runs = train(make, draw, loss, steps=600, lr=1e-2, seeds=range(5))

A chapter writes an ordinary module and says what one step's batch and loss are. Here
the modules of all runs are stacked and computed as one (`torch.func`), each with
weights, batches and, if wanted, a learning rate of its own. A run gives the same
numbers whichever runs are trained beside it, up to the rounding of floats.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from labkit.runtime import device
from labkit.waiting import Progress

Draw = Callable[[torch.Generator], tuple[Tensor, ...]]
Loss = Callable[..., Tensor]
BATCHES = 2**31  # batches are drawn from another stream than the first weights


@dataclass
class Runs:
    """What `train` brings: R networks that were trained side by side.

    nets     R modules in the order of the seeds. Their weights are views of the stacked
             ones, so they are up to date during training as well
    losses   (steps, R) float32 on the CPU: the loss of each step, before the step
    weights  name → (R, …): parameters and buffers of all runs, stacked
    """

    nets: list[nn.Module]
    losses: Tensor
    weights: dict[str, Tensor]

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """Outputs of all runs for the same inputs (B, …) as in eval(): (R, B, …)."""

        def one(weights: dict[str, Tensor]) -> Tensor:
            return functional_call(net, weights, inputs)

        net, training = self.nets[0], self.nets[0].training
        inputs = tuple(x.to(device()) for x in inputs)
        net.eval()
        try:
            return vmap(one)(self.weights)
        finally:
            net.train(training)

    @property
    def converged(self) -> Tensor:
        """(R,) bool: the mean loss fell by less than 1 % within the last quarter.

        Compared are the first half of that quarter and the second.
        """
        last = self.losses[-max(2, len(self.losses) // 4) :].double()
        before, after = last.tensor_split(2)
        before, after = before.mean(0), after.mean(0)
        return before - after < 0.01 * before.abs()


def train(
    make: Callable[[], nn.Module],
    draw: Draw,
    loss: Loss,
    *,
    steps: int,
    lr: float | Sequence[float],
    seeds: Sequence[int] = range(5),
    warmup: float = 0.0,
    decay: str | None = "cosine",
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    watch: Callable[[int, Runs], None] | None = None,
    label: str = "",
) -> Runs:
    """Train one network per seed, all at once; return them with their losses.

    make       makes a run's network; called once a seed, after torch.manual_seed(seed)
    draw       draw(generator): one step's batch of one run, a tuple of CPU tensors; all
               its random numbers come from the run's own CPU generator
    loss       loss(net, *batch): one number; `net` is the run's network
    lr         one learning rate, or one for each run
    warmup     share of the steps over which the rate climbs from 0
    decay      "cosine": then it falls to 0 along half a cosine; None: it stays
    optimizer  optimizer(parameters, lr=…), any whose step is proportional to its rate
    watch      watch(step, runs), called after each step, counted from 1
    label      what the line with the time left begins with

    The networks must agree in everything but their weights: parameters that are frozen
    (requires_grad=False) stay as they were made. A network that keeps tensors as
    attributes, draws random numbers itself (dropout) or depends on Python attributes
    that differ from run to run does not fit here. The global random numbers are left
    as they were.

    Raises ValueError where networks, rates, batches or losses do not fit together.
    """
    seeds = list(seeds)
    rates = _rates(lr, len(seeds))
    nets, weights = _networks(make, seeds)
    generators = [torch.Generator().manual_seed(BATCHES + seed) for seed in seeds]
    free = [w for w in weights.values() if w.requires_grad]
    step_all = _optimizer(optimizer, free, rates)
    losses_of_all = _side_by_side(nets[0], loss)
    losses = torch.empty(steps, len(seeds), device=device())
    runs = Runs(nets, losses, weights)
    with Progress(steps, label) as progress:
        for step in range(steps):
            batch = _draw_all(draw, generators, first=step == 0)
            value = losses_of_all(weights, *batch)
            if value.shape != (len(seeds),):
                shape = tuple(value.shape[1:])
                raise ValueError(f"loss must return one number, got the shape {shape}")
            for w in free:
                w.grad = None
            value.sum().backward()  # the runs share nothing: each gets its own gradient
            step_all(_factor(step, steps, warmup, decay))
            losses[step] = value.detach()
            if watch:
                watch(step + 1, runs)
            progress.at(step + 1)
    runs.losses = losses.float().cpu()
    return runs


def _rates(lr: float | Sequence[float], runs: int) -> list[float]:
    """One learning rate a run."""
    rates = [lr] * runs if isinstance(lr, int | float) else [float(rate) for rate in lr]
    if not runs or len(rates) != runs:
        raise ValueError(f"got {len(rates)} learning rates for {runs} seeds")
    return rates


def _networks(
    make: Callable[[], nn.Module], seeds: list[int]
) -> tuple[list[nn.Module], dict[str, Tensor]]:
    """The runs' networks on the device, and all their weights stacked."""
    nets = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            nets.append(make().to(device()))
    first = _outline(nets[0])
    for net in nets[1:]:
        if different := first ^ _outline(net):
            names = ", ".join(sorted({name for name, *_ in different}))
            raise ValueError(f"the networks of the runs differ in {names}")
    weights = {name: w for part in stack_module_state(nets) for name, w in part.items()}
    for run, net in enumerate(nets):
        for name, w in (*net.named_parameters(), *net.named_buffers()):
            w.data = weights[name].detach()[run]
    return nets, weights


def _outline(net: nn.Module) -> set[tuple]:
    """What the networks must have in common: names, shapes, what is frozen."""
    parameters, buffers = net.named_parameters(), net.named_buffers()
    return {(name, w.shape, w.requires_grad) for name, w in (*parameters, *buffers)}


def _side_by_side(net: nn.Module, loss: Loss) -> Callable[..., Tensor]:
    """all(weights, *batch): the losses (R,) from stacked weights and batches."""

    class WithLoss(nn.Module):  # so that the loss gets the network, methods and all
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, *batch: Tensor) -> Tensor:
            return loss(self.net, *batch)

    whole = WithLoss()

    def one(weights: dict[str, Tensor], *batch: Tensor) -> Tensor:
        named = {f"net.{name}": w for name, w in weights.items()}
        return functional_call(whole, named, batch)

    return vmap(one)


def _draw_all(
    draw: Draw, generators: list[torch.Generator], first: bool
) -> list[Tensor]:
    """One step's batches of all runs: each part (R, …), on the device."""
    before = torch.get_rng_state() if first else None
    drawn = [draw(generator) for generator in generators]
    if first and not torch.equal(before, torch.get_rng_state()):
        raise ValueError("draw must take its random numbers from the given generator")
    if first and not isinstance(drawn[0], tuple):
        raise ValueError(f"draw must return a tuple, got {type(drawn[0]).__name__}")
    return [torch.stack(parts).to(device()) for parts in zip(*drawn, strict=True)]


def _optimizer(make, free: list[Tensor], rates: list[float]) -> Callable[[float], None]:
    """step(factor): one step of all runs, each at its rate times the factor."""
    options = inspect.signature(make).parameters
    fused = {"fused": True} if "fused" in options else {}
    same = len(set(rates)) == 1
    optimizer = make(free, lr=rates[0] if same else 1.0, **fused)

    def step_together(factor: float) -> None:
        optimizer.param_groups[0]["lr"] = rates[0] * factor
        optimizer.step()

    def step_apart(factor: float) -> None:
        """A step at rate 1, of which each run takes its share."""
        before = [w.detach().clone() for w in free]
        optimizer.step()
        for old, w, share in zip(before, free, shares, strict=True):
            w.data.copy_(old.lerp(w.data, factor * share))

    columns = torch.tensor(rates).to(free[0].device)
    shares = [columns.view(-1, *[1] * (w.ndim - 1)) for w in free]
    return step_together if same else step_apart


def _factor(step: int, steps: int, warmup: float, decay: str | None) -> float:
    """Share of the full learning rate at a step, counted from 0."""
    rise = warmup * steps
    if decay not in ("cosine", None):
        raise ValueError(f"got decay {decay!r}; want 'cosine' or None")
    if step + 1 < rise:
        return (step + 1) / rise
    if decay is None:
        return 1.0
    fallen = max(0, step - rise) / (steps - rise)
    return (1 + math.cos(math.pi * fallen)) / 2
