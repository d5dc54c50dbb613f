"""Momenta, the Hamiltonian, and identities at critical points of the penalised loss [JK24 sections 1.5 and A.2].

The momentum is ``B = -(1/lambda) dC/dA``. Layer l takes ``A_{l-1}`` to ``A_l``, and its weights at a critical point are
``W_l = Lt B_l^T S_{l-1}``. So the pair that belongs to one layer is ``(A_{l-1}, B_l)``: with it the Hamiltonian of a
trained network is flat inside the bottleneck, with ``(A_l, B_l)`` it is not.

``scale`` below is the divisor of the penalty, ``lambda/(2 scale) sum_l rho_l |W_l|^2``: Lt, or 1 if Lt < 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from leakybench.errors import UsageError
from leakybench.measures.arrays import Number, as_float64, non_negative, same_rows
from leakybench.measures.norms import features, kernel_norm


def hamiltonian(
    activations: Any, momenta: Any, *, effective_depth: Number, scale: Number | None = None, bias: bool = True
) -> float:
    """Hamiltonian ``H = (Lt/2) |B^T S|_F^2 - Lt Tr(B^T A)`` of one layer, ``S = [relu(A), 1]`` [JK24 section 1.5].

    It is constant along p for the continuous flow. ``-2H/Lt`` tends to the bottleneck rank from below as Lt grows.

    Args:
        activations: A_{l-1}, (N, w).
        momenta: B_l = -(1/lambda) dC/dA_l, (N, w).
        effective_depth: Lt, at least 0.
        scale: replaces the factor Lt of the first term if the penalty is not divided by Lt (but by 1, for Lt < 1).
        bias: whether S has the column of ones.

    Returns:
        The Hamiltonian, in units of squared weights.

    Raises:
        UsageError: the shapes differ, a value is not finite, or the depth is negative.
    """
    A, B = _pair(activations, momenta)
    depth = non_negative("effective_depth", effective_depth)
    factor = depth if scale is None else non_negative("scale", scale)
    return 0.5 * factor * float(np.sum((B.T @ features(A, bias=bias)) ** 2)) - depth * float(np.vdot(B, A))


def stabilised_hamiltonian(activations: Any, velocity: Any, *, effective_depth: Number, gamma: Number) -> float:
    """Stabilised Hamiltonian ``H_gamma``, the sum of kinetic and potential energy [JK24 section 1.5].

        H_gamma = |dA|^2_(K + gamma I) / (2 Lt) - (Lt/2) |A|^2_(K + gamma I)

    It needs no momenta, and it depends on gamma. It differs from H by terms of order ``sqrt(gamma) |B|``, see
    ``exact_identity``.

    Args:
        activations: A_{l-1}, (N, w).
        velocity: dA_l = (A_l - A_{l-1})/rho_l, (N, w).
        effective_depth: Lt, above 0.
        gamma: absolute stabiliser, at least 0, in units of K.

    Returns:
        The stabilised Hamiltonian, in units of squared weights.

    Raises:
        UsageError: the numbers of rows differ, a value is not finite, the depth is not positive, or gamma is negative.
    """
    depth = non_negative("effective_depth", effective_depth, allow_zero=False)
    kinetic = kernel_norm(velocity, activations, gamma=gamma) / (2.0 * depth)
    return kinetic - 0.5 * depth * kernel_norm(activations, activations, gamma=gamma)


def exact_identity(activations: Any, momenta: Any, velocity: Any, *, effective_depth: Number, gamma: Number) -> float:
    """Evaluate ``|A|^2 - |dA/Lt + gamma B|^2 + gamma |B|^2`` of one layer [JK24 section A.3].

    The first two norms are those of ``K + gamma I``. The value equals ``-2H/Lt`` for every gamma > 0 if
    ``dA = Lt (K B - A)``, that is, if the weights are critical.

    Args:
        activations: A_{l-1}, (N, w).
        momenta: B_l, (N, w).
        velocity: dA_l, (N, w).
        effective_depth: Lt, above 0.
        gamma: absolute stabiliser, above 0, in units of K.

    Returns:
        A number without unit, as a rank.

    Raises:
        UsageError: the shapes differ, a value is not finite, or the depth or gamma is not positive.
    """
    A, B = _pair(activations, momenta)
    depth = non_negative("effective_depth", effective_depth, allow_zero=False)
    stabiliser = non_negative("gamma", gamma, allow_zero=False)
    moved = as_float64("velocity", velocity) / depth + stabiliser * B
    return (
        kernel_norm(A, A, gamma=stabiliser) - kernel_norm(moved, A, gamma=stabiliser) + stabiliser * float(np.sum(B**2))
    )


def criticality_residual(weights: Any, activations: Any, momenta: Any, *, scale: Number) -> float:
    """Criticality residual ``|W_l - Lt B_l^T S_{l-1}| / |W_l|`` of one layer [JK24 section 1.5].

    It is 0 at a critical point, and 1 if the momenta vanish.

    Args:
        weights: W_l with the bias in its last column, (w, w + 1).
        activations: A_{l-1}, (N, w).
        momenta: B_l, (N, w).
        scale: divisor of the penalty, max(Lt, 1).

    Returns:
        The relative violation; infinite if W_l vanishes and the momenta do not, 0 if both do.

    Raises:
        UsageError: the shapes do not fit, or a value is not finite.
    """
    A, B = _pair(activations, momenta)
    W = as_float64("weights", weights)
    if W.shape != (A.shape[1], A.shape[1] + 1):
        raise UsageError(f"weights must be ({A.shape[1]}, {A.shape[1] + 1}), got {W.shape}")
    return relative_violation(W, scale * (B.T @ features(A)))


def relative_violation(W: Float64[np.ndarray, "w w+1"], expected: Float64[np.ndarray, "w w+1"]) -> float:
    """Relative violation ``|W - expected| / |W|`` of one layer's weights, with 0/0 = 0."""
    violation, size = float(np.linalg.norm(W - expected)), float(np.linalg.norm(W))
    if size == 0.0:
        return 0.0 if violation == 0.0 else float("inf")
    return violation / size


def balancedness(
    weights: Any, step_sizes: Any, *, effective_depth: Number
) -> tuple[Float64[np.ndarray, " L"], Float64[np.ndarray, " L"]]:
    """Both sides of the balancedness law ``|W_p|^2 = |W_0|^2 + 2 Lt int_0^p |b_q|^2 dq``, b the bias column.

    The law holds at critical points of the continuous flow [JK24 section A.2]. From ``W = Lt B^T S``,
    ``dA = S W^T - Lt A`` and ``dB = Lt B - (B W') * relu'(A)``, where W' is W without the bias, it follows that
    ``d Tr(A^T B)/dp = Tr(B^T 1 b^T) = |b|^2/Lt``. The constant ``Lt H = |W|^2/2 - Lt^2 Tr(A^T B)`` then gives the
    factor 2.

    Args:
        weights: W_1 .. W_L, (L, w, w + 1).
        step_sizes: rho_1 .. rho_L, (L,).
        effective_depth: Lt, at least 0.

    Returns:
        ``|W_l|^2``, and the right side by the trapezoidal rule between the layers, each (L,), from the first layer on.

    Raises:
        UsageError: the numbers of layers differ, a value is not finite, or the depth is negative.
    """
    W = as_float64("weights", weights, ndim=3)
    rho = as_float64("step_sizes", step_sizes, ndim=1)
    if len(rho) != len(W):
        raise UsageError(f"one step-size a layer is needed, got {len(rho)} for {len(W)} layers")
    sizes = np.sum(W**2, axis=(1, 2))
    bias = np.sum(W[:, :, -1] ** 2, axis=1)
    between = 0.5 * (rho[1:] * bias[1:] + rho[:-1] * bias[:-1])
    depth = non_negative("effective_depth", effective_depth)
    return sizes, sizes[0] + 2.0 * depth * np.concatenate([[0.0], np.cumsum(between)])


def _pair(activations: Any, momenta: Any) -> tuple[Float64[np.ndarray, "N w"], Float64[np.ndarray, "N w"]]:
    A, B = as_float64("activations", activations), as_float64("momenta", momenta)
    same_rows("momenta", B, A)
    if A.shape != B.shape:
        raise UsageError(f"momenta need the shape of the activations, {A.shape}, got {B.shape}")
    return A, B
