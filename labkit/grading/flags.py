"""Answers that a person should look at. A flag never gives or takes a point.

No check can tell a layer norm that was written out from PyTorch's own, called in a way
that the probe does not see. The source can often: it names either the operation, or one
of the tools that get around a probe. No list of them is complete.
"""

import ast
import re
import sys
from collections.abc import Collection, Iterable, Iterator

from labkit.grading.source import PARSE_LIMIT, syntax

COMPUTED = "getattr()"  # of a name that the source does not spell out
TOOLS = frozenset(
    # Python's ways around a name, to another's frame, and to code that is not there
    "__builtins__ __class__ __code__ __dict__ __getattribute__ __globals__ __import__ "
    "__subclasses__ __traceback__ _getframe ag_frame attrgetter builtins compile "
    "cr_frame eval exec f_back f_builtins f_globals f_locals gc get_ipython gi_frame "
    "globals importlib inspect locate methodcaller pickle resolve_name setattr "
    "tb_frame vars "
    # other threads and processes
    "_thread asyncio concurrent ctypes memfd_create mmap multiprocessing os pty "
    "resource shutil signal socket subprocess sys threading "
    # PyTorch's ways around its own functions
    "_C _VF _decomp _dynamo _functorch _higher_order_ops _inductor _make_subclass "
    "_make_wrapper_subclass _prims _refs __torch_dispatch__ __torch_function__ apply_ "
    "as_subclass cpp_extension fx jit map_ ops overrides register_forward_hook "
    "register_forward_pre_hook register_full_backward_hook register_hook "
    "register_module_forward_hook".split()
) | {COMPUTED}
ROOMS = frozenset(  # of labkit, which no answer needs
    "book checks commands exercises experiment explore grading learning platforms "
    "plain probes training validate".split()
)
INSTALLED = frozenset(
    "IPython labkit matplotlib mpl_toolkits numpy scipy skimage sklearn torch "
    "torchvision".split()
)
GIVEN = frozenset("F data labkit math nn np plots plt torch".split())  # by the labs


def found(source: str, off_limits: Collection[str], own: Iterable[str]) -> list[str]:
    """Names in an answer's source that a person should look at, in order.

    off_limits  operations that the exercise asks to write out
    own         names that the learner defines, which may be called as operations are
    """
    if len(source) > PARSE_LIMIT:
        return [f"more than {PARSE_LIMIT:,} characters"]
    try:
        tree = syntax(source)
    except Exception:  # what does not parse does not run either
        return []
    off = TOOLS | ROOMS | set(off_limits)
    if not off_limits:  # nothing to be smuggled
        off -= {COMPUTED}
    layers = {_bare(name) for name in off_limits}
    own = set(own)
    seen = [
        name
        for reached, name in _reached(tree)
        if (name in off or name[:1].isupper() and _bare(name) in layers)
        and (reached or name not in own | ROOMS)
    ]
    seen += [*_foreign_modules(tree), *_tensor_classes(tree), *_patched(tree)]
    return list(dict.fromkeys(seen))


def _bare(name: str) -> str:
    """What an operation and its layer have in common: BatchNorm1d is batch_norm."""
    return re.sub(r"[123]d$", "", name).replace("_", "").lower()


def _reached(tree: ast.Module) -> Iterator[tuple[bool, str]]:
    """Names in the source; True for those that are reached through something else:
    attributes, imports, patterns, and the words of texts, which getattr takes."""
    nodes = list(ast.walk(tree))
    passed_over = _docstrings(nodes) | _spelled_out(nodes)
    for node in nodes:
        if id(node) in passed_over:
            continue
        match node:
            case ast.Name(id="getattr"):  # called on a name that is not spelled out,
                yield True, COMPUTED  # or handed on
            case ast.Name():
                yield False, node.id
            case ast.Attribute():
                yield True, node.attr
            case ast.MatchClass():
                yield from ((True, name) for name in node.kwd_attrs)
            case ast.BinOp(op=ast.Add()) if (text := _folded(node)) is not None:
                yield from ((True, word) for word in re.findall(r"\w+", text))
            case ast.Constant(value=str(text)) if len(text) < 200:
                yield from ((True, word) for word in re.findall(r"\w+", text))
            case ast.Import():
                for name in node.names:
                    yield from ((True, part) for part in name.name.split("."))
            case ast.ImportFrom():
                yield from ((True, part) for part in (node.module or "").split("."))
                yield from ((True, name.name) for name in node.names)


def _docstrings(nodes: list[ast.AST]) -> set[int]:
    """Texts that stand by themselves, which nothing can take."""
    alone = [n.value for n in nodes if isinstance(n, ast.Expr)]
    return {id(value) for value in alone if isinstance(value, ast.Constant)}


def _spelled_out(nodes: list[ast.AST]) -> set[int]:
    """The name `getattr` where it is called with a text: the text is seen itself."""
    return {
        id(node.func)
        for node in nodes
        if isinstance(node, ast.Call)
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
        and isinstance(node.func, ast.Name)
    }


def _folded(node: ast.expr) -> str | None:
    """The text that a sum of texts makes, None if it is not one."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = _folded(left), _folded(right)
            return None if None in parts else "".join(parts)
    return None


def _foreign_modules(tree: ast.Module) -> Iterator[str]:
    """Modules that hold code which is not in the notebook, and stars, whose names the
    source does not show."""
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or "."]
            if any(name.name == "*" for name in node.names):
                yield f"from {node.module} import *"
        for module in modules:
            root = module.split(".")[0]
            if root not in INSTALLED | sys.stdlib_module_names:
                yield f"import {module}"


def _tensor_classes(tree: ast.Module) -> Iterator[str]:
    """Classes of tensors: what they give may be computed after the probe has looked."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = [b.attr if isinstance(b, ast.Attribute) else b for b in node.bases]
            bases = [b.id if isinstance(b, ast.Name) else b for b in bases]
            if "Tensor" in bases:
                yield f"class {node.name}(Tensor)"


def _patched(tree: ast.Module) -> Iterator[str]:
    """Assignments to what belongs to a module or a class, by any name for it."""
    nodes = list(ast.walk(tree))
    theirs = set(GIVEN)
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            theirs |= {n.asname or n.name.split(".")[0] for n in node.names}
    for _ in range(3):  # names for names for names
        for node in nodes:
            if isinstance(node, ast.Assign) and _root(node.value) in theirs:
                if isinstance(node.value, ast.Name | ast.Attribute):
                    names = [t.id for t in node.targets if isinstance(t, ast.Name)]
                    theirs |= set(names)
    for node in nodes:
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            root = _root(node)
            if root in theirs or root[:1].isupper():
                yield f"{ast.unparse(node)[:60]} ="


def _root(node: ast.AST) -> str:
    """The name that a chain of attributes begins with, "" if it begins otherwise."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
