"""Kernel ridge regression with a Gaussian kernel (scikit-learn)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.fitted import Fitted
from leakybench.baselines.optional import check_positive
from leakybench.errors import UsageError
from leakybench.specs import BaselineSpec
from leakybench.task import Split

KERNELS = ("rbf", "laplacian")
"""Names in scikit-learn: exp(-gamma |x - z|_2^2) and exp(-gamma |x - z|_1)."""
PENALTIES = tuple(10.0**exponent for exponent in range(-4, 2))


@dataclass(frozen=True, kw_only=True)
class KernelRidge:
    """Kernel ridge regression; width and penalty by leave-one-out error on the training data.

    The candidates for the inverse squared width are the scale of the data, 1/(d_in variance), times 2^-4 .. 2^1. The
    left-out residual of sample i is alpha_i / (G^{-1})_ii with G = K + penalty I and alpha = G^{-1} Y (Rifkin and
    Lippert 2007), so that one eigendecomposition for each width covers every penalty.

    Settings:
        kernel: ``rbf`` (Gaussian) or ``laplacian``.
        scale: gamma, in units of 1/(d_in variance); None for the choice among six.
        penalty: added to the diagonal of the kernel; None for the choice among ``PENALTIES``.
    """

    kernel: str = "rbf"
    scale: float | None = None
    penalty: float | None = None
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise UsageError(f"kernel must be one of {', '.join(KERNELS)}, got {self.kernel!r}")
        check_positive("scale", self.scale)
        check_positive("penalty", self.penalty)

    def search_space(self) -> dict[str, object]:
        """Values for ``tune``."""
        return {
            "kernel": list(KERNELS),
            "scale": {"low": 2.0**-7, "high": 8.0, "log": True},
            "penalty": {"low": 1e-6, "high": 10.0, "log": True},
        }

    def prepare(self) -> None:
        """Import what fitting needs, so that the import does not count as training time."""
        import sklearn.kernel_ridge
        import sklearn.metrics.pairwise  # noqa: F401

    def fit(self, train: Split, *, seed: int, preset: str) -> Fitted:
        """Fit on (n, d_in) inputs and (n, d_out) targets; nothing is drawn."""
        from sklearn.kernel_ridge import KernelRidge as Regressor
        from sklearn.metrics.pairwise import pairwise_kernels

        check_preset(preset)
        inputs, targets = train.inputs.astype(np.float64), train.targets.astype(np.float64)
        scale = 1.0 / (inputs.shape[1] * max(float(inputs.var()), 1e-12))
        scores: dict[tuple[float, float], float] = {}
        factors = [2.0**exponent for exponent in range(-4, 2)] if self.scale is None else [self.scale]
        for gamma in (scale * factor for factor in factors):
            values, vectors = np.linalg.eigh(pairwise_kernels(inputs, metric=self.kernel, gamma=gamma))
            rotated = vectors.T @ targets
            for penalty in PENALTIES if self.penalty is None else (self.penalty,):
                inverse = 1.0 / (np.maximum(values, 0.0) + penalty)
                dual = vectors @ (inverse[:, None] * rotated)
                left_out = dual / ((vectors**2) @ inverse)[:, None]
                scores[gamma, penalty] = float(np.mean(left_out**2))
        gamma, penalty = min(scores, key=lambda pair: scores[pair])
        fitted = Regressor(kernel=self.kernel, gamma=gamma, alpha=penalty).fit(inputs, targets)
        values_chosen = {"gamma": float(gamma), "penalty": float(penalty), "left_out": scores[gamma, penalty]}
        return Fitted(regressor=fitted, report=FitReport(values=values_chosen))
