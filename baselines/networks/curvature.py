"""A Kronecker-factored model of the objective's curvature, as a preconditioner.

The Gauss-Newton matrix of the squared error, restricted to V_l and with inputs and output gradients of a layer taken as
independent, is a Kronecker product (Martens and Grosse 2015, arXiv 1503.05671). With C the mean over n samples and
d_out outputs,

    H_l = (2 / d_out) b_l^2  G_l (x) K_l + c0 rho_l I,    K_l = S_{l-1} S_{l-1}^T / n,   G_l = E[g g^T],

where g = (df/dA_l)^T u for a random u of unit covariance, one for each sample. The penalty's part is exact. In the
eigenbases of G_l and K_l the inverse is a division, so that the directions that the data do not determine, which only
the penalty shrinks, are solved for at once.

Damping each factor instead of the sum (their section 6.3) is cheaper and reaches lower objectives sooner, but at few
samples it ends in minima with larger test errors (docs/speed.md). The sum stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from leakybench.baselines.networks.objective import Evaluation
from leakybench.baselines.networks.recursion import layers

NEGLIGIBLE = 0.1
"""Curvature of the data below this share of the damped penalty's is left out of the model."""


class KroneckerPreconditioner:
    """M = H^{-1} at the parameters of an evaluation.

    With d_l = c0 rho_l (1 + damping) and the eigenvalues lambda_ij = (2 / d_out) b_l^2 g_i k_j of the data's part,

        M_l V = (V - P [ lambda_ij / (lambda_ij + d_l) (P^T V Q)_ij ] Q^T) / d_l,

    where the columns of P and Q are the eigenvectors of G_l and K_l with a lambda_ij above ``NEGLIGIBLE`` d_l. Inside
    the bottleneck these are few, so that the products are thin.

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
        self._parts = []
        for (output, inputs), rho in zip(_factors(evaluation, probes), objective.layer_steps, strict=True):
            decay = objective.strength * (1.0 + damping) * rho
            self._parts.append(_Part.of(eigenbasis(per_output * output), eigenbasis(inputs), decay))

    def __call__(self, vector: Tensor, out: Tensor) -> Tensor:
        """Write M times each run's gradient (R, P) into ``out``, and return it."""
        arrays = zip(self._parts, self._objective.views(vector), self._objective.views(out), strict=True)
        for part, given, result in arrays:
            # a learned end has no axis of layers
            part.apply(*(array.view(len(array), -1, *array.shape[-2:]) for array in (given, result)))
        return out


class _Block(NamedTuple):
    """What M takes away from one layer of one run, or of all runs.

    Attributes:
        place: index of (R, L).
        left: P, ([R,] w, p).
        right: Q, ([R,] w + 1, q).
        shares: -lambda_ij / (lambda_ij + d) / d, ([R,] p, q); 0 where a run has fewer eigenvectors than its block.
    """

    place: tuple[int | slice, int]
    left: Tensor
    right: Tensor
    shares: Tensor


@dataclass(frozen=True, eq=False)
class _Part:
    """M of V, E or D.

    Attributes:
        inverse_decay: 1 / d, (1 or R, L, 1, 1).
        blocks: of all layers.
    """

    inverse_decay: Tensor
    blocks: list[_Block]

    @classmethod
    def of(cls, output: tuple[Tensor, Tensor], inputs: tuple[Tensor, Tensor], decay: Tensor) -> _Part:
        """Choose the eigenvectors.

        Args:
            output: eigenvalues (R, [L,] w) and eigenvectors (R, [L,] w, w) of G, ascending.
            inputs: the same of K.
            decay: d, (L,) or (R, L).
        """
        runs = len(output[0])
        (out_values, left), (in_values, right) = output, inputs
        left, right = (array.view(runs, -1, *array.shape[-2:]) for array in (left, right))
        values = out_values.view(*left.shape[:3], 1) * in_values.view(*right.shape[:2], 1, -1)
        decay = decay.to(values).reshape(-1, values.shape[1], 1, 1)
        large = values > NEGLIGIBLE * decay
        rows, columns = large.any(3), large.any(2)
        shares = -values / (values + decay) / decay * rows.unsqueeze(3) * columns.unsqueeze(2)
        ranks = torch.stack([rows.sum(2), columns.sum(2)], dim=2)
        places: list[tuple[int | slice, int]]
        if values.device.type == "cpu":
            # run by run and at its own ranks, so that a run in a batch is the run alone
            places = list(itertools.product(range(runs), range(values.shape[1])))
            counts = ranks.flatten(0, 1).tolist()
        else:
            places = [(slice(None), layer) for layer in range(values.shape[1])]
            counts = ranks.amax(0).tolist()
        # eigenvalues ascend: the large ones are the last
        blocks = [
            _Block(
                place,
                left[place][..., -p:].contiguous(),
                right[place][..., -q:].contiguous(),
                shares[place][..., -p:, -q:].contiguous(),
            )
            for place, (p, q) in zip(places, counts, strict=True)
            if p > 0
        ]
        return cls(1.0 / decay, blocks)

    def apply(self, given: Tensor, result: Tensor) -> None:
        """Write the product with ``given`` (R, L, w, w + 1) into ``result``."""
        torch.mul(given, self.inverse_decay, out=result)
        for place, left, right, shares in self.blocks:
            array, out = given[place], result[place]
            add_product = out.addmm_ if out.ndim == 2 else out.baddbmm_
            if left.shape[-1] <= right.shape[-1]:  # the thinner side first
                inside = (left.mT @ array @ right).mul_(shares)
                add_product(left, inside @ right.mT)
            else:
                inside = (left.mT @ (array @ right)).mul_(shares)
                add_product(left @ inside, right.mT)


def _factors(evaluation: Evaluation, probes: Sequence[torch.Generator]) -> list[tuple[Tensor, Tensor]]:
    """The two Kronecker factors of V (R, L, w, w) and (R, L, w + 1, w + 1), and of E and D where they are learned."""
    objective = evaluation.objective
    problem, kernel = objective.problem, objective.kernel
    runs, d_out, samples = problem.targets.shape
    stack = (
        torch.stack(_output_factors(evaluation, probes), dim=-3).reshape(runs, objective.depth, problem.width, -1)
        / samples
    )
    moments = torch.stack([second_moment(state) for state in kernel.state_layers], dim=-3)
    moments = moments.reshape(runs, objective.depth, problem.width + 1, -1)
    blocks = [(stack * kernel.branch.square(), moments)]
    if problem.learn_ends:
        covariance = problem.inputs @ problem.inputs.mT / samples
        gradient = kernel.gradient  # at A_0, where the probes have been propagated to
        blocks.append(((gradient @ gradient.mT / samples).reshape(runs, problem.width, -1), covariance))
        # the input of the read-out is A_L, which the forward pass left in ``running``; its output gradient is u itself
        final = kernel.running.reshape(runs, problem.width, samples)
        identity = torch.eye(d_out, dtype=stack.dtype, device=stack.device).expand(runs, d_out, d_out)
        blocks.append((identity, final @ final.mT / samples))
    return blocks


def _output_factors(evaluation: Evaluation, probes: Sequence[torch.Generator]) -> list[Tensor]:
    """g g^T summed over the samples, ([R,] w, w) for l = 1..L.

    The last g, at A_0 with learned ends and at A_1 with fixed ones, stays in ``kernel.gradient``.
    """
    objective = evaluation.objective
    problem, kernel = objective.problem, objective.kernel
    runs, d_out, samples = problem.targets.shape
    readout = objective.ends(evaluation.parameters)[1]
    draws = [torch.randn(d_out, samples, generator=probe, dtype=torch.float32, device="cpu") for probe in probes]
    draw = torch.stack(draws).to(problem.targets)
    branches = layers(objective.views(evaluation.parameters)[0] * kernel.branch)
    single = runs == 1
    gradient, scratch = kernel.gradient, kernel.scratch
    torch.matmul(readout[0].mT if single else readout.mT, draw[0] if single else draw, out=gradient)
    factors = []
    for l in range(objective.depth - 1, -1, -1):
        factors.append(gradient @ gradient.mT)
        if l > 0 or problem.learn_ends:
            state = kernel.state_layers[l][..., : problem.width, :].to(gradient.dtype)
            torch.matmul(branches[l][..., : problem.width].mT, gradient, out=scratch)
            torch.ops.aten.threshold_backward.grad_input(scratch, state, 0.0, grad_input=scratch)
            gradient.mul_(kernel.coefficients.skip[l]).add_(scratch)
    return factors[::-1]


def second_moment(state: Tensor) -> Tensor:
    """S S^T / n of ([R,] w + 1, n), at least in float32."""
    wide = state.to(torch.promote_types(state.dtype, torch.float32))
    return wide @ wide.mT / state.shape[-1]


def eigenbasis(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of positive semi-definite matrices (..., w, w), ascending, in their own precision.

    Computed in float64 on matrices scaled to unit trace: those of deep layers may be so small, or so degenerate, that
    the float32 routine gives NaN, without an error (one fit in 180). A matrix that is not finite counts as zero; the
    line search rejects the step that follows. An eigenvalue below 0 is round-off, and counts as 0.
    """
    trace = factor.diagonal(dim1=-2, dim2=-1).sum(-1, dtype=torch.float64)[..., None, None]
    usable = torch.isfinite(trace) & (trace > 0)
    scale = torch.where(usable, trace, 1.0)
    scaled = torch.where(usable, factor.double() / scale, 0.0).nan_to_num(0.0, 0.0, 0.0)
    values, vectors = torch.linalg.eigh(scaled)
    return (values.clamp_min(0.0) * scale[..., 0]).to(factor.dtype), vectors.to(factor.dtype)
