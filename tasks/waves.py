"""Waves of a low-dimensional code: no gap of a spectrum shows the dimension of the code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakybench.errors import UsageError
from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import REFERENCE_SAMPLES, Map, fully_connected, orthonormal, waves, whitened


@dataclass(frozen=True, kw_only=True)
class Waves(CodedTask):
    """Waves in random directions of a code, linear or nonlinear, with phases or even.

        f_j(x) = cos(w_j^T z + phi_j),   |w_j| = frequency,   j = 1..width
        z = U x                                             U (k, d), with ``code_depth`` = 0
        z = C (R(x) - m)                                    R: a random ReLU network as in ``LowRank``, otherwise

    Inputs (n, d) are standard normal, targets are (n, width); the true rank is k. z is standard normal for the linear
    code, and white for the nonlinear one. The w_j form a tight frame (``leakybench.tasks.teachers.equal_frame``), so
    that all directions of z are alike, exactly for even waves of the linear code. Certificate: J_h = -diag(sin(w_j^T z
    + phi_j)) W has rank k unless fewer than k of the sines differ from 0.

    Even waves (phi_j = 0) of a linear code are opaque: f(-x) = f(x), so that E[f x^T] = 0 and no linear map has a test
    error below 1 at any N (information exponent 2 [Ben Arous, Gheissari, Jagannath 2021, arXiv 2003.10409]), and the
    targets span more than k dimensions: k (k + 1) / 2 to second order in z. Even waves of a nonlinear code have a small
    linear part, whose rank is not k. With phases the task is open: E[J_f] = E[J_h] U has rank k, and ridge regression
    shows it in spite of its error, with a nonlinear code as well.

    Test errors of ridge regression, kernel ridge regression, the recursive feature machine, a ResNet, a Leaky ResNet
    (effective depth 7) and a fully-connected network (20 layers each), seeds 0 and 1:

        EvenWaves-k2-d100    1.03  0.95  0.79  0.28  0.13  1.16
        EvenWaves-k3-n300    1.01  0.98  1.01  0.77  0.22  0.10
        EvenWaves-k10-n200   1.01  0.81  0.94  0.39  0.26  1.23
        EvenWaves-code-k3    0.98  0.55  0.38  0.46  0.22  0.20
        EvenWaves-code-k6    1.00  0.78  0.45  0.49  0.35  0.37

    Of the open Waves-k3: ridge regression 0.95, kernel ridge regression 0.85, the recursive feature machine 0.04, the
    Leaky ResNet 0.06, the fully-connected network 0.03. More effective depth is not always better: on
    EvenWaves-k10-n200, seed 0, the Leaky ResNet has 0.20, 0.17, 0.39 and 0.98 at effective depth 1, 3, 7 and 15.

    Settings:
        k: dimension of the code and true rank.
        width: number of waves and outputs, at least 2 k.
        frequency: length of the wave vectors, in radians per standard deviation of the code.
        even: waves without phases.
        code_depth: number of hidden layers of the code, with d units each; 0 for a linear code.
        bias: standard deviation of the offsets in the code's network, relative to that of the pre-activations.
    """

    width: int = 30
    frequency: float = 2.0
    even: bool = False
    code_depth: int = 0
    bias: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_int("width", 2 * self.k, why="2 k, so that the waves tell the directions apart")
        self.require_number("frequency", 0.0, 1e3, open_low=True)
        if not isinstance(self.even, bool):
            raise UsageError(f"even must be true or false, got {self.even!r}")
        self.require_int("code_depth", 0)
        self.require_number("bias", 0.0, 1e3)

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The code, and the waves."""
        decode = waves(rng, self.k, self.width, frequency=self.frequency, even=self.even)
        if self.code_depth == 0:
            directions = orthonormal(rng, self.k, self.d)
            return lambda x: x @ directions.T, decode
        inner = fully_connected(rng, self.d, self.k, width=self.d, depth=self.code_depth, bias=self.bias)
        return whitened(inner, self.sample_inputs(REFERENCE_SAMPLES, rng)), decode
