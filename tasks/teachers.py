"""Random teacher networks in numpy float64; rows are samples.

Every draw of a teacher comes from the generator that is passed in. Maps are plain functions on (n, d_in) arrays, and the
number of samples or the order of calls changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Map = Callable[[np.ndarray], np.ndarray]

REFERENCE_SAMPLES = 4096


def orthonormal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A Haar-random (rows, columns) matrix whose shorter side is orthonormal."""
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    # without the signs of R the QR of LAPACK is not Haar-distributed
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T


def fully_connected(
    rng: np.random.Generator, d_in: int, d_out: int, *, width: int, depth: int = 1, bias: float = 0.0
) -> Map:
    """A random fully-connected ReLU network with ``depth`` hidden layers of ``width`` units [JK24 App. B].

        h_0 = x,   h_i = relu(h_{i-1} W_i^T + b_i)  (i = 1..depth),   f(x) = h_depth W_out^T

    ``W_i`` has He's scale (entries of variance 2/fan-in; 1/fan-in for the first, whose inputs are not rectified) and
    orthonormal columns or rows instead of independent entries, so that no direction of the inputs is favoured.
    ``b_i`` are normal with standard deviation ``bias``.
    """
    layers = []
    fan_in = d_in
    for i in range(depth):
        gain = 1.0 if i == 0 else np.sqrt(2.0)
        # an orthonormal (width, fan_in) matrix has entries of variance 1/max(width, fan_in)
        scale = gain * np.sqrt(max(width, fan_in) / fan_in)
        layers.append((scale * orthonormal(rng, width, fan_in), bias * rng.standard_normal(width)))
        fan_in = width
    readout = np.sqrt(max(fan_in, d_out) / fan_in) * orthonormal(rng, d_out, fan_in)

    def apply(x: np.ndarray) -> np.ndarray:
        for weight, offset in layers:
            x = np.maximum(x @ weight.T + offset, 0.0)
        return x @ readout.T

    return apply


def residual(
    rng: np.random.Generator,
    d_in: int,
    d_out: int,
    *,
    width: int,
    depth: int = 2,
    bias: float = 0.0,
    branch: float = 1.0,
) -> Map:
    """A random residual network with ``depth`` blocks of ``width`` units [JK24 App. B].

        h_0 = x E^T,   h_i = h_{i-1} + (branch / sqrt(depth)) relu(h_{i-1} W_i^T + b_i) V_i^T,   f(x) = h_depth D^T

    ``E`` has orthonormal columns and ``D`` orthonormal rows (scaled so that an entry of h_0 has the variance of an entry
    of x), ``W_i`` entries of variance 1/width, ``V_i`` of variance 2/width, ``b_i`` standard deviation ``bias``.
    """
    embed = np.sqrt(max(width, d_in) / d_in) * orthonormal(rng, width, d_in)
    blocks = [
        (
            rng.standard_normal((width, width)) / np.sqrt(width),
            bias * rng.standard_normal(width),
            branch * np.sqrt(2.0 / (width * depth)) * rng.standard_normal((width, width)),
        )
        for _ in range(depth)
    ]
    readout = np.sqrt(max(width, d_out) / width) * orthonormal(rng, d_out, width)

    def apply(x: np.ndarray) -> np.ndarray:
        hidden = x @ embed.T
        for inner, offset, outer in blocks:
            hidden = hidden + np.maximum(hidden @ inner.T + offset, 0.0) @ outer.T
        return hidden @ readout.T

    return apply


def whitened(inner: Map, reference: np.ndarray) -> Map:
    """``inner`` followed by the affine map that gives it mean 0 and covariance I over ``reference`` (n, d_in).

    In a code of k coordinates no direction is then larger than another: each of them carries 1/k of the code.
    """
    values = inner(reference)
    mean = values.mean(axis=0)
    factor = np.linalg.cholesky(np.atleast_2d(np.cov(values.T)))
    unmix = np.linalg.inv(factor).T

    def apply(x: np.ndarray) -> np.ndarray:
        return (inner(x) - mean) @ unmix

    return apply
