"""The package's source read as syntax trees: its modules, their imports, and the lengths of their functions."""

from __future__ import annotations

import ast
import graphlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.helpers.cli import ROOT

PACKAGE = "leakybench"
FOLDERS = {PACKAGE: ROOT / "suite", f"{PACKAGE}.tasks": ROOT / "tasks", f"{PACKAGE}.baselines": ROOT / "baselines"}
"""Import name of each folder of the package. The links between them are not followed."""


@dataclass(frozen=True)
class Module:
    """One module of the package.

    Attributes:
        name: dotted import name.
        text: source code.
        is_package: whether the file is an ``__init__.py``.
    """

    name: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    def functions(self) -> Iterator[tuple[str, int]]:
        """Name and number of lines of each function, from ``def`` to its last line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{self.name}.{node.name}", node.end_lineno - node.lineno + 1

    def imports(self, *, type_checking: bool = False) -> Iterator[tuple[str, str | None]]:
        """Module and name of each import, ``(a, b)`` for ``from a import b`` and ``(a, None)`` for ``import a``.

        Imports inside functions count. Those under ``if TYPE_CHECKING`` count if ``type_checking`` is true.
        """
        pending: list[ast.AST] = [self.tree]
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = self._absolute(node)
                yield from ((source, alias.name) for alias in node.names)
            elif isinstance(node, ast.If) and _is_type_checking(node.test) and not type_checking:
                pending += node.orelse
            else:
                pending += ast.iter_child_nodes(node)

    def private_attributes(self) -> Iterator[str]:
        """Private names that are read from an imported module or name, as in ``package._name``."""
        local = {
            (alias.asname or alias.name).split(".")[0]
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                base = node.value
                while isinstance(base, ast.Attribute):
                    base = base.value
                if isinstance(base, ast.Name) and base.id in local:
                    yield ast.unparse(node)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        here = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*here, *([node.module] if node.module else [])])


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def is_private(name: str) -> bool:
    """Whether ``name`` starts with an underscore and is no ``__dunder__`` name."""
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def modules() -> dict[str, Module]:
    """Every module of the package by name."""
    everything = {}
    for package, folder in FOLDERS.items():
        for place, _, files in os.walk(folder):
            for file in files:
                if file.endswith(".py"):
                    path = Path(place, file)
                    parts = path.relative_to(folder).with_suffix("").parts
                    is_package = parts[-1] == "__init__"
                    name = ".".join([package, *(parts[:-1] if is_package else parts)])
                    everything[name] = Module(name, path.read_text(encoding="utf-8"), is_package)
    return everything


def import_graph(everything: Mapping[str, Module]) -> dict[str, set[str]]:
    """For each module, the modules that it imports.

    ``from a import b`` leads to ``a.b`` where that is a module, and to ``a`` otherwise. That the import system also
    runs the ``__init__`` of every package above is not counted.
    """
    graph: dict[str, set[str]] = {}
    for module in everything.values():
        graph[module.name] = set()
        for source, name in module.imports():
            target = f"{source}.{name}" if f"{source}.{name}" in everything else source
            if target in everything:
                graph[module.name].add(target)
    return graph


def import_circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The modules of one circle in ``graph``, the first one again at the end; empty if there is no circle."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1][::-1]
    return []
