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
        self._start = 0.0

    def __enter__(self) -> Self:
        _HOOK.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        _HOOK.remove(self)

    def begin(self) -> None:
        """Note that an import begins."""
        if self._depth == 0:
            self._start = time.perf_counter()
        self._depth += 1

    def end(self, *, grew: bool) -> None:
        """Note that the import which began last has ended; ``grew``: it brought modules."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._start
        if grew and self._loaded is not None:
            self._loaded()


class _Hook:
    """The one replacement of the process's import functions, while any thread has an open clock.

    Clocks of several threads open and close in any order, so none of them may put back what it found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clocks: dict[int, list[ImportClock]] = {}

    def add(self, clock: ImportClock) -> None:
        """Open a clock for this thread."""
        with self._lock:
            if not self._clocks:
                self._originals = builtins.__import__, importlib.import_module
                self._replacements = self._timed(builtins.__import__), self._timed(importlib.import_module)
                builtins.__import__, importlib.import_module = self._replacements
            self._clocks.setdefault(threading.get_ident(), []).append(clock)

    def remove(self, clock: ImportClock) -> None:
        """Close a clock of this thread; with the last one of all threads, put the functions back."""
        with self._lock:
            mine = self._clocks[threading.get_ident()]
            mine.remove(clock)
            if not mine:
                del self._clocks[threading.get_ident()]
            if self._clocks:
                return
            statement, function = self._replacements
            # somebody who replaced them meanwhile keeps what he did: without a clock these only pass on
            if builtins.__import__ is statement:
                builtins.__import__ = self._originals[0]
            if importlib.import_module is function:
                importlib.import_module = self._originals[1]

    def _timed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            open_now = self._clocks.get(threading.get_ident())
            if not open_now:
                return original(*arguments, **keywords)
            clocks, before = list(open_now), len(sys.modules)
            for clock in clocks:
                clock.begin()
            try:
                return original(*arguments, **keywords)
            finally:
                for clock in clocks:
                    clock.end(grew=len(sys.modules) != before)

        return timed


_HOOK = _Hook()


def loaded_module(name: str) -> Any | None:
    """Return a module that is loaded completely; None for one that is absent, or in the middle of its import."""
    module = sys.modules.get(name)
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return module
