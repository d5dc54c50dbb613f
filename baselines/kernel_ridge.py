"""Kernel ridge regression with a Gaussian kernel (scikit-learn)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.fitted import Fitted
from leakybench.specs import BaselineSpec
from leakybench.task import Split

PENALTIES = tuple(10.0**exponent for exponent in range(-4, 2))


@dataclass(frozen=True, kw_only=True)
class KernelRidge:
    """Kernel ridge regression with a Gaussian kernel; width and penalty by leave-one-out error on the training data.

    The candidates for the inverse squared width are the scale of the data, 1/(d_in variance), times 2^-4 .. 2^1. The
    left-out residual of sample i is alpha_i / (G^{-1})_ii with G = K + penalty I and alpha = G^{-1} Y (Rifkin and
    Lippert 2007), so that one eigendecomposition for each width covers every penalty.
    """

    spec: BaselineSpec | None = None

    def prepare(self) -> None:
        """Import what fitting needs, so that the import does not count as training time."""
        import sklearn.kernel_ridge
        import sklearn.metrics.pairwise  # noqa: F401

    def fit(self, train: Split, *, seed: int, preset: str) -> Fitted:
        """Fit on (n, d_in) inputs and (n, d_out) targets; nothing is drawn."""
        from sklearn.kernel_ridge import KernelRidge as Regressor
        from sklearn.metrics.pairwise import rbf_kernel

        check_preset(preset)
        inputs, targets = train.inputs.astype(np.float64), train.targets.astype(np.float64)
        scale = 1.0 / (inputs.shape[1] * max(float(inputs.var()), 1e-12))
        scores: dict[tuple[float, float], float] = {}
        for gamma in (scale * 2.0**exponent for exponent in range(-4, 2)):
            values, vectors = np.linalg.eigh(rbf_kernel(inputs, gamma=gamma))
            rotated = vectors.T @ targets
            for penalty in PENALTIES:
                inverse = 1.0 / (np.maximum(values, 0.0) + penalty)
                dual = vectors @ (inverse[:, None] * rotated)
                left_out = dual / ((vectors**2) @ inverse)[:, None]
                scores[gamma, penalty] = float(np.mean(left_out**2))
        gamma, penalty = min(scores, key=lambda pair: scores[pair])
        fitted = Regressor(kernel="rbf", gamma=gamma, alpha=penalty).fit(inputs, targets)
        values_chosen = {"gamma": float(gamma), "penalty": float(penalty), "left_out": scores[gamma, penalty]}
        return Fitted(regressor=fitted, report=FitReport(values=values_chosen))
