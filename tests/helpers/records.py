"""Records of the dummies without running them."""

from __future__ import annotations

from typing import Any

from leakybench.engines.job import Job
from leakybench.record import Record, RunSpec
from leakybench.sweeps.grid import Grid


def run_spec(seed: int = 0, **fields: Any) -> RunSpec:
    settings: dict[str, Any] = {
        "task": "dummy/Tiny-v0",
        "baseline": "dummy/Fit-v0",
        "seed": seed,
        "preset": "smoke",
        "source": "0+test",
    }
    return RunSpec(**{**settings, **fields})


def record(seed: int = 0, status: str = "ok", run: RunSpec | None = None, **fields: Any) -> Record:
    settings: dict[str, Any] = {
        "test_error": 0.25,
        "train_error": 0.125,
        "true_rank": 2,
        "bottleneck_rank": 2,
        "rank_recovered": True,
        "rank_evidence": {"estimator": "gap", "layer": 3, "gap": 41.5},
        "wall_clock": {"setup": 0.1, "fit": 2.0, "evaluation": 0.1, "measures": 0.2, "total": 2.4, "threads": 1},
        "training": {"objective": 0.33, "curve": [1.0, 0.5, 0.25]},
        "measures": {"hamiltonian": {"mean": -1.5}, "cost": 3.1},
        "provenance": {"processor": "Test CPU", "cores": 2},
    }
    return Record(run=run or run_spec(seed), status=status, **{**settings, **fields})


def jobs(seeds: int | list[int] = 3, baselines: str = "dummy/Fit-v0", **fields: Any) -> list[Job]:
    """Jobs of the tiny task; the dummies must be registered."""
    chosen = list(range(seeds)) if isinstance(seeds, int) else seeds
    return Grid(tasks=["dummy/Tiny-v0"], baselines=baselines.split(","), seeds=chosen, preset="smoke", **fields).jobs()
