"""Gradient-boosted trees (scikit-learn's histogram version), one model per target: the strongest rival on tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.fitted import PiecewiseConstant
from leakybench.specs import BaselineSpec
from leakybench.task import Split

NAME = "GradientBoosting"

CANDIDATES: tuple[Mapping[str, Any], ...] = tuple(
    {"max_leaf_nodes": leaves, "learning_rate": rate, "min_samples_leaf": few}
    for leaves, rate, few in ((4, 0.1, 20), (8, 0.1, 20), (16, 0.1, 10), (31, 0.1, 20), (8, 0.05, 5))
)
"""Settings that are compared on held-out training rows."""

TUNED_TARGETS = 4
"""Number of targets on which the settings are compared, spread over the columns: each target takes a model."""

ROUNDS = {"smoke": 40, "standard": 300, "converged": 600, "paper": 600}
"""Maximum number of trees for a target; early stopping on a tenth of the training rows usually ends sooner."""


@dataclass(frozen=True, kw_only=True)
class GradientBoosting:
    """Histogram gradient boosting [Friedman 2001; Ke et al. 2017], tuned on a fifth of the training rows.

    A sum of trees is piecewise constant: its Jacobian is 0 almost everywhere, and its record has no rank.
    """

    spec: BaselineSpec | None = None

    def fit(self, train: Split, *, seed: int, preset: str) -> PiecewiseConstant:
        """Choose among ``CANDIDATES``, then fit every target on all rows."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        check_preset(preset)
        inputs, targets = train.inputs.astype(np.float64), train.targets.astype(np.float64)
        n, d_out = targets.shape
        rng = seeding.generator(NAME, seed, "fit")
        order, drawn = rng.permutation(n), int(rng.integers(2**31 - 1))
        fixed = {"max_iter": ROUNDS[preset], "early_stopping": n >= 50, "n_iter_no_change": 10, "random_state": drawn}
        columns = np.unique(np.linspace(0, d_out - 1, min(TUNED_TARGETS, d_out)).round().astype(int))
        held_out, rest = order[: max(n // 5, 1)], order[max(n // 5, 1) :]
        scores = []
        for candidate in CANDIDATES:
            error = 0.0
            for column in columns:
                model = HistGradientBoostingRegressor(**candidate, **fixed).fit(inputs[rest], targets[rest, column])
                error += float(np.mean((model.predict(inputs[held_out]) - targets[held_out, column]) ** 2))
            scores.append(error / len(columns))
        best = CANDIDATES[int(np.argmin(scores))]
        models = [HistGradientBoostingRegressor(**best, **fixed).fit(inputs, targets[:, i]) for i in range(d_out)]
        values = {**best, "held_out": min(scores), "trees": int(sum(model.n_iter_ for model in models))}
        return PiecewiseConstant(regressor=_Columns(models), report=FitReport(values=values))


@dataclass(frozen=True)
class _Columns:
    """One regressor for each target."""

    models: list[Any]

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in)."""
        return np.column_stack([model.predict(inputs) for model in self.models])
