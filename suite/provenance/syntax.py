"""Read the code of a file as text that is the same on all versions of Python, whatever its layout and wording."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PACKAGE = "leakybench"

IMPORTERS = frozenset({"import_module", "__import__"})
"""Functions that import the module whose name is their first argument."""


@dataclass(frozen=True, order=True)
class Import:
    """One name that a file imports.

    Attributes:
        module: absolute name of the module.
        name: of what is imported from it; empty for ``import module``.
        alias: the name that it is bound to, where that is another one.
        late: whether it stands inside a function, so that loading the file does not run it.
    """

    module: str
    name: str = ""
    alias: str = ""
    late: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        """Modules that it may load, the most special first: ``from a import b`` may mean the module ``a.b``."""
        return (f"{self.module}.{self.name}", self.module) if self.name else (self.module,)


@dataclass(frozen=True)
class Code:
    """The code of one file.

    Attributes:
        text: the syntax tree without imports and docstrings.
        imports: outside ``if TYPE_CHECKING`` blocks.
        words: the texts and names in the code, among them the names of the data files that it reads.
    """

    text: str
    imports: tuple[Import, ...] = ()
    words: frozenset[str] = frozenset()


@dataclass
class _Found:
    """What is met on the way through a syntax tree."""

    package: str
    imports: list[Import] = field(default_factory=list)
    words: set[str] = field(default_factory=set)


def read_code(content: bytes, package: str) -> Code:
    """Return the code of a file; one that this Python cannot parse counts by its bytes.

    Args:
        content: of the file, source or compiled.
        package: that relative imports start from.
    """
    try:
        tree = ast.parse(content)
        found = _Found(package)
        text = _canonical(tree.body, found, late=False)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Code(hashlib.sha256(content).hexdigest())
    return Code(text, tuple(found.imports), frozenset(found.words))


def _canonical(node: Any, found: _Found, *, late: bool) -> str:
    """A syntax tree as text, the same on all versions of Python: fields that are empty or hold no code are left out.

    Import statements go to ``found``; docstrings, and blocks for type checkers only, are dropped.
    """
    if isinstance(node, list):
        return "".join(_canonical(item, found, late=late) for item in node)
    if not isinstance(node, ast.AST):
        if isinstance(node, str):
            found.words.add(node)
        return repr(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        found.imports.extend(_imports_of(node, found.package, late))
        return ""
    if isinstance(node, ast.If) and getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING":
        return _canonical(node.orelse, found, late=late)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return ""  # a docstring, or the text behind an attribute
    if isinstance(node, ast.Call):
        found.imports.extend(_imports_of_call(node, found.package, late))
    late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    fields = []
    for name, value in ast.iter_fields(node):
        if value is None or value == [] or name in ("ctx", "kind", "type_comment"):
            continue
        if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some f-strings with an empty part, others do not
            value = [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
        text = _canonical(value, found, late=late)
        fields.append(f"{name}={text}")
    return f"{type(node).__name__}({','.join(fields)})"


def _imports_of(node: ast.Import | ast.ImportFrom, package: str, late: bool) -> Iterator[Import]:
    """The names of one statement, with relative modules made absolute; ``from __future__`` brings none."""
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, "", alias.asname or "", late) for alias in node.names)
        return
    module = _absolute(node.module or "", node.level, package)
    if module != "__future__":
        yield from (Import(module, alias.name, alias.asname or "", late) for alias in node.names)


def _imports_of_call(node: ast.Call, package: str, late: bool) -> Iterator[Import]:
    """The module of ``importlib.import_module("name")``, where the name stands there in full."""
    called = getattr(node.func, "id", getattr(node.func, "attr", ""))
    if called not in IMPORTERS or not node.args or not isinstance(node.args[0], ast.Constant):
        return
    name = node.args[0].value
    if isinstance(name, str) and name.strip("."):
        bare = name.lstrip(".")
        yield Import(_absolute(bare, len(name) - len(bare), package), late=late)


def _absolute(module: str, level: int, package: str) -> str:
    """The name of a module that is ``level`` dots above: none for an absolute name."""
    if not level:
        return module
    above = package.split(".")[: len(package.split(".")) - (level - 1)]
    return ".".join([*above, *([module] if module else [])])
