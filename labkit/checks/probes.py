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
    then        outputs for the case's further questions, asked of the same object
    called      names of calls that the exercise puts off limits, in any of the calls
    calls       how many PyTorch calls were made
    largest     entries of the largest tensor that a PyTorch call returned
    single      for a question in float64: {call, line} of the first call that took or
                made float32 or less; None if there was none
    printed     what the object printed and warned of; "" for all but the first case
                where it did
    filled      the state dict of the module whose weights the call was to set
    refilled    the same after a second call
    training    whether the first call left that module in training mode
    made        {type, parameters: {name: shape}, numbers: {name: whole number}} of what
                a function that makes another function or module returned
    shared      names of what that function was given and what it made still changes

and for a class also

    module      whether it is an nn.Module
    parameters  {name: shape} of what is registered
    initial     {name: value} of a fresh state dict; None where the entries differ
    twins       [[name, …], …] of parameters that have several names
    changed     names in the state dict that a forward pass changed
    output_eval the output in eval mode
    varies      for a stochastic case: whether two calls in training mode differ
    drawn       and which numbers the first one's output is made of
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from labkit.checks import observed
from labkit.checks.watch import Watch, aside

WITH_GRADIENTS = "with inputs that require gradients"
AGAIN = "again, with inputs of other sizes"
WATCHED = frozenset({"called", "calls", "largest", "single"})
# Keys that take time of their own; the others come with the first call.
KEYS = WATCHED | {"repeat", "refilled", "output_eval", "varies", "drawn"}
KEYS |= {"gradients", "then", "shared", "parameters", "initial", "changed"}


@dataclass(frozen=True)
class Layer:
    """A torch.nn module as plain data, for exercises that take modules as arguments.

    Layer("Linear", (4, 4), state={"weight": w, "bias": b}) builds nn.Linear(4, 4)
    with these weights; Layer("Module", state=...) a module that has the parameters of
    these names and does nothing. Among the arguments may be other layers.

    training  whether it is handed over in training mode
    gradient  what every entry of its gradients holds from before; None: there are none
    """

    kind: str
    args: tuple = ()
    kwargs: dict = field(default_factory=dict)
    state: dict = field(default_factory=dict)
    training: bool = True
    gradient: float | None = None

    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        args = [a.build(device) if isinstance(a, Layer) else a for a in self.args]
        module = getattr(nn, self.kind)(*args, **self.kwargs)
        for name, value in self.state.items():
            *path, leaf = name.split(".")
            owner, value = _submodule(module, path), value.clone().to(device)
            is_buffer = leaf in dict(owner.named_buffers(recurse=False))
            setattr(owner, leaf, value if is_buffer else nn.Parameter(value))
        module = module.to(device).train(self.training)
        for parameter in module.parameters():
            if self.gradient is not None:
                parameter.grad = torch.full_like(parameter, self.gradient)
        return module


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
    then       further arguments, or inputs, that the same object is asked afterwards
    derived    made of another case (labkit.checks.variations): no author's property
               looks at it
    stochastic for a class: random in training mode, so its output is taken in eval mode
    tells      names of the mistakes that this case is there for: by itself it must show
               each of them on every seed (tests/exercises/test_seeds.py)
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
    then: tuple[dict, ...] = ()
    derived: bool = False
    tells: tuple[str, ...] = ()


def run(
    probe: str | dict[str, str],
    objects: dict[str, object],
    cases: Iterable[Case],
    off_limits: Iterable[str] = (),
    device: torch.device | str = "cpu",
    keys: Collection[str] = KEYS,
) -> list[dict]:
    """Put every case to the learner's objects; never raises for what they do.

    probe   "function" or "module", or which of them by target
    keys    what will be looked at of the replies: no call is made, or watched, for
            anything else

    The random generators are left as they were found.
    """
    asks = {"function": _ask_function, "module": _ask_module}
    kind = torch.device(device).type
    gpus = [torch.cuda.current_device()] if kind == "cuda" else []
    # torch.manual_seed seeds all kinds of device, which takes longer than many a case.
    seed = torch.default_generator.manual_seed if kind == "cpu" else torch.manual_seed
    replies = []
    with aside() as said:
        for case in cases:
            ask = asks[probe if isinstance(probe, str) else probe[case.target]]
            watch = Watch(off_limits, said) if WATCHED & set(keys) else None
            question = _Question(case, device, frozenset(keys), watch)
            with torch.random.fork_rng(gpus):
                seed(0)
                try:
                    ask(objects[case.target], question)
                except (Exception, SystemExit) as error:
                    question.reply["error"] = observed.describe(error, question.stage)
            if watch:
                question.reply |= watch.seen_so_far()
            question.reply["printed"] = said.taken()
            replies.append(question.reply)
    return replies


@dataclass
class _Question:
    """A case as it is being put, and the reply as far as it has come."""

    case: Case
    device: torch.device | str
    keys: frozenset[str]
    watch: Watch | None
    stage: str = "calling it"
    reply: dict = field(default_factory=lambda: {"error": None})

    def fresh(self, values: dict, requires_grad: bool = False) -> dict:
        return _fresh(values, self.device, requires_grad)

    def watched(self) -> AbstractContextManager:
        return self.watch or nullcontext()

    def is_about(self, values: dict) -> None:
        if self.watch:
            self.watch.double = _in_double(values)

    def call(self, function: Callable, args: dict, given: dict) -> object:
        """Call with the names in `args` in order and the rest by name."""
        rest = {name: value for name, value in given.items() if name not in args}
        with self.watched():
            output = function(*(given[name] for name in args), **rest)
        if self.watch:
            self.watch.look_into(observed.tensors(output))
        return output

    def asks_for(self, *keys: str) -> bool:
        return not self.keys.isdisjoint(keys)


def _ask_function(function, question: _Question) -> None:
    case, reply = question.case, question.reply
    question.stage = f"calling {case.target}"
    in_order, source, by_name = case.args, {**case.args, **case.kwargs}, case.kwargs
    altered = []
    if case.inputs:  # the function makes another, and that is the one to ask
        makings = question.fresh(source)
        kept = _kept(makings, question.device)
        function = question.call(function, in_order, makings)
        altered = observed.changed(kept, makings)
        question.stage = f"calling what {case.target} returned"
        in_order, source, by_name = case.inputs, case.inputs, {}
    stage = question.stage
    question.is_about(source)
    given = question.fresh(source)
    _call_and_reply(function, in_order, given, question, given.get(case.fills))
    reply["mutated"] = altered + reply["mutated"]
    if case.inputs:
        reply["made"] = observed.made(function)
    if case.gradients and question.asks_for("gradients", "called"):
        given = question.fresh(source, requires_grad=True)
        question.stage += f" {WITH_GRADIENTS}"
        output = question.call(function, in_order, given)
        _reply_gradients(output, given, reply)
    question.stage = stage
    _ask_again(function, by_name, question)
    if case.inputs and question.asks_for("shared"):
        reply["shared"] = observed.shared(function, makings)


def _ask_module(kind: type, question: _Question) -> None:
    case, reply, device = question.case, question.reply, question.device
    reply["module"] = isinstance(kind, type) and issubclass(kind, nn.Module)
    if not reply["module"]:
        return
    question.stage = f"constructing {case.target}"
    with question.watched():
        module = kind(*case.args.values(), **case.kwargs)
    module = module.to(device)
    learned = dict(module.named_parameters(remove_duplicate=False))
    reply["twins"] = observed.twins(learned)
    if question.asks_for("parameters", "initial"):
        reply["parameters"] = {n: tuple(p.shape) for n, p in learned.items()}
        initial = module.state_dict().items()
        reply["initial"] = {name: observed.constant(v) for name, v in initial}
    if case.state is not None:
        question.stage = f"loading a state dict into {case.target}"
        state = _under_all_names(case.state, reply["twins"])
        if observed.shapes(state) != observed.shapes(module.state_dict()):
            return  # the judge compares the parameters and says which differ
        dtype = next((v.dtype for v in case.state.values()), torch.float64)
        module.to(dtype)  # first: a float32 parameter would round what it is given
        module.load_state_dict({k: v.to(device) for k, v in state.items()})
    if not case.inputs:
        return

    question.stage = f"calling {case.target}"
    if case.method != "__call__":
        question.stage += f".{case.method}"
    stage = question.stage
    question.is_about({**case.inputs, **(case.state or {})})
    call = getattr(module, case.method)
    note_changes = question.asks_for("changed")
    before = observed.plain(module.state_dict()) if note_changes else {}
    module.train(not case.stochastic)
    _call_and_reply(call, case.inputs, question.fresh(case.inputs), question)
    if note_changes:
        reply["changed"] = observed.changed(before, observed.plain(module.state_dict()))

    def ask() -> object:
        return observed.plain(
            question.call(call, case.inputs, question.fresh(case.inputs))
        )

    if case.stochastic and question.asks_for("varies", "drawn"):
        module.train()
        calls = [ask() for _ in "12"]
        reply["varies"] = not observed.same(*calls)
        reply["drawn"] = observed.values(calls[0])
    if question.asks_for("output_eval"):
        module.eval()
        reply["output_eval"] = ask()
        module.train(not case.stochastic)
    if case.gradients and question.asks_for("gradients", "called"):
        given = question.fresh(case.inputs, requires_grad=True)
        question.stage += f" {WITH_GRADIENTS}"
        output = question.call(call, case.inputs, given)
        learned = dict(module.named_parameters(remove_duplicate=False))
        _reply_gradients(output, {**given, **learned}, reply)
    question.stage = stage
    _ask_again(call, {}, question)


def _under_all_names(state: dict, twins: list[list[str]]) -> dict:
    """A state dict for a module whose parameters have second names."""
    more = {}
    for names in twins:
        asked = [name for name in names if name in state]
        more |= {name: state[asked[0]] for name in names if asked and name not in state}
    return {**state, **more}


def _ask_again(function, by_name: dict, question: _Question) -> None:
    """Put the case's further questions to the object that answered the first."""
    if not question.case.then or not question.asks_for("then", "called"):
        return
    question.stage += f" {AGAIN}"
    replies = question.reply["then"] = []
    for args in question.case.then:
        given = question.fresh({**args, **by_name})
        replies.append(observed.plain(question.call(function, args, given)))


def _in_double(values: dict) -> bool:
    """Whether all numbers with a point that a question is made of are float64."""
    floats = [t for t in observed.tensors(values) if t.is_floating_point()]
    return bool(floats) and all(t.dtype == torch.float64 for t in floats)


def _call_and_reply(
    function, args, given: dict, question: _Question, filled: nn.Module | None = None
) -> None:
    reply, device = question.reply, question.device
    kept = _kept(given, device)
    output = question.call(function, args, given)
    reply["output"] = observed.plain(output)
    reply["device"] = all(
        t.device.type == torch.device(device).type for t in observed.tensors(output)
    )
    reply["mutated"] = observed.changed(kept, given)
    if filled is not None:
        reply["filled"] = observed.plain(filled.state_dict())
        reply["training"] = all(part.training for part in filled.modules())
    if question.asks_for("repeat", "refilled"):
        again = question.call(function, args, {**given, **kept})
        reply["repeat"] = observed.same(reply["output"], observed.plain(again))
        if filled is not None:
            reply["refilled"] = observed.plain(filled.state_dict())


def _kept(given: dict, device) -> dict:
    """Copies of what a call must leave as it is."""
    return _fresh(
        {n: v for n, v in given.items() if isinstance(v, Tensor | dict)}, device
    )


def _reply_gradients(output: object, given: dict, reply: dict) -> None:
    """Gradients of Σ output · cos(0, 1, 2, …), a fixed weighting, by input."""
    wanted = {n: v for n, v in given.items() if _differentiable(v) and v.requires_grad}
    outputs = [t for t in observed.tensors(output) if t.requires_grad]
    gradients = [None] * len(wanted)
    if outputs and wanted:
        ramps = [torch.arange(t.numel(), dtype=torch.float64).cos() for t in outputs]
        total = sum(
            (t * ramp.to(t).reshape(t.shape)).sum()
            for t, ramp in zip(outputs, ramps, strict=True)
        )
        gradients = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
    reply["gradients"] = dict(zip(wanted, map(observed.plain, gradients), strict=True))


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


def built(values: dict) -> dict:
    """A case's values as the learner's object gets them, on the CPU."""
    return _fresh(values, "cpu")


def _differentiable(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
