"""Answers that a person should look at. A flag never gives or takes a point.

No check can tell a layer norm that was written out from PyTorch's own, called in a way
that the probe does not see. The source can: it names either the operation, or one of
the tools that get around a probe.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator

from labkit.grading.submission import PARSE_LIMIT, syntax

COMPUTED = "getattr()"  # of a name that the source does not spell out
TOOLS = frozenset(
    "_C __builtins__ __class__ __code__ __dict__ __getattribute__ __globals__ "
    "__import__ __subclasses__ __torch_dispatch__ __torch_function__ _getframe "
    "_thread apply_ asyncio attrgetter builtins compile concurrent cpp_extension "
    "ctypes eval exec fx gc get_ipython globals importlib inspect jit map_ "
    "memfd_create methodcaller mmap multiprocessing ops os overrides pickle pty "
    "register_hook resource setattr shutil signal socket subprocess sys threading "
    "vars probes plain grading".split()
) | {COMPUTED}


def found(source: str, off_limits: Collection[str], own: Iterable[str]) -> list[str]:
    """Names in an answer's source that a person should look at, in order.

    off_limits  operations that the exercise asks to write out
    own         names that the learner defines, which may be called as operations are
    """
    if len(source) > PARSE_LIMIT:
        return [f"more than {PARSE_LIMIT:,} characters"]
    off = TOOLS | set(off_limits)
    if not off_limits:  # nothing to be smuggled
        off -= {COMPUTED}
    layers = {_bare(name) for name in off_limits}
    own = set(own)
    seen = [
        name
        for reached, name in _reached(source)
        if (name in off or name[:1].isupper() and _bare(name) in layers)
        and (reached or name not in own)
    ]
    return list(dict.fromkeys(seen))


def _bare(name: str) -> str:
    """What an operation and its layer have in common: BatchNorm1d is batch_norm."""
    return re.sub(r"[123]d$", "", name).replace("_", "").lower()


def _reached(source: str) -> Iterator[tuple[bool, str]]:
    """Names in the source; True for those that are reached through something else:
    attributes, imports, and strings, which getattr takes."""
    try:
        nodes = list(ast.walk(syntax(source)))
    except Exception:  # what does not parse does not run either
        return
    for node in nodes:
        match node:
            case ast.Name():
                yield False, node.id
            case ast.Call(func=ast.Name(id="getattr"), args=[_, name, *_]):
                if not isinstance(name, ast.Constant):  # else its text is seen below
                    yield True, COMPUTED
            case ast.Attribute():
                yield True, node.attr
            case ast.Constant(value=str(text)) if len(text) < 40:
                yield True, text
            case ast.Import():
                for name in node.names:
                    yield from ((True, part) for part in name.name.split("."))
            case ast.ImportFrom():
                yield from ((True, part) for part in (node.module or "").split("."))
                yield from ((True, name.name) for name in node.names)
