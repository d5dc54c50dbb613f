"""How many threads a computation used: those that its libraries were allowed, or more if the processor did more."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import Self

LEAST_SECONDS = 0.2
"""Shortest time over which the work of the processor says how many threads there were."""


class Processor:
    """A context that measures the work of the processor: seconds of all threads of this process and of its children
    that ended inside.

    Attributes:
        busy: processor seconds inside the block.
        seconds: wall-clock seconds inside the block.
    """

    busy = 0.0
    seconds = 0.0

    def __enter__(self) -> Self:
        self._start = _processor_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.busy += _processor_seconds() - self._start[0]
        self.seconds += time.perf_counter() - self._start[1]


def _processor_seconds() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def threads_of(processor: Processor) -> int:
    """Return the number of threads of a computation that has just ended.

    This is the largest number that a numerical library of this process is set to use, and at least the number of
    processors that were busy on average, rounded up, where the computation took ``LEAST_SECONDS`` or more. What the
    computation says of itself does not count.
    """
    allowed = max([1, *_pools()])
    if processor.seconds < LEAST_SECONDS:
        return allowed
    # a quarter of a processor is what the interpreter's own threads may add
    return max(allowed, math.ceil(processor.busy / processor.seconds - 0.25))


def _pools() -> list[int]:
    """Threads of the pools of torch, BLAS and OpenMP that are loaded."""
    numbers = []
    if (torch := sys.modules.get("torch")) is not None:
        numbers.append(int(torch.get_num_threads()))
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_info

        numbers += [int(pool["num_threads"]) for pool in threadpool_info() if pool["num_threads"]]
    return numbers
