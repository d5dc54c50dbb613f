"""What a measure accepts: finite real matrices, from numpy or torch, as float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from leakybench.baseline import Representations
from leakybench.errors import UsageError

Array = npt.NDArray[np.float64]


def as_float64(name: str, value: Any, *, ndim: int = 2) -> Array:
    """``value`` as a finite float64 array; tensors are detached and brought to the host, without importing torch.

    Raises:
        UsageError: another number of dimensions, an empty array, a complex or non-numeric one, or a value that is not
            finite.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{name} must hold real numbers, got dtype {array.dtype}")
    array = array.astype(np.float64, copy=False)
    if array.ndim != ndim or array.size == 0:
        raise UsageError(f"{name} must be a non-empty array of {ndim} dimensions, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} hold a value that is not finite")
    return array


def same_rows(name: str, array: Array, activations: Array) -> None:
    """Raise :class:`UsageError` unless both have one row a sample."""
    if len(array) != len(activations):
        raise UsageError(
            f"{name} need one row a sample: {len(array)} rows for activations of {len(activations)} samples"
        )


def non_negative(name: str, value: Any, *, allow_zero: bool = True) -> float:
    """``value`` as a finite float, at least 0 (above 0 unless ``allow_zero``), or :class:`UsageError`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be a number, got {value!r}") from None
    if not np.isfinite(number) or number < 0.0 or (number == 0.0 and not allow_zero):
        raise UsageError(f"{name} must be finite and {'at least' if allow_zero else 'above'} 0, got {value!r}")
    return number


def check_path(path: Representations) -> Representations:
    """The same path with float64 arrays, its shapes checked against one another.

    Raises:
        UsageError: a shape that does not fit the others, step-sizes that are not positive, or a value that is not
            finite.
    """
    activations = as_float64("activations", path.activations, ndim=3)
    step_sizes = as_float64("step_sizes", path.step_sizes, ndim=1)
    positions = as_float64("positions", path.positions, ndim=1)
    weights = as_float64("weights", path.weights, ndim=3)
    layers, (points, _, width) = len(step_sizes), activations.shape
    if points != layers + 1 or positions.shape != (points,) or weights.shape != (layers, width, width + 1):
        raise UsageError(
            f"a path of {layers} steps needs {layers + 1} positions and activations, and weights "
            f"({layers}, {width}, {width + 1}); got {positions.shape}, {activations.shape} and {weights.shape}"
        )
    if (step_sizes <= 0.0).any():
        raise UsageError(f"step_sizes must be positive, got {step_sizes.min()}")
    momenta = None
    if path.momenta is not None:
        momenta = as_float64("momenta", path.momenta, ndim=3)
        if momenta.shape != activations.shape:
            raise UsageError(f"momenta need the shape of the activations, {activations.shape}, got {momenta.shape}")
    return Representations(
        activations=activations,
        positions=positions,
        step_sizes=step_sizes,
        effective_depth=non_negative("effective_depth", path.effective_depth),
        weights=weights,
        momenta=momenta,
        penalty=path.penalty,
    )
