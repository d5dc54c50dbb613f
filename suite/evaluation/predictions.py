"""The error of a model's predictions."""

from __future__ import annotations

import numpy as np

from leakybench.baseline import Model
from leakybench.errors import UsageError
from leakybench.task import Split


def relative_error(model: Model, split: Split) -> float | None:
    """Return sum |f(x) - y|^2 / sum |y - mean(y)|^2, the mean squared error over the targets' variance.

    Returns:
        The relative error, 1 for the mean predictor; None if it is not finite.

    Raises:
        UsageError: predictions whose shape differs from that of the targets, or constant targets.
    """
    predicted = np.asarray(model.predict(split.inputs), dtype=np.float64)
    if predicted.shape != split.targets.shape:
        raise UsageError(f"predictions have shape {predicted.shape}, the targets {split.targets.shape}")
    targets = split.targets.astype(np.float64)
    spread = float(np.sum((targets - targets.mean(axis=0)) ** 2))
    if spread == 0.0:
        raise UsageError("the targets are constant: a relative error is not defined")
    error = float(np.sum((predicted - targets) ** 2)) / spread
    return error if np.isfinite(error) else None
