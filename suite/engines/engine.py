"""The contract of an engine, which computes jobs."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from leakybench.engines.job import Job, Outcome
from leakybench.errors import LeakybenchError

MAX_ATTEMPTS = 3
"""Maximum number of attempts when a worker dies."""


class EngineError(LeakybenchError):
    """Workers cannot be started or reached: no run can be computed."""


class Engine(Protocol):
    """Computes jobs. A context: leaving it ends every process it started, also in the middle of a run."""

    workers: int

    def map(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        """Outcomes as they come, in any order. Jobs are drawn one by one, each when somebody is free to run it.

        A job with mates gives the outcomes of all its runs one after the other: all as they ended, or, where the batch
        failed, all with the status of the failure.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
