"""A hierarchical multi-index target: projections, a polynomial of each, a few sums of these, and a link."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import Map, orthonormal, waves


@dataclass(frozen=True, kw_only=True)
class Hierarchical(CodedTask):
    """Waves of a few quadratic forms, which share a few projections of the inputs.

        u = W x,   z = A H_2(u),   f_j(x) = cos(w_j^T z + phi_j)        W (m, d), A (k, m), m = ``features``
        H_2(t) = (t^2 - 1) / sqrt(2),   |w_j| = frequency,   j = 1..width

    Inputs (n, d) are standard normal, targets are (n, width); the true rank is k. W and A have orthonormal rows, so
    that z has mean 0 and covariance I exactly; the w_j form a tight frame. Certificate: J_g = A diag(sqrt(2) u) W has
    rank k unless u vanishes in more than m - k places, and J_h as in ``Waves``.

    Source: the single-index (k = 1) and multi-index Gaussian hierarchical targets of Y. Dandi, L. Pesce, L. Zdeborova,
    F. Krzakala 2025, arXiv 2502.13961. From there come the three stages, from R^d to fewer projections, to a sum of a
    polynomial of each, to a link, and the reason: each stage reduces the effective dimension, so that a deep network
    needs far fewer samples than a shallow one or a kernel, which sees a polynomial of high degree in d inputs. Their
    theorems hold for d to infinity with m = d^eps, for a scalar target and layer-wise training; here d = 30, the
    polynomial is H_2, the k sums share their projections, and the link has one output a wave, because a scalar has
    bottleneck rank 1.

    It is opaque: f(-x) = f(x), so that no linear map has a test error below 1, and the targets span more than k
    dimensions, 2 at k = 1.

    Test errors of ridge regression, kernel ridge regression, the recursive feature machine, a ResNet, a Leaky ResNet
    (effective depth 7) and a fully-connected network (20 layers each), seeds 0 and 1:

        Hierarchical-k1        1.01  0.69  0.12  0.65  0.46  0.15
        Hierarchical-k3        1.01  0.86  0.38  0.49  0.28  0.19
        Hierarchical-k3-n500   1.01  0.94  0.71  1.28  0.65  0.55

    Settings:
        k: number of sums and true rank, at most ``features``.
        features: number m of projections, from k to d.
        width: number of waves and outputs, at least 2 k.
        frequency: length of the wave vectors, in radians per standard deviation of the code.
    """

    features: int = 6
    width: int = 30
    frequency: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_int("features", self.k, self.d, why="the projections lie between k and d")
        self.require_int("width", 2 * self.k, why="2 k, so that the waves tell the directions apart")
        self.require_number("frequency", 0.0, 1e3, open_low=True)

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The sums of the polynomials, and the waves."""
        projections, sums = orthonormal(rng, self.features, self.d), orthonormal(rng, self.k, self.features)

        def code(x: np.ndarray) -> np.ndarray:
            return ((x @ projections.T) ** 2 - 1.0) / np.sqrt(2.0) @ sums.T

        return code, waves(rng, self.k, self.width, frequency=self.frequency, even=False)
