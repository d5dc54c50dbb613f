"""Fitted scikit-learn regressors as models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leakybench.baseline import FitReport


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fitted scikit-learn regressor with float64 inputs and outputs."""

    regressor: Any
    report: FitReport

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in)."""
        return np.asarray(self.regressor.predict(inputs.astype(np.float64))).reshape(len(inputs), -1)


@dataclass(frozen=True, kw_only=True)
class PiecewiseConstant(Fitted):
    """A fitted regressor whose derivative is 0 wherever it exists."""

    differentiable: bool = False
