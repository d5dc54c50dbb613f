"""Inputs dominated by directions that do not matter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import Map, orthonormal, waves


@dataclass(frozen=True, kw_only=True)
class Nuisance(CodedTask):
    """Even waves of a linear code, among inputs that vary more and do not matter.

        x = Q^T (loudness e_1, ..., loudness e_loud, e_{loud+1}, ..., e_d),   e ~ N(0, I_d)
        z = U (quiet coordinates of Q x),   f_j(x) = cos(w_j^T z),   |w_j| = frequency,   j = 1..width

    Inputs are (n, d), targets (n, width); the true rank is k. Q (d, d) is a random rotation and U (k, d - loud) has
    orthonormal rows, so that z is standard normal and independent of the loud directions; the w_j form a tight frame.
    Certificate as in ``Waves``. Inputs have one common scale, which keeps their spectrum, so that a quiet direction has
    a standard deviation of 0.57 at the default of d = 30, and distances between inputs, which a kernel uses, are mostly
    those of the loud directions. Principal components of the inputs keep what does not matter.

    It is opaque: f(-x) = f(x), so that no linear map has a test error below 1, the targets span k (k + 1) / 2
    dimensions to second order in z, and the inputs' spectrum shows ``loud`` directions, or d.

    Test errors of ridge regression, kernel ridge regression, the recursive feature machine, a ResNet, a Leaky ResNet
    (effective depth 7) and a fully-connected network (20 layers each), seeds 0 and 1:

        Nuisance-k3-n500    1.01  1.00  1.01  0.13  0.08  0.03
        Nuisance-k2-d60     1.01  1.00  1.01  0.23  0.54  1.38

    Settings:
        k: dimension of the code and true rank, at most d - loud.
        loud: number of nuisance directions.
        loudness: their standard deviation; that of all other directions is 1.
        width: number of waves and outputs, at least 2 k.
        frequency: length of the wave vectors, in radians per standard deviation of the code.
    """

    loud: int = 8
    loudness: float = 3.0
    width: int = 30
    frequency: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_int("loud", 0)
        self.require_int("k", 1, self.d - self.loud, why="the code lies outside the loud directions")
        self.require_number("loudness", 0.0, 1e3, open_low=True)
        self.require_int("width", 2 * self.k, why="2 k, so that the waves tell the directions apart")
        self.require_number("frequency", 0.0, 1e3, open_low=True)

    @cached_property
    def _frame(self) -> np.ndarray:
        """Principal directions of the inputs in rows, (d, d), the loud ones first."""
        return orthonormal(self.rng("frame"), self.d, self.d)

    def sample_inputs(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw inputs with ``loud`` directions of standard deviation ``loudness``, float64 (n, d)."""
        white = rng.standard_normal((n, self.d))
        white[:, : self.loud] *= self.loudness
        return np.asarray(white @ self._frame)

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """Projections onto quiet directions, and the waves."""
        directions = orthonormal(rng, self.k, self.d - self.loud) @ self._frame[self.loud :]
        return lambda x: x @ directions.T, waves(rng, self.k, self.width, frequency=self.frequency, even=True)
