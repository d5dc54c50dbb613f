"""Ladders without runs: what tables, figures and exponents are tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from leakybench.analysis.ladders import Ladder, Rung

VALUES = (25, 50, 100, 200, 400, 800)
SPREAD = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
"""Differences of the runs at a value from their mean."""


def climbed(
    task: str = "LowRank-k3-v0",
    method: str = "LeakyResNet-v0",
    errors: Sequence[float] | None = None,
    *,
    steps: str = "uniform",
    at: float | None = None,
    values: Sequence[float] = VALUES,
    axis: str = "n_train",
    spread: np.ndarray = SPREAD,
    metrics: Sequence[str] = ("error", "alignment", "recovery"),
    status: Mapping[str, int] | None = None,
    parameters: int | None = None,
) -> Ladder:
    """A ladder of given mean errors, or of errors that fall by 1/4 an octave and are 1/2 at ``at``."""
    if errors is None:
        assert at is not None
        errors = [float(np.clip(0.5 - 0.25 * np.log2(value / at), 0.05, 0.95)) for value in values]
    rungs = []
    for value, error in zip(values, errors, strict=True):
        runs = error + spread
        samples = {"error": runs, "alignment": 1 - runs, "recovery": (runs < 0.5).astype(float)}
        rungs.append(
            Rung(
                value=value,
                samples={metric: samples[metric] for metric in metrics},
                status=dict(status or {"ok": len(runs)}),
                seconds=float(len(runs)),
            )
        )
    return Ladder(
        task=task, task_id=task.partition("[")[0], method=method, steps=steps, preset="standard", axis=axis,
        rungs=tuple(rungs), parameters=parameters,
    )  # fmt: skip
