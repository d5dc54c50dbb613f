"""The penalised objective of a leaky network and its gradient, for R runs at once on preallocated memory [JK24
section 1.1].

    F = C + (c0 / 2) sum_l rho_l |V_l|_F^2,    C = mean (f(X) - Y)^2

The mean is over samples and outputs. With c0 = lambda max(Lt, 1) and W = max(Lt, 1) V, the penalty is the paper's
lambda/(2 max(Lt, 1)) sum_l rho_l |W_l|^2, in which a bottleneck of rank k costs lambda Lt k / 2 = c0 k / 2 (Lt >= 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from leakybench.baselines.networks.kernels import make_kernel
from leakybench.baselines.networks.recursion import Coefficients, Movement


@dataclass(frozen=True, kw_only=True)
class FitProblem:
    """R data sets, and the fixed numbers of the networks that fit them; columns are samples.

    Attributes:
        inputs: X, (R, d_in, n).
        targets: Y, (R, d_out, n).
        embedding: E, (R, w, d_in), fixed, or where training starts.
        readout: D, (R, d_out, w), fixed, or where training starts.
        penalty: c0.
        learn_ends: whether E and D are trained too; each then counts as a layer of step-size 1/L in the penalty.
    """

    inputs: Float[Tensor, "R d_in n"]
    targets: Float[Tensor, "R d_out n"]
    embedding: Float[Tensor, "R w d_in"]
    readout: Float[Tensor, "R d_out w"]
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

    def to(self, where: torch.dtype | torch.device) -> FitProblem:
        """The same problem in another precision, or on another device."""
        return replace(
            self,
            inputs=self.inputs.to(where),
            targets=self.targets.to(where),
            embedding=self.embedding.to(where),
            readout=self.readout.to(where),
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """F at one point. Its parts are computed when first asked for, from the objective's memory.

    That memory holds the newest evaluation only. An older one refuses what it would have to read there, and keeps what
    it has computed before. ``parameters`` and ``gradient`` are the caller's arrays, not copies: ask before they change.

    Attributes:
        objective: which was evaluated.
        parameters: the point, (R, P).
        gradient: dF/dparameters, (R, P); None after ``Objective.predict``.
        version: the objective's version at this evaluation.
    """

    objective: Objective
    parameters: Float[Tensor, "R P"]
    gradient: Float[Tensor, "R P"] | None
    version: int

    @property
    def is_newest(self) -> bool:
        """Whether the objective's memory still holds this evaluation."""
        return self.version == self.objective.version

    def check_newest(self) -> None:
        """Raise ``RuntimeError`` if the objective has been evaluated, or changed, since."""
        if not self.is_newest:
            raise RuntimeError(
                "this evaluation is no longer the objective's newest, so that its states are overwritten: "
                "read from it before the next one, or evaluate the objective at these parameters again"
            )

    @cached_property
    def cost(self) -> Float64[Tensor, " R"]:
        """C, float64 (R,)."""
        self.check_newest()
        return self.objective.cost_of(self.objective.residual)

    @cached_property
    def penalty(self) -> Float64[Tensor, " R"]:
        """The penalty at the objective's present strength, float64 (R,)."""
        self.check_newest()
        return self.objective.penalty(self.parameters)

    @cached_property
    def value(self) -> Float64[Tensor, " R"]:
        """F = C + penalty, float64 (R,)."""
        return self.cost + self.penalty

    @cached_property
    def criticality_residual(self) -> Float64[Tensor, " R"]:
        """See ``Objective.criticality_residual``; float64 (R,).

        Raises:
            RuntimeError: the evaluation has no gradient, or is no longer the newest.
        """
        self.check_newest()
        if self.gradient is None:
            raise RuntimeError("the criticality residual needs the gradient: evaluate with Objective.gradient")
        return self.objective.criticality_residual(self.parameters, self.gradient)


class Objective:
    """F and its gradient at given step-sizes, on one workspace that every evaluation reuses.

    Parameters are one array (R, P), a row a run, so that an optimiser has one fused step to do; ``views`` shows the
    V, E and D that lie in it.

    Args:
        problem: data, ends and penalty.
        coefficients: of the recursion, at the step-sizes where all runs start.
        products: precision of the matrix products, torch.bfloat16, or None for that of the data.

    Attributes:
        kernel: memory and passes of the recursion; it holds the states of the newest evaluation.
        evaluations: gradients computed so far.
        version: changes with every evaluation, and with the step-sizes and the precision of the products.
        penalty_scale: factor of the problem's c0, which raises the penalty in stages.
        run_coefficients: of the recursion, one a run; they differ in their step-sizes alone.
        layer_steps: step-size of each parameter's layer, which weighs its penalty: rho_l for V_l, 1/L for a learned
            end; a list of float64 arrays (L,), (1,), (1,), or (R, L), (1,), (1,) where the runs' step-sizes differ.
    """

    def __init__(self, problem: FitProblem, coefficients: Coefficients, *, products: torch.dtype | None = None) -> None:
        self.problem = problem
        self.penalty_scale = 1.0
        self.evaluations = 0
        self.version = 0
        self._single = problem.runs == 1
        self._inputs, self._targets = self._squeeze(problem.inputs), self._squeeze(problem.targets)
        self._embedding, self._readout = self._squeeze(problem.embedding), self._squeeze(problem.readout)
        self._embedded = torch.matmul(self._embedding, self._inputs)
        self._residual, self._slope = torch.empty_like(self._targets), torch.empty_like(self._targets)
        depth, width = coefficients.depth, problem.width
        ends = [problem.embedding.shape[1:], problem.readout.shape[1:]] if problem.learn_ends else []
        self._shapes: list[tuple[int, ...]] = [(depth, width, width + 1), *(tuple(end) for end in ends)]
        self.run_coefficients = [coefficients] * problem.runs
        self.set_products(products)
        self.set_coefficients(self.run_coefficients)

    def set_products(self, products: torch.dtype | None) -> None:
        """Set the precision of the matrix products, torch.bfloat16, or None for that of the data; takes new memory."""
        like = self.problem.inputs
        shape = (self.problem.runs, self.problem.width, like.shape[2])
        self.kernel = make_kernel(products, self.run_coefficients, *shape, dtype=like.dtype, device=like.device)
        self.version += 1

    def set_coefficients(self, runs: Sequence[Coefficients]) -> None:
        """Change the step-sizes of the runs, one ``Coefficients`` each; the depth stays."""
        self.run_coefficients = list(runs)
        self.kernel.set_coefficients(self.run_coefficients)
        steps = [run.step_sizes for run in self.run_coefficients]
        shared = all(rho == steps[0] for rho in steps)
        rho = torch.tensor(steps[0] if shared else steps, dtype=torch.float64, device=self.problem.inputs.device)
        self.layer_steps = [rho, *(rho.new_full((1,), 1.0 / self.depth) for _ in self._shapes[1:])]
        self.version += 1

    @property
    def depth(self) -> int:
        """L."""
        return self.run_coefficients[0].depth

    def _squeeze(self, stacked: Tensor) -> Tensor:
        return stacked[0] if self._single else stacked

    @property
    def size(self) -> int:
        """P, the number of parameters of one run."""
        return sum(math.prod(shape) for shape in self._shapes)

    @property
    def strength(self) -> float:
        """The c0 that counts now: the problem's, times ``penalty_scale``."""
        return self.problem.penalty * self.penalty_scale

    @property
    def residual(self) -> Float[Tensor, "R d_out n"]:
        """f(X) - Y at the newest evaluation, (R, d_out, n), in a buffer that the next one overwrites."""
        return self._residual.unsqueeze(0) if self._single else self._residual

    @property
    def outputs(self) -> Float[Tensor, "R d_out n"]:
        """f(X) at the newest evaluation, (R, d_out, n)."""
        return self.residual + self.problem.targets

    def views(self, flat: Float[Tensor, "R P"]) -> list[Tensor]:
        """V (R, L, w, w + 1) and, where they are learned, E (R, w, d_in) and D (R, d_out, w), in a (R, P) array."""
        parts = torch.split(flat, [math.prod(shape) for shape in self._shapes], dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def ends(self, parameters: Float[Tensor, "R P"]) -> tuple[Float[Tensor, "R w d_in"], Float[Tensor, "R d_out w"]]:
        """E (R, w, d_in) and D (R, d_out, w), fixed or as they are in the parameters."""
        if not self.problem.learn_ends:
            return self.problem.embedding, self.problem.readout
        embedding, readout = self.views(parameters)[1:]
        return embedding, readout

    def initial(self, weights: Float[Tensor, "R L w w+1"]) -> Float[Tensor, "R P"]:
        """Parameters (R, P) that start from V (R, L, w, w + 1) and the problem's embedding and read-out."""
        ends = [self.problem.embedding, self.problem.readout] if self.problem.learn_ends else []
        return torch.cat([part.flatten(1).to(self.problem.inputs) for part in (weights, *ends)], dim=1)

    def predict(self, parameters: Float[Tensor, "R P"], *, movement: Movement | None = None) -> Evaluation:
        """Evaluate F at parameters (R, P) by a forward pass alone; ``movement`` records how far the layers move."""
        self._forward(parameters, movement)
        return Evaluation(self, parameters, None, self.version)

    def gradient(
        self, parameters: Float[Tensor, "R P"], out: Float[Tensor, "R P"], *, movement: Movement | None = None
    ) -> Evaluation:
        """Evaluate F at parameters (R, P), and write dF/dparameters (R, P) into ``out``."""
        self.evaluations += 1
        kernel, learn_ends = self.kernel, self.problem.learn_ends
        self._forward(parameters, movement)
        slope = self.cost_slope(self._residual, self._slope)
        weights, *given_ends = self.views(parameters)
        weight_gradients, *end_gradients = self.views(out)
        end_decay = self.strength / self.depth
        if learn_ends:
            torch.matmul(slope, kernel.running.mT, out=self._squeeze(end_gradients[1]))
            end_gradients[1].add_(given_ends[1], alpha=end_decay)
        readout = self._squeeze(given_ends[1]) if learn_ends else self._readout
        torch.matmul(readout.mT, slope, out=kernel.gradient)
        kernel.backward(weights, weight_gradients, decay=self.strength * self.layer_steps[0], to_input=learn_ends)
        if learn_ends:
            torch.matmul(kernel.gradient, self._inputs.mT, out=self._squeeze(end_gradients[0]))
            end_gradients[0].add_(given_ends[0], alpha=end_decay)
        return Evaluation(self, parameters, out, self.version)

    def _forward(self, parameters: Tensor, movement: Movement | None) -> None:
        """Run the network; the states are then in the kernel, and f(X) - Y in the buffer of residuals."""
        self.version += 1
        kernel, readout = self.kernel, self._readout
        weights, *learned_ends = self.views(parameters)
        if learned_ends:
            torch.matmul(self._squeeze(learned_ends[0]), self._inputs, out=kernel.running)
            readout = self._squeeze(learned_ends[1])
        else:
            kernel.running.copy_(self._embedded)
        kernel.forward(weights, movement)
        torch.matmul(readout, kernel.running, out=self._residual).sub_(self._targets)

    def cost_slope(self, residual: Float[Tensor, "*R d_out n"], out: Float[Tensor, "*R d_out n"]) -> Tensor:
        """Write dC/df of f(X) - Y, ([R,] d_out, n), into ``out``, and return it."""
        return torch.mul(residual, 2.0 / (residual.shape[-1] * residual.shape[-2]), out=out)

    def cost_of(self, residual: Float[Tensor, "R d_out n"]) -> Float64[Tensor, " R"]:
        """C of f(X) - Y, (R, d_out, n); float64 (R,)."""
        # row sums in the working precision, the rest in float64: exact enough to compare objectives to 1e-7
        rows = torch.linalg.vector_norm(residual, dim=2).double().square()
        return rows.sum(dim=1) / (residual.shape[1] * residual.shape[2])

    def penalty(self, parameters: Float[Tensor, "R P"]) -> Float64[Tensor, " R"]:
        """(c0/2) sum_l rho_l |V_l|^2, with |E|^2/L and |D|^2/L where they are learned; float64 (R,)."""
        parts = zip(self.layer_steps, self.views(parameters), strict=True)
        norms = torch.stack([(squared_norms(part) * rho).sum(1) for rho, part in parts]).sum(0)
        return 0.5 * self.strength * norms

    def criticality_residual(
        self, parameters: Float[Tensor, "R P"], gradients: Float[Tensor, "R P"]
    ) -> Float64[Tensor, " R"]:
        """How far the weights are from a critical point, relative to their size; float64 (R,).

            sqrt(sum_l rho_l |W_l - Lt B_l^T S_{l-1}|^2 / sum_l rho_l |W_l|^2)
              = sqrt(sum_l |dF/dV_l|^2 / rho_l) / sqrt(sum_l c0^2 rho_l |V_l|^2),

        since dF/dV_l = (c0 rho_l / Lt) (W_l - Lt B_l^T S_{l-1}) [JK24 section 1.3] (max(Lt, 1) for Lt throughout). It
        equals ``MomentumProfile.residual`` of ``leakybench.measures``. Learned ends do not count.

        Args:
            parameters: (R, P).
            gradients: dF/dparameters at the present penalty and step-sizes, (R, P).
        """
        rho = self.layer_steps[0]
        violation = (squared_norms(self.views(gradients)[0]) / rho).sum(1)
        size = self.strength**2 * (squared_norms(self.views(parameters)[0]) * rho).sum(1)
        return (violation / size).sqrt()

    def movement(self) -> Movement:
        """A recorder of the layers' movement for the next pass."""
        return Movement(self.kernel.scratch)


def squared_norms(stacked: Tensor) -> Float64[Tensor, "R layers"]:
    """Squared Frobenius norms of (R, L, out, in) or (R, out, in), summed over rows in float64; (R, L) or (R, 1)."""
    rows = torch.linalg.vector_norm(stacked, dim=-1).double().square().sum(dim=-1)
    return rows if rows.ndim == 2 else rows.unsqueeze(1)
