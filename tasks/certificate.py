"""The lower half of a task's certificate: the rank of the Jacobian of its target function.

If f = h o g through R^k, then rank J_f(x) <= k everywhere; so rank J_f(x) = r at one point proves that no factorisation
through fewer than r dimensions exists, and a declared one through R^r that the bottleneck rank is r
[Jacot 2023, arXiv 2209.15055]. Pure functions, float64, independent of how a teacher is built.
"""

from __future__ import annotations

import numpy as np

from leakybench.tasks.teachers import Map


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
    """Numerical rank of the Jacobian at each point, int (n,).

    Counts the singular values above ``tolerance`` times the largest one of all points.
    The tolerance lies between the error of :func:`jacobian` (1e-9) and the singular values that a task means to have.
    """
    values = np.linalg.svd(jacobian(function, points), compute_uv=False)
    return np.sum(values > tolerance * values.max(), axis=1)


def active_subspace(decode: Map, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of the decoder's variation each direction of a white code carries [Constantine 2015].

    Eigenvalues of E[J_h^T J_h] over ``codes`` (n, k), as shares of their sum, falling, (k,); and the eigenvectors, in
    columns (k, k). 1/k for all is perfect balance.
    """
    slopes = jacobian(decode, codes)
    values, vectors = np.linalg.eigh(np.einsum("noi,noj->ij", slopes, slopes))
    return values[::-1] / values.sum(), vectors[:, ::-1]


def loss_without_weakest(decode: Map, codes: np.ndarray, rng: np.random.Generator) -> float:
    """The share of the targets' variance that is lost with the weakest direction u of the code.

        E |h(z) - h(z')|^2 / (2 Var h),   z' = z with u^T z replaced by that of another sample

    For independent directions this is the total Sobol index of u: the error of the best predictor that is given all of
    z but u^T z [Sobol 2001]. ``codes`` (n, k); the other sample comes from a permutation drawn from ``rng``.
    """
    weakest = active_subspace(decode, codes)[1][:, -1]
    along = codes @ weakest
    replaced = codes + np.outer(rng.permutation(along) - along, weakest)
    before, after = decode(codes), decode(replaced)
    return float(np.sum((before - after) ** 2) / (2.0 * np.sum((before - before.mean(axis=0)) ** 2)))
