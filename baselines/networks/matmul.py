"""The library that multiplies float32 matrices on this machine, chosen by measurement and used within a scope.

On a CPU torch can send float32 products to two libraries; which one is faster depends on the processor. The switch
between them is a global setting of torch, so ``matmul_scope`` sets it during a fit and restores the user's own
afterwards. The setting that is faster on some processors may round to bfloat16 on others: a candidate is used only if
its products are float32-exact on this machine.

The choice is measured once for each machine and stored in the user's cache folder, since a choice that varied from run
to run would change results by round-off. ``LEAKYBENCH_MATMUL=highest|medium`` overrides it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch

from leakybench.errors import UsageError

CANDIDATES = ("highest", "medium")
VARIABLE = "LEAKYBENCH_MATMUL"
MARGIN = 0.97
"""A candidate replaces the default only where it takes less than this share of its time."""


class _Scopes:
    """The open scopes, newest last, and the caller's setting from before the first.

    The process has one setting, while fits may run in several threads: the scope that ends first must not change the
    setting of the others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[list[str]] = []
        self._callers = torch.get_float32_matmul_precision()

    def enter(self, choice: str) -> list[str]:
        """Open a scope with ``choice``; returns its handle."""
        scope = [choice]
        with self._lock:
            if not self._open:
                self._callers = torch.get_float32_matmul_precision()
            self._open.append(scope)
            torch.set_float32_matmul_precision(choice)
        return scope

    def leave(self, scope: list[str]) -> None:
        """Close a scope: the newest one that is still open decides, else the caller's setting returns."""
        with self._lock:
            self._open = [other for other in self._open if other is not scope]
            torch.set_float32_matmul_precision(self._open[-1][0] if self._open else self._callers)


_SCOPES = _Scopes()
_CHOOSING = threading.Lock()


@contextlib.contextmanager
def matmul_scope(choice: str | None = None) -> Iterator[str]:
    """Use the chosen library inside the block and restore the caller's setting after it; yields the choice's name.

    Fits in several threads share the setting; the caller's own returns when the last of them ends.
    """
    chosen = choice or choose()
    scope = _SCOPES.enter(chosen)
    try:
        yield chosen
    finally:
        _SCOPES.leave(scope)


def choose() -> str:
    """The candidate to use at torch's present thread count.

    In this order: ``LEAKYBENCH_MATMUL``, the stored choice of this machine and thread count, or a measurement, which is
    then stored.

    Raises:
        UsageError: the variable names no candidate.
    """
    if (named := os.environ.get(VARIABLE)) is not None:
        if named not in CANDIDATES:
            raise UsageError(f"{VARIABLE} must be one of {', '.join(CANDIDATES)}, got {named!r}")
        return named
    with _CHOOSING:  # a measurement changes the setting: no other fit of this process may start meanwhile
        return _stored_choice(torch.get_num_threads())


@cache
def _stored_choice(threads: int) -> str:
    path = _cache_file(threads)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(path.read_text())["choice"]
        if stored in CANDIDATES:
            return str(stored)
    measured = time_products()
    fastest = min(measured, key=lambda name: measured[name] if name == "highest" else measured[name] / MARGIN)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        own = path.with_suffix(f".{os.getpid()}")
        own.write_text(json.dumps({"choice": fastest, "seconds": measured}))
        try:
            os.link(own, path)  # the first process decides, so that workers which start together agree
        except FileExistsError:
            with contextlib.suppress(ValueError, KeyError):
                fastest = str(json.loads(path.read_text())["choice"])
        finally:
            own.unlink()
    return fastest


def time_products(width: int = 100, samples: int = 1000, rounds: int = 9) -> dict[str, float]:
    """Median seconds of one layer's three products under each candidate that is float32-exact on this machine."""
    generator = torch.Generator(device="cpu").manual_seed(0)
    kind: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    weight = torch.randn(width, width + 1, generator=generator, **kind)
    state = torch.randn(width + 1, samples, generator=generator, **kind)
    gradient = torch.randn(width, samples, generator=generator, **kind)
    forward, backward = torch.empty(width, samples, **kind), torch.empty(width, samples, **kind)
    outer = torch.empty(width, width + 1, **kind)

    def products() -> None:
        torch.mm(weight, state, out=forward)
        torch.mm(gradient, state.mT, out=outer)
        torch.mm(weight[:, :width].mT, gradient, out=backward)

    seconds = {}
    for name in CANDIDATES:
        with matmul_scope(name):
            if not is_exact(weight, state):
                continue
            times = []
            for _ in range(rounds):
                start = time.perf_counter()
                products()
                times.append(time.perf_counter() - start)
        seconds[name] = statistics.median(times)
    return seconds


def is_exact(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether the present setting multiplies these float32 matrices up to float32 round-off.

    The error of a product is at most about k eps |left||right| entrywise (k the inner dimension); rounding the
    factors to bfloat16 gives errors of 2^-9 of that size, five hundred times the bound used here at k = 100.
    """
    product = (left @ right).double()
    exact = left.double() @ right.double()
    bound = left.double().abs() @ right.double().abs()
    return bool(((product - exact).abs() <= 4.0 * torch.finfo(torch.float32).eps * bound).all())


def _cache_file(threads: int) -> Path:
    from leakybench.provenance import machine

    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    key = hashlib.sha256(json.dumps([machine(), threads], sort_keys=True).encode()).hexdigest()[:16]
    return Path(base) / "leakybench" / f"matmul-{key}.json"
