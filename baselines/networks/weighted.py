"""The penalised objective with a weight for each sample, for the scikit-learn estimator."""

from __future__ import annotations

import torch
from torch import Tensor

from leakybench.baselines.networks.objective import Objective, Problem
from leakybench.baselines.networks.recursion import Coefficients


class WeightedObjective(Objective):
    """F = mean_i w_i |f(x_i) - y_i|^2 / d_out + penalty, with weights of mean 1; one run.

    A weight of 2 is then the same as the sample twice, up to the mean. The preconditioner of the main phase stays the
    unweighted one: it changes the way to the minimum, not the minimum.

    Args:
        problem: of one run.
        coefficients: of the network.
        weights: (n,), above 0, of mean 1.
    """

    def __init__(self, problem: Problem, coefficients: Coefficients, weights: Tensor) -> None:
        super().__init__(problem, coefficients)
        self._sample_weights = weights.to(problem.inputs)

    def _cost_gradient(self, residual: Tensor) -> Tensor:
        return torch.mul(residual, self._sample_weights * (2.0 / residual.numel()), out=self._slope)

    def cost(self) -> Tensor:
        """The weighted mean squared error at the last evaluation; float64 (1,)."""
        columns = self._residual.square().sum(dim=0).double()
        return (columns @ self._sample_weights.double() / self._residual.numel()).reshape(1)
