"""A linear map of low rank: a task whose optimum is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leakybench.task import Normaliser
from leakybench.tasks.factored import CodedTask
from leakybench.tasks.teachers import Map, orthonormal


@dataclass(frozen=True, kw_only=True)
class Linear(CodedTask):
    """A random linear map of rank k.

        z = U x,   f(x) = V z = M x,   M = V U       U (k, d), V (d, k)

    Inputs (n, d) are standard normal, targets are (n, d); the true rank is k. U has orthonormal rows and V orthonormal
    columns, so the k singular values of M are all 1 and every direction carries exactly 1/k. The bottleneck rank of a
    linear map is its rank [Jacot 2023, arXiv 2209.15055]. Least squares solves this task exactly, so other methods can
    be compared with its solution.

    Settings:
        k: the true rank.
    """

    def factors(self, rng: np.random.Generator) -> tuple[Map, Map]:
        """The two orthonormal projections."""
        encoder, decoder = orthonormal(rng, self.k, self.d), orthonormal(rng, self.d, self.k)
        return lambda x: x @ encoder.T, lambda z: z @ decoder.T

    @cached_property
    def matrix(self) -> np.ndarray:
        """The matrix M (d, d) on raw inputs, f(x) = M x."""
        return self.teacher(np.eye(self.d)).T

    @cached_property
    def optimum(self) -> np.ndarray:
        """The map (d, d) from scaled inputs to scaled targets: (s_x / s_y) M, with the training scales s_x and s_y.

        It is exact without noise: ``train.targets = train.inputs @ optimum.T`` up to float32. With noise, s_y is the
        scale of the clean targets times sqrt(1 + noise^2), from which the scale of the drawn targets differs by
        O((n_train d)^(-1/2)).
        """
        inputs = self.sample_inputs(self.n_train, self.rng("train inputs"))
        clean = Normaliser.fit(self.teacher(inputs))
        return Normaliser.fit(inputs).scale / (clean.scale * np.sqrt(1.0 + self.noise**2)) * self.matrix
