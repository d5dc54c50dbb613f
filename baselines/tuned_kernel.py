"""Kernel ridge regression for baselines that change its inputs or targets, tuned by the rule of ``KernelRidge-v0``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from leakybench import seeding
from leakybench.baselines.kernel_ridge import KernelRidge
from leakybench.task import Split

TUNING_ROWS = 1000
"""Maximum number of rows for tuning. Six eigendecompositions take 1 s for 1000 rows and 27 s for 3000 (one thread)."""


def fit_tuned(inputs: np.ndarray, targets: np.ndarray, *, name: str, seed: int) -> tuple[Any, Mapping[str, Any]]:
    """Fit a Gaussian kernel ridge regression, width and penalty by leave-one-out error on the training rows.

    Beyond ``TUNING_ROWS`` rows, a random part of them is used for the choice, and all rows for the fit. The penalty of
    K + penalty I, the variance of the noise of a Gaussian process, does not depend on the number of rows.

    Args:
        inputs: (n, d_in), float64.
        targets: centred, (n, d_out), float64.
        name: of the baseline, for the draw of the part.
        seed: of the run.

    Returns:
        The fitted regressor with ``predict`` and the chosen ``gamma``, ``penalty`` and ``left_out`` error.
    """
    n = len(inputs)
    part = np.arange(n) if n <= TUNING_ROWS else seeding.generator(name, seed, "tuning").permutation(n)[:TUNING_ROWS]
    train = Split(inputs=inputs[part].astype(np.float32), targets=targets[part].astype(np.float32))
    tuned = KernelRidge().fit(train, seed=seed, preset="standard")
    values = tuned.report.values
    if n <= TUNING_ROWS:
        return tuned.regressor, values
    from sklearn.kernel_ridge import KernelRidge as Regressor

    fitted = Regressor(kernel="rbf", gamma=values["gamma"], alpha=values["penalty"])
    return fitted.fit(inputs, targets), values
