"""Where runs are computed: in this process, in a pool of processes, or on a Dask cluster. The records are the same."""

from __future__ import annotations

from suite.engines.base import Engine, EngineError, Job, Outcome, make_engine

__all__ = ["Engine", "EngineError", "Job", "Outcome", "make_engine"]
