"""What goes into an engine (jobs), what comes out (outcomes), and the choice of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from suite import provenance
from suite.errors import LeakybenchError, UsageError
from suite.limits import Limits
from suite.record import Record, RunSpec
from suite.registration import BaselineSpec, TaskSpec, canonical_json

ENGINES = ("local", "dask")
MAX_ATTEMPTS = 3
"""How often a run is tried whose worker dies under it."""


class EngineError(LeakybenchError):
    """Workers cannot be started or reached: no run can be computed."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run with the registered specs it needs, so that a worker can register what was registered by hand here.

    Attributes:
        mates: further runs to be trained with it in one batch; they differ from ``run`` in the seed alone.
    """

    run: RunSpec
    task_spec: TaskSpec
    baseline_spec: BaselineSpec
    mates: tuple[RunSpec, ...] = ()

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """The run and its mates."""
        return (self.run, *self.mates)

    def to_json(self) -> str:
        """Plain JSON: what travels to a worker."""
        specs = {"task_spec": self.task_spec.to_json(), "baseline_spec": self.baseline_spec.to_json()}
        return canonical_json({"run": self.run.to_dict(), "mates": [run.to_dict() for run in self.mates], **specs})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of :meth:`to_json`."""
        data = json.loads(text)
        return cls(
            run=RunSpec.from_dict(data["run"]),
            task_spec=TaskSpec.from_json(data["task_spec"]),
            baseline_spec=BaselineSpec.from_json(data["baseline_spec"]),
            mates=tuple(RunSpec.from_dict(run) for run in data["mates"]),
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The record of a run, and what a failed run printed (its traceback at the end)."""

    record: Record
    log: str = ""


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


def make_engine(
    name: str, *, workers: int, threads: int = 1, limits: Limits | None = None, scheduler: str | None = None
) -> Engine:
    """The engine ``name``.

    Args:
        name: ``local``, or ``dask``.
        workers: processes; 0 computes in this process (``local`` only, without limits).
        threads: of each worker.
        limits: of each run; a batch of n runs may take n times as long.
        scheduler: address of an existing Dask scheduler; without one, ``dask`` starts its own cluster on this machine.

    Raises:
        UsageError: an unknown name, or a combination that cannot be.
    """
    limits = limits or Limits()
    if scheduler is not None and name != "dask":
        raise UsageError(f"a scheduler address needs the engine dask, got the engine {name}")
    if name == "local" and workers == 0:
        if limits:
            raise UsageError("a timeout or memory limit ends a run's process, so it needs at least 1 worker, got 0")
        from suite.engines.inline import InlineEngine

        return InlineEngine(threads=threads)
    if name == "local":
        from suite.engines.pool import PoolEngine

        return PoolEngine(workers=workers, threads=threads, limits=limits)
    if name == "dask":
        from suite.engines.cluster import DaskEngine

        return DaskEngine(workers=workers, threads=threads, limits=limits, scheduler=scheduler)
    raise UsageError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")


def failures(job: Job, status: str, message: str, *, seconds: float, threads: int, log: str = "") -> list[Outcome]:
    """The outcomes of a job that did not end by itself: one a run."""
    clock: dict[str, Any] = {"total": round(seconds, 3), "threads": threads}
    origin = provenance.provenance()
    fields: dict[str, Any] = {"status": status, "message": message, "wall_clock": clock, "provenance": origin}
    return [Outcome(record=Record(run=run, **fields), log=log) for run in job.runs]
