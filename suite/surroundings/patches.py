"""Notice and undo the replacement of functions and settings of the package and of the libraries below it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leakybench.surroundings.imports import loaded_module

PACKAGE = "leakybench"
LIBRARIES = (
    "builtins", "importlib", "json", "math", "os", "random", "statistics", "time",
    "numpy", "numpy.linalg", "numpy.random", "scipy.linalg", "scipy.optimize", "scipy.stats",
    "torch", "torch.linalg", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.optim", "torch.random",
)  # fmt: skip
"""Modules outside the package whose names must stay what they are."""
CLASSES = (("torch", "Tensor"), ("torch.nn", "Module"), ("torch.nn", "Linear"), ("torch.optim", "Adam"))
"""Classes outside the package whose methods must stay what they are."""
OWN_BUSINESS = frozenset(
    {("builtins", "__import__"), ("importlib", "import_module"), ("builtins", "_"), ("torch", "Storage")}
)
"""Names that change as a matter of course: the clock of imports, the last value of an interactive session, and what
follows torch's default dtype."""
LIBRARY_CLASS_NAMES = frozenset({"_abc_impl", "__abstractmethods__", "__annotations__", "__doc__", "__dict__"})

Names = dict[str, Any]


class Patches:
    """What the watched names mean now.

    Names that appear later are nobody's concern: modules load lazily. A name that means something else, or is gone,
    is a patch. A library may replace its own functions (torch does, when an optimiser is first made): what its own
    files define is left alone. Of the libraries only functions and classes are watched.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._waiting: list[str] = []
        self._modules: dict[str, Names] = {}
        self._classes: dict[tuple[str, str], tuple[type, Names]] = {}
        self._settings: dict[tuple[str, str], tuple[Any, Any]] = {}
        self.extend()

    def extend(self) -> bool:
        """Watch the modules that were loaded since as well; return whether there were any."""
        names = list(itertools.islice(sys.modules, self._seen, None))
        self._seen = len(sys.modules)
        new = {}
        for name in dict.fromkeys([*self._waiting, *names]):
            if not _is_watched(name) or name in self._modules:
                continue
            if (module := loaded_module(name)) is None:
                self._waiting.append(name)  # in the middle of its import
            else:
                new[name] = dict(vars(module))
        self._waiting = [name for name in self._waiting if name not in new]
        self._modules |= new
        self._classes |= {key: (kind, dict(vars(kind))) for key, kind in _classes(new)}
        self._settings |= dict(_settings(new))
        return bool(new)

    def undo(self) -> list[str]:
        """Put back what was replaced since, and return the full names."""
        found = []
        for name, before in self._modules.items():
            module = sys.modules.get(name)
            if module is None:
                continue
            for attribute in _differing(before, vars(module)):
                if (name, attribute) in OWN_BUSINESS or attribute.startswith("__"):
                    continue
                if not _is_own(module, before[attribute], vars(module).get(attribute)):
                    setattr(module, attribute, before[attribute])
                    found.append(f"{name}.{attribute}")
        for (module_name, class_name), (kind, before) in self._classes.items():
            for attribute in _differing(before, vars(kind)):
                if attribute in LIBRARY_CLASS_NAMES:
                    continue
                if not _is_own(sys.modules.get(module_name), before[attribute], vars(kind).get(attribute)):
                    setattr(kind, attribute, before[attribute])
                    found.append(f"{module_name}.{class_name}.{attribute}")
        for (module_name, attribute), (container, before) in self._settings.items():
            if not _same_items(container, before):
                _refill(container, before)
                found.append(f"{module_name}.{attribute}")
        return found


def _is_watched(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.") or name in LIBRARIES


def _classes(modules: dict[str, Names]) -> Iterator[tuple[tuple[str, str], type]]:
    """Yield the classes that the package defines, and those of ``CLASSES``."""
    for name, names in modules.items():
        for attribute, value in names.items():
            if isinstance(value, type) and (
                (name.startswith(PACKAGE) and value.__module__ == name) or (name, attribute) in CLASSES
            ):
                yield (name, attribute), value


def _settings(modules: dict[str, Names]) -> Iterator[tuple[tuple[str, str], tuple[Any, Any]]]:
    """Yield the dictionaries, lists and sets that modules of the package hold as constants, each with a copy."""
    for name, names in modules.items():
        if not name.startswith(PACKAGE):
            continue
        for attribute, value in names.items():
            if attribute.isupper() and isinstance(value, dict | list | set):
                yield (name, attribute), (value, value.copy())


def _differing(before: Names, now: Any) -> list[str]:
    return [name for name, value in before.items() if now.get(name, Patches) is not value]


def _is_own(module: Any, before: Any, now: Any) -> bool:
    """Whether a change of a library is its own business: of no function or class, or made by its own code."""
    top = module.__name__.split(".")[0]
    if top == PACKAGE:
        return False
    if not callable(before):
        return True
    code = getattr(now, "__code__", None)
    home = getattr(sys.modules.get(top), "__file__", None)
    return code is not None and home is not None and Path(code.co_filename).is_relative_to(Path(home).parent)


def _same_items(a: Any, b: Any) -> bool:
    if len(a) != len(b):
        return False
    if isinstance(a, dict):
        return all(key in b and b[key] is value for key, value in a.items())
    return a == b if isinstance(a, set) else all(x is y for x, y in zip(a, b, strict=True))


def _refill(container: Any, before: Any) -> None:
    container.clear()
    if isinstance(container, list):
        container.extend(before)
    else:
        container.update(before)
