"""Keep the global state of the process across code that is not trusted with it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from leakybench.surroundings.aspects import ABSENT, GENERATORS, Aspect, aspects
from leakybench.surroundings.imports import ImportClock
from leakybench.surroundings.patches import Patches

WATCHED: tuple[Aspect, ...] = tuple(aspects())
MAX_NAMED = 8
"""Number of replaced names that are told one by one."""

_imported: dict[str, list[str]] = {}


@dataclass(frozen=True)
class Change:
    """A part of the global state that a block changed, and that was put back.

    Attributes:
        name: the part.
        text: what happened to it.
    """

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


class _Watch:
    """The state from before a block, and what is to become of it.

    Args:
        begin: sets the state under which the block computes; None to leave it.
    """

    def __init__(self, begin: Callable[[], None] | None) -> None:
        self.threads = 1
        self.shared = False
        self._caller = _read()
        if begin is not None:
            begin()
        self._patches = Patches()
        self._start = _read() if begin is not None else list(self._caller)

    def loaded(self) -> None:
        """Take the state of a library that was loaded since: it is watched from the end of its import on."""
        if self._patches.extend():
            for states in (self._start, self._caller):
                states[:] = [aspect.read() if old is ABSENT else old for aspect, old in _with(states)]

    def seeded(self) -> None:
        """Take the present state of the global generators for the one from which they are drawn."""
        self._start[:] = [aspect.read() if aspect.name in GENERATORS else old for aspect, old in _with(self._start)]

    def finish(self) -> list[Change]:
        """Put the state back, and return what the block changed."""
        replaced = self._patches.undo()
        changes = []
        for (aspect, start), caller in zip(_with(self._start), self._caller, strict=True):
            now = aspect.read()
            if now is ABSENT or caller is ABSENT:
                continue
            # of runs at the same time in several threads each seeds the generators
            if now != start and not (self.shared and aspect.name in GENERATORS):
                told = aspect.tell(start, now) if aspect.tell else f"{start} -> {now}"
                changes.append(Change(aspect.name, told))
            if now != caller:
                aspect.write(caller)
        if replaced:
            rest = f" and {len(replaced) - MAX_NAMED} more" if len(replaced) > MAX_NAMED else ""
            changes.append(Change("replaced names", ", ".join(replaced[:MAX_NAMED]) + rest))
        return changes


_lock = threading.Lock()
_outermost: dict[int, _Watch] = {}
"""The watch of each thread that is inside ``kept``; threads at the same time share one."""


@contextlib.contextmanager
def kept(changes: list[Change], begin: Callable[[], None] | None = None) -> Iterator[Callable[[], None]]:
    """Put the global state back at the end of the block, also after an exception.

    Numerical settings, generators, threads, environment, working directory, signal handlers, streams, and the
    functions of the package and of the libraries below it: see ``aspects`` and ``patches``. What cannot be put back
    (open files, threads that still run, handlers at exit) is not looked for; a worker process ends them with itself.

    There is one state for all threads. Of blocks that overlap in several threads the first takes it and the last puts
    it back, and that one gets the changes of all.

    Args:
        changes: receives what the block changed.
        begin: sets the state under which the block computes, which is no change; called by the first of blocks that
            overlap.

    Yields:
        A function that takes the present state of the global generators for the one to keep, for a block that seeds
        them itself.
    """
    me = threading.get_ident()
    with _lock:
        inside = me in _outermost  # such as an import within a run: it has a watch of its own
        if not inside and _outermost:
            watch = next(iter(_outermost.values()))
            watch.threads, watch.shared = watch.threads + 1, True
        else:
            watch = _Watch(begin)
        if not inside:
            _outermost[me] = watch
    try:
        with ImportClock(watch.loaded):
            yield watch.seeded
    finally:
        with _lock:
            watch.threads -= 1
            if watch.threads == 0:
                changes += watch.finish()
            if not inside:
                del _outermost[me]


def _read() -> list[Any]:
    return [aspect.read() for aspect in WATCHED]


def _with(states: list[Any]) -> Iterator[tuple[Aspect, Any]]:
    return zip(WATCHED, states, strict=True)


@contextlib.contextmanager
def guarded_import(module: str) -> Iterator[None]:
    """Keep the global state across the import of a module, and remember what the import would have changed.

    An import happens once in a process: without this, it would decide the results of all later runs there.
    """
    changes: list[Change] = []
    try:
        with kept(changes):
            yield
    finally:
        if changes:
            known = _imported.setdefault(module, [])
            known += [text for change in changes if (text := str(change)) not in known]


def changes_of_import(module: str) -> list[str]:
    """Return what the import of a module changed in this process before it was put back."""
    return list(_imported.get(module, []))
