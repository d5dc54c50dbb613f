"""The lower half of a task's certificate: the rank of the Jacobian of its target function.

If f = h o g through R^k, then rank J_f(x) <= k everywhere; so rank J_f(x) = r at one point proves that no factorisation
through fewer than r dimensions exists, and a declared one through R^r that the bottleneck rank is r
[Jacot 2023, arXiv 2209.15055]. Pure functions, float64, independent of how a teacher is built.
"""

from __future__ import annotations

import numpy as np

from tasks.teachers import Map


def jacobian(function: Map, points: np.ndarray, *, step: float = 1e-7) -> np.ndarray:
    """Jacobians (n, d_out, d_in) of ``function`` at ``points`` (n, d_in), by central differences of the given step.

    For functions and inputs of order 1 the error is round-off, 1e-16 / step, plus O(step^2) for smooth functions and,
    for piecewise linear ones, nothing unless the step straddles a kink: hence a step so small.
    """
    columns = []
    for direction in np.eye(points.shape[1]):
        ahead, behind = function(points + step * direction), function(points - step * direction)
        columns.append((ahead - behind) / (2.0 * step))
    return np.stack(columns, axis=2)


def jacobian_ranks(function: Map, points: np.ndarray, *, tolerance: float = 1e-6) -> np.ndarray:
    """Numerical rank of the Jacobian at each point, int (n,): singular values above ``tolerance`` times the largest of all.

    The tolerance lies between the error of :func:`jacobian` (1e-9) and the singular values that a task means to have.
    """
    values = np.linalg.svd(jacobian(function, points), compute_uv=False)
    return np.sum(values > tolerance * values.max(), axis=1)


def direction_shares(decode: Map, codes: np.ndarray) -> np.ndarray:
    """The share of the decoder's variation that each principal direction of a white code carries, (k,), falling.

    Eigenvalues of E[J_h^T J_h] over ``codes`` (n, k), divided by their sum: the active subspaces of h [Constantine
    2015]. The last one is what a code of k - 1 dimensions gives up, to first order; 1/k for all is perfect balance.
    """
    slopes = jacobian(decode, codes)
    values = np.linalg.eigvalsh(np.einsum("noi,noj->ij", slopes, slopes))[::-1]
    return values / values.sum()
