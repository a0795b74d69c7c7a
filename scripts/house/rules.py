"""Finds long functions, constructors with many parameters, import circles, and docstrings that begin with a word."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp

REASON = "parameters:"
"""A comment with this word between a constructor's `def` and its body says why it has so many parameters."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Offence:
    """`size` is what the limit is compared with: lines, parameters."""

    path: str
    line: int
    name: str
    size: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.name}" + (f" ({self.size})" if self.size else "")


@dataclass(frozen=True)
class Module:
    path: str
    source: str
    tree: ast.Module


def read_modules(folders: Iterable[str], root: Path = Path()) -> list[Module]:
    """Parses every Python file below the folders."""
    paths = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
    return [_parse(path, root) for path in paths]


def long_functions(modules: Iterable[Module], most_lines: int) -> list[Offence]:
    """Functions of more lines, from `def` to the last line of the body; decorators do not count."""
    found = []
    for module in modules:
        for name, function in _functions(module.tree):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > most_lines:
                found.append(Offence(module.path, function.lineno, name, lines))
    return sorted(found, key=lambda offence: -offence.size)


def wide_constructors(modules: Iterable[Module], most_parameters: int) -> list[Offence]:
    """Constructors of more parameters (`self` does not count) without a `# parameters: WHY` in their signature."""
    found = []
    for module in modules:
        for name, function in _functions(module.tree):
            arguments = function.args
            count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1
            if function.name == "__init__" and count > most_parameters and not _has_reason(module, function):
                found.append(Offence(module.path, function.lineno, name, count))
    return sorted(found, key=lambda offence: -offence.size)


def docstrings_that_begin_with(word: str, modules: Iterable[Module]) -> list[Offence]:
    """Docstrings of modules, classes, functions and attributes."""
    found = []
    for module in modules:
        for expression in (node for node in ast.walk(module.tree) if isinstance(node, ast.Expr)):
            text = expression.value.value if isinstance(expression.value, ast.Constant) else None
            if isinstance(text, str) and text.split(None, 1)[:1] == [word]:
                found.append(Offence(module.path, expression.lineno, text.split("\n")[0][:80]))
    return found


def import_circles(packages: Iterable[str]) -> list[list[str]]:
    """Groups of modules that import one another when they are loaded.

    Imports inside functions and under `TYPE_CHECKING` do not count.
    """
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    imports: dict[str, set[str]] = defaultdict(set)
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            details = graph.get_import_details(importer=importer, imported=imported)
            if any(not detail["is_lazy"] for detail in details):
                imports[importer].add(imported)
    return _circles(_in_circles(imports))


def _in_circles(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Takes away, again and again, what imports nothing or is imported by nothing."""
    left = {importer: set(imported) for importer, imported in imports.items()}
    while True:
        wanted = set().union(*left.values()) if left else set()
        kept = {
            importer: imported & left.keys() for importer, imported in left.items() if importer in wanted and imported
        }
        if kept == left:
            return kept
        left = kept


def _circles(imports: dict[str, set[str]]) -> list[list[str]]:
    reach = {module: _reachable(module, imports) for module in imports}
    groups = {
        tuple(sorted(other for other in reach[module] if module in reach[other]))
        for module in imports
        if module in reach[module]
    }
    return sorted(list(group) for group in groups)


def _reachable(module: str, imports: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [*imports[module]]
    while todo:
        if (other := todo.pop()) not in seen:
            seen.add(other)
            todo.extend(imports.get(other, ()))
    return seen


def _parse(path: Path, root: Path) -> Module:
    source = path.read_text(encoding="utf-8")
    return Module(path.relative_to(root).as_posix(), source, ast.parse(source))


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield prefix + node.name, node
        inner = f"{prefix}{node.name}." if isinstance(node, Function | ast.ClassDef) else prefix
        yield from _functions(node, inner)


def _has_reason(module: Module, function: Function) -> bool:
    lines = module.source.splitlines()[function.lineno - 2 : function.body[0].lineno]
    return any(REASON in line.partition("#")[2] for line in lines)
