"""The mean predictor, whose test error is 1 by definition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.fitted import Fitted
from leakybench.specs import BaselineSpec
from leakybench.task import Split


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of the training targets, for every input."""

    spec: BaselineSpec | None = None

    def prepare(self) -> None:
        """Import what fitting needs, so that the import does not count as training time."""
        import sklearn.dummy  # noqa: F401

    def fit(self, train: Split, *, seed: int, preset: str) -> Fitted:
        """Fit on (n, d_in) inputs and (n, d_out) targets; nothing is drawn."""
        from sklearn.dummy import DummyRegressor

        check_preset(preset)
        fitted = DummyRegressor().fit(train.inputs.astype(np.float64), train.targets.astype(np.float64))
        return Fitted(regressor=fitted, report=FitReport())
