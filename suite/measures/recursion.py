"""The recursion of the networks on given weights: forward, along tangents, backward [JK24 section 1.1].

    A_l = skip_l A_{l-1} + rho_l S_{l-1} W_l^T,    S = [relu(A), 1],    l = 1..L

with ``skip_l = 1 - rho_l Lt``; a fully-connected network has no skip.
"""

from __future__ import annotations

import numpy as np

from leakybench.baseline import Representations
from leakybench.errors import UsageError
from leakybench.measures.arrays import Array
from leakybench.measures.norms import features

_CONSISTENT = 1e-3
"""The recursion must reproduce a stored path to this share of its size: float32 gives 1e-6, another rule an error of
order 1."""


def step(activations: Array, weights: Array, step_size: float, skip: float) -> Array:
    """One layer, (N, w); A (N, w), W (w, w + 1)."""
    return skip * activations + step_size * (features(activations) @ weights.T)


def propagate(embedded: Array, weights: Array, step_sizes: Array, skips: Array) -> Array:
    """A_0 .. A_L, (L + 1, N, w), from A_0 (N, w) and W (L, w, w + 1); step_sizes and skips (L,)."""
    path = [embedded]
    for W, rho, skip in zip(weights, step_sizes, skips, strict=True):
        path.append(step(path[-1], W, float(rho), float(skip)))
    return np.stack(path)


def adjoint(activations: Array, last: Array, weights: Array, step_sizes: Array, skips: Array) -> Array:
    """B_0 .. B_L, (L + 1, N, w), from B_L: ``B_{l-1} = skip_l B_l + rho_l (B_l W_l') * [A_{l-1} > 0]``, W' without
    bias."""
    momenta = [last]
    for layer in range(len(weights) - 1, -1, -1):
        through = (momenta[-1] @ weights[layer][:, :-1]) * (activations[layer] > 0.0)
        momenta.append(skips[layer] * momenta[-1] + step_sizes[layer] * through)
    return np.stack(momenta[::-1])


def tangents(activations: Array, start: Array, weights: Array, step_sizes: Array, skips: Array) -> Array:
    """Derivatives of A_0 .. A_L along given directions, (L + 1, n, m, w), by forward differentiation of the recursion.

    Args:
        activations: A_0 .. A_L at the samples, (L + 1, n, w); their signs are the masks.
        start: directions at A_0, the same for each sample, (m, w).
        weights, step_sizes, skips: of the layers, (L, w, w + 1), (L,), (L,).
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


def skips(path: Representations) -> Array:
    """The factors of A_{l-1} in the recursion that made a path, (L,): ``1 - rho_l Lt``, or 0 for a fully-connected
    network.

    Which of the two is decided by which one reproduces the path.

    Raises:
        UsageError: neither does, so that the weights and step-sizes are not those of the activations.
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


def recursion_error(path: Representations, skips: Array, samples: int = 16) -> float:
    """``|A_l - skip_l A_{l-1} - rho_l S_{l-1} W_l^T| / |A|`` over all layers and the first samples."""
    A = path.activations[:, :samples]
    violation = 0.0
    for layer, W in enumerate(path.weights):
        made = step(A[layer], W, float(path.step_sizes[layer]), float(skips[layer]))
        violation += float(np.sum((A[layer + 1] - made) ** 2))
    size = float(np.sum(A**2))
    return float(np.sqrt(violation / size)) if size > 0.0 else 0.0
