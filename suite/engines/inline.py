"""The engine without processes: for debugging, and as the reference for all others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from leakybench.engines.execute import execute
from leakybench.engines.job import Job, Outcome

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What numerical libraries read when they are loaded."""


class InlineEngine:
    """Computes each job in this process, one after the other. The thread settings of the process are put back after."""

    workers = 1

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads

    def map(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        """See :class:`leakybench.engines.engine.Engine`."""
        for job in jobs:
            yield from execute(job, threads=self._threads)

    def __enter__(self) -> Self:
        from threadpoolctl import threadpool_limits

        self._before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        self._torch_before: int | None = None
        # for libraries not loaded yet, for those that are, and for torch, whose pool is its own
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(self._threads)))
        self._pools = threadpool_limits(limits=self._threads)
        if "torch" in sys.modules:
            torch = sys.modules["torch"]
            self._torch_before = torch.get_num_threads()
            torch.set_num_threads(self._threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._pools.restore_original_limits()
        if self._torch_before is not None:
            sys.modules["torch"].set_num_threads(self._torch_before)
