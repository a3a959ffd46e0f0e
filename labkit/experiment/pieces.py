"""Code in pieces: the statements of a file that others need, and their fingerprint."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType


@dataclass(frozen=True)
class Pieces:
    """Top-level statements in their order."""

    statements: tuple[ast.stmt, ...]

    @classmethod
    def of_file(cls, path: Path) -> "Pieces":
        """All of a Python file."""
        return cls(tuple(ast.parse(path.read_text("utf-8")).body))

    @classmethod
    def of_chapter(cls, path: Path) -> "Pieces":
        """A chapter's cells tagged `definition`, and of its set-up cell what binds."""
        import jupytext

        text = path.read_text("utf-8")
        cells = jupytext.reads(text, fmt="py:percent").cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        binding = (ast.Import, ast.ImportFrom, ast.Assign)
        set_up = [s for s in ast.parse(code[0].source).body if isinstance(s, binding)]
        tagged = [c for c in code[1:] if "definition" in c.metadata.get("tags", ())]
        return cls((*set_up, *(s for c in tagged for s in ast.parse(c.source).body)))

    @property
    def names(self) -> set[str]:
        """What the statements bind."""
        return {name for statement in self.statements for name in _bound(statement)}

    @property
    def defined(self) -> set[str]:
        """What they bind themselves: what they import is made elsewhere."""
        imports = (ast.Import, ast.ImportFrom)
        return set().union(
            *(_bound(s) for s in self.statements if not isinstance(s, imports))
        )

    @property
    def mentions(self) -> set[str]:
        """Every name and attribute that stands in the statements."""
        return {name for statement in self.statements for name in _mentioned(statement)}

    def without(self, names: set[str]) -> "Pieces":
        """The statements that bind none of these names."""
        return Pieces(tuple(s for s in self.statements if not names & _bound(s)))

    def reached_by(self, names: Iterable[str]) -> "Pieces":
        """The statements that bind these names, those that they need, and so on.

        A statement that binds nothing (a call, a loop) may matter to all: it stays,
        with what it needs, if anything does.
        """
        wanted, kept = set(names), set()
        while True:
            new = {
                number
                for number, statement in enumerate(self.statements)
                if wanted & _bound(statement) or (kept and not _binds(statement))
            } - kept
            if not new:
                break
            kept |= new
            wanted = wanted.union(*(_named(self.statements[n]) for n in new))
        return Pieces(tuple(self.statements[number] for number in sorted(kept)))

    def calls_of(self, function: str) -> Iterator[tuple[str, list[str]]]:
        """(first, other) arguments of calls of a function with plain strings."""
        for statement in self.statements:
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and _called(node) == function:
                    first, *others = (ast.literal_eval(a) for a in node.args)
                    yield first, others

    def code(self, filename: str) -> CodeType:
        """The statements, compiled."""
        return compile(ast.Module(list(self.statements), []), filename, "exec")

    @staticmethod
    def digest(parts: Iterable["Pieces"]) -> str:
        """A fingerprint of what the statements do: no comments, no docstrings."""
        text = repr([_essence(s) for part in parts for s in part.statements])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {a.asname or a.name.partition(".")[0] for a in statement.names}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _binds(statement: ast.stmt) -> bool:
    """Whether it only gives names, or says nothing at all, as a docstring does."""
    value = getattr(statement, "value", None)
    text = isinstance(statement, ast.Expr) and isinstance(value, ast.Constant)
    return text or bool(_bound(statement))


def _named(statement: ast.stmt) -> set[str]:
    """Every name that stands in a statement: what it may need of its own file."""
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _mentioned(statement: ast.stmt) -> set[str]:
    """Every name and attribute: what it may need of another file."""
    nodes = ast.walk(statement)
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return _named(statement) | attributes


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _essence(node: object) -> object:
    """A statement without places, docstrings and what Python versions add."""
    if isinstance(node, list):
        return [_essence(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    documented = isinstance(node, ast.FunctionDef | ast.ClassDef)
    fields = dict(ast.iter_fields(node))
    if documented and ast.get_docstring(node) is not None:
        fields["body"] = node.body[1:]
    said = {name: _essence(value) for name, value in fields.items() if value}
    if isinstance(node, ast.Constant):
        said = {"value": repr(node.value)}
    return [type(node).__name__, *sorted(said.items())]
