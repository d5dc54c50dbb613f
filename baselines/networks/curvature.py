"""A Kronecker-factored model of the objective's curvature, as a preconditioner.

The Gauss-Newton matrix of the squared error, restricted to V_l and with inputs and output gradients of a layer taken as
independent, is a Kronecker product (Martens and Grosse 2015, arXiv 1503.05671). With C the mean over n samples and
d_out outputs,

    H_l = (2 / d_out) b_l^2  G_l (x) K_l + c0 rho_l I,    K_l = S_{l-1} S_{l-1}^T / n,   G_l = E[g g^T],

where g = (df/dA_l)^T u for a random u of unit covariance, one for each sample. The penalty's part is exact. In the
eigenbases of G_l and K_l the inverse is a division, so that the directions that the data do not determine, which only
the penalty shrinks, are solved for at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from leakybench.baselines.networks.objective import Evaluation
from leakybench.baselines.networks.recursion import layers


class KroneckerPreconditioner:
    """H^{-1} at the parameters of an evaluation.

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
        d_out = objective.problem.targets.shape[1]
        self._blocks = []
        for (output, inputs), rho in zip(_factors(evaluation, probes), objective.layer_steps, strict=True):
            out_values, out_vectors = eigenbasis(output)
            in_values, in_vectors = eigenbasis(inputs)
            curvature = (2.0 / d_out) * out_values.clamp_min(0)[..., :, None] * in_values.clamp_min(0)[..., None, :]
            decay = (objective.strength * (1.0 + damping) * rho).to(curvature)
            decay = decay[:, None, None] if curvature.ndim == 4 else decay
            arrays = (out_vectors, in_vectors, curvature + decay)
            # one batch axis and memory of its own: matmul on four axes copies, which here costs more than it computes
            left, right, whole = (array.reshape(-1, *array.shape[-2:]).contiguous() for array in arrays)
            self._blocks.append((left, right, whole, torch.empty_like(whole), torch.empty_like(whole)))

    def __call__(self, vector: Tensor) -> Tensor:
        """H^{-1} times a gradient, (R, P)."""
        result = torch.empty_like(vector)
        parts = zip(self._blocks, self._objective.views(vector), self._objective.views(result), strict=True)
        for (left, right, curvature, one, two), part, out in parts:
            torch.bmm(left.mT, part.reshape(one.shape), out=one)
            torch.bmm(one, right, out=two)
            two.div_(curvature)
            torch.bmm(left, two, out=one)
            torch.bmm(one, right.mT, out=two)
            out.copy_(two.view_as(out))
        return result


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


def eigenbasis(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of positive semi-definite matrices (..., w, w), in their own precision.

    Computed in float64 on matrices scaled to unit trace: those of deep layers may be so small, or so degenerate,
    that the float32 routine does not converge. A matrix that is not finite counts as zero; the line search rejects
    the step that follows.
    """
    scale = factor.diagonal(dim1=-2, dim2=-1).sum(-1).double()[..., None, None]
    usable = torch.isfinite(scale) & (scale > 0)
    scaled = torch.where(usable, factor.double() / torch.where(usable, scale, 1.0), 0.0).nan_to_num(0.0, 0.0, 0.0)
    values, vectors = torch.linalg.eigh(scaled)
    return (values * torch.where(usable, scale, 0.0)[..., 0]).to(factor.dtype), vectors.to(factor.dtype)
