"""Random teacher networks in numpy float64; rows are samples.

All random numbers of a teacher are drawn from the given generator when the map is built. The map itself is then a
deterministic function on (n, d_in) arrays.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from leakybench.errors import UsageError

Map = Callable[[np.ndarray], np.ndarray]

REFERENCE_SAMPLES = 4096
"""Number of inputs over which a code is whitened: its covariance on fresh inputs is then I within 2%."""


def orthonormal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Draw a Haar-random (rows, columns) matrix whose shorter side is orthonormal, with numpy.

    Networks draw theirs with torch, in ``leakybench.baselines.networks.initial``; tasks do not import torch.
    """
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    # without the signs of R, the Q of LAPACK is not Haar-distributed
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T


def projection(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Draw an orthonormal matrix, scaled so that the image of a standard normal vector has entries of mean square 1.

    An orthonormal matrix keeps min(rows, columns) of the vector's ``columns`` units of energy and spreads them over
    ``rows`` entries.
    """
    return np.sqrt(rows / min(rows, columns)) * orthonormal(rng, rows, columns)


def fully_connected(
    rng: np.random.Generator, d_in: int, d_out: int, *, width: int, depth: int = 1, bias: float = 0.0
) -> Map:
    """Draw a random fully-connected ReLU network with ``depth`` hidden layers of ``width`` units [JK24 App. B].

        h_0 = x,   h_i = relu(c_i (W_i h_{i-1} + b_i))  (i = 1..depth),   f(x) = U h_depth

    ``W_i`` and ``U`` are random orthonormal matrices, scaled as in ``projection``, instead of matrices of independent
    entries, so that no direction is favoured; ``b_i`` are normal with standard deviation ``bias``. c_1 = 1, and the
    later c_i = sqrt(2) compensate for the rectifier: without bias the pre-activations have mean square 1 in every
    layer.
    """
    layers = []
    fan_in = d_in
    for i in range(depth):
        gain = 1.0 if i == 0 else np.sqrt(2.0)
        layers.append((gain * projection(rng, width, fan_in), gain * bias * rng.standard_normal(width)))
        fan_in = width
    readout = projection(rng, d_out, fan_in)

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
    depth: int = 1,
    bias: float = 0.0,
    branch: float = 1.0,
) -> Map:
    """Draw a random residual network with ``depth`` blocks of ``width`` units [JK24 App. B].

        h_0 = E x,   h_i = h_{i-1} + (branch / sqrt(depth)) V_i relu(W_i h_{i-1} + b_i),   f(x) = D h_depth

    ``E`` and ``D`` are scaled as in ``projection``. ``W_i`` and ``V_i`` / sqrt(2) are Haar-random orthogonal (width,
    width), so that for ``branch`` = 1 a branch without bias has the size of h_0. ``b_i`` have standard deviation
    ``bias``.
    """
    embed = projection(rng, width, d_in)
    size = branch * np.sqrt(2.0 / depth)
    blocks = [
        (orthonormal(rng, width, width), bias * rng.standard_normal(width), size * orthonormal(rng, width, width))
        for _ in range(depth)
    ]
    readout = projection(rng, d_out, width)

    def apply(x: np.ndarray) -> np.ndarray:
        hidden = x @ embed.T
        for inner, offset, outer in blocks:
            hidden = hidden + np.maximum(hidden @ inner.T + offset, 0.0) @ outer.T
        return hidden @ readout.T

    return apply


def equal_frame(rng: np.random.Generator, rows: int, columns: int, shares: np.ndarray | None = None) -> np.ndarray:
    """Draw a random (rows, columns) matrix F, rows >= columns, with rows of length 1 and F^T F = rows diag(shares).

    Without shares it is a tight frame: all directions are alike. Gaussian entries are moved onto the two constraints in
    turn, 100 times [Tropp et al. 2005, alternating projections]; they end with rows of length 1.

    Args:
        rng: draws the entries.
        rows: number of rows.
        columns: number of columns.
        shares: positive, of sum 1, (columns,); default 1 / columns.
    """
    lengths = np.sqrt(rows * (np.full(columns, 1.0 / columns) if shares is None else shares))
    frame = rng.standard_normal((rows, columns))
    for _ in range(100):
        left, _, right = np.linalg.svd(frame * lengths, full_matrices=False)
        frame = left @ right * lengths
        frame /= np.linalg.norm(frame, axis=1, keepdims=True)
    return frame


def waves(
    rng: np.random.Generator, k: int, d_out: int, *, frequency: float, even: bool, shares: np.ndarray | None = None
) -> Map:
    """Draw d_out waves in random directions, f_j(z) = cos(w_j^T z + phi_j) with |w_j| = frequency, R^k -> R^d_out.

    The directions are those of ``equal_frame``. The phases phi_j are evenly spaced on the circle from a random start;
    ``even`` waves have phi_j = 0, so that f(-z) = f(z). For standard normal z

        E[J^T J] = sum_j w_j w_j^T (1 - cos(2 phi_j) exp(-2 frequency^2)) / 2

    so that even waves share E |J|^2 among the directions of z exactly as ``shares`` says.
    """
    directions = frequency * equal_frame(rng, d_out, k, shares)
    phases = 0.0 if even else 2.0 * np.pi * (np.arange(d_out) + rng.uniform()) / d_out
    return lambda z: np.cos(z @ directions.T + phases)


def whitened(inner: Map, reference: np.ndarray) -> Map:
    """Compose ``inner`` with the affine map that gives it mean 0 and covariance I over ``reference`` (n, d_in).

    In a code of k coordinates each direction then carries 1/k of the variance.

    Raises:
        UsageError: the image of ``inner`` has fewer dimensions than coordinates.
    """
    values = inner(reference)
    mean = values.mean(axis=0)
    covariance = np.atleast_2d(np.cov(values.T))
    spectrum = np.linalg.eigvalsh(covariance)
    # below this share, the directions would consist of round-off
    if not spectrum[0] > 1e-10 * spectrum[-1]:
        raise UsageError(
            f"the teacher's code spans fewer than its {len(covariance)} dimensions: "
            "give it more width, or less bias or depth"
        )
    unmix = np.linalg.inv(np.linalg.cholesky(covariance)).T

    def apply(x: np.ndarray) -> np.ndarray:
        return (inner(x) - mean) @ unmix

    return apply
