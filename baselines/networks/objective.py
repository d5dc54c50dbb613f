"""The penalised objective of a leaky network and its gradient, for R runs at once on preallocated memory [JK24
section 1.1].

    F = mean (f(X) - Y)^2 + (c0 / 2) sum_l rho_l |V_l|_F^2

The mean is over samples and outputs. The penalty is the paper's lambda/(2 max(Lt, 1)) sum rho_l |W_l|^2 under the rule

    lambda = c0 / max(Lt, 1),

which makes the price of a bottleneck of rank k, lambda Lt k / 2 = c0 k / 2, the same at every effective depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leakybench.baselines.networks import recursion_bf16 as rounded
from leakybench.baselines.networks.recursion import (
    Coefficients,
    Movement,
    Workspace,
    backward_pass,
    forward_pass,
    layers,
)
from leakybench.baselines.networks.recursion_bf16 import RoundedBuffers


@dataclass(frozen=True, kw_only=True)
class Problem:
    """R data sets and the fixed numbers of the networks that fit them; columns are samples.

    Attributes:
        inputs: (R, d_in, n); targets: (R, d_out, n).
        embedding: E, (R, w, d_in); readout: D, (R, d_out, w): fixed, or where training starts.
        penalty: c0.
        learn_ends: whether E and D are trained too; each then counts as a layer of step-size 1/L in the penalty.
    """

    inputs: Tensor
    targets: Tensor
    embedding: Tensor
    readout: Tensor
    penalty: float
    learn_ends: bool = False

    @property
    def runs(self) -> int:
        """R."""
        return self.inputs.shape[0]

    @property
    def width(self) -> int:
        """w."""
        return self.embedding.shape[1]

    def to(self, dtype: torch.dtype) -> Problem:
        """The same problem in another precision."""
        return Problem(
            inputs=self.inputs.to(dtype),
            targets=self.targets.to(dtype),
            embedding=self.embedding.to(dtype),
            readout=self.readout.to(dtype),
            penalty=self.penalty,
            learn_ends=self.learn_ends,
        )


class Objective:
    """F and its gradient at given step-sizes, reusing one workspace.

    Parameters are one array (R, P), a row a run, so that an optimiser has one fused step to do; :meth:`views` shows the
    V, E and D that lie in it. After :meth:`gradient`, ``workspace.states`` holds the S_l of the parameters it was
    called with.
    """

    def __init__(self, problem: Problem, coefficients: Coefficients, *, products: torch.dtype | None = None) -> None:
        self.problem = problem
        self.penalty_scale = 1.0
        self.evaluations = 0
        self._single = problem.runs == 1
        self._inputs, self._targets = self._squeeze(problem.inputs), self._squeeze(problem.targets)
        self._embedding, self._readout = self._squeeze(problem.embedding), self._squeeze(problem.readout)
        self._embedded = torch.matmul(self._embedding, self._inputs)
        self._residual, self._slope = torch.empty_like(self._targets), torch.empty_like(self._targets)
        depth, width = coefficients.depth, problem.width
        ends = [problem.embedding.shape[1:], problem.readout.shape[1:]] if problem.learn_ends else []
        self._shapes: list[tuple[int, ...]] = [(depth, width, width + 1), *(tuple(end) for end in ends)]
        self.set_coefficients(coefficients)
        self.set_products(products)

    def set_products(self, products: torch.dtype | None) -> None:
        """The precision of the matrix products, torch.bfloat16, or None for that of the data; takes new memory."""
        problem, like = self.problem, self.problem.inputs
        shape = (self.coefficients.depth, problem.runs, problem.width, like.shape[2])
        self.workspace = Workspace(*shape, dtype=like.dtype, device=like.device, products=products)
        self._rounded = None if products is None else RoundedBuffers(*shape, device=like.device)

    def set_coefficients(self, coefficients: Coefficients) -> None:
        """Change the step-sizes; the depth stays."""
        self.coefficients = coefficients
        like = self.problem.inputs
        # the step-size of each parameter's layer, which weighs its penalty: rho_l for V_l, 1/L for a learned end
        rho = torch.tensor(coefficients.step_sizes, dtype=torch.float64, device=like.device)
        self.layer_steps = [rho, *(rho.new_full((1,), 1.0 / len(rho)) for _ in self._shapes[1:])]
        self._branch = torch.tensor(coefficients.branch, dtype=like.dtype, device=like.device)[:, None, None]

    def _squeeze(self, stacked: Tensor) -> Tensor:
        return stacked[0] if self._single else stacked

    @property
    def size(self) -> int:
        """P, the number of parameters of one run."""
        return sum(math.prod(shape) for shape in self._shapes)

    def views(self, flat: Tensor) -> list[Tensor]:
        """V (R, L, w, w + 1) and, where they are learned, E (R, w, d_in) and D (R, d_out, w), in a (R, P) array."""
        parts = torch.split(flat, [math.prod(shape) for shape in self._shapes], dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def initial(self, weights: Tensor) -> Tensor:
        """Parameters (R, P) that start from V (R, L, w, w + 1) and the problem's embedding and read-out."""
        ends = [self.problem.embedding, self.problem.readout] if self.problem.learn_ends else []
        return torch.cat([part.flatten(1).to(self.problem.inputs) for part in (weights, *ends)], dim=1)

    def predict(self, parameters: Tensor, *, movement: Movement | None = None) -> Tensor:
        """The forward pass; returns f(X) - Y, ([R,] d_out, n), in a buffer that the next call overwrites."""
        return self._forward(parameters, movement)[-1]

    def _forward(self, parameters: Tensor, movement: Movement | None) -> tuple[list[Tensor], Coefficients, Tensor]:
        """Run the network; returns what the products ran on, V_l or U_l = b_l V_l, with its coefficients, and f(X) - Y.

        V itself serves where the step-sizes are uniform; otherwise see :func:`leakybench.baselines.networks.recursion.forward_pass`.
        """
        space, views, coefficients = self.workspace, self.views(parameters), self.coefficients
        if self.problem.learn_ends:
            torch.matmul(self._squeeze(views[1]), self._inputs, out=space.running)
        else:
            space.running.copy_(self._embedded)
        if self._rounded is not None:
            weights = layers(torch.mul(views[0], self._branch, out=self._rounded.weights))
            update = self._rounded.update
            rounded.forward_pass(weights, space.state_layers, space.running, update, coefficients, movement)
        else:
            if coefficients.even:
                weights = layers(views[0])
            else:
                weights, coefficients = layers(views[0] * self._branch), coefficients.absorbed()
            forward_pass(weights, space.state_layers, space.running, coefficients, movement)
        residual = torch.matmul(self._ends(parameters)[1], space.running, out=self._residual).sub_(self._targets)
        return weights, coefficients, residual

    def _ends(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """E and D, ([R,] ...), fixed or as they are now."""
        if not self.problem.learn_ends:
            return self._embedding, self._readout
        embedding, readout = self.views(parameters)[1:]
        return self._squeeze(embedding), self._squeeze(readout)

    @property
    def strength(self) -> float:
        """The c0 that counts now: the problem's, times ``penalty_scale``, which raises the penalty in stages."""
        return self.problem.penalty * self.penalty_scale

    def gradient(self, parameters: Tensor, out: Tensor, *, movement: Movement | None = None) -> None:
        """Write dF/dparameters (R, P) into ``out``; ``movement`` takes notes on the way."""
        self.evaluations += 1
        space, learn = self.workspace, self.problem.learn_ends
        weights, coefficients, residual = self._forward(parameters, movement)
        slope = self._cost_gradient(residual)
        inside, *given_ends = self.views(parameters)
        found, *ends = self.views(out)
        end_decay = self.strength / coefficients.depth
        if learn:
            torch.matmul(slope, space.running.mT, out=self._squeeze(ends[1]))
            ends[1].add_(given_ends[1], alpha=end_decay)
        torch.matmul(self._ends(parameters)[1].mT, slope, out=space.gradient)
        decay = [self.strength * rho for rho in coefficients.step_sizes]
        if self._rounded is not None:
            buffers = self._rounded
            rounded.backward_pass(
                weights,
                space.state_layers,
                space.gradient,
                buffers.gradient,
                buffers.update,
                layers(buffers.weight_gradients),
                coefficients,
                to_input=learn,
            )
            torch.mul(buffers.weight_gradients, self._branch, out=found)
        else:
            even = coefficients.even
            backward_pass(
                weights,
                space.state_layers,
                space.gradient,
                space.scratch,
                layers(found),
                coefficients,
                decay=decay if even else [0.0] * coefficients.depth,
                to_input=learn,
            )
            if not even:
                found.mul_(self._branch)
        if self._rounded is not None or not coefficients.even:
            found.addcmul_(inside, self._branch.new_tensor(decay)[:, None, None])
        if learn:
            torch.matmul(space.gradient, self._inputs.mT, out=self._squeeze(ends[0]))
            ends[0].add_(given_ends[0], alpha=end_decay)

    def _cost_gradient(self, residual: Tensor) -> Tensor:
        """dC/df from f(X) - Y, ([R,] d_out, n)."""
        return torch.mul(residual, 2.0 / (residual.shape[-1] * residual.shape[-2]), out=self._slope)

    def cost(self) -> Tensor:
        """The mean squared error at the last evaluation; float64 (R,)."""
        residual = self._residual.unsqueeze(0) if self._single else self._residual
        # row sums in the working precision, the rest in float64: exact enough to compare objectives to 1e-7
        return residual.square().sum(dim=2).double().sum(dim=1) / (residual.shape[1] * residual.shape[2])

    def penalty(self, parameters: Tensor) -> Tensor:
        """(c0/2) sum_l rho_l |V_l|^2, with |E|^2/L and |D|^2/L where they are learned; float64 (R,)."""
        parts = zip(self.layer_steps, self.views(parameters), strict=True)
        norms = torch.stack([(squared_norms(part) * rho).sum(1) for rho, part in parts]).sum(0)
        return 0.5 * self.strength * norms

    def criticality_residual(self, parameters: Tensor, gradients: Tensor) -> Tensor:
        """sqrt(sum_l |dF/dV_l|^2) / sqrt(sum_l |c0 rho_l V_l|^2): how far the weights are from critical; float64 (R,).

        For one layer |dF/dV_l| / |c0 rho_l V_l| is |W_l - Lt B_l^T S_{l-1}| / |W_l| [JK24 section 1.3].
        ``gradients`` must be those of the present penalty.
        """
        decay = (self.strength * self.layer_steps[0]) ** 2 * squared_norms(self.views(parameters)[0])
        return (squared_norms(self.views(gradients)[0]).sum(1) / decay.sum(1)).sqrt()

    def movement(self) -> Movement:
        """A note-taker for the next pass."""
        return Movement(self.workspace.scratch)


def squared_norms(stacked: Tensor) -> Tensor:
    """Squared Frobenius norms of (R, L, out, in) or (R, out, in), summed over rows in float64; (R, L) or (R, 1)."""
    rows = stacked.square().sum(dim=-1).double().sum(dim=-1)
    return rows if rows.ndim == 2 else rows.unsqueeze(1)
