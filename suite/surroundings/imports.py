"""Time the imports inside a block, which are no part of what the block computes."""

from __future__ import annotations

import builtins
import importlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self


class ImportClock:
    """A context that adds up the seconds of the imports inside it: ``with ImportClock() as clock: ...; clock.seconds``.

    A first fit that imports its libraries would otherwise look slower than the second one. Statements and
    ``importlib.import_module`` count, also inside the libraries that they load; an import within an import counts once,
    and only those of the thread that entered the context.

    Args:
        loaded: called after each import that brought modules, also after those within another one.

    Attributes:
        seconds: the sum so far.
    """

    def __init__(self, loaded: Callable[[], None] | None = None) -> None:
        self.seconds = 0.0
        self._loaded = loaded
        self._depth = 0
        self._thread = 0

    def __enter__(self) -> Self:
        self._thread = threading.get_ident()
        self._originals = builtins.__import__, importlib.import_module
        self._replacements = self._timed(builtins.__import__), self._timed(importlib.import_module)
        builtins.__import__, importlib.import_module = self._replacements
        return self

    def __exit__(self, *_: object) -> None:
        statement, function = self._replacements
        # somebody who replaced them inside the block keeps what he did; it is his to put back, or the guard's to name
        if builtins.__import__ is statement:
            builtins.__import__ = self._originals[0]
        if importlib.import_module is function:
            importlib.import_module = self._originals[1]

    def _timed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            if threading.get_ident() != self._thread:
                return original(*arguments, **keywords)
            outermost, before = self._depth == 0, len(sys.modules)
            start = time.perf_counter() if outermost else 0.0
            self._depth += 1
            try:
                return original(*arguments, **keywords)
            finally:
                self._depth -= 1
                if outermost:
                    self.seconds += time.perf_counter() - start
                if self._loaded is not None and len(sys.modules) != before:
                    self._loaded()

        return timed


def loaded_module(name: str) -> Any | None:
    """Return a module that is loaded completely; None for one that is absent, or in the middle of its import."""
    module = sys.modules.get(name)
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return module
