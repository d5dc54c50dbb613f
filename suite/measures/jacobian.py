"""The Jacobian rank: the number of directions in which a map moves when its input moves by one standard deviation.

The rank of the Jacobian at any point bounds the bottleneck rank from below [Jacot 2023, arXiv 2209.15055]. Unlike the
linear rank of a representation it does not count the directions that a code needs to stay in the positive orthant: a
non-negative code of R^3 spans four.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from leakybench.baseline import Model, Representations
from leakybench.errors import UsageError
from leakybench.measures.arrays import Number, as_float64
from leakybench.measures.gap import FLOOR, largest_gap, largest_gaps
from leakybench.measures.recursion import skips, tangents
from leakybench.measures.spectra import gram_spectrum

SAMPLES = 64
"""Number of samples at which a Jacobian is taken: a share of these samples has a standard error of at most 0.06."""

HELD_OUT = 128
"""Number of held-out samples at which a model's Jacobian is taken for its rank and its alignment with the true code. On
trained networks the alignment at one sample has a standard deviation of 0.15 or less, so that its mean is exact to
0.03."""

STEP = 1e-2
"""Half the distance of a central difference, in standard deviations of the inputs. A float32 prediction then gives each
derivative to 1e-5, far below the floor of the gap, and the difference crosses few of the linear pieces of a network."""

AXIS_STEP = 2e-3
"""The same along the axes, for whole Jacobians: few samples have a kink of a rectifier within it, and float32
predictions still give each derivative to 5e-5 of the largest."""

_NULL = 1e-6
"""Input directions with less than this share of the largest spread do not occur in the data; float32 leaves 1e-7."""


def principal_directions(rows: Float64[np.ndarray, "n w"]) -> Float64[np.ndarray, "m w"]:
    """Principal directions of the rows (n, w), (m, w), where m is the rank of the centred rows.

    The length of each direction is its standard deviation.
    """
    centred = rows - rows.mean(axis=0)
    _, values, right = np.linalg.svd(centred, full_matrices=False)
    keep = values > _NULL * values[0] if values[0] > 0.0 else np.zeros(len(values), dtype=bool)
    return values[keep, None] * right[keep] / np.sqrt(len(rows))


def path_spectra(path: Representations, *, samples: int = SAMPLES) -> Float64[np.ndarray, "points n r"]:
    """Singular values of ``dA_l/dx`` at the first samples, decreasing, (L + 1, n, r), by forward differentiation.

    The embedding is unknown, but it is linear, so the principal directions of A_0 are those of the embedded inputs.

    Args:
        path: a checked path, see ``leakybench.measures.arrays.check_path``.
        samples: maximum number of samples.

    Raises:
        UsageError: A_0 does not vary, or the weights do not reproduce the path.
    """
    start = principal_directions(path.activations[0])
    if len(start) == 0:
        raise UsageError("A_0 is the same for all samples: it has no directions to follow")
    activations = path.activations[:, :samples]
    moved = tangents(activations, start, path.weights, path.step_sizes, skips(path))
    return gram_spectrum(moved)


def function_spectra(
    predict: Callable[[Any], Any], inputs: Any, *, samples: int = SAMPLES, step: Number = STEP
) -> Float64[np.ndarray, "n r"]:
    """Singular values of the Jacobian of any map at the first inputs, decreasing, (n, r), r = min(m, d_out).

    The Jacobian is taken by central differences, ``J_i = (f(x + h t_i) - f(x - h t_i)) / (2 h)``, along the m principal
    directions t_i of the inputs. A piecewise constant map, such as a tree, has a zero Jacobian; here it gives the jumps
    that a step crosses.

    Args:
        predict: the map, from float32 (n, d_in) to (n, d_out).
        inputs: (N, d_in). The directions come from all of them; the samples are the first ones.
        samples: maximum number of samples.
        step: h, in standard deviations of the inputs.

    Raises:
        UsageError: the inputs do not vary, or the predictions are not finite or have a wrong shape.
    """
    rows = as_float64("inputs", inputs)
    directions = principal_directions(rows)
    if len(directions) == 0:
        raise UsageError("the inputs are the same for all samples: they have no directions to follow")
    at, h = rows[:samples], float(step)
    points = at[:, None, None, :] + h * np.stack([directions, -directions])[None]
    values = _predictions(predict, np.asarray(points.reshape(-1, rows.shape[1]), dtype=np.float32))
    pairs = values.reshape(len(at), 2, len(directions), -1)
    return gram_spectrum((pairs[:, 0] - pairs[:, 1]) / (2.0 * h))


def model_jacobians(model: Model, inputs: Any, *, samples: int = HELD_OUT) -> Float64[np.ndarray, "n d_out d_in"]:
    """Jacobians of a model at the first inputs: its own where it has ``jacobians``, else by ``function_jacobians``.

    Args:
        model: a fitted model.
        inputs: (N, d_in).
        samples: maximum number of samples.

    Raises:
        UsageError: as ``function_jacobians``, or the model's own Jacobians have a wrong shape.
    """
    rows = as_float64("inputs", inputs)
    exact = getattr(model, "jacobians", None)
    if not callable(exact):
        return function_jacobians(model.predict, rows, samples=samples)
    at = np.ascontiguousarray(rows[:samples], dtype=np.float32)
    found = as_float64("jacobians", exact(at), ndim=3)
    if (len(found), found.shape[2]) != at.shape:
        raise UsageError(f"jacobians of {at.shape} inputs must be (n, d_out, d_in), got {found.shape}")
    return found


def function_jacobians(
    predict: Callable[[Any], Any], inputs: Any, *, samples: int = HELD_OUT, step: Number = AXIS_STEP
) -> Float64[np.ndarray, "n d_out d_in"]:
    """Jacobians of any map at the first inputs, (n, d_out, d_in), by central differences along the axes.

    Args:
        predict: the map, from float32 (n, d_in) to (n, d_out).
        inputs: (N, d_in). The spread of each column comes from all of them; the samples are the first ones.
        samples: maximum number of samples.
        step: half the distance of a difference, in standard deviations of the column; for a constant column, in those
            of all inputs.

    Raises:
        UsageError: the inputs do not vary, or the predictions are not finite or have a wrong shape.
    """
    rows = as_float64("inputs", inputs)
    spread = rows.std(axis=0)
    whole = float(np.sqrt(np.mean(spread**2)))
    if whole == 0.0:
        raise UsageError("the inputs are the same for all samples: they have no directions to follow")
    steps = float(step) * np.where(spread > _NULL * whole, spread, whole)
    moved = np.stack([np.diag(steps), -np.diag(steps)])
    at = rows[:samples]
    points = np.asarray(at[:, None, None, :] + moved[None], dtype=np.float32)
    values = _predictions(predict, points.reshape(-1, rows.shape[1])).reshape(len(at), 2, rows.shape[1], -1)
    # the distance between the points as float32 holds them
    diagonal = np.arange(rows.shape[1])
    apart = points[:, 0, diagonal, diagonal].astype(np.float64) - points[:, 1, diagonal, diagonal]
    return np.swapaxes((values[:, 0] - values[:, 1]) / apart[:, :, None], 1, 2)


def _predictions(
    predict: Callable[[Any], Any], points: Float32[np.ndarray, "m d_in"]
) -> Float64[np.ndarray, "m d_out"]:
    """Predictions at the points, in float64; raises ``UsageError`` for values that are not finite, or too few."""
    values = as_float64("predictions", predict(np.ascontiguousarray(points)))
    if len(values) != len(points):
        raise UsageError(f"predictions need one row a sample: {len(values)} rows for {len(points)} inputs")
    return values


def spectra_along(
    jacobians: Float64[np.ndarray, "n d_out d_in"], inputs: Float64[np.ndarray, "N d_in"]
) -> Float64[np.ndarray, "n r"]:
    """Singular values of Jacobians along the principal directions of the inputs, decreasing, (n, r), r = min(m, d_out).

    In units of standard deviations: a direction in which the inputs do not vary has none.

    Args:
        jacobians: (n, d_out, d_in).
        inputs: (N, d_in), whose rows give the m principal directions.

    Raises:
        UsageError: the inputs do not vary.
    """
    directions = principal_directions(inputs)
    if len(directions) == 0:
        raise UsageError("the inputs are the same for all samples: they have no directions to follow")
    return gram_spectrum(jacobians @ directions.T)


def jacobian_rank(spectra: Any, *, floor: float = FLOOR) -> dict[str, Any]:
    """The rank at the largest gap of the root mean square spectrum over the samples, with its evidence.

    The rank at any point bounds the bottleneck rank from below, so a direction that moves the output at some of the
    samples counts. And the gap of one pooled spectrum is less noisy than the median over 64 samples, which loses weak
    directions of a map of full rank.

    Args:
        spectra: singular values of the Jacobian at each sample, (n, m).
        floor: floor of the gap rule, see ``leakybench.measures.largest_gap``.

    Returns:
        A dict with ``rank`` (None if the map is constant at half of the samples or more), ``gap`` (the ratio there),
        ``agreement`` (share of the samples that have this rank by themselves), ``spectrum`` (root mean square, the
        first 12 values), ``samples`` (their number) and ``reason`` (why there is no rank).

    Raises:
        UsageError: the singular values are negative, increasing or not finite.
    """
    array = as_float64("spectra", spectra)
    ranks, _, _ = largest_gaps(array, floor=floor)
    pooled = np.sqrt(np.mean(array**2, axis=0))
    evidence: dict[str, Any] = {"spectrum": pooled[:12].tolist(), "samples": len(array)}
    if 2 * int(np.sum(ranks > 0)) <= len(ranks):
        return {"rank": None, "agreement": 0.0, "gap": None, "reason": "the map is constant", **evidence}
    gap = largest_gap(pooled, floor=floor)
    agreement = float(np.mean(ranks == gap.rank))
    return {"rank": gap.rank, "agreement": agreement, "gap": gap.ratio, "reason": "", **evidence}
