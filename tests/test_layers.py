"""Imports in labkit run downward only and in no circle, lazy ones included."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the lowest layer up. A room, that is a module or a folder of labkit/, imports
# from lower lines only; rooms on one line know nothing of each other. A room that does
# not stand here fails the tests: it needs its place.
LAYERS = """
paths runtime statistics waiting
lab plots weights
data
build checks training
exercises experiment
explore learning validate
book
grading
platforms
commands
__main__
"""
FLOOR = {room: n for n, line in enumerate(LAYERS.split("\n")) for room in line.split()}
EXERCISE_LINES, MODULE_LINES = 400, 450


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {dotted(path): path for path in sorted(ROOT.glob("labkit/**/*.py"))}


def room(module: str) -> str:
    return module.split(".")[1]


def imports(text: str) -> Iterator[tuple[int, str]]:
    """Line and module of every import of labkit, wherever in a file it stands.

    A module that is chosen as it runs counts as all those that its name can be.
    """
    for node in ast.walk(ast.parse(text)):
        found = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: import by the whole name"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name if name in FILES else node.module for name in inner]
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else None
            name = called.id if isinstance(called, ast.Name) else name
            if name in ("import_module", "__import__"):
                found = named(node.args[0])
        for module in found:
            if module.split(".")[0] == "labkit":
                yield node.lineno, module


def named(name: ast.expr) -> list[str]:
    """The modules that import_module(name) can mean, if it says anything of them."""
    if isinstance(name, ast.Constant):
        return [name.value]
    head = name.values[0] if isinstance(name, ast.JoinedStr) else None
    assert isinstance(head, ast.Constant), f"line {name.lineno}: import what?"
    return [module for module in FILES if module.startswith(head.value)]


GRAPH = {
    module: set(imports(path.read_text("utf-8"))) for module, path in FILES.items()
}


def test_every_room_has_its_layer():
    assert {room(module) for module in FILES if module != "labkit"} <= set(FLOOR)


def test_imports_run_downward():
    wrong = [
        f"{FILES[module].relative_to(ROOT)}:{line} imports {target}"
        for module, found in GRAPH.items()
        for line, target in sorted(found)
        if module != "labkit"  # what notebooks import may come from everywhere
        and (
            target == "labkit"  # and is for them alone
            or room(target) != room(module)
            and FLOOR.get(room(target), 99) >= FLOOR.get(room(module), -1)
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_no_import_leads_back():
    done: set[str] = set()

    def follow(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join([*way[way.index(module) :], module])
        if module not in done:
            for _, target in GRAPH.get(module, ()):
                if target != module:
                    follow(target, (*way, module))
            done.add(module)

    for module in GRAPH:
        follow(module, ())


@pytest.mark.parametrize(
    "text, found",
    [
        ("import labkit.data as d, torch", ["labkit.data"]),
        ("from labkit import data, check", ["labkit", "labkit.data"]),
        ("def f():\n    from labkit.runtime import device", ["labkit.runtime"]),
        ("import_module('labkit.plots')", ["labkit.plots"]),
        ("importlib.import_module(f'labkit.plo{x}s')", ["labkit.plots"]),
    ],
)
def test_every_way_to_import_is_seen(text, found):
    assert sorted(module for _, module in imports(text)) == found


@pytest.mark.parametrize("text", ["import_module(x)", "from . import data"])
def test_what_cannot_be_seen_is_refused(text):
    with pytest.raises(AssertionError):
        list(imports(text))


def test_modules_are_short():
    limits = {
        module: EXERCISE_LINES if room(module) == "exercises" else MODULE_LINES
        for module in FILES
        if module != "labkit"
    }
    lines = {m: len(FILES[m].read_text("utf-8").splitlines()) for m in limits}
    assert not {m: n for m, n in lines.items() if n > limits[m]}
