"""An ill-conditioned code: the shares of its directions fall off as a power law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import Map, orthonormal, waves


@dataclass(frozen=True, kw_only=True)
class PowerLaw(CodedTask):
    """Even waves of a linear code whose directions matter less and less.

        z = U x,   f_j(x) = cos(w_j^T z),   |w_j| = frequency,   sum_j w_j w_j^T ~ diag(1, 2^-decay, ..., k^-decay)

    Inputs (n, d) are standard normal, targets are (n, width); the true rank is k. U has orthonormal rows. Certificate:
    J_h = -diag(sin(w_j^T z)) W has rank k unless fewer than k of the sines differ from 0. All w_j have the same length,
    so that the active subspace [Constantine 2015] is known: E[J_h^T J_h] is diagonal, with the ``shares`` i^-decay /
    sum_l l^-decay. At the default they are 0.57, 0.20, 0.11, 0.07, 0.05 for k = 5, more than a decade. So this code is
    not balanced, unlike those of the other tasks: a model of rank k - 1 loses little. Stronger directions are found
    before weaker ones: of the slope of f along each, the Leaky ResNet explains 0.18, 0.16, -0.01, -0.14, -0.07 at 100
    samples, 0.73, 0.63, 0.59, 0.45, 0.39 at 150 and 0.80, 0.72, 0.69, 0.59, 0.58 at 200 (mean R^2, seeds 0 and 1, by
    ``python -m tests.validity.directions``).

    It is opaque: f(-x) = f(x), so that no linear map has a test error below 1, and the largest gap of the targets'
    spectrum is behind the first value, which is mostly the square of the first coordinate.

    Test errors of ridge regression, kernel ridge regression, the recursive feature machine, a ResNet, a Leaky ResNet
    (effective depth 7) and a fully-connected network (20 layers each), seeds 0 and 1:

        PowerLaw-k5-n200   1.01  0.93  0.94  0.33  0.16  0.47

    Settings:
        k: dimension of the code and true rank.
        decay: exponent of the power law, at least 0.
        width: number of waves and outputs, at least 2 k.
        frequency: length of the wave vectors, in radians per standard deviation of the code.
    """

    decay: float = 1.5
    width: int = 30
    frequency: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_number("decay", 0.0, 10.0)
        self.require_int("width", 2 * self.k, why="2 k, so that the waves tell the directions apart")
        self.require_number("frequency", 0.0, 1e3, open_low=True)

    @property
    def shares(self) -> np.ndarray:
        """Share of E |J_h|^2 along each direction of the code, decreasing, (k,)."""
        weights = np.arange(1.0, self.k + 1.0) ** -self.decay
        return np.asarray(weights / weights.sum())

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The projections, and the waves."""
        directions = orthonormal(rng, self.k, self.d)
        decode = waves(rng, self.k, self.width, frequency=self.frequency, even=True, shares=self.shares)
        return lambda x: x @ directions.T, decode
