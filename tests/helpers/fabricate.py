"""Records without training: what the statistics, tables and packs are tested on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leakybench.analysis.leaderboard import Board, BoardRow, leaderboard
from leakybench.analysis.scores import score_frame
from leakybench.record import Record, RunSpec, structure_found
from leakybench.store import Store

MACHINE = {"processor": "Test CPU", "cores": 2, "system": "Linux", "python": "3.11.7", "torch": "2.13.0"}
METHODS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("LeakyResNet-v0", {"steps": "uniform"}),
    ("LeakyResNet-v0", {"steps": "adaptive"}),
    ("FullyConnected-v0", {"steps": "uniform"}),
    ("ridge/Ridge-v0", {}),
)


def record(
    task: str = "LowRank-k3-v0",
    baseline: str = "LeakyResNet-v0",
    seed: int = 0,
    *,
    error: float | None = 0.2,
    rank: int | None = 3,
    true_rank: int | None = 3,
    status: str = "ok",
    fit: float = 10.0,
    preset: str = "standard",
    source: str = "0.1.0+aaaaaaaaaaaa",
    machine: Mapping[str, Any] = MACHINE,
    arrays: Mapping[str, np.ndarray] | None = None,
    criticality: float | None = 0.01,
    alignment: float | None = None,
    leak: float | None = None,
    task_overrides: Mapping[str, Any] | None = None,
    created: str = "2026-01-01T00:00:00+00:00",
    message: str = "",
    **overrides: Any,
) -> Record:
    """One record; further keywords are overrides of the baseline."""
    run = RunSpec(
        task=task, baseline=baseline, seed=seed, preset=preset, source=source,
        task_overrides=task_overrides or {}, baseline_overrides=overrides,
    )  # fmt: skip
    finished = status == "ok"
    error = None if error is None else float(error)
    found = structure_found(rank, true_rank, alignment=alignment, test_error=error)
    return Record(
        run=run,
        status=status,
        message=message or ("" if finished else f"made to be {status}"),
        test_error=error,
        train_error=None if error is None else error / 2,
        true_rank=true_rank,
        bottleneck_rank=rank if finished else None,
        rank_recovered=found if finished else None,
        code_alignment=alignment if finished else None,
        code_leak=leak if finished else None,
        rank_evidence={"estimator": "gap", "gap": 12.0, "estimates": {"gap": rank}} if finished and rank else {},
        wall_clock={"setup": 0.1, "fit": fit, "evaluation": 0.02, "measures": 0.5, "total": fit + 0.62, "threads": 1},
        training={} if criticality is None else {"criticality_residual": criticality, "objective": 0.3},
        measures={"coi": {"minimum": 3.1}},
        provenance={"commit": "0" * 40, "created": created, **machine},
        arrays=arrays or {},
    )


def board(
    tasks: Sequence[str] = ("LowRank-k1-v0", "LowRank-k3-v0", "Linear-k3-v0"),
    methods: Sequence[tuple[str, Mapping[str, Any]]] = METHODS,
    seeds: int = 5,
    *,
    effects: Mapping[str, float] | None = None,
    noise: float = 0.05,
    random_state: int = 0,
    **fields: Any,
) -> list[Record]:
    """Records over a grid; log test error = task level + seed effect (shared by all methods) + method effect +
    noise."""
    rng = np.random.default_rng(random_state)
    records = []
    for t, task in enumerate(tasks):
        for seed in range(seeds):
            shared = np.log(0.1 + 0.1 * t) + 0.1 * rng.standard_normal()
            for m, (baseline, overrides) in enumerate(methods):
                effect = (effects or {}).get(str(overrides.get("steps", baseline)), 0.1 * m)
                error = float(np.exp(shared + effect + noise * rng.standard_normal()))
                record_fields = {"fit": 10.0 + m, "error": error, **fields, **overrides}
                records.append(record(task, baseline, seed, **record_fields))
    return records


def stored_board(folder: Path) -> Path:
    """Write the records of ``board()`` into a new store, and return its folder."""
    store = Store(folder)
    store.prepare()
    for item in board():
        store.write(item)
    return folder


def ranked(records: Iterable[Record], **options: Any) -> Board:
    """The leaderboard of records, with few resamples."""
    return leaderboard(score_frame(records), resamples=300, **options)


def row_of(rows: Iterable[BoardRow], method: str, steps: str) -> BoardRow:
    """The row of a method under a step rule."""
    return next(row for row in rows if (row.method, row.steps) == (method, steps))
