"""Shortcuts to the rank: what the data alone say, without a model that has learnt the task.

A task whose rank a shortcut finds is *open*: an estimated rank that is right there does not show that a model has found
the structure. A task is *opaque* if no shortcut finds its rank. Four shortcuts are tried, each by the rule of the
largest gap (``leakybench.measures.largest_gap``):

- ``inputs``: singular values of the centred inputs. They see a subspace on which the inputs are concentrated.
- ``targets``: singular values of the centred targets. They see a decoder that is close to linear.
- ``ridge``: singular values of the Jacobian of ridge regression, if it predicts better than the mean does. For Gaussian
  inputs the Jacobian tends to E[J_f], whose rank is at most k for a linear code, however large the error is [Stein's
  lemma].
- ``canonical``: canonical correlations of inputs and targets [Hotelling 1936] above the largest one of independent
  data.

Opaque is not hard: second moments, as in directional regression, show the directions of an even link of a linear code.

One data set decides little, because a gap is somewhere in every spectrum. A shortcut *finds* the rank of a task if it
answers it at more of the seeds than a guesser does, see ``finds``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float64

from leakybench.measures.arrays import as_float64, same_rows
from leakybench.measures.gap import FLOOR, largest_gap
from leakybench.measures.spectra import gram_spectrum

NULL = 1e-6
"""Directions with less than this share of the largest spread do not occur in the data; float32 leaves 1e-7."""

PENALTIES = tuple(10.0**exponent for exponent in range(-4, 4))
"""Penalties of ridge regression, those of the baseline ``Ridge-v0``; the smallest leave-one-out error chooses."""

GUESS = 0.1
"""Share of right answers of the guesser that a shortcut has to beat: one who draws from the ranks 1 to 10."""

LEVEL = 0.05
"""Largest probability at which the guesser would have as many right answers, for a shortcut that finds the rank."""


@dataclass(frozen=True)
class Answer:
    """What one shortcut says.

    Attributes:
        rank: number of values before the largest gap; None if there is nothing to count.
        spectrum: the values, over the largest one, (r,).
    """

    rank: int | None
    spectrum: np.ndarray


@dataclass(frozen=True)
class Shortcuts:
    """What each shortcut says on one data set.

    Attributes:
        inputs: gap of the centred inputs.
        targets: gap of the centred targets.
        ridge: gap of the Jacobian of ridge regression.
        canonical: gap of the canonical correlations above those of independent data.
    """

    inputs: Answer
    targets: Answer
    ridge: Answer
    canonical: Answer

    @property
    def ranks(self) -> dict[str, int | None]:
        """The rank by the name of the shortcut."""
        return {field.name: getattr(self, field.name).rank for field in fields(self)}

    def found_by(self, true_rank: int) -> list[str]:
        """Names of the shortcuts that answer ``true_rank`` on this data set."""
        return [name for name, rank in self.ranks.items() if rank == true_rank]


def shortcuts(inputs: Any, targets: Any, *, floor: float = FLOOR) -> Shortcuts:
    """Ask every shortcut for the rank.

    Args:
        inputs: (n, d_in).
        targets: (n, d_out).
        floor: floor of the gap rule.

    Raises:
        UsageError: an array is no matrix of finite numbers, or the numbers of rows differ.
    """
    x, y = as_float64("inputs", inputs), as_float64("targets", targets)
    same_rows("targets", y, x)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    coefficients, error = ridge_map(x, y)
    lengths, directions = _principal_axes(x)
    slopes = gram_spectrum(lengths[:, None] * (directions.T @ coefficients))
    correlations, edge = canonical_correlations(x, y)
    strongest = float(correlations[0])
    return Shortcuts(
        inputs=_answer(gram_spectrum(x), floor),
        targets=_answer(gram_spectrum(y), floor),
        ridge=_answer(slopes, floor, says_something=error < 1.0),
        canonical=_answer(correlations, max(floor, edge / max(strongest, edge)), says_something=strongest > edge),
    )


def finds(answers: Sequence[int | None], true_rank: int, *, guess: float = GUESS, level: float = LEVEL) -> bool:
    """Whether a shortcut finds the rank of a task, from its answers at several seeds.

    It does if P(K >= number of right answers) <= level for K ~ Binomial(number of seeds, guess): 6 of 21 seeds, 3 of 7,
    2 of 3 at the defaults. One seed never shows it.

    Args:
        answers: the ranks that the shortcut says, one a seed.
        true_rank: the rank of the task.
        guess: share of right answers of a guesser.
        level: largest probability of as many right answers of the guesser.
    """
    n, right = len(answers), sum(answer == true_rank for answer in answers)
    tail = sum(math.comb(n, j) * guess**j * (1.0 - guess) ** (n - j) for j in range(right, n + 1))
    return tail <= level


def ridge_map(
    x: Float64[np.ndarray, "n d_in"], y: Float64[np.ndarray, "n d_out"]
) -> tuple[Float64[np.ndarray, "d_in d_out"], float]:
    """Ridge regression on centred inputs (n, d_in) and targets (n, d_out), with the best of ``PENALTIES``.

        B = (X^T X + a I)^{-1} X^T Y,   a = argmin E(a),   E(a) = sum_i |y_i - B^T x_i|^2 / (1 - h_i)^2

    E is the leave-one-out error in closed form, with leverages h_i = 1/n + x_i^T (X^T X + a I)^{-1} x_i [Allen 1974].

    Returns:
        B, (d_in, d_out), and its leave-one-out error over that of the mean; 1 for constant targets.
    """
    n = len(x)
    values, vectors = np.linalg.eigh(x.T @ x)
    scores = x @ vectors
    cross, squares = scores.T @ y, scores**2
    best, chosen = math.inf, np.zeros((x.shape[1], y.shape[1]))
    for penalty in PENALTIES:
        inverse = 1.0 / (np.maximum(values, 0.0) + penalty)
        coefficients = inverse[:, None] * cross
        residues = scores @ coefficients
        residues -= y
        # a row that alone decides its own fit has leverage 1, up to round-off
        left = np.maximum(1.0 - 1.0 / n - squares @ inverse, 1e-9)
        error = float(np.sum(np.einsum("ij,ij->i", residues, residues) / left**2))
        if error < best:
            best, chosen = error, vectors @ coefficients
    mean = float(np.sum(y**2)) / max(1.0 - 1.0 / n, 1e-9) ** 2
    return chosen, best / mean if mean > 0.0 else 1.0


def canonical_correlations(
    x: Float64[np.ndarray, "n d_in"], y: Float64[np.ndarray, "n d_out"]
) -> tuple[Float64[np.ndarray, " r"], float]:
    """Canonical correlations of centred inputs (n, d_in) and targets (n, d_out), and the edge of chance.

    Returns:
        The correlations, decreasing, r = min of the two ranks (a single 0 if one does not vary), and the largest
        correlation of independent normal data of as many rows n and dimensions p and q in the limit, sqrt(a (1 - b)) +
        sqrt(b (1 - a)) with a = p/n and b = q/n [Wachter 1980]; 1 where p + q >= n. About half of the independent data
        sets exceed it a little, and then have rank 1.
    """
    left, right = _orthonormal_basis(x), _orthonormal_basis(y)
    if left.shape[1] == 0 or right.shape[1] == 0:
        return np.zeros(1), 1.0
    a, b = left.shape[1] / len(x), right.shape[1] / len(x)
    edge = math.sqrt(a * (1.0 - b)) + math.sqrt(b * (1.0 - a)) if a + b < 1.0 else 1.0
    return np.minimum(gram_spectrum(left.T @ right), 1.0), edge


def _principal_axes(rows: Float64[np.ndarray, "n d"]) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, "d m"]]:
    """Singular values of centred ``rows`` (n, d) above ``NULL`` of the first, (m,), and their directions (d, m)."""
    squares, vectors = np.linalg.eigh(rows.T @ rows)
    keep = squares > NULL**2 * squares[-1] if squares[-1] > 0.0 else np.zeros(len(squares), dtype=bool)
    return np.sqrt(squares[keep]), vectors[:, keep]


def _orthonormal_basis(rows: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n m"]:
    """An orthonormal basis of the columns of centred ``rows``, (n, m)."""
    lengths, directions = _principal_axes(rows)
    return np.asarray(rows @ (directions / lengths))


def _answer(values: Float64[np.ndarray, " r"], floor: float, *, says_something: bool = True) -> Answer:
    """The gap of ``values`` (r,); None if they vanish, or if the shortcut says nothing."""
    if len(values) == 0 or values[0] == 0.0:
        return Answer(rank=None, spectrum=np.zeros(1))
    rank = largest_gap(values, floor=floor).rank if says_something else None
    return Answer(rank=rank, spectrum=values / values[0])
