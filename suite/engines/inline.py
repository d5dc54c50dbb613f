"""The engine without worker processes, for debugging and as the reference for the other engines."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from leakybench.engines.environment import THREAD_VARIABLES
from leakybench.engines.guarded import compute, receive
from leakybench.engines.job import Job, Outcome


class InlineEngine:
    """Computes the jobs in this process, one after the other, and restores its thread settings on exit."""

    workers = 1

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads

    def map(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        """See ``leakybench.engines.engine.Engine``."""
        for job in jobs:
            # standard output belongs to the command, whose --json must stay JSON whatever a run prints
            with contextlib.redirect_stdout(sys.stderr):
                encoded = compute(job, threads=self._threads, interruptible=True)
            yield from receive(encoded, job, threads=self._threads)

    def __enter__(self) -> Self:
        from threadpoolctl import threadpool_limits

        self._before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        torch = sys.modules.get("torch")
        # asked before any limit: torch and the other libraries may share one pool
        self._torch_before: int | None = torch.get_num_threads() if torch is not None else None
        # the variables act on libraries not loaded yet, threadpool_limits on loaded ones, and torch has its own pool
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(self._threads)))
        self._pools = threadpool_limits(limits=self._threads)
        if torch is not None:
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
