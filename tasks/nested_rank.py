"""Random residual teachers with two nested bottlenecks: the task of the paper's comparison of step-size rules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import REFERENCE_SAMPLES, Map, residual, whitened


@dataclass(frozen=True, kw_only=True)
class NestedRank(CodedTask):
    """The composition of three random residual networks, d -> k_outer -> k -> d [JK24 App. B: 30-6-3-30].

        u = white(R_1(x)),   z = white(R_2(u)),   f(x) = R_3(z)
        R(x) = D h_depth,    h_0 = E x,   h_i = h_{i-1} + (branch / sqrt(depth)) V_i relu(W_i h_{i-1} + b_i)

    Inputs (n, d) are standard normal, targets are (n, d); the true rank is k. A wider bottleneck of dimension k_outer
    comes first, so that a network can reduce the dimension in two stages. ``white`` gives mean 0 and covariance I over
    the inputs; b_i ~ N(0, bias^2) in R_1 and R_2, and there is no offset in R_3.

    Test errors at 1000 samples, seeds 0 and 1: ridge regression 0.27 and 0.33, a Leaky ResNet (effective depth 7, 20
    layers) 0.13 and 0.16.

    Settings:
        k: dimension of the inner code and true rank.
        k_outer: dimension of the outer code, from k to d.
        width: number of hidden units of each residual network, at least k_outer.
        depth: number of blocks of each residual network.
        bias: standard deviation of the offsets in the first two networks, relative to that of the pre-activations.
        branch: size of the residual branches, relative to the skip connection.
    """

    k_outer: int = 6
    width: int = 30
    depth: int = 1
    bias: float = 1.0
    branch: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_int("k_outer", self.k, self.d, why="the outer code lies between k and d")
        self.require_int("width", self.k_outer, why="k_outer, so that the residual stream holds the outer code")
        self.require_int("depth", 1)
        self.require_number("bias", 0.0, 1e3)
        self.require_number("branch", 0.0, 1e3, open_low=True)

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The first two networks, each with its whitening, as the code, and the third one as the decoder."""
        network = partial(residual, rng, width=self.width, depth=self.depth, branch=self.branch)
        first = network(self.d, self.k_outer, bias=self.bias)
        second = network(self.k_outer, self.k, bias=self.bias)
        decode = network(self.k, self.d)
        reference = self.sample_inputs(REFERENCE_SAMPLES, rng)
        outer_code = whitened(first, reference)
        inner_code = whitened(second, outer_code(reference))
        return lambda x: inner_code(outer_code(x)), decode
