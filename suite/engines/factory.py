"""Make an engine by its name."""

from __future__ import annotations

from leakybench.engines.cluster import DaskEngine
from leakybench.engines.engine import Engine
from leakybench.engines.inline import InlineEngine
from leakybench.engines.limits import Limits
from leakybench.engines.pool import PoolEngine
from leakybench.errors import UsageError

ENGINES = ("local", "dask")


def make_engine(
    name: str, *, workers: int, threads: int = 1, limits: Limits | None = None, scheduler: str | None = None
) -> Engine:
    """Make the engine ``name``.

    Args:
        name: ``local`` or ``dask``.
        workers: number of processes; 0 computes in this process (``local`` only, without limits).
        threads: threads of each worker.
        limits: limits of each run; a batch of n runs may take n times as long.
        scheduler: address of an existing Dask scheduler; None makes ``dask`` start a cluster on this machine.

    Raises:
        UsageError: the name is unknown, or the arguments contradict each other.
    """
    limits = limits or Limits()
    if scheduler is not None and name != "dask":
        raise UsageError(f"a scheduler address requires the engine dask, got the engine {name}")
    if name == "local" and workers == 0:
        if limits:
            raise UsageError("a timeout or memory limit requires at least 1 worker process, got 0")
        return InlineEngine(threads=threads)
    if name == "local":
        return PoolEngine(workers=workers, threads=threads, limits=limits)
    if name == "dask":
        return DaskEngine(workers=workers, threads=threads, limits=limits, scheduler=scheduler)
    raise UsageError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")
