"""Random fully-connected teachers with a bottleneck: the main task of the paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import REFERENCE_SAMPLES, Map, fully_connected, whitened


@dataclass(frozen=True, kw_only=True)
class LowRank(CodedTask):
    """The composition of two random ReLU networks, d -> k -> d [JK24 App. B: 30-3-30].

        z = C (U relu(W x + b) - m)        g: W (width, d), b ~ N(0, bias^2), U (k, width)
        f(x) = V relu(T z)                 h: T (width, k), V (d, width)

    Inputs (n, d) are standard normal, targets are (n, d); the true rank is k. ``W``, ``U``, ``T`` and ``V`` are scaled
    random orthonormal matrices; ``C`` and ``m`` give the code mean 0 and covariance I over the inputs.

    Balance: the code is white, and without an offset in h each unit of T z is active about half of the time, so that
    E[J_h^T J_h] is close to a multiple of I: each direction of the code carries close to 1/k of f, and none can be
    dropped. Difficulty: the offsets b make g smooth enough to be learnt from 1000 samples, while f stays far from
    linear. Test errors at 1000 samples, seeds 0 and 1, of ridge regression and of a Leaky ResNet (effective depth 7, 20
    layers): k = 1: 0.35, 0.08; k = 2: 0.40, 0.14; k = 3: 0.39, 0.10; k = 5: 0.41, 0.10; k = 10: 0.41, 0.06.
    LowRank-k10-n300, 300 samples, seed 0: ridge regression 0.43, a ResNet 0.38, a Leaky ResNet at effective depth 3, 7
    and 15 0.29, 0.26 and 0.22.

    Settings:
        k: dimension of the code and true rank.
        width: number of hidden units in each layer of both maps, at least 2 k, so that the rectified layers keep rank
            k.
        depth: number of hidden layers of each of the two maps.
        bias: standard deviation of the offsets in g, relative to that of the pre-activations.
    """

    width: int = 30
    depth: int = 1
    bias: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_int("width", 2 * self.k, why="2 k, so that the rectified layers keep rank k")
        self.require_int("depth", 1)
        self.require_number("bias", 0.0, 1e3)

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The two networks, the first one followed by a whitening."""
        inner = fully_connected(rng, self.d, self.k, width=self.width, depth=self.depth, bias=self.bias)
        outer = fully_connected(rng, self.k, self.d, width=self.width, depth=self.depth)
        reference = self.sample_inputs(REFERENCE_SAMPLES, rng)
        return whitened(inner, reference), outer
