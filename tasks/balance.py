"""The balance of a task's code: how much of the target function each of its directions carries.

Pure functions in float64, independent of how a teacher is built.
"""

from __future__ import annotations

import numpy as np

from leakybench.measures.certificate import jacobian
from leakybench.tasks.teachers import Map


def active_subspace(decode: Map, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the decoder's variation along each direction of a white code [Constantine 2015].

    Args:
        decode: the decoder h, (n, k) to (n, d_out).
        codes: (n, k).

    Returns:
        Eigenvalues of E[J_h^T J_h] over the codes as shares of their sum, decreasing, (k,), and the eigenvectors in
        columns, (k, k). Shares of 1/k are perfect balance.
    """
    slopes = jacobian(decode, codes)
    values, vectors = np.linalg.eigh(np.einsum("noi,noj->ij", slopes, slopes))
    return values[::-1] / values.sum(), vectors[:, ::-1]


def loss_without_weakest(decode: Map, codes: np.ndarray, rng: np.random.Generator) -> float:
    """The share of the targets' variance that is lost without the weakest direction u of the code.

        E |h(z) - h(z')|^2 / (2 Var h),   z' = z with u^T z replaced by that of another sample

    For independent directions this is the total Sobol index of u: the error of the best predictor that is given all of
    z but u^T z [Sobol 2001].

    Args:
        decode: the decoder h, (n, k) to (n, d_out).
        codes: (n, k).
        rng: draws the permutation that chooses the other samples.
    """
    weakest = active_subspace(decode, codes)[1][:, -1]
    along = codes @ weakest
    replaced = codes + np.outer(rng.permutation(along) - along, weakest)
    before, after = decode(codes), decode(replaced)
    return float(np.sum((before - after) ** 2) / (2.0 * np.sum((before - before.mean(axis=0)) ** 2)))
