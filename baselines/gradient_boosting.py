"""Gradient-boosted trees (scikit-learn's histogram version), one model per target: the strongest rival on tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.fitted import PiecewiseConstant
from leakybench.baselines.optional import check_count, check_positive
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

    Settings:
        leaves: largest number of leaves of a tree; None for the choice among ``CANDIDATES``.
        rate: learning rate; None likewise.
        least: smallest number of rows in a leaf; None likewise.
    """

    leaves: int | None = None
    rate: float | None = None
    least: int | None = None
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        check_count("leaves", self.leaves, 2)
        check_positive("rate", self.rate)
        check_count("least", self.least, 1)

    def search_space(self) -> dict[str, object]:
        """Values for ``tune``."""
        return {
            "leaves": {"low": 3, "high": 63, "log": True},
            "rate": {"low": 0.02, "high": 0.3, "log": True},
            "least": {"low": 2, "high": 40, "log": True},
        }

    @property
    def _candidates(self) -> list[Mapping[str, Any]]:
        """``CANDIDATES`` with the settings that are given in their place, each once."""
        given = {"max_leaf_nodes": self.leaves, "learning_rate": self.rate, "min_samples_leaf": self.least}
        given = {name: value for name, value in given.items() if value is not None}
        merged = [{**candidate, **given} for candidate in CANDIDATES]
        return [candidate for index, candidate in enumerate(merged) if candidate not in merged[:index]]

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
        scores: list[float] = []
        candidates = self._candidates
        for candidate in candidates if len(candidates) > 1 else ():  # a single one needs no comparison
            error = 0.0
            for column in columns:
                model = HistGradientBoostingRegressor(**candidate, **fixed).fit(inputs[rest], targets[rest, column])
                error += float(np.mean((model.predict(inputs[held_out]) - targets[held_out, column]) ** 2))
            scores.append(error / len(columns))
        best = candidates[int(np.argmin(scores)) if scores else 0]
        models = [HistGradientBoostingRegressor(**best, **fixed).fit(inputs, targets[:, i]) for i in range(d_out)]
        values = {**best, "held_out": min(scores, default=None), "trees": int(sum(model.n_iter_ for model in models))}
        return PiecewiseConstant(regressor=_Columns(models), report=FitReport(values=values))


@dataclass(frozen=True)
class _Columns:
    """One regressor for each target."""

    models: list[Any]

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in)."""
        return np.column_stack([model.predict(inputs) for model in self.models])
