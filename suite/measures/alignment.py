"""Code alignment: whether a model moves with the directions of the inputs that matter, and with no others.

A rank says in how many directions a function moves; it can be right for a model that has found none of them. For a
target f* = h o g with a code g: R^d -> R^k, the rows of the Jacobian of g at x span the directions that matter there.
``code_alignment`` compares them with the directions of a model, ``code_leak`` says how much of the model's motion lies
outside. Inputs are standardised, and held out.

Three definitions were compared on trained models (docs/validity.md). The row space is the alignment of the record; the
energy, 1 - leak, is stored beside it. The energy cannot tell a model of rank 1 from the true function, and the row
space counts a direction fully however little the model moves along it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from leakybench.errors import UsageError
from leakybench.measures.arrays import as_float64

NORMAL_95 = 1.96
"""Half the width of a 95% interval in standard errors, for means over 100 inputs and more."""

NEGLIGIBLE = 1e-4
"""Directions in which a model moves by less than this share of its first one at a point are not its directions: central
differences of float32 predictions leave 1e-5 there."""


@dataclass(frozen=True, kw_only=True)
class CodeAlignment:
    """How well the Jacobians of a model agree with those of the true code.

    Attributes:
        alignment: by row space, see ``code_alignment``.
        low: lower end of its 95% interval over the inputs.
        high: upper end of that interval.
        energy: 1 - leak, on the scale of the alignment.
        leak: see ``code_leak``.
    """

    alignment: float
    low: float
    high: float
    energy: float
    leak: float


def code_alignment(jacobians: Any, true_jacobians: Any, *, rank: int) -> float:
    """Alignment of a model's directions with those of the true code, by row space.

        alignment = (mean_i tr(P_i Q_i) / k - k / d) / (1 - k / d)

    P_i projects onto the k leading right singular vectors of the model's Jacobian at input i, Q_i onto those of the
    true one. Directions in which the model does not move (``NEGLIGIBLE``) are left out of P_i, so that a model of rank
    r < k has at most (r / k - k / d) / (1 - k / d).

    Args:
        jacobians: of the model, (n, d_out, d_in).
        true_jacobians: of the true code g or of the target h o g, (n, m, d_in) with any m of at least ``rank``.
        rank: k, dimension of the code, below d_in.

    Returns:
        1 if the model moves with exactly the directions that matter, 0 in the mean for random directions.

    Raises:
        UsageError: the shapes do not fit, a value is not finite, or the rank is not below d_in.
    """
    model, truth = _checked(jacobians, true_jacobians, rank)
    return float(np.mean(_row_space(model, truth)))


def code_leak(jacobians: Any, true_jacobians: Any, *, rank: int) -> float:
    """Share of a model's motion outside the directions that matter.

        leak = 1 - sum_i |J_i Q_i|_F^2 / sum_i |J_i|_F^2

    Args:
        jacobians: of the model, (n, d_out, d_in).
        true_jacobians: of the true code or of the target, (n, m, d_in) with any m of at least ``rank``.
        rank: k, dimension of the code.

    Returns:
        A number in [0, 1]: 0 for the true function, 1 - k/d in the mean for a random map.

    Raises:
        UsageError: as ``code_alignment``, or the model does not move at all.
    """
    model, truth = _checked(jacobians, true_jacobians, rank)
    return _leak(model, truth)


def align(jacobians: Any, true_jacobians: Any, *, rank: int) -> CodeAlignment:
    """All numbers of the agreement at once; arguments and errors as for ``code_leak``."""
    model, truth = _checked(jacobians, true_jacobians, rank)
    points = _row_space(model, truth)
    mean, leak = float(np.mean(points)), _leak(model, truth)
    half = NORMAL_95 * float(np.std(points)) / np.sqrt(len(points))
    chance = rank / model.shape[-1]
    return CodeAlignment(
        alignment=mean,
        low=float(mean - half),
        high=float(min(mean + half, 1.0)),
        energy=(1.0 - leak - chance) / (1.0 - chance),
        leak=leak,
    )


def _checked(
    jacobians: Any, true_jacobians: Any, rank: int
) -> tuple[Float64[np.ndarray, "n d_out d"], Float64[np.ndarray, "n k d"]]:
    """The model's Jacobians, and an orthonormal basis of the true directions at each input in rows."""
    model = as_float64("jacobians", jacobians, ndim=3)
    truth = as_float64("true_jacobians", true_jacobians, ndim=3)
    if len(model) != len(truth) or model.shape[2] != truth.shape[2]:
        raise UsageError(f"jacobians {model.shape} and true_jacobians {truth.shape} need the same inputs")
    if isinstance(rank, bool) or not isinstance(rank, int | np.integer) or not 1 <= rank < model.shape[2]:
        raise UsageError(f"rank must be an integer from 1 to {model.shape[2] - 1}, below d_in, got {rank!r}")
    if truth.shape[1] < rank:
        raise UsageError(f"true_jacobians of {truth.shape[1]} rows cannot have rank {rank}")
    return model, np.linalg.svd(truth, full_matrices=False)[2][:, :rank]


def _row_space(
    model: Float64[np.ndarray, "n d_out d"], truth: Float64[np.ndarray, "n k d"]
) -> Float64[np.ndarray, " n"]:
    """The alignment at each input, (n,)."""
    rank, d = truth.shape[1:]
    _, values, right = np.linalg.svd(model, full_matrices=False)
    moves = values[:, :rank] > NEGLIGIBLE * values[:, :1]
    overlaps = np.sum((right[:, :rank] @ np.swapaxes(truth, 1, 2)) ** 2, axis=2)
    return (np.sum(overlaps * moves, axis=1) / rank - rank / d) / (1.0 - rank / d)


def _leak(model: Float64[np.ndarray, "n d_out d"], truth: Float64[np.ndarray, "n k d"]) -> float:
    total = float(np.sum(model**2))
    if total == 0.0:
        raise UsageError("the model does not move with its inputs: it has no directions to compare")
    # what is left, rather than 1 minus a share: exact where it is small
    outside = model - (model @ np.swapaxes(truth, 1, 2)) @ truth
    return min(float(np.sum(outside**2)) / total, 1.0)
