"""Linear ridge regression (scikit-learn)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.fitted import Fitted
from leakybench.baselines.optional import check_positive
from leakybench.specs import BaselineSpec
from leakybench.task import Split

PENALTIES = tuple(10.0**exponent for exponent in range(-4, 4))


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """Linear ridge regression, with the one of ``PENALTIES`` that has the smallest leave-one-out training error.

    Settings:
        penalty: lambda of |Y - X B|^2 + lambda |B|^2; None for the choice among ``PENALTIES``.
    """

    penalty: float | None = None
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        check_positive("penalty", self.penalty)

    def search_space(self) -> dict[str, object]:
        """Values for ``tune``."""
        return {"penalty": {"low": 1e-4, "high": 1e3, "log": True}}

    def prepare(self) -> None:
        """Import what fitting needs, so that the import does not count as training time."""
        import sklearn.linear_model  # noqa: F401

    def fit(self, train: Split, *, seed: int, preset: str) -> Fitted:
        """Fit on (n, d_in) inputs and (n, d_out) targets; nothing is drawn."""
        from sklearn.linear_model import RidgeCV

        check_preset(preset)
        # a list, since RidgeCV writes into it where it holds a single penalty
        penalties = list(PENALTIES) if self.penalty is None else [self.penalty]
        fitted = RidgeCV(alphas=penalties).fit(train.inputs.astype(np.float64), train.targets.astype(np.float64))
        return Fitted(regressor=fitted, report=FitReport(values={"penalty": float(fitted.alpha_)}))
