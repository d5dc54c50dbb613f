"""Engines compute runs: in this process, in a pool of processes, or on a Dask cluster. The records are the same."""

from __future__ import annotations

from leakybench.engines.engine import Engine, EngineError
from leakybench.engines.factory import make_engine
from leakybench.engines.job import Job, Outcome

__all__ = ["Engine", "EngineError", "Job", "Outcome", "make_engine"]
