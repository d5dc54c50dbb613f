"""Keep the global state of the process across code that is not trusted with it."""

from __future__ import annotations

import contextlib
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


@contextlib.contextmanager
def kept(changes: list[Change]) -> Iterator[Callable[[], None]]:
    """Put the global state back at the end of the block, also after an exception.

    Numerical settings, generators, threads, environment, working directory, signal handlers, streams, and the
    functions of the package and of the libraries below it: see ``aspects`` and ``patches``. What cannot be put back
    (open files, threads that still run, handlers at exit) is not looked for; a worker process ends them with itself.

    Args:
        changes: receives what the block changed.

    Yields:
        A function that takes the present state of the global generators for the one to keep, for a block that seeds
        them itself.
    """
    before, patches = _read(), Patches()

    def loaded() -> None:  # a library is watched from the end of its import on
        if patches.extend():
            before[:] = [aspect.read() if old is ABSENT else old for aspect, old in zip(WATCHED, before, strict=True)]

    def seeded() -> None:
        before[:] = [
            aspect.read() if aspect.name in GENERATORS else old for aspect, old in zip(WATCHED, before, strict=True)
        ]

    try:
        with ImportClock(loaded):
            yield seeded
    finally:
        replaced = patches.undo()
        changes += _restore(before)
        if replaced:
            rest = f" and {len(replaced) - MAX_NAMED} more" if len(replaced) > MAX_NAMED else ""
            changes.append(Change("replaced names", ", ".join(replaced[:MAX_NAMED]) + rest))


def _read() -> list[Any]:
    return [aspect.read() for aspect in WATCHED]


def _restore(before: list[Any]) -> list[Change]:
    changes = []
    for aspect, old in zip(WATCHED, before, strict=True):
        now = aspect.read()
        if now is ABSENT:
            continue
        if old is ABSENT or now == old:
            continue
        aspect.write(old)
        changes.append(Change(aspect.name, aspect.tell(old, now) if aspect.tell else f"{old} -> {now}"))
    return changes


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
