"""The interface of an engine, which computes jobs."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from leakybench.engines.job import Job, Outcome
from leakybench.errors import LeakybenchError

MAX_ATTEMPTS = 3
"""Maximum number of attempts when a worker dies."""


class EngineError(LeakybenchError):
    """Workers cannot be started or reached, so no run can be computed."""


class Engine(Protocol):
    """Context manager that computes jobs. On exit it ends every process it started, even in the middle of a run.

    Attributes:
        workers: number of jobs that run at the same time.
    """

    workers: int

    def map(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        """Yield outcomes as they complete, in any order. A job is taken from ``jobs`` only when a worker is free.

        A job with mates yields the outcomes of all its runs consecutively: each with its own status, or, if the batch
        failed, all with the status of the failure.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
