"""What a learner's reply is compared for, rung by rung.

Each rung is a function of a case, the learner's reply and the reference's reply. It
returns None, or one or two sentences that say what was expected and what came.

A question in float64 is to be answered in float64 throughout. What is right to seven
digits only is refused, and told that something in it is float32; an exercise whose
natural formula holds a float32 constant has a tolerance of its own, and says so.
"""

import re

import torch
from torch import Tensor

from labkit.checks import probes
from labkit.checks.probes import Case

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}
SEVEN_DIGITS = 1e-6  # what float32 leaves of a number, and a little room
OUTPUT = ("output", "output_eval")
REGISTERED = ("parameters", "initial")
NOT_WRITTEN = "not written yet"
FIXED_TYPE = "Usual causes: a constant or a .float() of fixed type."


# ------------------------------------------------------------------------- the rungs


def stub(reply: dict) -> str | None:
    """Which exercise's stub was reached, "" where it does not say, None if none was."""
    error = reply["error"]
    if not error or error["type"] != "NotImplementedError":
        return None
    # PyTorch raises such errors too, with other messages.
    said = re.match(r"Exercise ([\d.]+)|$", error["message"])
    return said and (said[1] or "")


def runs(case: Case, reply: dict, right: dict) -> str | None:
    error, expected = reply["error"], right["error"]
    allowed = case.raises or (expected and (expected["type"],))
    if expected and (not error or error["type"] not in allowed):
        got = f"it raised {error['type']}" if error else "it raised nothing"
        return (
            f"{_in(case)}, {case.target} should raise {' or '.join(allowed)} "
            f"({expected['message']}); {got}."
        )
    if error and not expected and not while_differentiating(error):
        return _raised(case, error)
    return None


def _raised(case: Case, error: dict) -> str:
    line = f" Line: {error['line']}" if error["line"] else ""
    says = f": {error['message'].rstrip('.')}" if error["message"] else ""
    return f"{_in(case)}, {error['stage']} raised {error['type']}{says}.{line}"


def while_differentiating(error: dict | None) -> bool:
    """Such an error belongs to a later rung: the plain call went through."""
    return bool(error) and error["stage"].endswith(probes.WITH_GRADIENTS)


def parameters(case: Case, reply: dict, right: dict) -> str | None:
    if "module" not in right:
        return None
    if not reply["module"]:
        return f"{case.target} must be a class derived from torch.nn.Module."
    wanted = right["parameters"]
    mine, initial = (_own_names(reply[key], reply, wanted) for key in REGISTERED)
    missing = [name for name in wanted if name not in mine]
    extra = [name for name in mine if name not in wanted]
    if missing and missing[0] in reply["initial"]:
        return (
            f"{_in(case)}, {missing[0]} is no parameter of its own. Usual causes: the "
            "same module registered twice ([block] * depth is one block depth "
            "times), or a buffer."
        )
    if missing:
        instead = f" Registered instead: {_some(extra)}." if extra else ""
        return f"{_in(case)}, parameters are missing: {_some(missing)}.{instead}"
    for name, size in wanted.items():
        if tuple(mine[name]) != tuple(size):
            return f"{_in(case)}, {name} has shape {mine[name]}; expected {size}."
    if extra:
        return f"{_in(case)}, there are parameters too many: {_some(extra)}."
    if unasked := [name for name in initial if name not in right["initial"]]:
        return (
            f"{_in(case)}, the state dict holds more than is asked for: "
            f"{_some(unasked)}. Usual causes: a layer registered under two names, or a "
            "buffer."
        )
    if lost := [name for name in right["initial"] if name not in reply["initial"]]:
        return f"{_in(case)}, the state dict lacks {_some(lost)}."
    for name, value in right["initial"].items():
        if value is not None and reply["initial"][name] != value:
            return f"{_in(case)}, {name} does not start at {value:g}."
    return None


def _own_names(named: dict, reply: dict, wanted: dict) -> dict:
    """What is registered, without the other names of what has a wanted name."""
    others = set()
    for names in reply["twins"]:
        if asked := [name for name in names if name in wanted]:
            others |= set(names) - {asked[0]}
    return {name: value for name, value in named.items() if name not in others}


def _some(names: list[str], most: int = 4) -> str:
    """The first of many names: a model of two blocks has 32 parameters."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def shape(case: Case, reply: dict, right: dict) -> str | None:
    if "output" not in right:
        return None
    return _shape(reply["output"], right["output"], f"{_in(case)}, the output")


def _shape(got: object, wanted: object, what: str) -> str | None:
    if not _same_kind(got, wanted):
        return f"{what} is {_kind(got)}; expected {_kind(wanted)}."
    if isinstance(wanted, Tensor) and got.shape != wanted.shape:
        return (
            f"{what} has shape {tuple(got.shape)}; expected {tuple(wanted.shape)}."
            f"{_axis_hint(got, wanted)}"
        )
    if isinstance(wanted, dict):
        if set(got) != set(wanted):
            return f"{what} has the keys {sorted(got)}; expected {sorted(wanted)}."
        return _first(_shape(got[k], wanted[k], f"{what}[{k!r}]") for k in wanted)
    if isinstance(wanted, tuple | list):
        pairs = zip(got, wanted, strict=True)
        return _first(_shape(g, w, f"{what}[{i}]") for i, (g, w) in enumerate(pairs))
    return None


def _axis_hint(got: Tensor, wanted: Tensor) -> str:
    if got.dim() != wanted.dim():
        return f" It has {got.dim()} axes instead of {wanted.dim()}."
    pairs = zip(got.shape, wanted.shape, strict=True)
    axes = [str(i) for i, (g, w) in enumerate(pairs) if g != w]
    return f" Axis {' and '.join(axes)} differ{'s' if len(axes) == 1 else ''}."


def dtype(case: Case, reply: dict, right: dict) -> str | None:
    if "output" not in right:
        return None
    if not reply["device"]:
        return (
            f"{_in(case)}, the output lies on another device than the input. Usual "
            "causes: .cpu(), or a tensor made without device=x.device."
        )
    for what, got, wanted in _parts(reply["output"], right["output"]):
        if got.dtype != wanted.dtype and not _both_integers(got, wanted):
            return (
                f"{_in(case)}, {what} has dtype {got.dtype}; expected "
                f"{wanted.dtype}. {_single_at(reply) or FIXED_TYPE}"
            )
    return None


def values(case: Case, reply: dict, right: dict) -> str | None:
    if "output" not in right:
        return None
    for key in OUTPUT:
        if key not in right:
            continue
        mode = ", in eval mode" if key == "output_eval" else ""
        if problem := _values(reply.get(key), right[key], case, "the output"):
            rounded = _rounded(reply.get(key), right[key], reply)
            return f"{_in(case)}{mode}, {problem}{rounded}"
    return None


def _rounded(got: object, wanted: object, reply: dict) -> str:
    """A sentence more where an answer in float64 is right to seven digits."""
    pairs = _pairs(got, wanted)
    floats = [pair for pair in pairs if pair[1].is_floating_point()]
    if not floats or any(w.dtype != torch.float64 for _, w in floats):
        return ""
    if not all(close(*pair, tolerance=SEVEN_DIGITS) for pair in pairs):
        return ""
    place = _single_at(reply) or (
        "Usual causes: .float(), or a tensor made without dtype=x.dtype."
    )
    return (
        " It is right to seven digits, and the question is in float64, which has "
        f"sixteen: something here is float32. {place}"
    )


def _single_at(reply: dict) -> str:
    """Where float32 comes up first in an answer to a question in float64."""
    single = reply.get("single")
    if not single:
        return ""
    line = f": {single['line']}" if single["line"] else ""
    return f"float32 comes up first in {single['call']}{line}"


def _values(got: object, wanted: object, case: Case, what: str) -> str | None:
    if isinstance(wanted, dict):
        return _first(
            _values(got[k], wanted[k], case, f"{what}[{k!r}]") for k in wanted
        )
    if isinstance(wanted, tuple | list):
        pairs = zip(got, wanted, strict=True)
        return _first(
            _values(g, w, case, f"{what}[{i}]") for i, (g, w) in enumerate(pairs)
        )
    if isinstance(wanted, Tensor):
        if close(got, wanted, case.tolerance):
            return None
        return f"{what} is wrong: {_largest_difference(got, wanted)}"
    if alike_values(got, wanted):
        return None
    if type(wanted) is float and type(got) in (int, float):
        if abs(got - wanted) <= (case.tolerance or 0) * max(1.0, abs(wanted)):
            return None
        pair = (torch.tensor(n, dtype=torch.float64) for n in (got, wanted))
        return f"{what} is {_told_apart(*pair)}."
    return f"{what} is {got}; expected {wanted}."


def answer(case: Case, reply: dict, right: dict) -> str | None:
    """All of the above in one: for an edge case, judged by itself."""
    rungs = (runs, shape, dtype, values, asked_again)
    return _first(rung(case, reply, right) for rung in rungs)


def asked_again(case: Case, reply: dict, right: dict) -> str | None:
    """The further questions to the same object."""
    for number, wanted in enumerate(right.get("then", ()), start=2):
        got = reply["then"][number - 2]
        what = f"{_in(case)}, in call {number}, the output"
        problem = _shape(got, wanted, what) or _values(got, wanted, case, what)
        if problem:
            return (
                f"{problem} The first call was answered rightly: usual cause is "
                "something kept from it (a size, a mask, a batch)."
            )
    return None


def gradients(case: Case, reply: dict, right: dict) -> str | None:
    if "gradients" not in right:
        return None
    if error := reply["error"]:
        if "inplace operation" in error["message"]:
            return (
                f"{_in(case)}, no gradient can be computed: a tensor that it needs was "
                "changed in place. Usual causes: +=, -=, or a method ending in an "
                "underscore."
            )
        if "numpy() on Tensor that requires grad" in error["message"]:
            return (
                f"{_in(case)}, no gradient can be computed: NumPy records none. "
                "PyTorch's advice, .detach(), would cut the gradient off for good; "
                "stay with operations on the tensor itself."
            )
        return _raised(case, error)
    for name, wanted in right["gradients"].items():
        if name not in reply["gradients"]:
            return (
                f"{_in(case)}, {name} is frozen: its requires_grad is False, so it is "
                "never trained."
            )
        got = reply["gradients"].get(name)
        if (got is None) != (wanted is None):
            return (
                f"{_in(case)}, no gradient flows back to {name}. Usual causes: "
                ".detach(), .data, .item(), torch.no_grad() or torch.tensor(…)."
                if got is None
                else f"{_in(case)}, a gradient flows to {name}; none should."
            )
        if wanted is not None and not close(got, wanted, case.tolerance):
            difference = _largest_difference(got, wanted)
            rounded = _rounded(got, wanted, reply)
            return (
                f"{_in(case)}, the gradient of {name} is wrong: {difference}{rounded}"
            )
    return None


def filled(case: Case, reply: dict, right: dict) -> str | None:
    """The weights that a module was given, by name, after one call and after two."""
    for key, calls in (("filled", ""), ("refilled", " after a second call")):
        for name, wanted in right.get(key, {}).items():
            got = reply[key].get(name)
            what = f"{_in(case)}, {case.fills}.{name}{calls}"
            if problem := _shape(got, wanted, what) or _values(got, wanted, case, what):
                return problem
    return None


def side_effects(case: Case, reply: dict, right: dict) -> str | None:
    if right["error"] or "output" not in right:
        return None
    if reply["mutated"]:
        causes = "-=, *=, or a method ending in an underscore"
        if any(isinstance(case.args.get(n), dict) for n in reply["mutated"]):
            causes = ".pop, del or d[name] = …; change a copy, dict(…), instead"
        return (
            f"{_in(case)}, the call changed its input {', '.join(reply['mutated'])} "
            f"in place. Usual causes: {causes}."
        )
    if reply.get("changed") and not right.get("changed"):
        return f"{_in(case)}, a forward pass changed {', '.join(reply['changed'])}."
    if right["repeat"] and not reply["repeat"]:
        return f"{_in(case)}, a second call with the same inputs gave another output."
    return None


def off_limits(case: Case, reply: dict, right: dict) -> str | None:
    if not reply["called"]:
        return None
    return (
        f"The values are right, but {', '.join(reply['called'])} was called. This "
        "exercise asks you to write the computation out: that call is off limits here."
    )


# --------------------------------------------------------------------------- helpers


def close(got: Tensor, wanted: Tensor, tolerance: float | None = None) -> bool:
    """Equal up to the tolerance of the dtype, relative to the largest value."""
    if got.shape != wanted.shape:
        return False
    if not wanted.is_floating_point():
        return bool((got == wanted).all())
    tolerance = tolerance or TOLERANCE.get(wanted.dtype, 1e-2)
    finite = wanted[wanted.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 1.0
    return torch.allclose(
        got.to(wanted), wanted, rtol=tolerance, atol=tolerance * scale, equal_nan=True
    )


def alike(
    mine: dict, theirs: dict, keys: tuple[str, ...], tolerance: float | None = None
) -> bool:
    """Whether two replies say the same under these keys."""
    return all(alike_values(mine.get(k), theirs.get(k), tolerance) for k in keys)


def alike_values(a: object, b: object, tolerance: float | None = None) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        same_dtype = a.dtype == b.dtype or _both_integers(a, b)
        return same_dtype and close(a, b, tolerance)
    if isinstance(a, dict) and isinstance(b, dict):
        if {"stage", "line"} <= set(a):  # an error: the same one, whatever the line
            return all(a.get(k) == b.get(k) for k in ("stage", "type", "message"))
        return set(a) == set(b) and all(alike_values(a[k], b[k], tolerance) for k in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        pairs = zip(a, b, strict=False)
        return len(a) == len(b) and all(alike_values(*p, tolerance) for p in pairs)
    if type(a) in (int, float) and type(b) in (int, float):
        return abs(a - b) <= 1e-9 * max(1.0, abs(b)) or (a != a and b != b)
    return type(a) is type(b) and a == b


def _in(case: Case) -> str:
    return f"In the case “{case.name}”"


def _first(problems) -> str | None:
    return next((problem for problem in problems if problem), None)


def _same_kind(a: object, b: object) -> bool:
    """A list will do for a tuple."""
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b)
    return _kind(a) == _kind(b)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return "a tensor"
    if isinstance(value, dict) and set(value) == {"type"}:
        return f"a {value['type']}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None:
        return "None (is a return missing?)"
    if type(value) in (int, float):
        return "a number"
    return {"str": "a string", "dict": "a dict"}.get(
        type(value).__name__, "a truth value"
    )


def _both_integers(a: Tensor, b: Tensor) -> bool:
    return not any(
        t.is_floating_point() or t.is_complex() or t.dtype == torch.bool for t in (a, b)
    )


def _pairs(got: object, wanted: object) -> list[tuple[Tensor, Tensor]]:
    """The tensors of two outputs of the same structure."""
    if isinstance(wanted, Tensor):
        return [(got, wanted)]
    if isinstance(wanted, dict):
        return [pair for k in wanted for pair in _pairs(got[k], wanted[k])]
    if isinstance(wanted, tuple | list):
        both = zip(got, wanted, strict=True)
        return [pair for g, w in both for pair in _pairs(g, w)]
    return []


def _parts(got: object, wanted: object) -> list[tuple[str, Tensor, Tensor]]:
    """The same, each with what to call it."""
    if isinstance(wanted, tuple | list):
        return [
            (f"output[{i}]", *pair)
            for i, both in enumerate(zip(got, wanted, strict=True))
            for pair in _pairs(*both)
        ]
    return [("the output", *pair) for pair in _pairs(got, wanted)]


def _largest_difference(got: Tensor, wanted: Tensor) -> str:
    if got.dim() == 0:
        return f"it is {_told_apart(got, wanted)}."
    got, wanted = got.double(), wanted.double()
    gap = (got - wanted).abs()
    gap[got.isnan() ^ wanted.isnan()] = torch.inf
    gap = gap.nan_to_num(nan=0.0, posinf=torch.inf)
    index = torch.unravel_index(gap.argmax(), gap.shape)
    at = ", ".join(str(int(i)) for i in index)
    apart = _told_apart(got[index], wanted[index])
    return f"entry [{at}] is {apart} (the largest difference)."


def _told_apart(got: Tensor, wanted: Tensor) -> str:
    """Both numbers, with as many digits as it takes to see the difference."""
    for digits in (4, 8, 17):
        pair = [f"{value.item():.{digits}g}" for value in (got, wanted)]
        if pair[0] != pair[1]:
            break
    return "{}; expected {}".format(*pair)
