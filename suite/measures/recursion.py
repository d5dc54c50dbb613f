"""The recursion of the networks with given weights: forward, along tangents, and backward [JK24 section 1.1].

    A_l = skip_l A_{l-1} + rho_l S_{l-1} W_l^T,    S = [relu(A), 1],    l = 1..L

with ``skip_l = 1 - rho_l Lt``. In a fully-connected network ``skip_l`` is 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from leakybench.baseline import Representations
from leakybench.errors import UsageError
from leakybench.measures.norms import features

_CONSISTENT = 1e-3
"""Largest error of the recursion on a stored path, relative to its size: float32 gives 1e-6, another rule gives an
error of order 1."""


def step(
    activations: Float64[np.ndarray, "N w"], weights: Float64[np.ndarray, "w w+1"], step_size: float, skip: float
) -> Float64[np.ndarray, "N w"]:
    """Apply one layer to A (N, w), with W (w, w + 1)."""
    return skip * activations + step_size * (features(activations) @ weights.T)


def propagate(
    embedded: Float64[np.ndarray, "N w"],
    weights: Float64[np.ndarray, "L w w+1"],
    step_sizes: Float64[np.ndarray, " L"],
    skips: Float64[np.ndarray, " L"],
) -> Float64[np.ndarray, "L+1 N w"]:
    """Compute the path A_0 .. A_L, (L + 1, N, w), from A_0 (N, w).

    Args:
        embedded: A_0, (N, w).
        weights: W_1 .. W_L, (L, w, w + 1).
        step_sizes: rho_l, (L,).
        skips: skip_l, (L,).
    """
    path = [embedded]
    for W, rho, skip in zip(weights, step_sizes, skips, strict=True):
        path.append(step(path[-1], W, float(rho), float(skip)))
    return np.stack(path)


def adjoint(
    activations: Float64[np.ndarray, "points N w"],
    last: Float64[np.ndarray, "N w"],
    weights: Float64[np.ndarray, "L w w+1"],
    step_sizes: Float64[np.ndarray, " L"],
    skips: Float64[np.ndarray, " L"],
) -> Float64[np.ndarray, "L+1 N w"]:
    """Compute the momenta B_0 .. B_L, (L + 1, N, w), backward from B_L.

        B_{l-1} = skip_l B_l + rho_l (B_l W_l') * [A_{l-1} > 0],    W' without the bias column

    Args:
        activations: A_0 .. A_L, (L + 1, N, w); A_L is not used and may be left out.
        last: B_L, (N, w).
        weights: W_1 .. W_L, (L, w, w + 1).
        step_sizes: rho_l, (L,).
        skips: skip_l, (L,).
    """
    momenta = [last]
    for layer in range(len(weights) - 1, -1, -1):
        through = (momenta[-1] @ weights[layer][:, :-1]) * (activations[layer] > 0.0)
        momenta.append(skips[layer] * momenta[-1] + step_sizes[layer] * through)
    return np.stack(momenta[::-1])


def tangents(
    activations: Float64[np.ndarray, "points n w"],
    start: Float64[np.ndarray, "m w"],
    weights: Float64[np.ndarray, "L w w+1"],
    step_sizes: Float64[np.ndarray, " L"],
    skips: Float64[np.ndarray, " L"],
) -> Float64[np.ndarray, "L+1 n m w"]:
    """Differentiate the recursion forward: derivatives of A_0 .. A_L along given directions, (L + 1, n, m, w).

    Args:
        activations: A_0 .. A_L at the samples, (L + 1, n, w); their signs are the masks of the rectifier.
        start: directions at A_0, the same for each sample, (m, w).
        weights: W_1 .. W_L, (L, w, w + 1).
        step_sizes: rho_l, (L,).
        skips: skip_l, (L,).
    """
    samples = activations.shape[1]
    directions, width = start.shape
    path = np.empty((len(weights) + 1, samples, directions, width))
    path[0] = start
    for layer, W in enumerate(weights):
        masked = path[layer] * (activations[layer] > 0.0)[:, None, :]
        branch = (masked.reshape(-1, width) @ W[:, :-1].T).reshape(path[layer].shape)
        path[layer + 1] = skips[layer] * path[layer] + step_sizes[layer] * branch
    return path


def skips(path: Representations) -> Float64[np.ndarray, " L"]:
    """Find the factors of A_{l-1} in the recursion that produced a path, (L,).

    They are ``1 - rho_l Lt``, or 0 for a fully-connected network; the candidate that reproduces the path is returned.

    Raises:
        UsageError: neither candidate reproduces the path, so the weights and step-sizes do not belong to it.
    """
    leaky = 1.0 - path.step_sizes * path.effective_depth
    errors = {}
    for name, candidate in (("leaky", leaky), ("fully-connected", np.zeros_like(leaky))):
        errors[name] = recursion_error(path, candidate)
        if errors[name] <= _CONSISTENT:
            return candidate
    raise UsageError(
        "weights and step_sizes do not reproduce the activations: relative errors "
        + ", ".join(f"{value:.2g} ({name})" for name, value in errors.items())
    )


def recursion_error(path: Representations, skips: Float64[np.ndarray, " L"], samples: int = 16) -> float:
    """Relative error ``|A_l - skip_l A_{l-1} - rho_l S_{l-1} W_l^T| / |A|`` over all layers and the first samples."""
    A = path.activations[:, :samples]
    violation = 0.0
    for layer, W in enumerate(path.weights):
        made = step(A[layer], W, float(path.step_sizes[layer]), float(skips[layer]))
        violation += float(np.sum((A[layer + 1] - made) ** 2))
    size = float(np.sum(A**2))
    return float(np.sqrt(violation / size)) if size > 0.0 else 0.0
