"""Targets on a curved manifold: the linear rank of the targets exceeds their bottleneck rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import Map, orthonormal


@dataclass(frozen=True, kw_only=True)
class Curved(CodedTask):
    """A few projections, mapped onto a sphere.

        z = reach U x,   s(z) = (2 z, |z|^2 - 1) / (1 + |z|^2),   f(x) = V s(z)       U (k, d), V (d, k + 1)

    Inputs (n, d) are standard normal, targets are (n, d). U and V are orthonormal; s is the inverse of the
    stereographic projection, from R^k onto the unit sphere S^k without a pole. s is conformal,
    J_s^T J_s = 4 / (1 + |z|^2)^2 I, so the Jacobian of f has k equal non-zero singular values at every point: the true
    rank is k, and all directions are alike. The targets span k + 1 linear dimensions, so an estimator that counts the
    linear dimensions of a curved representation reports one too many. Test errors at 1000 samples, seeds 0 and 1:
    ridge regression 0.44, a Leaky ResNet (effective depth 7, 20 layers) 0.004. At 100 samples (Curved-k2-n100), seeds 0
    and 1: ridge regression 0.53, a ResNet 0.71, a Leaky ResNet at effective depth 3, 7 and 15 0.45, 0.12 and 0.06.

    Settings:
        k: dimension of the sphere and true rank, at most d - 1.
        reach: standard deviation of each coordinate of z. Points with |z| = 1 lie on the equator. For a reach near 0
            the targets stay on a flat cap, above 1 most of them are close to the pole.
    """

    k: int = 2
    reach: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_int("k", 1, self.d - 1, why="the sphere needs k + 1 of the d outputs")
        self.require_number("reach", 0.0, 1e3, open_low=True)

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The projections, and the map onto the sphere."""
        directions, frame = orthonormal(rng, self.k, self.d), orthonormal(rng, self.d, self.k + 1)

        def decode(z: np.ndarray) -> np.ndarray:
            square = np.sum(z**2, axis=1, keepdims=True)
            return np.hstack([2.0 * z, square - 1.0]) / (1.0 + square) @ frame.T

        return lambda x: self.reach * (x @ directions.T), decode
