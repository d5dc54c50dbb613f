"""The penalised objective with a weight for each sample, for the scikit-learn estimator."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.network import Coefficients, backward_pass, forward_pass, layers
from baselines.objective import Objective, Problem


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

    def gradient(self, parameters: Tensor, out: Tensor) -> None:
        """Write dF/dparameters (1, P) into ``out``."""
        self.evaluations += 1
        space, coefficients = self.workspace, self.coefficients
        weights, readout = self._embed(parameters)
        forward_pass(weights, space.state_layers, space.running, coefficients)
        residual = torch.matmul(readout, space.running, out=self._residual).sub_(self._targets)
        # dC/df, (d_out, n)
        slope = residual * (self._sample_weights * (2.0 / residual.numel()))
        c0 = self.strength
        views = self.views(out)
        learn = self.problem.learn_ends
        ends = self.views(parameters)[1:]
        if learn:
            torch.matmul(slope, space.running.mT, out=views[2][0])
            views[2].add_(ends[1], alpha=c0 / coefficients.depth)
        torch.matmul(readout.mT, slope, out=space.gradient)
        backward_pass(
            weights,
            space.state_layers,
            space.gradient,
            space.scratch,
            layers(views[0]),
            coefficients,
            decay=[c0 * rho for rho in coefficients.step_sizes],
            to_input=learn,
        )
        if learn:
            torch.matmul(space.gradient, self._inputs.mT, out=views[1][0])
            views[1].add_(ends[0], alpha=c0 / coefficients.depth)

    def cost(self) -> Tensor:
        """The weighted mean squared error at the last evaluation; float64 (1,)."""
        columns = self._residual.square().sum(dim=0).double()
        return (columns @ self._sample_weights.double() / self._residual.numel()).reshape(1)
