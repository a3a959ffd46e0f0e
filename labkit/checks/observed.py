"""What came back, as plain data: the words that replies are made of."""

import linecache
import numbers
import traceback
from contextlib import suppress

import torch
from torch import Tensor, nn

from labkit.checks.watch import is_the_learners


def made(thing: object) -> dict:
    """What a function returned to be called: PyTorch's class, or the thing's own."""
    kinds = [k for k in type(thing).__mro__ if k.__module__.startswith("torch.nn")]
    registered = thing.named_parameters() if isinstance(thing, nn.Module) else ()
    own = getattr(thing, "__dict__", {})
    return {
        "type": (kinds or [type(thing)])[0].__name__,
        "parameters": {name: tuple(p.shape) for name, p in registered},
        "numbers": {name: value for name, value in own.items() if type(value) is int},
    }


def shared(thing: object, given: dict) -> list[str]:
    """Names of what was given that changes with the parameters of what was made."""
    if not isinstance(thing, nn.Module):
        return []

    def now():
        modules = {
            n: v.state_dict() for n, v in given.items() if isinstance(v, nn.Module)
        }
        return plain({**given, **modules})

    before = now()
    with torch.no_grad(), suppress(RuntimeError):  # entries that share their memory
        for parameter in thing.parameters():
            parameter.add_(1)
    return changed(before, now())


def twins(learned: dict[str, Tensor]) -> list[list[str]]:
    """The names of every parameter that is registered under several."""
    names: dict[int, list[str]] = {}
    for name, parameter in learned.items():
        names.setdefault(id(parameter), []).append(name)
    return [group for group in names.values() if len(group) > 1]


def constant(value: object) -> float | None:
    """The value that all entries of a tensor share, None if they differ."""
    if not isinstance(value, Tensor) or value.numel() == 0:
        return None
    first = value.flatten()[0]
    return float(first) if bool((value == first).all()) else None


def shapes(state: dict) -> dict:
    return {name: value.shape for name, value in state.items()}


def changed(before: dict, after: dict) -> list[str]:
    return [name for name, v in before.items() if not same(v, after.get(name))]


def values(output: object) -> list[Tensor]:
    """Which numbers came, in order: how often and where is chance."""
    return [
        t.round(decimals=9 if t.dtype == torch.float64 else 4).unique()
        for t in tensors(output)
    ]


def tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in tensors(item)]
    return []


def plain(value: object) -> object:
    """What came back, as plain data; {"type": name} for what is not."""
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            return {"type": f"{value.layout} tensor on {value.device.type}"}
        return value.detach().cpu().clone().as_subclass(Tensor)
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, numbers.Integral):  # NumPy's, for one
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):  # named tuples
        return tuple(plain(item) for item in value)
    return {"type": type(value).__name__}


def same(a: object, b: object) -> bool:
    """Equal up to rounding; NaN equals NaN."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b):
            return True
        rounding = 1e-8 if a.dtype == torch.float64 else 1e-5
        a, b = a.to(torch.complex128), b.to(torch.complex128)
        finite = a[a.isfinite()].abs()
        if len(finite):  # where large numbers cancel, more is lost
            rounding *= max(1.0, finite.max().item())
        return a.shape == b.shape and torch.allclose(
            a, b, atol=rounding, equal_nan=True
        )
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def describe(error: BaseException, stage: str) -> dict:
    """Where in the learner's code an error came up, without our frames."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if is_the_learners(frame.filename)]
    line = ""
    if theirs:
        line = linecache.getline(theirs[-1].filename, theirs[-1].lineno).strip()
    return {
        "stage": stage,
        "type": _built_in(type(error)).__name__,
        "message": _of_any_device(" ".join(str(error).split()))[:300],
        "line": line[:120],
    }


def _built_in(kind: type) -> type:
    """An error of the learner's own is the built-in one that it derives from."""
    return next(k for k in kind.__mro__ if k.__module__ == "builtins")


def _of_any_device(message: str) -> str:
    """Without the device in a tensor's type: the same mistake reads the same."""
    return message.replace("torch.cuda.", "torch.").replace("torch.lazy.", "torch.")
