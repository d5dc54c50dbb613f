"""Singular values of representations and of weights, and the soft ranks that they give."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakybench.measures.arrays import Array, as_float64


def singular_values(matrices: Array) -> Array:
    """Singular values of each matrix, decreasing; (.., n, m) to (.., min(n, m))."""
    return np.asarray(np.linalg.svd(matrices, compute_uv=False), dtype=np.float64)


def spectrum(activations: Any, *, centred: bool) -> Array:
    """Singular values of a representation, decreasing, (min(N, w),); of ``A - mean(A)`` over the samples if
    ``centred``.

    The uncentred spectrum of a bottleneck shows one more large value than the centred one: the constant direction that
    keeps the code in the positive orthant. Unit: that of the activations, times the square root of N.

    Args:
        activations: A of the layer, (N, w). A single sample has a centred spectrum of zeros.
        centred: subtract the mean row first.

    Raises:
        UsageError: not a matrix, or values that are not finite.
    """
    array = as_float64("activations", activations)
    if centred:
        array = array - array.mean(axis=0)
    return singular_values(array)


def both_spectra(activations: Array) -> tuple[Array, Array]:
    """The centred and the plain spectrum of one layer, each (min(N, w),), by Gram matrices; A (N, w).

    Ten times faster than :func:`spectrum`, at the cost of what lies below 1e-8 of the first value, which float32 has
    lost before.
    """
    return gram_spectrum(activations - activations.mean(axis=0)), gram_spectrum(activations)


def gram_spectrum(matrices: Array) -> Array:
    """Singular values of each matrix, decreasing, exact to 1e-8 of the first; (.., n, m) to (.., min(n, m))."""
    wide = np.swapaxes(matrices, -1, -2) if matrices.shape[-2] > matrices.shape[-1] else matrices
    squares = np.linalg.eigvalsh(wide @ np.swapaxes(wide, -1, -2))[..., ::-1]
    return np.sqrt(np.maximum(squares, 0.0))


def weight_spectra(weights: Any, *, bias: bool = False) -> Array:
    """Singular values of each layer's weights, decreasing, (L, w); weights (L, w, w + 1), their last column the bias.

    Args:
        weights: W_1 .. W_L.
        bias: keep the bias column. Without it the values are those of the map between features.
    """
    array = as_float64("weights", weights, ndim=3)
    return singular_values(array if bias else array[:, :, :-1])


def stable_rank(values: Any) -> float:
    """``|A|_F^2 / |A|_op^2 = sum s_j^2 / s_1^2`` [Rudelson and Vershynin 2007]; 0 for a zero spectrum; values (m,)."""
    array = as_float64("values", values, ndim=1)
    top = float(np.max(np.abs(array)))
    return float(np.sum((array / top) ** 2)) if top > 0.0 else 0.0


def nuclear_rank(values: Any) -> float:
    """``|A|_*^2 / |A|_F^2 = (sum s_j)^2 / sum s_j^2``: the lower bound of the cost of identity [JK24 section 1.3].

    Between 1 and the rank, and equal to the rank where all non-zero singular values are equal; 0 for a zero spectrum;
    values (m,).
    """
    array = np.abs(as_float64("values", values, ndim=1))
    top = float(np.max(array))
    if top == 0.0:
        return 0.0
    scaled = array / top
    return float(np.sum(scaled) ** 2 / np.sum(scaled**2))
