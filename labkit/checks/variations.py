"""Questions that every exercise asks, so that no author can forget them.

Each is made of one of the author's own cases: the same with a single sample, the same
in float32, and the same followed by further ones of other sizes, put to the same
object. Whatever a size stands for has the same size wherever it occurs, which is seen
by drawing the cases several times: sizes that agree in all draws are one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from labkit.checks.probes import Case, Layer

DRAWS = 5  # to tell sizes apart that are the same by chance
Axis = tuple[str, int]  # an argument's name, and which of its axes

# What an exercise can be fixed in; it says why: Exercise.fixed.
ONE, BATCH, LENGTH, SINGLE = "single sample", "batch", "length", "float32"


@dataclass(frozen=True)
class Shared:
    """Which axes of a case's tensors have the size of its batch, and of its length."""

    batch: tuple[Axis, ...] = ()
    length: tuple[Axis, ...] = ()


def shared_axes(draws: list[list[Case]], first: int) -> list[Shared]:
    """What axes share a size, by case, in draws that differ in their sizes.

    first   axis of the samples in the first tensor of at least two axes; the axis
            behind it is that of the length
    """
    return [_shared(cases, first) for cases in zip(*draws, strict=True)]


def _shared(cases: tuple[Case, ...], first: int) -> Shared:
    sizes: dict[Axis, tuple[int, ...]] = {}
    given = [asked(case) for case in cases]
    for name, value in given[0].items():
        if isinstance(value, Tensor):
            for axis in range(value.dim()):
                sizes[name, axis] = tuple(g[name].shape[axis] for g in given)
    leading = next((name for name, axis in sizes if axis == 1), None)

    def like(axis: int) -> tuple[Axis, ...]:
        wanted = sizes.get((leading, axis), ())
        if len(set(wanted)) < 2 or (leading, first + 1) not in sizes:
            return ()  # a fixed size stands for nothing
        return tuple(one for one, size in sizes.items() if size == wanted)

    return Shared(like(first), like(first + 1))


def asked(case: Case) -> dict:
    """What the object that is checked is given, by name."""
    return case.inputs or {**case.args, **case.kwargs}


def derived(cases: list[Case], axes: list[Shared], fixed: dict[str, str]) -> list[Case]:
    """The questions to add to an author's cases, three for each target at most."""
    added = []
    for target in dict.fromkeys(case.target for case in cases):
        usual = [
            (case, shared)
            for case, shared in zip(cases, axes, strict=True)
            if case.target == target and not (case.edge or case.raises)
            if not case.stochastic
        ]
        added += _of_one_target(usual, fixed)
    return added


def _of_one_target(usual: list[tuple[Case, Shared]], fixed: dict) -> list[Case]:
    options = {"gradients": False, "edge": True, "derived": True, "tells": ()}
    added = []
    varying = [(c, s) for c, s in usual if s.batch or s.length]
    if varying:
        case, shared = max(varying, key=_richness)
        least, its = min(varying, key=_richness)
        if shared.batch and not {ONE, BATCH} & set(fixed):
            one = _cut(asked(case), shared.batch, lambda size: 1)
            name = f"{case.name}, a single sample"
            added.append(replace(case, name=name, **_given(case, one), **options))
        then = [_smaller(case, shared, fixed)]
        if _same_object(case, least) and set(asked(least)) < set(asked(case)):
            then.append(_smaller(least, its, fixed))
        then = tuple(question for question in then if question)
        if then:
            name = f"{case.name}, then others of other sizes"
            added.append(replace(case, name=name, then=then, **options))
    doubles = [pair for pair in usual if _any_double(pair[0])]
    if doubles and SINGLE not in fixed:
        case, _ = max(doubles, key=_richness)
        single = in_float32(case)
        tolerance = case.tolerance and max(case.tolerance, 1e-4)
        name = f"{case.name}, in float32"
        added.append(replace(single, name=name, tolerance=tolerance, **options))
    return added


def _richness(pair: tuple[Case, Shared]) -> int:
    """How many tensors a case is made of."""
    case, _ = pair
    parts = case.args, case.kwargs, case.inputs, case.state or {}
    return sum(isinstance(v, Tensor) for part in parts for v in part.values())


def _same_object(one: Case, other: Case) -> bool:
    """Whether two cases can be put to one object: it is the same for a function, and
    for what is made, if it is made of the same."""
    if one is other:
        return False
    if not one.inputs:
        return one.kwargs.keys() == other.kwargs.keys()
    makes = [(*c.args.values(), *c.kwargs.values(), c.state) for c in (one, other)]
    return all(a is b for a, b in zip(*makes, strict=True))


def _smaller(case: Case, shared: Shared, fixed: dict) -> dict:
    """The case's inputs with one sample and one token less; {} where both are fixed."""
    given = case.inputs or case.args
    axes = () if BATCH in fixed else shared.batch
    axes += () if LENGTH in fixed else shared.length
    if not any(given[name].shape[axis] > 1 for name, axis in axes if name in given):
        return {}
    return _cut(given, axes, lambda size: max(1, size - 1))


def _given(case: Case, values: dict) -> dict:
    """The part of a case that hands over these values, by the part's name."""
    if case.inputs:
        return {"inputs": values}
    return {
        part: {name: values[name] for name in getattr(case, part)}
        for part in ("args", "kwargs")
    }


def _cut(given: dict, axes: tuple[Axis, ...], to: Callable[[int], int]) -> dict:
    """The values with these axes shortened; a mask keeps an entry in every row."""
    given = dict(given)
    for name, axis in axes:
        if name in given:
            value = given[name]
            short = value.narrow(axis, 0, to(value.shape[axis]))
            if value.dtype == torch.bool and axis == value.dim() - 1:
                emptied = value.any(-1) & ~short.any(-1)
                short = torch.cat(
                    [short[..., :1] | emptied[..., None], short[..., 1:]], -1
                )
            given[name] = short.clone()
    return given


def in_float32(value):
    """A case, or a part of one, with float32 in the place of every other float."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {name: in_float32(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(in_float32, value))
    if isinstance(value, Layer):
        return replace(
            value, args=in_float32(value.args), state=in_float32(value.state)
        )
    if isinstance(value, Case):
        parts = ("args", "kwargs", "state", "inputs", "then")
        return replace(value, **{p: in_float32(getattr(value, p)) for p in parts})
    return value


def _any_double(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.dtype == torch.float64
    if isinstance(value, dict):
        return any(map(_any_double, value.values()))
    if isinstance(value, Layer):
        return _any_double(value.state) or any(map(_any_double, value.args))
    if isinstance(value, Case):
        parts = value.args, value.kwargs, value.inputs, value.state or {}
        return any(map(_any_double, parts))
    return False
