"""The penalised objective with a weight for each sample, for the scikit-learn estimator."""

from __future__ import annotations

import torch
from torch import Tensor

from leakybench.baselines.networks.objective import FitProblem, Objective
from leakybench.baselines.networks.recursion import Coefficients


class WeightedObjective(Objective):
    """F = mean_i w_i |f(x_i) - y_i|^2 / d_out + penalty, with weights w_i of mean 1; one run.

    A weight of 2 is the same as the sample twice, up to the mean. The preconditioner of the quasi-Newton method stays
    the unweighted one: it changes the way to the minimum, not the minimum.

    Args:
        problem: of one run.
        coefficients: of the recursion.
        weights: (n,), above 0, of mean 1.
    """

    def __init__(self, problem: FitProblem, coefficients: Coefficients, weights: Tensor) -> None:
        super().__init__(problem, coefficients)
        self._sample_weights = weights.to(problem.inputs)

    def cost_slope(self, residual: Tensor, out: Tensor) -> Tensor:
        """Write dC/df of f(X) - Y, (d_out, n), into ``out``, and return it."""
        return torch.mul(residual, self._sample_weights * (2.0 / residual.numel()), out=out)

    def cost_of(self, residual: Tensor) -> Tensor:
        """The weighted mean squared error of f(X) - Y, (1, d_out, n); float64 (1,)."""
        columns = residual[0].square().sum(dim=0).double()
        return (columns @ self._sample_weights.double() / residual.numel()).reshape(1)
