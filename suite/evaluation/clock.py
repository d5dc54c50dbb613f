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
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

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
