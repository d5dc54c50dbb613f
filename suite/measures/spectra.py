"""Singular values of representations and weights, and soft ranks computed from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from leakybench.measures.arrays import as_float64


def singular_values(matrices: Float64[np.ndarray, "*batch n m"]) -> Float64[np.ndarray, "*batch min(n,m)"]:
    """Singular values of each matrix, decreasing, (.., min(n, m)); matrices (.., n, m)."""
    return np.asarray(np.linalg.svd(matrices, compute_uv=False), dtype=np.float64)


def spectrum(activations: Any, *, centred: bool) -> Float64[np.ndarray, " r"]:
    """Singular values of a representation, decreasing, (min(N, w),).

    The uncentred spectrum of a bottleneck shows one more large value than the centred one: the constant direction that
    keeps the code in the positive orthant. Unit: that of the activations, times the square root of N.

    Args:
        activations: A of the layer, (N, w). The centred spectrum of a single sample is zero.
        centred: subtract the mean over the samples first.

    Raises:
        UsageError: ``activations`` is not a matrix, or a value is not finite.
    """
    array = as_float64("activations", activations)
    if centred:
        array = array - array.mean(axis=0)
    return singular_values(array)


def both_spectra(
    activations: Float64[np.ndarray, "N w"],
) -> tuple[Float64[np.ndarray, " r"], Float64[np.ndarray, " r"]]:
    """The centred and the plain spectrum of one layer, each (min(N, w),), by Gram matrices; A (N, w).

    Ten times faster than ``spectrum``, but values below 1e-8 of the first one are lost. Float32 activations do not hold
    them anyway.
    """
    return gram_spectrum(activations - activations.mean(axis=0)), gram_spectrum(activations)


def gram_spectrum(matrices: Float64[np.ndarray, "*batch n m"]) -> Float64[np.ndarray, "*batch min(n,m)"]:
    """Singular values of each matrix, decreasing, exact to 1e-8 of the first, (.., min(n, m)); matrices (.., n, m)."""
    wide = np.swapaxes(matrices, -1, -2) if matrices.shape[-2] > matrices.shape[-1] else matrices
    squares = np.linalg.eigvalsh(wide @ np.swapaxes(wide, -1, -2))[..., ::-1]
    return np.sqrt(np.maximum(squares, 0.0))


def weight_spectra(weights: Any, *, bias: bool = False) -> Float64[np.ndarray, "L w"]:
    """Singular values of each layer's weights, decreasing, (L, w).

    Args:
        weights: W_1 .. W_L with the bias in the last column, (L, w, w + 1).
        bias: keep the bias column. Without it the values are those of the map between features.

    Raises:
        UsageError: ``weights`` does not have three dimensions, or a value is not finite.
    """
    array = as_float64("weights", weights, ndim=3)
    return singular_values(array if bias else array[:, :, :-1])


def stable_rank(values: Any) -> float:
    """Stable rank ``|A|_F^2 / |A|_op^2 = sum s_j^2 / s_1^2`` [Rudelson and Vershynin 2007].

    Args:
        values: singular values, (m,).

    Returns:
        A number between 1 and the rank; 0 for a zero spectrum.
    """
    array = as_float64("values", values, ndim=1)
    top = float(np.max(np.abs(array)))
    return float(np.sum((array / top) ** 2)) if top > 0.0 else 0.0


def nuclear_rank(values: Any) -> float:
    """Nuclear rank ``|A|_*^2 / |A|_F^2 = (sum s_j)^2 / sum s_j^2`` [JK24 section 1.3].

    It is a lower bound of the cost of identity without bias.

    Args:
        values: singular values, (m,).

    Returns:
        A number between 1 and the rank, equal to the rank if all non-zero singular values are equal; 0 for a zero
        spectrum.
    """
    array = np.abs(as_float64("values", values, ndim=1))
    top = float(np.max(array))
    if top == 0.0:
        return 0.0
    scaled = array / top
    return float(np.sum(scaled) ** 2 / np.sum(scaled**2))
