"""The only code that touches what a learner wrote.

A probe calls the learner's function or class on given cases and returns one reply a
case: plain data, from which a judge elsewhere draws its verdict. Nothing here knows
what is right. Keys of a reply:

    error       None, or {stage, type, message, line}: the learner's code raised; type
                is the built-in error that it is or derives from
    output      what came back: tensor, number, string, tuple, list or dict of them
    device      whether every tensor of the output lies where the input lay
    repeat      whether a second call gave the same
    gradients   {input: gradient of a fixed weighting of the output, None if none flows}
    mutated     names of the inputs that the call changed in place
    called      names of calls that the exercise puts off limits
    largest     entries of the largest tensor that a PyTorch call returned
    filled      the state dict of the module whose weights the call was to set
    refilled    the same after a second call
    training    whether the first call left that module in training mode
    made        {type, parameters: {name: shape}} of what a function that makes another
                function or module returned

and for a class also

    module      whether it is an nn.Module
    parameters  {name: shape} of what is registered
    initial     {name: value} of a fresh state dict; None where the entries differ
    changed     names in the state dict that a forward pass changed
    output_eval the output in eval mode
    varies      for a stochastic case: whether two calls in training mode differ
    zeros       and how much of the first one's output is 0: "none", "some" (less than
                half of it) or "most"
"""

import linecache
import numbers
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

WITH_GRADIENTS = "with inputs that require gradients"
PACKAGES = ("site-packages", "dist-packages")  # the latter in Debian and Colab


@dataclass(frozen=True)
class Layer:
    """A torch.nn module as plain data, for exercises that take modules as arguments.

    Layer("Linear", (4, 4), state={"weight": w, "bias": b}) builds nn.Linear(4, 4)
    with these weights; Layer("Module", state=...) a module that has the parameters of
    these names and does nothing. Among the arguments may be other layers.

    training  whether it is handed over in training mode
    """

    kind: str
    args: tuple = ()
    kwargs: dict = field(default_factory=dict)
    state: dict = field(default_factory=dict)
    training: bool = True

    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        args = [a.build(device) if isinstance(a, Layer) else a for a in self.args]
        module = getattr(nn, self.kind)(*args, **self.kwargs)
        for name, value in self.state.items():
            *path, leaf = name.split(".")
            owner, value = _submodule(module, path), value.clone().to(device)
            is_buffer = leaf in dict(owner.named_buffers(recurse=False))
            setattr(owner, leaf, value if is_buffer else nn.Parameter(value))
        return module.to(device).train(self.training)


def _submodule(module: nn.Module, path: list[str]) -> nn.Module:
    """The module at this path; what is missing on the way is made, numbers a list."""
    for step, after in zip(path, [*path[1:], ""], strict=False):
        if step not in dict(module.named_children()):
            module.add_module(step, nn.ModuleList() if after.isdigit() else nn.Module())
        module = module.get_submodule(step)
    return module


@dataclass(frozen=True)
class Optimizer:
    """A torch.optim optimizer as plain data, over the parameters of another argument.

    Optimizer("SGD", "model", {"lr": 0.1}) stands for
    torch.optim.SGD(model.parameters(), lr=0.1).
    """

    kind: str
    of: str
    kwargs: dict = field(default_factory=dict)

    def build(self, given: dict) -> torch.optim.Optimizer:
        return getattr(torch.optim, self.kind)(
            given[self.of].parameters(), **self.kwargs
        )


@dataclass(frozen=True)
class Case:
    """One question to the learner's object.

    name       what the case is about, for the feedback
    target     the function or class that is asked
    args       given in order; kwargs given by name. For a class: of its constructor
    state      for a class: the state dict to load, or None
    method     for a class: the method to call if not the module itself
    fills      name of the argument, a module, whose weights a function is to set
    raises     names of the errors that are right here, where more than one is
    inputs     what the object that the target makes is given: a module's forward, or
               the function that a function returns. A class without is only made
    gradients  whether gradients are asked for
    tolerance  relative to the largest value; None: the usual one of the dtype
    edge       an unusual input, judged after the ordinary ones
    stochastic for a class: random in training mode, so its output is taken in eval mode
    """

    name: str
    target: str
    args: dict = field(default_factory=dict)
    kwargs: dict = field(default_factory=dict)
    state: dict | None = None
    method: str = "__call__"
    fills: str | None = None
    raises: tuple[str, ...] = ()
    inputs: dict = field(default_factory=dict)
    gradients: bool = True
    tolerance: float | None = None
    edge: bool = False
    stochastic: bool = False


def run(
    probe: str | dict[str, str],
    objects: dict[str, object],
    cases: Iterable[Case],
    off_limits: Iterable[str] = (),
    device: torch.device | str = "cpu",
) -> list[dict]:
    """Put every case to the learner's objects; never raises for what they do.

    probe   "function" or "module", or which of them by target

    The random generators are left as they were found.
    """
    asks = {"function": _ask_function, "module": _ask_module}
    kind = torch.device(device).type
    gpus = [torch.cuda.current_device()] if kind == "cuda" else []
    # torch.manual_seed seeds all kinds of device, which takes longer than many a case.
    seed = torch.default_generator.manual_seed if kind == "cpu" else torch.manual_seed
    replies = []
    for case in cases:
        reply = {"error": None}
        watch = _Watch(off_limits)
        ask = asks[probe if isinstance(probe, str) else probe[case.target]]
        with torch.random.fork_rng(gpus):
            seed(0)
            try:
                ask(objects[case.target], case, reply, watch, device)
            except Exception as error:
                reply["error"] = _describe(error, reply.get("stage", "calling it"))
        reply.pop("stage", None)
        reply["called"], reply["largest"] = sorted(watch.seen), watch.largest
        replies.append(reply)
    return replies


def _ask_function(function, case: Case, reply: dict, watch, device) -> None:
    reply["stage"] = f"calling {case.target}"
    in_order, source = case.args, {**case.args, **case.kwargs}
    altered = []
    if case.inputs:  # the function makes another, and that is the one to ask
        given = _fresh(source, device)
        kept = _kept(given, device)
        with watch:
            function = _call(function, in_order, given)
        altered = _changed(kept, given)
        reply["stage"] = f"calling what {case.target} returned"
        in_order = source = case.inputs
    given = _fresh(source, device)
    filled = given.get(case.fills)
    _call_and_reply(function, in_order, given, reply, watch, device, filled)
    reply["mutated"] = altered + reply["mutated"]
    if case.inputs:
        reply["made"] = _made(function)
    if case.gradients:
        given = _fresh(source, device, requires_grad=True)
        reply["stage"] += f" {WITH_GRADIENTS}"
        output = _call(function, in_order, given)
        _reply_gradients(output, given, reply)


def _ask_module(kind: type, case: Case, reply: dict, watch, device) -> None:
    reply["module"] = isinstance(kind, type) and issubclass(kind, nn.Module)
    if not reply["module"]:
        return
    reply["stage"] = f"constructing {case.target}"
    module = kind(*case.args.values(), **case.kwargs).to(device)
    reply["parameters"] = {n: tuple(p.shape) for n, p in module.named_parameters()}
    reply["initial"] = {n: _constant(v) for n, v in module.state_dict().items()}
    if case.state is not None:
        reply["stage"] = f"loading a state dict into {case.target}"
        if _shapes(case.state) != _shapes(module.state_dict()):
            return  # the judge compares the parameters and says which differ
        dtype = next((v.dtype for v in case.state.values()), torch.float64)
        module.to(dtype)  # first: a float32 parameter would round what it is given
        module.load_state_dict({k: v.to(device) for k, v in case.state.items()})
    if not case.inputs:
        return

    reply["stage"] = f"calling {case.target}"
    if case.method != "__call__":
        reply["stage"] += f".{case.method}"
    call = getattr(module, case.method)
    before = _plain(module.state_dict())
    module.train(not case.stochastic)
    given = _fresh(case.inputs, device)
    _call_and_reply(call, case.inputs, given, reply, watch, device)
    reply["changed"] = _changed(before, _plain(module.state_dict()))
    if case.stochastic:
        module.train()
        calls = [_plain(call(*_fresh(case.inputs, device).values())) for _ in "12"]
        reply["varies"] = not _same(*calls)
        reply["zeros"] = _zeros(calls[0])
    module.eval()
    reply["output_eval"] = _plain(call(*_fresh(case.inputs, device).values()))

    if case.gradients:
        module.train(not case.stochastic)
        given = _fresh(case.inputs, device, requires_grad=True)
        reply["stage"] += f" {WITH_GRADIENTS}"
        output = _call(call, case.inputs, given)
        _reply_gradients(output, {**given, **dict(module.named_parameters())}, reply)


def _made(thing: object) -> dict:
    """What a function returned to be called: PyTorch's class, or the thing's own."""
    kinds = [k for k in type(thing).__mro__ if k.__module__.startswith("torch.nn")]
    registered = thing.named_parameters() if isinstance(thing, nn.Module) else ()
    return {
        "type": (kinds or [type(thing)])[0].__name__,
        "parameters": {name: tuple(p.shape) for name, p in registered},
    }


def _constant(value: object) -> float | None:
    """The value that all entries of a tensor share, None if they differ."""
    if not isinstance(value, Tensor) or value.numel() == 0:
        return None
    first = value.flatten()[0]
    return float(first) if bool((value == first).all()) else None


def _shapes(state: dict) -> dict:
    return {name: value.shape for name, value in state.items()}


def _call(function: Callable, args: dict, given: dict) -> object:
    """Call with the names in `args` in order and the rest by name."""
    rest = {name: value for name, value in given.items() if name not in args}
    return function(*(given[name] for name in args), **rest)


def _call_and_reply(
    function, args, given, reply: dict, watch, device, filled: nn.Module | None = None
) -> None:
    kept = _kept(given, device)
    with watch:
        output = _call(function, args, given)
    reply["output"] = _plain(output)
    reply["device"] = all(
        t.device.type == torch.device(device).type for t in _tensors(output)
    )
    reply["mutated"] = _changed(kept, given)
    if filled is not None:
        reply["filled"] = _plain(filled.state_dict())
        reply["training"] = all(part.training for part in filled.modules())
    again = _plain(_call(function, args, {**given, **kept}))
    reply["repeat"] = _same(reply["output"], again)
    if filled is not None:
        reply["refilled"] = _plain(filled.state_dict())


def _kept(given: dict, device) -> dict:
    """Copies of what a call must leave as it is."""
    return _fresh(
        {n: v for n, v in given.items() if isinstance(v, Tensor | dict)}, device
    )


def _changed(before: dict, after: dict) -> list[str]:
    return [name for name, v in before.items() if not _same(v, after.get(name))]


def _zeros(output: object) -> str:
    """Roughly: how many there are is chance, and differs from device to device."""
    zero = [bool(entry) for t in _tensors(output) for entry in (t == 0).flatten()]
    if not any(zero):
        return "none"
    return "some" if sum(zero) < len(zero) / 2 else "most"


def _reply_gradients(output: object, given: dict, reply: dict) -> None:
    """Gradients of Σ output · cos(0, 1, 2, …), a fixed weighting, by input."""
    wanted = {n: v for n, v in given.items() if _differentiable(v) and v.requires_grad}
    outputs = [t for t in _tensors(output) if t.requires_grad]
    gradients = [None] * len(wanted)
    if outputs and wanted:
        ramps = [torch.arange(t.numel(), dtype=torch.float64).cos() for t in outputs]
        total = sum(
            (t * ramp.to(t).reshape(t.shape)).sum()
            for t, ramp in zip(outputs, ramps, strict=True)
        )
        gradients = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
    reply["gradients"] = dict(zip(wanted, map(_plain, gradients), strict=True))


def _fresh(values: dict, device, requires_grad: bool = False) -> dict:
    """Copies on the device, so that no call can reach another's inputs."""
    fresh = {}
    for name, value in values.items():
        if isinstance(value, Tensor):
            value = value.detach().clone().to(device)
            if requires_grad and _differentiable(value):
                value.requires_grad_()
        elif isinstance(value, dict):
            value = _fresh(value, device)
        elif isinstance(value, Layer):
            value = value.build(device)
        fresh[name] = value
    for name, value in fresh.items():
        if isinstance(value, Optimizer):  # of an argument that is built by now
            fresh[name] = value.build(fresh)
    return fresh


def _differentiable(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _plain(value: object) -> object:
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
        return type(value)(_plain(item) for item in value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):  # named tuples
        return tuple(_plain(item) for item in value)
    return {"type": type(value).__name__}


def _same(a: object, b: object) -> bool:
    """Equal up to rounding; NaN equals NaN."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        rounding = 1e-8 if a.dtype == torch.float64 else 1e-5
        a, b = a.to(torch.complex128), b.to(torch.complex128)
        finite = a[a.isfinite()].abs()
        if len(finite):  # where large numbers cancel, more is lost
            rounding *= max(1.0, finite.max().item())
        return a.shape == b.shape and torch.allclose(
            a, b, atol=rounding, equal_nan=True
        )
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(_same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def _describe(error: Exception, stage: str) -> dict:
    """Where in the learner's code an error came up, without our frames."""
    frames = traceback.extract_tb(error.__traceback__)
    # A notebook cell's file is not on disk under a package; ours and torch's are.
    theirs = [
        frame
        for frame in frames
        if not any(folder in frame.filename for folder in PACKAGES)
        and frame.filename != __file__
    ]
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


class _Watch(TorchFunctionMode):
    """Notes off-limits PyTorch calls, and how large the tensors get."""

    def __init__(self, off_limits: Iterable[str]):
        super().__init__()
        self.off_limits = frozenset(off_limits)
        self.seen: set[str] = set()
        self.largest = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = resolve_name(func) or f"{func.__module__}.{func.__name__}"
        if name.rpartition(".")[2] in self.off_limits:
            self.seen.add(name)
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.largest = max(self.largest, result.numel())
        return result
