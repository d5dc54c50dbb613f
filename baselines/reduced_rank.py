"""Reduced-rank regression [Izenman 1975, J. Multivariate Anal. 5; with a ridge: Mukherjee and Zhu 2011].

The linear map of rank r with the smallest penalised error, for centred inputs X (n, d_in) and targets Y (n, d_out):

    min over rank(B) <= r of |Y - X B|_F^2 + lambda |B|_F^2
    solution: B_r = B W_r W_r^T,   B = (X^T X + lambda I)^{-1} X^T Y,
    W_r: the r leading eigenvectors of B^T (X^T X + lambda I) B, the principal components of the fitted values

With X = U S V^T, W_r holds right singular vectors of C = S (S^2 + lambda)^{-1/2} U^T Y, and
B = V (S^2 + lambda)^{-1/2} C.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.optional import check_count, check_positive
from leakybench.baselines.ridge import PENALTIES
from leakybench.specs import BaselineSpec
from leakybench.task import Split

NAME = "ReducedRank"

FOLDS = 5
"""Parts of the training rows, each held out once."""


@dataclass(frozen=True, kw_only=True)
class LinearMap:
    """A fitted linear map.

    Attributes:
        slope: B_r, (d_in, d_out).
        centre: mean of the training inputs, (d_in,).
        offset: mean of the training targets, (d_out,).
        report: penalty, rank and cross-validated error.
    """

    slope: np.ndarray
    centre: np.ndarray
    offset: np.ndarray
    report: FitReport

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in), float64."""
        return (inputs.astype(np.float64) - self.centre) @ self.slope + self.offset


@dataclass(frozen=True, kw_only=True)
class ReducedRank:
    """Linear regression of the rank that cross-validation on the training rows chooses.

    The penalty, one of those of ``Ridge-v0``, and the rank are those with the smallest error over ``FOLDS`` folds. Then
    the rank is lowered as far as the one-standard-error rule allows [Breiman et al. 1984]: to the smallest one whose
    error exceeds the best by at most one standard error of that excess, over the rows. Rank 0 is the mean.

    Shortcut: the Jacobian is the same at every input, so its rank is that of the map. For Gaussian inputs a linear fit
    estimates E[J_f]. Its rank is at most k where the code is linear, and k directions lead it where the code bends a
    little. A target whose links are even has E[J_f] = 0: the rank is 0, the map constant.

    Mean test error and rank, seeds 0 to 2, standard preset: LowRank-k3 0.389, 3; Staircase-k3 0.667, 1; Symmetry-SO3
    1.00, none; Curved-k2 0.424, 2; MultiIndex-k3 0.470, 3. ``Ridge-v0`` has the same errors within 0.02. A fit takes
    0.05 s for 1000 rows in 30 dimensions and 0.4 s for 3000 in 100 (one thread): ``FOLDS`` + 1 singular value
    decompositions of X.

    Settings:
        penalty: lambda; None for the choice by cross-validation.
        rank: r, cut to what the data allow; None for the choice by cross-validation.
    """

    penalty: float | None = None
    rank: int | None = None
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        check_positive("penalty", self.penalty)
        check_count("rank", self.rank, 0)

    def search_space(self) -> dict[str, object]:
        """Values for ``tune``."""
        return {"penalty": {"low": 1e-4, "high": 1e3, "log": True}, "rank": {"low": 1, "high": 12}}

    def fit(self, train: Split, *, seed: int, preset: str) -> LinearMap:
        """Fit on (n, d_in) inputs and (n, d_out) targets; only the folds are drawn."""
        check_preset(preset)
        inputs, targets = train.inputs.astype(np.float64), train.targets.astype(np.float64)
        order = seeding.generator(NAME, seed, "folds").permutation(len(inputs))
        penalty, rank, error = self.penalty, self.rank, None
        if penalty is None or rank is None:
            chosen, chosen_rank, chosen_error = _choose(inputs, targets, order)
            # the error is that of the choice, so it is none of settings that replace a part of it
            error = chosen_error if penalty is rank is None else None
            penalty = chosen if penalty is None else penalty
            rank = chosen_rank if rank is None else rank
        centre, offset = inputs.mean(axis=0), targets.mean(axis=0)
        slope, components = ridge_components(inputs - centre, targets - offset, penalty)
        kept = components[:, :rank]
        report = FitReport(values={"penalty": penalty, "rank": rank, "cross_validated": error})
        return LinearMap(slope=slope @ kept @ kept.T, centre=centre, offset=offset, report=report)


def ridge_components(inputs: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """The ridge solution B (d_in, d_out) and its components W (d_out, m) by falling share, m = min(n, d_in, d_out).

    Args:
        inputs: X, centred, (n, d_in).
        targets: Y, centred, (n, d_out).
        penalty: lambda, above 0.
    """
    return _solve(np.linalg.svd(inputs, full_matrices=False), targets, penalty)


def _solve(
    decomposed: tuple[np.ndarray, np.ndarray, np.ndarray], targets: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    left, values, right = decomposed
    damped = np.sqrt(values**2 + penalty)
    fitted = (values / damped)[:, None] * (left.T @ targets)
    components = np.linalg.svd(fitted, full_matrices=False)[2].T
    return right.T @ (fitted / damped[:, None]), components


def _choose(inputs: np.ndarray, targets: np.ndarray, order: np.ndarray) -> tuple[float, int, float]:
    """Penalty, rank and cross-validated error; a single row leaves nothing to hold out, and gives rank 0."""
    n = len(inputs)
    if n < 2:
        return max(PENALTIES), 0, 0.0
    folds = np.array_split(order, min(FOLDS, n))
    smallest = n - max(len(fold) for fold in folds)
    top = min(inputs.shape[1], targets.shape[1], smallest)
    errors = np.empty((len(PENALTIES), n, top + 1))
    for held in folds:
        rest = np.setdiff1d(order, held)
        errors[:, held] = _fold_errors(inputs[rest], targets[rest], inputs[held], targets[held], top)
    means = errors.mean(axis=1)
    best, best_rank = np.unravel_index(int(np.argmin(means)), means.shape)
    excess = errors[best] - errors[best][:, best_rank, None]
    allowed = excess.std(axis=0) / np.sqrt(n)
    rank = int(np.argmax(excess.mean(axis=0) <= allowed))
    return PENALTIES[best], rank, float(means[best, rank])


def _fold_errors(
    inputs: np.ndarray, targets: np.ndarray, held_inputs: np.ndarray, held_targets: np.ndarray, top: int
) -> np.ndarray:
    """Squared error of each held-out row by penalty and rank 0 .. top, (penalties, held, top + 1)."""
    centre, offset = inputs.mean(axis=0), targets.mean(axis=0)
    decomposed = np.linalg.svd(inputs - centre, full_matrices=False)
    moved, wanted = held_inputs - centre, held_targets - offset
    errors = np.empty((len(PENALTIES), len(moved), top + 1))
    errors[:, :, 0] = np.mean(wanted**2, axis=1)
    for row, penalty in zip(errors, PENALTIES, strict=True):
        slope, components = _solve(decomposed, targets - offset, penalty)
        scores, aim = moved @ slope @ components[:, :top], wanted @ components[:, :top]
        # along one component the squared error falls from aim^2 to (aim - score)^2
        row[:, 1:] = row[:, :1] + np.cumsum(scores**2 - 2.0 * aim * scores, axis=1) / wanted.shape[1]
    return errors
