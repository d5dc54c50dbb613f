"""The norm that the features of a layer induce on representations, and the cost of identity [JK24 sections 1.3-1.4].

With ``S = [relu(A), 1]`` of one layer, the smallest weights that produce M from it, ``S W^T = M``, have squared size

    |M|^2_K = Tr(M^T K^+ M),    K = S S^T,

and the stabilised norm replaces ``K^+`` by ``(K + gamma I)^{-1}``. With the thin SVD ``S = U diag(s) R^T``,

    |M|^2_(K + gamma I) = sum_j |u_j^T M|^2 / (s_j^2 + gamma) + |M - U U^T M|^2 / gamma.

Every term is a sum of squares. The Woodbury form of the same number, ``(|M|^2 - Tr(...)) / gamma``, is a difference
that loses all its digits at small gamma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from leakybench.measures.arrays import Number, as_float64, non_negative, same_rows

_IN_RANGE = 1e-9
"""A part outside the range of S below this share of |M| is round-off of the projection, which is 1e-16 times the square
root of the sizes that occur. A float32 representation that leaves the range does so by at least 1e-8."""

_GRAM_FLOOR = 1e-12
"""Eigenvalues of a Gram matrix below this share of the largest have lost half of their digits to its round-off,
1e-16."""


@dataclass(frozen=True)
class Kernel:
    """Thin singular value decomposition of the features S of one layer, without its numerical null space.

    Attributes:
        left: orthonormal left singular vectors, (N, r).
        values: singular values s_1 >= .. >= s_r > 0, (r,); ``s_1^2`` is the operator norm of K.
    """

    left: Float64[np.ndarray, "N r"]
    values: Float64[np.ndarray, " r"]

    @property
    def operator_norm(self) -> float:
        """Operator norm ``|K|_op = |S|_op^2``; 0 if the features vanish."""
        return float(self.values[0]) ** 2 if len(self.values) else 0.0


def features(activations: Any, *, bias: bool = True) -> Float64[np.ndarray, "N features"]:
    """Features ``S = [relu(A), 1]``, (N, w + 1), or ``relu(A)``, (N, w), without bias; A (N, w)."""
    array = as_float64("activations", activations)
    rectified = np.maximum(array, 0.0)
    return np.hstack([rectified, np.ones((len(array), 1))]) if bias else rectified


def kernel(activations: Any, *, bias: bool = True) -> Kernel:
    """Decompose the features of one layer; A (N, w).

    Several norms can share one decomposition. Singular values below ``eps max(N, w + 1) s_1`` are round-off and count
    as zero.
    """
    S = features(activations, bias=bias)
    left, values, _ = np.linalg.svd(S, full_matrices=False)
    keep = values > np.finfo(np.float64).eps * max(S.shape) * values[0]
    return Kernel(left=left[:, keep], values=values[keep])


def gram_kernel(activations: Float64[np.ndarray, "N w"]) -> Kernel:
    """Decompose the features of one layer by the eigenvectors of ``S^T S``; A (N, w), N > w + 1.

    Takes less than half the time of ``kernel``, for whole paths. Because of the squaring, singular values are exact to
    1e-8 of the first only; those below 1e-6 count as outside the range. A stabilised norm then has a relative error of
    1e-8 for every g0 of at least 1e-8.
    """
    S = features(activations)
    squares, right = np.linalg.eigh(S.T @ S)
    keep = squares > _GRAM_FLOOR * squares[-1]
    values, directions = np.sqrt(squares[keep][::-1]), right[:, keep][:, ::-1]
    return Kernel(left=(S @ directions) / values, values=values)


@dataclass(frozen=True)
class Components:
    """The inner product of two representations split along the kernel's directions; unit: that of M^T N.

    Attributes:
        inside: ``u_j^T M N^T u_j`` for each direction, (r,).
        outside: trace of the product of the parts outside the range of S.
        scale: ``|M| |N|``, relative to which ``outside`` may be round-off.
    """

    inside: Float64[np.ndarray, " r"]
    outside: float
    scale: float


@dataclass(frozen=True)
class Projection:
    """A representation M (N, m), split into its parts inside and outside the range of S.

    Attributes:
        inside: ``U^T M``, (r, m).
        outside: ``M - U U^T M``, (N, m).
        size: ``|M|_F``.
    """

    inside: Float64[np.ndarray, "r m"]
    outside: Float64[np.ndarray, "N m"]
    size: float


def project(layer: Kernel, M: Float64[np.ndarray, "N m"]) -> Projection:
    """Split M (N, m) into its coordinates in the range of S and the rest."""
    inside = layer.left.T @ M
    return Projection(inside=inside, outside=M - layer.left @ inside, size=float(np.linalg.norm(M)))


def product(first: Projection, second: Projection) -> Components:
    """Split ``Tr(M^T N)`` along the directions of the kernel on which both were projected."""
    return Components(
        inside=np.einsum("jm,jm->j", first.inside, second.inside),
        outside=float(np.vdot(first.outside, second.outside)),
        scale=first.size * second.size,
    )


def components(layer: Kernel, M: Float64[np.ndarray, "N m"]) -> Components:
    """Split ``Tr(M^T M)`` along the directions of a kernel; M (N, m)."""
    projection = project(layer, M)
    return product(projection, projection)


def weighted(layer: Kernel, parts: Components, gamma: float) -> float:
    """Compute ``Tr(M^T (K + gamma I)^{-1} N)`` from its components.

    At gamma = 0 a part outside the range of S makes the value infinite, with the sign of that part.
    """
    total = float(np.sum(parts.inside / (layer.values**2 + gamma)))
    if gamma > 0.0:
        return total + parts.outside / gamma
    if abs(parts.outside) <= _IN_RANGE**2 * parts.scale:
        return total
    return float(np.copysign(np.inf, parts.outside))


def kernel_norm(M: Any, activations: Any, *, gamma: Number, bias: bool = True) -> float:
    """Squared norm ``|M|^2_(K + gamma I) = Tr(M^T (K + gamma I)^{-1} M)`` of one layer [JK24 section 1.4].

    ``K = S S^T`` with ``S = [relu(A), 1]``.

    Args:
        M: a representation, one sample per row, (N, m).
        activations: A of the layer, (N, w).
        gamma: absolute stabiliser, at least 0, in units of K. The layer-wise choice is ``gamma_l = g0 |S_l|_op^2``. At
            0 the inverse is the pseudo-inverse, and the value is infinite unless M lies in the range of S.
        bias: whether S has the column of ones.

    Returns:
        The squared norm, at least 0. Unit: squared weights.

    Raises:
        UsageError: the numbers of rows differ, a value is not finite, or gamma is negative.
    """
    array = as_float64("M", M)
    same_rows("M", array, as_float64("activations", activations))
    stabiliser = non_negative("gamma", gamma)
    layer = kernel(activations, bias=bias)
    return weighted(layer, components(layer, array), stabiliser)


def cost_of_identity(activations: Any, *, g0: Number, bias: bool = True) -> float:
    """Cost of identity ``|A|^2_(K + gamma I)`` with ``gamma = g0 |S|_op^2`` [JK24 section 1.3].

    It is the squared size of the smallest weights that reproduce A. Without bias and with g0 = 0 it is at least
    ``|A|_*^2 / |A|_F^2``, and equals rank(A) for non-negative A. A larger g0 gives a smaller value, because each
    direction of A with ``s_j^2 << gamma`` is lost. So always report the value together with its g0.

    Args:
        activations: A of the layer, (N, w).
        g0: relative stabiliser, at least 0. At 0 the value is infinite unless A lies in the range of S.
        bias: whether S has the column of ones.

    Returns:
        A number of at least 0, without unit; 0 for a zero representation.

    Raises:
        UsageError: a value is not finite, or g0 is negative.
    """
    array = as_float64("activations", activations)
    relative = non_negative("g0", g0)
    layer = kernel(array, bias=bias)
    parts = components(layer, array)
    if parts.scale == 0.0:
        return 0.0
    # without bias the features of a negative representation vanish, and so does every relative gamma
    return weighted(layer, parts, relative * layer.operator_norm)


def require_samples(activations: Float64[np.ndarray, "*layers N w"]) -> str | None:
    """Return a warning if there are fewer samples than features, and None otherwise.

    With fewer samples K has full rank and every M is in the range of S.
    """
    samples, width = activations.shape[-2:]
    if samples < width + 1:
        return f"{samples} samples for {width + 1} features: norms at small g0 measure the sample, not the layer"
    return None
