"""A Kronecker-factored model of the objective's curvature, as a preconditioner.

The Gauss-Newton matrix of the squared error, restricted to V_l and with inputs and output gradients of a layer taken as
independent, is a Kronecker product (Martens and Grosse 2015, arXiv 1503.05671). With C the mean over n samples and
d_out outputs,

    H_l = (2 / d_out) b_l^2  G_l (x) K_l + c0 rho_l I,    K_l = S_{l-1} S_{l-1}^T / n,   G_l = E[g g^T],

where g = (df/dA_l)^T u for a random u of unit covariance, one for each sample. The penalty's part is exact. Instead of
the inverse of that sum, M_l is a Kronecker product too (the factored damping of Martens and Grosse, section 6.3), so
that it costs two small products a layer to apply: with (2 / d_out) b_l^2 in G_l and d = c0 rho_l (1 + damping),

    M_l V = (G_l + pi sqrt(d) I)^{-1} V (K_l + sqrt(d) / pi I)^{-1},    pi^2 = mean eigenvalue of G_l over that of K_l.

It damps directions that only one of the two factors knows more than the sum would, which is the better metric for
L-BFGS here: most for networks without skip connections, whose layers depend on each other most (docs/speed.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from leakybench.baselines.networks.objective import Evaluation
from leakybench.baselines.networks.recursion import layers


class KroneckerPreconditioner:
    """M = the inverse of the damped model at the parameters of an evaluation.

    Args:
        evaluation: the objective's newest, whose states are read.
        probes: a generator of u for each run; one u for each sample and refresh is enough at n >> d_out.
        damping: added to the model's curvature, in units of the penalty's own c0 rho_l.

    Raises:
        RuntimeError: the evaluation is not the newest.
    """

    def __init__(self, evaluation: Evaluation, *, probes: Sequence[torch.Generator], damping: float = 0.0) -> None:
        evaluation.check_newest()
        self._objective = objective = evaluation.objective
        per_output = 2.0 / objective.problem.targets.shape[1]
        self._inverses = []
        for (output, inputs), rho in zip(_factors(evaluation, probes), objective.layer_steps, strict=True):
            decay = objective.strength * (1.0 + damping) * rho
            self._inverses.append(damped_inverses(per_output * output, inputs, decay))

    def __call__(self, vector: Tensor, out: Tensor) -> Tensor:
        """Write M times each run's gradient (R, P) into ``out``, and return it."""
        parts = zip(self._inverses, self._objective.views(vector), self._objective.views(out), strict=True)
        for (left, right), part, result in parts:
            # one batch axis: matmul on four axes copies, which here costs more than it computes
            product = torch.bmm(left, part.reshape(len(left), *part.shape[-2:]))
            if result.is_contiguous():
                torch.bmm(product, right, out=result.view(product.shape))
            else:
                result.copy_(torch.bmm(product, right).view_as(result))
        return out


def damped_inverses(output: Tensor, inputs: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
    """(G + pi sqrt(d) I)^{-1} and (K + sqrt(d) / pi I)^{-1} of every layer, with one batch axis.

    Computed in float64: with little damping the factors span more orders of magnitude than float32 resolves. A factor
    that is not finite counts as zero; the line search rejects the step that follows.

    Args:
        output: G, (R, [L,] w, w).
        inputs: K, (R, [L,] w', w').
        decay: d, (L,) or (1,).
    """
    runs = len(output)
    factors = [factor.double().nan_to_num(0.0, 0.0, 0.0).flatten(0, -3) for factor in (output, inputs)]
    output_mean, input_mean = (factor.diagonal(dim1=1, dim2=2).mean(1) for factor in factors)
    present = (output_mean > 0.0) & (input_mean > 0.0)
    # the bounds keep the inverses of a layer without signal within the range of float32
    ratio = torch.where(present, output_mean / torch.where(present, input_mean, 1.0), 1.0).clamp(1e-12, 1e12).sqrt()
    root = decay.to(output.device).sqrt().repeat(runs)
    inverses = []
    for factor, damping in zip(factors, (root * ratio, root / ratio), strict=True):
        factor.diagonal(dim1=1, dim2=2).add_(damping[:, None])
        inverses.append(torch.cholesky_inverse(torch.linalg.cholesky(factor)).to(output.dtype))
    return inverses[0], inverses[1]


def _factors(evaluation: Evaluation, probes: Sequence[torch.Generator]) -> list[tuple[Tensor, Tensor]]:
    """The two Kronecker factors of V (R, L, w, w) and (R, L, w + 1, w + 1), and of E and D where they are learned."""
    objective = evaluation.objective
    problem, kernel, coefficients = objective.problem, objective.kernel, objective.coefficients
    runs, d_out, samples = problem.targets.shape
    stack = (
        torch.stack(_output_factors(evaluation, probes), dim=-3).reshape(runs, coefficients.depth, problem.width, -1)
        / samples
    )
    branch_squared = torch.tensor(coefficients.branch).square().to(stack)
    moments = torch.stack([second_moment(state) for state in kernel.state_layers], dim=-3)
    moments = moments.reshape(runs, coefficients.depth, problem.width + 1, -1)
    blocks = [(stack * branch_squared[:, None, None], moments)]
    if problem.learn_ends:
        covariance = problem.inputs @ problem.inputs.mT / samples
        gradient = kernel.gradient  # at A_0, where the probes have been propagated to
        blocks.append(((gradient @ gradient.mT / samples).reshape(runs, problem.width, -1), covariance))
        # the input of the read-out is A_L, which the forward pass left in ``running``; its output gradient is u itself
        final = kernel.running.reshape(runs, problem.width, samples)
        identity = torch.eye(d_out).to(stack).expand(runs, d_out, d_out)
        blocks.append((identity, final @ final.mT / samples))
    return blocks


def _output_factors(evaluation: Evaluation, probes: Sequence[torch.Generator]) -> list[Tensor]:
    """g g^T summed over the samples, ([R,] w, w) for l = 1..L.

    The last g, at A_0 with learned ends and at A_1 with fixed ones, stays in ``kernel.gradient``.
    """
    objective = evaluation.objective
    problem, kernel, coefficients = objective.problem, objective.kernel, objective.coefficients
    runs, d_out, samples = problem.targets.shape
    readout = objective.ends(evaluation.parameters)[1]
    draw = torch.stack([torch.randn(d_out, samples, generator=probe) for probe in probes]).to(problem.targets)
    weights = layers(objective.views(evaluation.parameters)[0])
    single = runs == 1
    gradient, scratch = kernel.gradient, kernel.scratch
    torch.matmul(readout[0].mT if single else readout.mT, draw[0] if single else draw, out=gradient)
    factors = []
    for l in range(coefficients.depth - 1, -1, -1):
        factors.append(gradient @ gradient.mT)
        if l > 0 or problem.learn_ends:
            state = kernel.state_layers[l][..., : problem.width, :].to(gradient.dtype)
            torch.matmul(weights[l][..., : problem.width].mT, gradient, out=scratch)
            torch.ops.aten.threshold_backward.grad_input(scratch, state, 0.0, grad_input=scratch)
            gradient.mul_(coefficients.skip[l]).add_(scratch, alpha=coefficients.branch[l])
    return factors[::-1]


def second_moment(state: Tensor) -> Tensor:
    """S S^T / n of ([R,] w + 1, n), at least in float32."""
    wide = state.to(torch.promote_types(state.dtype, torch.float32))
    return wide @ wide.mT / state.shape[-1]
