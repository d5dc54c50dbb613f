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

from baselines.network import Coefficients, Workspace, backward_pass, forward_pass, layers


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

    def __init__(self, problem: Problem, coefficients: Coefficients) -> None:
        self.problem = problem
        self.penalty_scale = 1.0
        self.evaluations = 0
        depth, runs, width = coefficients.depth, problem.runs, problem.width
        like = problem.inputs
        self.workspace = Workspace(depth, runs, width, like.shape[2], dtype=like.dtype, device=like.device)
        self._single = runs == 1
        self._inputs, self._targets = self._squeeze(problem.inputs), self._squeeze(problem.targets)
        self._embedding, self._readout = self._squeeze(problem.embedding), self._squeeze(problem.readout)
        self._embedded = torch.matmul(self._embedding, self._inputs)
        self._residual = torch.empty_like(self._targets)
        ends = [problem.embedding.shape[1:], problem.readout.shape[1:]] if problem.learn_ends else []
        self._shapes: list[tuple[int, ...]] = [(depth, width, width + 1), *(tuple(end) for end in ends)]
        self.set_coefficients(coefficients)

    def set_coefficients(self, coefficients: Coefficients) -> None:
        """Change the step-sizes; the depth stays."""
        self.coefficients = coefficients
        # the step-size of each parameter's layer, which weighs its penalty: rho_l for V_l, 1/L for a learned end
        rho = torch.tensor(coefficients.step_sizes, dtype=torch.float64, device=self.problem.inputs.device)
        self.layer_steps = [rho, *(rho.new_full((1,), 1.0 / len(rho)) for _ in self._shapes[1:])]

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

    def predict(self, parameters: Tensor) -> Tensor:
        """The forward pass; returns f(X) - Y, ([R,] d_out, n), in a buffer that the next call overwrites."""
        space = self.workspace
        weights, readout = self._embed(parameters)
        forward_pass(weights, space.state_layers, space.running, self.coefficients)
        torch.matmul(readout, space.running, out=self._residual)
        return self._residual.sub_(self._targets)

    def _embed(self, parameters: Tensor) -> tuple[list[Tensor], Tensor]:
        """Put A_0 into the workspace; returns the layers' weights and the read-out."""
        views = self.views(parameters)
        if self.problem.learn_ends:
            torch.matmul(self._squeeze(views[1]), self._inputs, out=self.workspace.running)
            return layers(views[0]), self._squeeze(views[2])
        self.workspace.running.copy_(self._embedded)
        return layers(views[0]), self._readout

    @property
    def strength(self) -> float:
        """The c0 that counts now: the problem's, times ``penalty_scale``, which raises the penalty in stages."""
        return self.problem.penalty * self.penalty_scale

    def gradient(self, parameters: Tensor, out: Tensor) -> None:
        """Write dF/dparameters (R, P) into ``out``."""
        self.evaluations += 1
        space, coefficients = self.workspace, self.coefficients
        weights, readout = self._embed(parameters)
        forward_pass(weights, space.state_layers, space.running, coefficients)
        residual = torch.matmul(readout, space.running, out=self._residual).sub_(self._targets)
        per_entry = 2.0 / (residual.shape[-1] * residual.shape[-2])
        c0 = self.strength
        end_decay = c0 / coefficients.depth
        views = self.views(out)
        learn = self.problem.learn_ends
        if learn:
            ends = self.views(parameters)[1:]
            torch.matmul(residual, space.running.mT, out=self._squeeze(views[2]))
            views[2].mul_(per_entry).add_(ends[1], alpha=end_decay)
        torch.matmul(readout.mT, residual, out=space.gradient)
        space.gradient.mul_(per_entry)
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
            torch.matmul(space.gradient, self._inputs.mT, out=self._squeeze(views[1]))
            views[1].add_(ends[0], alpha=end_decay)

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

    def movement(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """|A_l - A_{l-1}| and |A_l| for l = 1..L, by a forward pass that keeps their norms; float64 (L, R) each."""
        space, coefficients = self.workspace, self.coefficients
        weights, _ = self._embed(parameters)
        product = torch.addmm if self._single else torch.baddbmm
        before, after = space.running, space.scratch
        moved, sizes = [], []
        for weight, state, skip, branch in zip(
            weights, space.state_layers, coefficients.skip, coefficients.branch, strict=True
        ):
            torch.clamp_min(before, 0.0, out=state[..., : self.problem.width, :])
            product(before, weight, state, beta=skip, alpha=branch, out=after)
            moved.append(before.sub_(after).flatten(-2).norm(dim=-1).reshape(-1))
            sizes.append(after.flatten(-2).norm(dim=-1).reshape(-1))
            before, after = after, before
        return torch.stack(moved).double(), torch.stack(sizes).double()


def squared_norms(stacked: Tensor) -> Tensor:
    """Squared Frobenius norms of (R, L, out, in) or (R, out, in), summed over rows in float64; (R, L) or (R, 1)."""
    rows = stacked.square().sum(dim=-1).double().sum(dim=-1)
    return rows if rows.ndim == 2 else rows.unsqueeze(1)
