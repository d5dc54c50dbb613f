"""Estimators of the bottleneck rank of a trained network, and the default among them.

The default is the **Jacobian rank of the learned function** at held-out inputs: the number of directions in which the
output moves when the input does. It is taken of every model, and says nothing on which directions these are: see
``leakybench.measures.alignment``. On 20 Leaky ResNets (Lt = 7, L = 20, standard preset) of
true rank 1, 2, 3, 5 and 10 in 20, 30 and 50 dimensions, correct out of 20:

    20  Jacobian of the function              13  plain spectrum, less one
    20  spectrum of the weights, less one     11  centred spectrum
    18  Jacobian of the path                   8  cost of identity, rounded, at the best g0, 1e-2
                                               4  -2H/Lt, rounded, from the energies; 1 from the momenta

The default was also correct on 15 more networks, on other families of tasks, with noise up to 0.3 and up to 100
dimensions. The floor of the gap and the pooling over samples were chosen with these networks in view; on 7 fresh ones,
of rank 1 to 10, the default was correct each time.

Where the centred spectrum errs, it is one too high: the code needs a spare direction to stay in the positive orthant,
which fades along the bottleneck and barely moves the output. Beyond rank 3 the constant direction hides the gap of the
plain spectrum. -2H/Lt tends to the rank from below as Lt grows and is far from it at Lt = 7; the cost of identity
depends on g0.

Failure modes of the default:

- It is only a lower bound if the rank of the Jacobian is below the bottleneck rank at all points.
- A direction that moves the output by less than 3% of the first one is not counted.
- A model that fits badly has the rank of what it has learned: ridge regression on a curved target of rank 3 has
  rank 3, and kernel regression has a spectrum without a clear gap. ``gap`` and ``agreement`` in the evidence say how
  clear the answer is.
- A piecewise constant function, such as a tree, has no rank.

Each estimator returns a dict with ``value`` (float or None), ``rank`` (int or None) and its evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from leakybench.baseline import Representations
from leakybench.errors import UsageError
from leakybench.measures.arrays import as_float64, check_path
from leakybench.measures.gap import FLOOR, Gap, largest_gap
from leakybench.measures.jacobian import jacobian_rank, path_spectra
from leakybench.measures.spectra import both_spectra, weight_spectra

BOTTLENECK = (0.35, 0.75)
"""The range of p that counts as inside the bottleneck, where -2H/Lt of a trained network is flat."""

PATH_SAMPLES = 32
"""Number of samples at which the Jacobian of each layer is taken: half of those of the default estimator, because there
are 20 layers at once."""

_CONSTANT = 1e-6
"""A centred representation below this share of the plain one is round-off of float32, so the representation is
constant."""


def inside(positions: Any, window: tuple[float, float] = BOTTLENECK) -> Int[np.ndarray, " indices"]:
    """Indices of the positions p (m,) inside the window; if there are none, of the one nearest to its middle."""
    p = as_float64("positions", positions, ndim=1)
    indices = np.flatnonzero((p >= window[0]) & (p <= window[1]))
    return indices if len(indices) else np.array([int(np.argmin(np.abs(p - 0.5 * sum(window))))])


def clearest_layer(
    spectra: Float64[np.ndarray, "m r"], candidates: Int[np.ndarray, " indices"], *, floor: float = FLOOR
) -> tuple[int, Gap]:
    """Find the candidate layer with the largest gap, and that gap; spectra (m, r)."""
    gaps = [(int(layer), largest_gap(spectra[layer], floor=floor)) for layer in candidates]
    return max(gaps, key=lambda pair: pair[1].ratio or 0.0)


def spectral_gap(
    spectra: Float64[np.ndarray, "m r"],
    positions: Float64[np.ndarray, " m"],
    *,
    floor: float = FLOOR,
    constant_directions: int = 0,
) -> dict[str, Any]:
    """The rank at the largest spectral gap among the layers inside the bottleneck, with its evidence.

    Args:
        spectra: singular values of each layer, (L + 1, r), or of each layer's weights, (L, r).
        positions: p of each row.
        floor: floor of the gap rule.
        constant_directions: number of directions to subtract: 1 for a plain spectrum, which has one constant direction.
    """
    layer, gap = clearest_layer(spectra, inside(positions), floor=floor)
    if gap.rank is None:
        return {"value": None, "rank": None, "reason": gap.reason}
    rank = max(gap.rank - constant_directions, 0)
    top = spectra[layer][: gap.rank + 3]
    return {
        "value": float(rank),
        "rank": rank,
        "layer": layer,
        "position": float(positions[layer]),
        "gap": gap.ratio,
        "above_floor": gap.above_floor,
        "spectrum": (top / top[0]).tolist(),
    }


def rounded(value: float | None) -> dict[str, Any]:
    """A soft rank and the nearest integer; the rank is None below 0.5 or without a finite value."""
    if value is None or not np.isfinite(value):
        return {"value": None, "rank": None}
    return {"value": float(value), "rank": round(value) if value >= 0.5 else None}


def layer_spectra(
    activations: Float64[np.ndarray, "points N w"],
) -> tuple[Float64[np.ndarray, "points r"], Float64[np.ndarray, "points r"]]:
    """Centred and plain spectra of all layers, each (L + 1, min(N, w)).

    The centred spectrum of a constant layer is exactly zero.
    """
    pairs = [both_spectra(layer) for layer in activations]
    centred, plain = np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    centred[centred[:, 0] <= _CONSTANT * plain[:, 0]] = 0.0
    return centred, plain


def path_rank(path: Representations, *, floor: float = FLOOR, samples: int = PATH_SAMPLES) -> dict[str, Any]:
    """The Jacobian rank of the map from the input to each layer; ``rank`` is that of the whole path.

    Ranks can only fall along p, and numerically a direction that the bottleneck abandons decays at the rate Lt. So the
    clearest answer is at the end.

    Args:
        path: a checked path, see ``leakybench.measures.arrays.check_path``.
        floor: floor of the gap rule.
        samples: maximum number of samples.
    """
    try:
        spectra = path_spectra(path, samples=samples)
    except UsageError as error:
        return {"value": None, "rank": None, "reason": str(error)}
    ranks = [jacobian_rank(layer, floor=floor) for layer in spectra]
    return {"value": ranks[-1]["rank"], **ranks[-1], "by_layer": [layer["rank"] for layer in ranks]}


def spectral_estimators(
    centred: Float64[np.ndarray, "points r"],
    plain: Float64[np.ndarray, "points r"],
    weights: Float64[np.ndarray, "L w w+1"],
    positions: Float64[np.ndarray, " points"],
) -> dict[str, dict[str, Any]]:
    """Linear ranks by the spectral gap: of the code, centred and plain, and of the weights.

    Args:
        centred: centred spectra of the layers, (L + 1, r).
        plain: plain spectra of the layers, (L + 1, r).
        weights: W_1 .. W_L, (L, w, w + 1).
        positions: p_0 .. p_L, (L + 1,).
    """
    between = 0.5 * (positions[1:] + positions[:-1])
    return {
        "centred_spectrum": spectral_gap(centred, positions),
        "plain_spectrum": spectral_gap(plain, positions, constant_directions=1),
        "weight_spectrum": spectral_gap(weight_spectra(weights), between, constant_directions=1),
    }


def bottleneck_rank(representations: Representations) -> tuple[int | None, dict[str, Any]]:
    """The bottleneck rank of a path, with its evidence.

    The default is the Jacobian rank of the map from the input to the end of the path, see
    ``leakybench.measures.path_spectra``. The evidence also holds the linear rank of the code by the spectral gap,
    centred and plain, and that of the weights.

    Args:
        representations: activations (L + 1, n, w) with their weights, step-sizes and effective depth.

    Returns:
        The rank and its evidence. The rank is None, with the ``reason`` in the evidence, if the representation vanishes
        or does not vary.

    Raises:
        UsageError: the shapes do not fit, or a value is not finite.
    """
    path = check_path(representations)
    centred, plain = layer_spectra(path.activations)
    estimators: Mapping[str, dict[str, Any]] = {
        "jacobian": path_rank(path),
        **spectral_estimators(centred, plain, path.weights, path.positions),
    }
    chosen = estimators["jacobian"]
    return chosen["rank"], {"estimator": "jacobian", "reason": chosen.get("reason", ""), "estimators": dict(estimators)}
