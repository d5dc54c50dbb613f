"""Code alignment: whether a model moves with the directions of the inputs that matter, and with no others.

A rank says in how many directions a function moves; it can be right for a model that has found none of them. A target
f* = h o g with a code g: R^d -> R^k moves, at an input x, only along the row space of the Jacobian of g.
``code_alignment`` compares these directions with those of a model, ``code_leak`` says how much of the model's motion
lies outside. Inputs are standardised, and held out.

Definitions were compared on trained models (docs/validity.md). The row space is the alignment of the record; the
energy, 1 - leak, is stored beside it. The energy cannot tell a model of rank 1 from the true function, and the row
space counts a direction fully however little the model moves along it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from leakybench.errors import UsageError
from leakybench.measures.arrays import Number, as_float64
from leakybench.measures.certificate import TOLERANCE
from leakybench.measures.gap import FLOOR

NORMAL_95 = 1.96
"""Half the width of a 95% interval in standard errors, for means over 100 inputs and more."""

NEGLIGIBLE = 1e-4
"""Directions in which a model moves by less than this share of its first one at a point are not its directions: central
differences of float32 predictions leave 1e-5 there."""


@dataclass(frozen=True, kw_only=True)
class CodeAlignment:
    """How well the Jacobians of a model agree with those of the target.

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


@dataclass(frozen=True)
class _Truth:
    """The directions of the target at each input.

    Attributes:
        basis: leading right singular vectors of its Jacobian, in rows, (n, k, d).
        counted: those along which it moves by at least ``FLOOR`` of its first one, (n, k).
        present: those along which it moves at all, (n, k).
    """

    basis: Float64[np.ndarray, "n k d"]
    counted: Bool[np.ndarray, "n k"]
    present: Bool[np.ndarray, "n k"]


def code_alignment(jacobians: Any, true_jacobians: Any, *, rank: Number) -> float:
    """Alignment of a model's directions with those of the target, by row space.

        alignment = mean_i (tr(P_i Q_i) / k_i - k_i / d) / (1 - k_i / d)

    Q_i projects onto the right singular vectors of the target's Jacobian at input i, P_i onto as many leading ones of
    the model's. k_i is k, less the directions in which the target itself moves by less than 3% of its first one at that
    point, the floor of the rank rule: where a rectifier is shut, nobody can find what is behind it. Directions in which
    the model does not move (``NEGLIGIBLE``) are left out of P_i, so that a model of rank r < k has at most
    (r / k - k / d) / (1 - k / d).

    Args:
        jacobians: of the model, (n, d_out, d_in).
        true_jacobians: of the target h o g, (n, m, d_in) with any m.
        rank: k, dimension of the code, an integer below d_in.

    Returns:
        1 if the model moves with exactly the directions that matter, 0 in the mean for random directions.

    Raises:
        UsageError: the shapes do not fit, a value is not finite, the rank is not below d_in, or the target does not
            move at any of the inputs.
    """
    model, truth = _checked(jacobians, true_jacobians, rank)
    return float(np.mean(_row_space(model, truth)))


def code_leak(jacobians: Any, true_jacobians: Any, *, rank: Number) -> float:
    """Share of a model's motion outside the directions that matter.

        leak = 1 - sum_i |J_i Q_i|_F^2 / sum_i |J_i|_F^2

    Args:
        jacobians: of the model, (n, d_out, d_in).
        true_jacobians: of the target h o g, (n, m, d_in) with any m.
        rank: k, dimension of the code, an integer below d_in.

    Returns:
        A number in [0, 1]: 0 for the true function, 1 - k/d in the mean for a random map.

    Raises:
        UsageError: as ``code_alignment``, or the model does not move at all.
    """
    model, truth = _checked(jacobians, true_jacobians, rank)
    return _leak(model, truth)


def align(jacobians: Any, true_jacobians: Any, *, rank: Number) -> CodeAlignment:
    """All numbers of the agreement at once; arguments and errors as for ``code_leak``."""
    model, truth = _checked(jacobians, true_jacobians, rank)
    points = _row_space(model, truth)
    mean, leak = float(np.mean(points)), _leak(model, truth)
    half = NORMAL_95 * float(np.std(points)) / np.sqrt(len(points))
    chance = float(truth.present.sum()) / truth.present.shape[0] / model.shape[2]
    return CodeAlignment(
        alignment=mean,
        low=float(mean - half),
        high=float(min(mean + half, 1.0)),
        energy=(1.0 - leak - chance) / (1.0 - chance),
        leak=leak,
    )


def _checked(jacobians: Any, true_jacobians: Any, rank: Any) -> tuple[Float64[np.ndarray, "n d_out d"], _Truth]:
    """The model's Jacobians, and the directions of the target at each input."""
    model = as_float64("jacobians", jacobians, ndim=3)
    target = as_float64("true_jacobians", true_jacobians, ndim=3)
    if len(model) != len(target) or model.shape[2] != target.shape[2]:
        raise UsageError(f"jacobians {model.shape} and true_jacobians {target.shape} need the same inputs")
    if isinstance(rank, bool) or not isinstance(rank, int | np.integer) or not 1 <= rank < model.shape[2]:
        raise UsageError(f"rank must be an integer from 1 to {model.shape[2] - 1}, below d_in, got {rank!r}")
    if target.shape[1] < rank:
        raise UsageError(f"true_jacobians of {target.shape[1]} rows cannot have rank {rank}")
    if not target.any():
        raise UsageError("the target does not move at any of the inputs: it has no directions to compare with")
    _, values, right = np.linalg.svd(target, full_matrices=False)
    values, top = values[:, :rank], values[:, :1]
    return model, _Truth(right[:, :rank], values > FLOOR * top, values > TOLERANCE * top)


def _row_space(model: Float64[np.ndarray, "n d_out d"], truth: _Truth) -> Float64[np.ndarray, " m"]:
    """The alignment at each input at which the target moves, (m,)."""
    rank, d = truth.basis.shape[1:]
    _, values, right = np.linalg.svd(model, full_matrices=False)
    right, values = right[:, :rank], values[:, :rank]
    counts = truth.counted.sum(axis=1)
    # as many of the model's directions as the target has there
    taken = (values > NEGLIGIBLE * values[:, :1]) & (np.arange(values.shape[1]) < counts[:, None])
    overlaps = (right @ np.swapaxes(truth.basis, 1, 2)) ** 2
    shared = np.einsum("nij,ni,nj->n", overlaps, taken, truth.counted)
    moves = counts > 0
    share, chance = shared[moves] / counts[moves], counts[moves] / d
    return (share - chance) / (1.0 - chance)


def _leak(model: Float64[np.ndarray, "n d_out d"], truth: _Truth) -> float:
    total = float(np.sum(model**2))
    if total == 0.0:
        raise UsageError("the model does not move with its inputs: it has no directions to compare")
    basis = truth.basis * truth.present[:, :, None]
    # what is left, rather than 1 minus a share: exact where it is small
    outside = model - (model @ np.swapaxes(basis, 1, 2)) @ basis
    return min(float(np.sum(outside**2)) / total, 1.0)
