"""The lower half of a rank's certificate: the Jacobian of the declared target function, in float64.

If f = h o g through R^k, then rank J_f(x) <= k at every x. So a point where the rank is r proves that no factorisation
through fewer than r dimensions exists, and a task that declares less does not tell the truth [Jacot 2023, arXiv
2209.15055].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STEP = 1e-6
"""Half the distance of a central difference for inputs of order 1: round-off leaves 1e-10, few kinks are crossed."""

TOLERANCE = 1e-5
"""Singular values above this share of the largest count: far above the round-off, far below what a task means."""


def jacobian_ranks(function: Callable[[np.ndarray], np.ndarray], points: np.ndarray) -> np.ndarray:
    """Numerical rank of the Jacobian of ``function``, (n, d_in) -> (n, d_out), at each of ``points`` (n, d_in); (n,).

    Raises:
        ValueError: values that are not finite, or of another shape.
    """
    n, d_in = points.shape
    size = STEP * max(float(np.sqrt(np.mean(points**2))), 1e-12)
    steps = size * np.concatenate([np.eye(d_in), -np.eye(d_in)])
    moved = (points[:, None, :] + steps[None, :, :]).reshape(-1, d_in)
    values = np.asarray(function(moved), dtype=np.float64)
    if values.ndim != 2 or len(values) != len(moved) or not np.isfinite(values).all():
        raise ValueError(f"the teacher maps {moved.shape} to {values.shape}, or to values that are not finite")
    stacked = values.reshape(n, 2, d_in, -1)
    jacobians = (stacked[:, 0] - stacked[:, 1]) / (2.0 * size)
    singular = np.linalg.svd(jacobians, compute_uv=False)
    return np.asarray(np.sum(singular > TOLERANCE * singular.max(), axis=1))
