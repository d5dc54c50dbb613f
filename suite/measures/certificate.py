"""The rank of the Jacobian of a known map in float64: the lower half of a certificate of its bottleneck rank.

If f = h o g through R^k, then rank J_f(x) <= k everywhere. So rank J_f(x) = r at one point proves that no factorisation
through fewer than r dimensions exists, and together with a factorisation through R^r it proves that the bottleneck rank
is r [Jacot 2023, arXiv 2209.15055]. Learned functions predict in float32 and need the gap rule of
``leakybench.measures.jacobian`` instead.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float64, Int

STEP = 1e-7
"""Half the distance of a central difference, for functions and inputs of order 1. The error is round-off, 1e-16 / step,
plus O(step^2) for smooth functions. For piecewise linear ones it is round-off alone unless the step crosses a kink,
hence a step as small as this."""

TOLERANCE = 1e-6
"""Singular values above this share of the largest one count. It lies between the error of the Jacobian, 1e-9, and the
singular values that a task is designed to have."""


def jacobian(
    function: Callable[[np.ndarray], np.ndarray], points: Float[np.ndarray, "n d_in"], *, step: float = STEP
) -> Float64[np.ndarray, "n d_out d_in"]:
    """Jacobians (n, d_out, d_in) of ``function`` at ``points`` (n, d_in), by central differences.

    Args:
        function: a map of float64 rows, (m, d_in) to (m, d_out); it is called once.
        points: (n, d_in).
        step: half the distance of the difference, in the unit of the points.

    Raises:
        ValueError: the values are not finite, or have a wrong shape.
    """
    n, d_in = points.shape
    steps = step * np.concatenate([np.eye(d_in), -np.eye(d_in)])
    moved = (points[:, None, :] + steps[None, :, :]).reshape(-1, d_in)
    values = np.asarray(function(moved), dtype=np.float64)
    if values.ndim != 2 or len(values) != len(moved) or not np.isfinite(values).all():
        raise ValueError(f"the teacher maps {moved.shape} to {values.shape}, or to values that are not finite")
    pairs = values.reshape(n, 2, d_in, -1)
    return np.asarray(((pairs[:, 0] - pairs[:, 1]) / (2.0 * step)).transpose(0, 2, 1))


def jacobian_ranks(
    function: Callable[[np.ndarray], np.ndarray],
    points: Float[np.ndarray, "n d_in"],
    *,
    step: float = STEP,
    tolerance: float = TOLERANCE,
) -> Int[np.ndarray, " n"]:
    """Numerical rank of the Jacobian of ``function`` at each point, (n,).

    Args:
        function: a map of float64 rows, (m, d_in) to (m, d_out).
        points: (n, d_in).
        step: half the distance of the central differences, in the unit of the points.
        tolerance: singular values above this share of the largest one over all points count.

    Raises:
        ValueError: the values are not finite, or have a wrong shape.
    """
    singular = np.linalg.svd(jacobian(function, points, step=step), compute_uv=False)
    return np.asarray(np.sum(singular > tolerance * singular.max(), axis=1))
