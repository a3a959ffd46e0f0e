"""What can be told of a cell's source without running it, in bounded time."""

import ast
import re

PARSE_LIMIT = 20_000  # characters of a cell that is looked through for names
CELL_MAGIC = re.compile(r"\s*%%(\w+)")
# Under these a cell runs as it would without; under all others it defines nothing.
DEFINING = frozenset({"time", "capture", "prun"})
LINE_MAGIC = re.compile(r"([ \t]*)(?:[%!?].*|[\w.]+\?{1,2}[ \t]*)")
ASSIGNED_MAGIC = re.compile(r"([ \t]*)(\w[\w, ]*?)[ \t]*=[ \t]*[%!].*")


def cell_magic(source: str) -> str:
    """The name of the cell magic that a cell begins with, "" if it does not."""
    found = CELL_MAGIC.match(source)
    return found[1] if found else ""


def without_magics(source: str) -> str:
    """The Python in a cell: `pass` in the place of magics, shell commands and help.

    IPython's own transformer knows more of them, but takes ten seconds for a hundred
    lines of `x?`.
    """
    if name := cell_magic(source):
        if name not in DEFINING:
            return ""
        source = source.lstrip().partition("\n")[2]
    lines = []
    for line in source.split("\n"):
        if found := LINE_MAGIC.fullmatch(line):
            line = f"{found[1]}pass"
        elif found := ASSIGNED_MAGIC.fullmatch(line):
            line = f"{found[1]}{found[2]} = None"
        lines.append(line)
    return "\n".join(lines)


def syntax(source: str) -> ast.Module:
    """The syntax tree of a cell, magics taken off. Raises what parsing raises, and
    ValueError beyond PARSE_LIMIT."""
    if len(source) > PARSE_LIMIT:
        raise ValueError("too long to look through")
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse(without_magics(source))


def defined_names(source: str, imported: bool = True) -> frozenset[str]:
    """Names that a cell binds at its top level, even if it has a syntax error.

    imported  whether those count that it only imports
    """
    try:
        tree = syntax(source)
    except Exception:
        source = without_magics(source[:PARSE_LIMIT])
        found = re.findall(r"^(?:def|class)\s+(\w+)|^(\w+)\s*=[^=]", source, re.M)
        return frozenset(name for pair in found for name in pair if name)
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                if imported:
                    names |= {a.asname or a.name.split(".")[0] for a in node.names}
            case _:
                names |= {
                    n.id
                    for n in ast.walk(node)
                    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                }
    return frozenset(names)


def used_names(source: str) -> set[str]:
    """Names that a cell reads and nowhere binds; none if it has a syntax error."""
    try:
        nodes = list(ast.walk(syntax(source)))
    except Exception:
        return set()
    names = [n for n in nodes if isinstance(n, ast.Name)]
    bound = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    return {n.id for n in names} - bound
