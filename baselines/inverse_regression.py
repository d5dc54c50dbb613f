"""Sufficient dimension reduction by inverse regression, then kernel ridge on the directions that it finds.

If targets y depend on inputs x through B^T x alone, the moments of the whitened inputs z given y differ from those of
z itself only along the columns of B, for Gaussian x. With the slices s of the sorted targets, their shares p_s, the
means m_s of z in them and the covariance S_s of z about 0:

    first moments   A = sum_s p_s m_s m_s^T                                   sliced inverse regression [Li 1991]
    and second      sum_s p_s (S_s - I)^2 + A^2 + tr(A) A                     directional regression [Li and Wang 2007]

The leading eigenvectors span the directions. The targets are sliced along random lines, over which the matrices are
averaged: projective resampling [Li, Wen, Zhu 2008]. An eigenvalue counts if it exceeds the largest of all eigenvalues
with the targets permuted ``PERMUTATIONS`` times, which happens with probability 1/(PERMUTATIONS + 1) for independent
ones. Numpy in float64. For a single target, the first matrix is that of statsmodels, which has no more than one target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.optional import check_count
from leakybench.baselines.tuned_kernel import fit_tuned
from leakybench.specs import BaselineSpec
from leakybench.task import Split

LINES = 50
"""Number of random lines through the targets; a single target needs one."""

PERMUTATIONS = 19
"""Permutations of the targets: a test at the level 1/20."""

_NULL = 1e-6
"""Input directions with less than this share of the largest spread do not occur in the data; float32 leaves 1e-7."""

Moments = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From whitened inputs (n, m) and the targets along each line (n, lines) to a matrix (m, m)."""


@dataclass(frozen=True, kw_only=True)
class Projected:
    """A fitted regression on projected inputs.

    Attributes:
        regressor: predicts centred targets from the coordinates; None for no direction.
        projection: from centred inputs to coordinates of variance 1, (d_in, r).
        centre: mean of the training inputs, (d_in,).
        offset: mean of the training targets, (d_out,).
        report: number of directions, eigenvalues, kernel width and penalty.
    """

    regressor: Any
    projection: np.ndarray
    centre: np.ndarray
    offset: np.ndarray
    report: FitReport

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in), float64."""
        if self.regressor is None:
            return np.tile(self.offset, (len(inputs), 1))
        coordinates = (inputs.astype(np.float64) - self.centre) @ self.projection
        return np.asarray(self.regressor.predict(coordinates)).reshape(len(inputs), -1) + self.offset


@dataclass(frozen=True, kw_only=True)
class InverseRegression:
    """Base of the two methods, which set the class attributes.

    Attributes:
        name: of the method, for its draws.
        second_moments: whether the covariances of the slices count, or their means alone.
        slices: number of slices along a line.

    Settings:
        directions: number of directions, cut to what the inputs allow; None for those that pass the permutation test.
    """

    name: ClassVar[str] = ""
    second_moments: ClassVar[bool] = False
    slices: ClassVar[int] = 2

    directions: int | None = None
    spec: BaselineSpec | None = None

    def __post_init__(self) -> None:
        check_count("directions", self.directions, 1)

    def search_space(self) -> dict[str, object]:
        """Values for ``tune``."""
        return {"directions": {"low": 1, "high": 12}}

    def prepare(self) -> None:
        """Import what fitting needs, so that the import does not count as training time."""
        import sklearn.kernel_ridge
        import sklearn.metrics.pairwise  # noqa: F401

    def fit(self, train: Split, *, seed: int, preset: str) -> Projected:
        """Fit on (n, d_in) inputs and (n, d_out) targets; lines and permutations are drawn."""
        check_preset(preset)
        inputs, targets = train.inputs.astype(np.float64), train.targets.astype(np.float64)
        centre, offset = inputs.mean(axis=0), targets.mean(axis=0)
        rng = seeding.generator(self.name, seed, "directions")
        moments = partial(moment_matrix, slices=self.slices, second_moments=self.second_moments)
        basis, ratios = directions(inputs - centre, targets - offset, rng, moments, count=self.directions)
        regressor: Any = None
        chosen: Mapping[str, Any] = {}
        if basis.shape[1]:
            coordinates = (inputs - centre) @ basis
            regressor, chosen = fit_tuned(coordinates, targets - offset, name=self.name, seed=seed)
        values = {"directions": basis.shape[1], "eigenvalues_over_permuted": ratios[:12].tolist(), **chosen}
        report = FitReport(values=values)
        return Projected(regressor=regressor, projection=basis, centre=centre, offset=offset, report=report)


class SlicedInverseRegression(InverseRegression):
    """Sliced inverse regression: directions in which the mean of x given y moves.

    Shortcut: the rank is at most the number of directions, which is found without a fit of y. Where the code is linear
    and the links are odd enough, it is k. Even links leave the mean of x given y at 0: no direction is found, and the
    prediction is the mean. On a nonlinear code, the directions are those of its linear part, and the error has a floor.

    Mean test error and rank, seeds 0 to 2, standard preset: LowRank-k3 0.204, 3; Staircase-k3 0.024, 3; Symmetry-SO3
    1.00, none; Curved-k2 0.008, 2; MultiIndex-k3 0.017, 3. ``KernelRidge-v0``: 0.185, 0.430, 0.314, 0.325, 0.280. A fit
    takes 1.3 s for 1000 rows in 30 dimensions and 3 s for 3000 in 100, of which the directions take 0.3 s and 1.4 s.
    """

    name: ClassVar[str] = "SlicedInverseRegression"
    slices: ClassVar[int] = 10


class DirectionalRegression(InverseRegression):
    """Directional regression: directions in which mean or covariance of x given y move.

    Shortcut: as sliced inverse regression, and even links are seen as well. For them it takes 6 to 10 rows for each
    input dimension; with fewer it finds fewer directions. On a nonlinear code it finds more directions the more rows
    there are, up to the span of the gradients of the target.

    Mean test error and rank, seeds 0 to 2, standard preset: LowRank-k3 0.210, 3; Staircase-k3 0.058, 3; Symmetry-SO3
    0.206, 3 (of 9 directions); Curved-k2 0.003, 2; MultiIndex-k3 0.008, 3. ``KernelRidge-v0``: 0.185, 0.430, 0.314,
    0.325, 0.280. A fit takes 1.3 s for 1000 rows in 30 dimensions and 4 s for 3000 in 100.
    """

    name: ClassVar[str] = "DirectionalRegression"
    second_moments: ClassVar[bool] = True
    slices: ClassVar[int] = 3


def directions(
    inputs: np.ndarray, targets: np.ndarray, rng: np.random.Generator, moments: Moments, *, count: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The projection (d_in, r) to coordinates of variance 1 along the r directions that pass the permutation test.

    Args:
        inputs: centred, (n, d_in).
        targets: centred, (n, d_out).
        rng: draws lines and permutations.
        moments: ``moment_matrix`` with its settings.
        count: number of directions to take instead.

    Returns:
        The projection, by falling eigenvalue, and all eigenvalues over the largest of the permuted targets, (m,).
    """
    left, values, right = np.linalg.svd(inputs, full_matrices=False)
    keep = values > _NULL * values[0]
    rows = left[:, keep] * np.sqrt(len(inputs))
    whitening = right[keep].T * (np.sqrt(len(inputs)) / values[keep])
    if not keep.any():
        return whitening, np.zeros(0)
    lines = rng.standard_normal((targets.shape[1], LINES if targets.shape[1] > 1 else 1))
    heights = targets @ lines
    spectrum, vectors = np.linalg.eigh(moments(rows, heights))
    largest = 0.0
    for _ in range(PERMUTATIONS):
        permuted = moments(rows, heights[rng.permutation(len(rows))])
        largest = max(largest, float(np.linalg.eigvalsh(permuted)[-1]))
    found = int(np.sum(spectrum > largest * (1.0 + _NULL)))  # equal up to round-off is not larger
    found = found if count is None else count
    ratios = spectrum[::-1] / largest if largest > 0.0 else np.zeros(len(spectrum))
    return whitening @ vectors[:, ::-1][:, :found], ratios


def moment_matrix(rows: np.ndarray, heights: np.ndarray, *, slices: int, second_moments: bool) -> np.ndarray:
    """The matrix (m, m) whose leading eigenvectors span the directions, averaged over the lines.

    Args:
        rows: whitened inputs, (n, m).
        heights: targets along each line, (n, lines).
        slices: number of slices along a line.
        second_moments: directional regression; if False, sliced inverse regression.
    """
    total = np.zeros((rows.shape[1], rows.shape[1]))
    identity = np.eye(rows.shape[1])
    for height in heights.T:
        first = np.zeros_like(total)
        for share, part in _slices(rows, height, slices):
            mean = part.mean(axis=0)
            first += share * np.outer(mean, mean)
            if second_moments:
                excess = part.T @ part / len(part) - identity
                total += share * excess @ excess
        total += first @ first + np.trace(first) * first if second_moments else first
    return total / heights.shape[1]


def _slices(rows: np.ndarray, height: np.ndarray, slices: int) -> Iterator[tuple[float, np.ndarray]]:
    """Share and rows of each slice; at least two rows in each."""
    order = np.argsort(height, kind="stable")
    for part in np.array_split(order, max(min(slices, len(rows) // 2), 1)):
        yield len(part) / len(rows), rows[part]
