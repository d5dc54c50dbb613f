"""The lower half of a rank's certificate for the task of a plugin: the Jacobian rank of its declared target function.

A point where the rank is r proves that no factorisation through fewer than r dimensions exists, so a task that declares
a smaller true rank is wrong. See ``leakybench.measures.certificate``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from leakybench.measures.certificate import jacobian_ranks

STEP = 1e-6
"""Half the distance of a central difference, relative to the root mean square of the inputs, whose scale is not known
here. Round-off leaves 1e-10, and few kinks are crossed."""

TOLERANCE = 1e-5
"""Singular values above this share of the largest one count: far above the round-off, far below the singular values
that a task is designed to have."""


def teacher_ranks(teacher: Callable[[np.ndarray], np.ndarray], points: np.ndarray) -> np.ndarray:
    """Numerical rank of the Jacobian of ``teacher``, (n, d_in) -> (n, d_out), at each of ``points`` (n, d_in); (n,).

    Raises:
        ValueError: the values are not finite, or have a wrong shape.
    """
    size = max(float(np.sqrt(np.mean(points**2))), 1e-12)
    return jacobian_ranks(teacher, points, step=STEP * size, tolerance=TOLERANCE)
