"""Limits of a run (seconds, bytes) and numbers of workers, parsed from text and checked."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from leakybench.errors import UsageError

MAX_WORKERS = 1024
MAX_TIMEOUT = 366 * 86400.0

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Hard limits of one run, enforced by ending its process.

    Attributes:
        timeout: wall-clock seconds, counted from when a ready worker receives the run; None for no limit.
        memory: resident bytes of the worker and its children; None for no limit.
    """

    timeout: float | None = None
    memory: int | None = None

    def __bool__(self) -> bool:
        return self.timeout is not None or self.memory is not None


def parse_seconds(text: object) -> float:
    """Parse a time in seconds from ``90``, ``"90"``, ``"1.5m"``, ``"2h"`` or ``"1d"``.

    Raises:
        UsageError: the form is wrong, or the time is zero or more than a year.
    """
    value, unit = _quantity(text, "timeout", "seconds, or a number with s, m, h or d, as in 90 or 1.5h")
    if unit not in _SECONDS:
        raise UsageError(f"timeout has the unit {unit!r}; allowed: s, m, h, d")
    seconds = value * _SECONDS[unit]
    if not 0.0 < seconds <= MAX_TIMEOUT:
        raise UsageError(f"timeout must be above 0 and at most {MAX_TIMEOUT:.0f} s, got {text!r}")
    return seconds


def parse_bytes(text: object) -> int:
    """Parse a size in bytes from ``"4G"``, ``"512M"``, ``"1.5GiB"`` or a plain number; units are powers of 1024.

    Raises:
        UsageError: the form is wrong, or the size is below 1 MiB.
    """
    value, unit = _quantity(text, "memory", "bytes, or a number with K, M, G or T, as in 512M or 4G")
    unit = unit.removesuffix("ib").removesuffix("b")
    if unit not in _BYTES:
        raise UsageError(f"memory has the unit {unit!r}; allowed: K, M, G, T")
    size = value * _BYTES[unit]
    if not 2**20 <= size <= 2**60:
        raise UsageError(f"memory must be at least 1M, got {text!r}")
    return int(size)


def _quantity(text: object, name: str, allowed: str) -> tuple[float, str]:
    if isinstance(text, int | float) and not isinstance(text, bool):
        text = repr(text)
    match = _QUANTITY.fullmatch(text.strip()) if isinstance(text, str) and len(text) <= 64 else None
    if match is None:
        shown = repr(text)
        raise UsageError(f"{name} must be {allowed}; got {shown if len(shown) < 60 else shown[:56] + '...'}")
    return float(match["number"]), match["unit"].lower()


def cores() -> int:
    """Return the number of cores that this process may use, by its affinity and its container's share (at least 1)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass
    return max(count, 1)


def check_workers(workers: int | None, threads: int, *, oversubscribe: bool = False, on_card: bool = False) -> int:
    """Return the number of workers to start, each with ``threads`` threads.

    Args:
        workers: the requested number; None for as many as fit on the cores, or one on a card.
        threads: threads of each worker.
        oversubscribe: allow workers x threads to exceed the cores, and workers to share a card.
        on_card: whether runs compute on a GPU, of which all workers see the same one.

    Raises:
        UsageError: workers x threads exceed the cores, or several workers a card, without ``oversubscribe``; or a
            number is out of range.
    """
    available = cores()
    if not 1 <= threads <= MAX_WORKERS:
        raise UsageError(f"threads must be from 1 to {MAX_WORKERS}, got {threads}")
    if workers is None:
        workers = 1 if on_card else max(available // threads, 1)
    if not 0 <= workers <= MAX_WORKERS:
        raise UsageError(f"workers must be from 0 (in this process) to {MAX_WORKERS}, got {workers}")
    if max(workers, 1) * threads > available and not oversubscribe:
        raise UsageError(
            f"{max(workers, 1)} workers x {threads} threads exceed the {available} cores here, so measured times would "
            "include waiting; reduce one of them, or allow it with --oversubscribe"
        )
    if on_card and workers > 1 and not oversubscribe:
        raise UsageError(
            f"{workers} workers would share one card, so measured times would include waiting; use --workers 1, with "
            "--batch to fill the card, or allow it with --oversubscribe"
        )
    return workers
