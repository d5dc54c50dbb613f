"""Conversion and checks of the inputs of measures: finite real arrays, from numpy or torch, as float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np
from jaxtyping import Float64

from leakybench.baseline import Representations
from leakybench.errors import UsageError

if TYPE_CHECKING:
    Number = SupportsFloat
else:
    # the functions refuse other values themselves, by name, so a checker at run time must let them through
    Number = Any

AnyShape = "..."
"""Shape of an array whose number of dimensions is checked at run time, for ``Float64[np.ndarray, AnyShape]``."""


def as_float64(name: str, value: Any, *, ndim: int = 2) -> Float64[np.ndarray, AnyShape]:
    """Convert ``value`` to a finite float64 array of ``ndim`` dimensions.

    Tensors are detached and copied to the host, without importing torch.

    Raises:
        UsageError: the number of dimensions differs, or the array is empty, complex, not numeric, or not finite.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):  # numpy has no such dtype
            value = value.float()
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{name} must hold real numbers, got dtype {array.dtype}")
    array = array.astype(np.float64, copy=False)
    if array.ndim != ndim or array.size == 0:
        raise UsageError(f"{name} must be a non-empty array of {ndim} dimensions, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise UsageError(f"{name} hold a value that is not finite")
    return array


def same_rows(name: str, array: Float64[np.ndarray, AnyShape], activations: Float64[np.ndarray, AnyShape]) -> None:
    """Raise ``UsageError`` unless both arrays have the same number of rows, one per sample."""
    if len(array) != len(activations):
        raise UsageError(
            f"{name} need one row a sample: {len(array)} rows for activations of {len(activations)} samples"
        )


def non_negative(name: str, value: Number, *, allow_zero: bool = True) -> float:
    """Convert ``value`` to a finite float that is at least 0, or above 0 without ``allow_zero``.

    Raises:
        UsageError: ``value`` is not a number, or out of this range.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be a number, got {value!r}") from None
    if not np.isfinite(number) or number < 0.0 or (number == 0.0 and not allow_zero):
        raise UsageError(f"{name} must be finite and {'at least' if allow_zero else 'above'} 0, got {value!r}")
    return number


def check_path(path: Representations) -> Representations:
    """Convert the arrays of a path to float64 and check their shapes against one another.

    Raises:
        UsageError: a shape does not fit the others, a step-size is not positive, or a value is not finite.
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
