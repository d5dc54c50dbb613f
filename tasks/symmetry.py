"""A target that is invariant under a group; its rank is the dimension of the quotient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from leakybench.errors import UsageError
from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import Map, fully_connected, orthonormal


def chi_moments(m: int) -> tuple[float, float]:
    """Mean and standard deviation of the length of a standard normal vector in R^m.

    mean = sqrt(2) Gamma((m + 1)/2) / Gamma(m/2), variance = m - mean^2.
    """
    mean = math.sqrt(2.0) * math.exp(math.lgamma((m + 1) / 2) - math.lgamma(m / 2))
    return mean, math.sqrt(m - mean**2)


@dataclass(frozen=True, kw_only=True)
class Symmetry(CodedTask):
    """A random function of the orbits of SO(block)^k, each factor rotating one block of coordinates.

        (y_1, ..., y_k) = U x,   y_i in R^block                 U (k block, d), orthonormal rows
        z_i = (|y_i| - mu) / sigma,   f(x) = V relu(T z)        T (width, k), V (width, width)

    Inputs (n, d) are standard normal, targets are (n, width). mu and sigma are the mean and standard deviation of a chi
    variable with ``block`` degrees of freedom, so that the code is white. Rotating any y_i, or moving x in the kernel
    of U, leaves f unchanged. The quotient is (0, inf)^k, which has dimension k, so the true rank is k. No part of f is
    linear in x, so a linear method has test error 1. A Leaky ResNet (effective depth 7, 20 layers) has test error 0.016
    at 1000 samples, seeds 0 and 1.

    Settings:
        k: number of blocks and true rank.
        block: dimension of each block, at least 2; k * block is at most d.
        width: number of hidden units in each layer of the decoder, and number of outputs; at least 2 k.
        depth: number of hidden layers of the decoder.
    """

    d: int = 12
    block: int = 3
    width: int = 30
    depth: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_int("block", 2, why="SO(1) is trivial")
        if self.k * self.block > self.d:
            raise UsageError(f"k * block must be at most d = {self.d}, got {self.k} * {self.block}")
        self.require_int("width", 2 * self.k, why="2 k, so that the rectified layers keep rank k")
        self.require_int("depth", 1)

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The standardised lengths of the blocks, and the decoder."""
        frame = orthonormal(rng, self.k * self.block, self.d)
        mean, deviation = chi_moments(self.block)
        decode = fully_connected(rng, self.k, self.width, width=self.width, depth=self.depth)

        def code(x: np.ndarray) -> np.ndarray:
            blocks = (x @ frame.T).reshape(len(x), self.k, self.block)
            return (np.linalg.norm(blocks, axis=2) - mean) / deviation

        return code, decode
