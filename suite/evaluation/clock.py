"""Measure the phases of a run, on any device."""

from __future__ import annotations

import re
import sys
import time


class Clock:
    """Wall-clock seconds by phase: ``with clock("fit"): ...``; repeated phases add up.

    A GPU works through a queue: the clock is read when the queue is empty, at both ends of a phase, so that a phase
    counts its own work and all of it.

    Args:
        device: device that the phases use, as a setting names it.

    Attributes:
        seconds: by phase.
        threads: number of threads that the fit used; None before it.
        held: bytes that torch held on the card before the fit.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self.threads: int | None = None
        self.held = 0

    def __call__(self, phase: str) -> Clock:
        """Name the phase of the next ``with`` block."""
        self._phase = phase
        return self

    def __enter__(self) -> None:
        synchronise(self.device)
        self._start = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # after an error of the device, waiting for it would raise another one
            synchronise(self.device)
        self.add(self._phase, time.perf_counter() - self._start)

    def add(self, phase: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds


def device_of(baseline: object) -> str:
    """Return the setting ``device`` of a baseline, a text or a ``torch.device``; ``cpu`` for one without."""
    name = str(getattr(baseline, "device", "cpu"))
    return name if re.fullmatch(r"[a-z]+(:[0-9]+)?", name) else "cpu"


def synchronise(device: str) -> None:
    """Wait until a GPU has done the work that torch has queued there; do nothing on the CPU, or before torch is used.

    Torch is looked up, not imported: a baseline that does not use it must not wait for its import.
    """
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize(device)


def card_memory() -> int:
    """Return the bytes that torch holds on the card, and begin a new peak; 0 where torch uses none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())


def device_used(stated: str, held: int) -> str:
    """Return the device of a fit: what the baseline states, unless torch knows better.

    A fit that says ``cpu`` but took memory of a card was on that card. One that names a card is believed, since other
    libraries than torch may have used it.

    Args:
        stated: ``cpu``, ``cuda`` or ``cuda: <name of the card>``.
        held: ``card_memory`` before the fit.
    """
    torch = sys.modules.get("torch")
    if stated.startswith("cuda") or torch is None or not torch.cuda.is_initialized():
        return stated
    return f"cuda: {torch.cuda.get_device_name()}" if torch.cuda.max_memory_allocated() > held else stated
