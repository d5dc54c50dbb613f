"""The error of a model's predictions, which must be real numbers of the targets' shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakybench.baseline import Model
from leakybench.errors import BaselineError, UsageError
from leakybench.task import Split

MAX_ERROR = 1e100
"""Largest relative error that is one: beyond it, predictions have left the numbers."""


def relative_error(model: Model, split: Split) -> float | None:
    """Return sum |f(x) - y|^2 / sum |y - mean(y)|^2, the mean squared error over the targets' variance.

    Returns:
        The relative error, 1 for the mean predictor; None if a prediction is not finite, or the error beyond
        ``MAX_ERROR``.

    Raises:
        BaselineError: predictions that are no real numbers.
        UsageError: predictions whose shape differs from that of the targets, or constant targets.
    """
    predicted = real_predictions(model.predict(split.inputs))
    if predicted.shape != split.targets.shape:
        raise UsageError(f"predictions have shape {predicted.shape}, the targets {split.targets.shape}")
    targets = split.targets.astype(np.float64)
    spread = float(np.sum((targets - targets.mean(axis=0)) ** 2))
    if spread == 0.0:
        raise UsageError("the targets are constant: a relative error is not defined")
    with np.errstate(over="ignore", invalid="ignore"):  # not finite, which is the answer
        error = float(np.sum((predicted - targets) ** 2)) / spread
    return error if error <= MAX_ERROR else None


def real_predictions(predicted: Any) -> np.ndarray:
    """Return predictions as float64.

    Arrays, tensors on the CPU, data frames and nested lists of numbers are taken.

    Raises:
        BaselineError: complex numbers, text, booleans, objects, masked values, or rows of different lengths.
    """
    if np.ma.is_masked(predicted):
        raise BaselineError("predictions must be real numbers, got masked values")
    if hasattr(predicted, "detach"):
        predicted = predicted.detach()
        if str(getattr(predicted, "dtype", "")) == "torch.bfloat16":  # numpy has no such dtype
            predicted = predicted.float()
    try:
        array = np.asarray(predicted)
    except (TypeError, ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())[:200]
        raise BaselineError(f"predictions must be an array of real numbers: {line}") from None
    if array.dtype.kind not in "fiu":
        raise BaselineError(f"predictions must be real numbers, got dtype {array.dtype}")
    return array.astype(np.float64, copy=False)
