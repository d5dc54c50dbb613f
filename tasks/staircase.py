"""A merged-staircase polynomial: each step needs the coordinate that the previous step has revealed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import Map


@dataclass(frozen=True, kw_only=True)
class Staircase(CodedTask):
    """The monomials of a merged staircase in k hidden coordinates, with one output per step.

        z_i = x_{s_i},   f(x) = (z_1, z_1 z_2, ..., z_1 z_2 ... z_k)       s: k distinct random coordinates

    Inputs (n, d) are independent and uniform on [-sqrt(3), sqrt(3)] (mean 0, variance 1); targets (n, k) are
    uncorrelated with variance 1. The true rank is k: the Jacobian with respect to z is triangular with diagonal 1, z_1,
    z_1 z_2, ..., so it has rank k unless one of z_1 ... z_{k-1} is 0.

    Source: E. Abbe, E. Boix-Adsera, T. Misiakiewicz 2022, arXiv 2202.08658: sum_i z_1 ... z_i with inputs uniform on
    the vertices {-1, 1}^d. There are two changes, both because of the rank. There is one output per step instead of
    their sum, because a scalar has bottleneck rank 1. Inputs come from the solid cube instead of its vertices: on the
    vertices the targets take 2^k values, through which a curve can pass, so that the data would not show a rank above
    1.

    Test errors at 1000 samples, seeds 0 and 1: ridge regression 0.68 (it learns only the first step), a Leaky ResNet
    (effective depth 7, 20 layers) 0.014. At 300 samples (Staircase-k3-n300), seed 0: ridge regression 0.76, a ResNet
    0.71, a Leaky ResNet at effective depth 3, 7 and 15 0.55, 0.08 and 0.02.

    Settings:
        k: number of steps and true rank.
    """

    def sample_inputs(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw inputs uniformly from the cube, float64 (n, d)."""
        return np.sqrt(3.0) * rng.uniform(-1.0, 1.0, (n, self.d))

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The choice of coordinates, and the cumulative products."""
        chosen = rng.permutation(self.d)[: self.k]
        return lambda x: x[:, chosen], lambda z: np.cumprod(z, axis=1)
