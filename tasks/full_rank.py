"""A control without a bottleneck: an invertible map, whose rank is the dimension of its inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from leakybench.tasks.factored import FactoredTask
from leakybench.tasks.teachers import Map, orthonormal


def leaky_moments(slope: float) -> tuple[float, float]:
    """Mean and standard deviation of max(t, slope t) for a standard normal t.

    mean = (1 - slope) / sqrt(2 pi), E[max(t, slope t)^2] = (1 + slope^2) / 2.
    """
    mean = (1.0 - slope) / math.sqrt(2.0 * math.pi)
    return mean, math.sqrt((1.0 + slope**2) / 2.0 - mean**2)


@dataclass(frozen=True, kw_only=True)
class FullRank(FactoredTask):
    """A random invertible network: rotations alternating with leaky rectifiers.

        h_0 = x,   h_i = leaky(Q_i h_{i-1})  (i = 1..depth),   f(x) = Q h_depth
        leaky(t) = (max(t, slope t) - mu) / sigma

    Inputs (n, d) are standard normal, targets are (n, d); the true rank is d. All Q are Haar-random orthogonal; mu and
    sigma are the mean and standard deviation of max(t, slope t) for a standard normal t, so that each layer is white or
    close to it. The singular values of the Jacobian lie in [slope^depth, 1] / sigma^depth at every point, and f is a
    homeomorphism of R^d, which no continuous map through R^(d-1) equals (invariance of domain). There is no setting k:
    the rank is d, by default 8, so that 1000 samples suffice. A baseline that finds a rank below d has a larger test
    error. Test errors at 1000 samples, seeds 0 and 1: ridge regression 0.27, a Leaky ResNet (effective depth 7, 20
    layers) 0.004.

    Settings:
        d: dimension of the inputs and true rank.
        depth: number of hidden layers of the teacher.
        slope: slope of the leaky rectifier below 0, in (0, 1].
    """

    d: int = 8
    depth: int = 2
    slope: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_int("depth", 1)
        self.require_number("slope", 0.0, 1.0, open_low=True)

    @property
    def true_rank(self) -> int:
        """The dimension of the inputs."""
        return self.d

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The identity, and the network."""
        rotations = [orthonormal(rng, self.d, self.d) for _ in range(self.depth)]
        last = orthonormal(rng, self.d, self.d)

        mean, deviation = leaky_moments(self.slope)

        def decode(z: np.ndarray) -> np.ndarray:
            for rotation in rotations:
                z = z @ rotation.T
                z = (np.maximum(z, self.slope * z) - mean) / deviation
            return z @ last.T

        return lambda x: x, decode
