"""Starts from a solution at a larger effective depth: the stages, and weights that keep the path from one to the next.

A large effective depth finds a low-dimensional representation. Training that starts there and goes down to Lt in stages
shows whether a small Lt keeps it: a lower objective than from the usual start means that the usual start is at fault,
a higher one that the objective itself prefers the other solution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from leakybench.baselines.networks.objective import Objective
from leakybench.baselines.networks.recursion import Coefficients

RATIO = 1.5
"""Largest ratio of 1 + Lt between two stages."""

RIDGE = 1e-2
"""Of the change of weights between two stages, relative to the mean diagonal of its normal matrix.

From Lt = 15 to 6, 1e-2 changes the outputs at test inputs by 0.2 to 1.6% of their variance (Staircase-k3, 300 samples;
Curved-k2, 100), 1e-1 by 0.6 to 3.7%, and the old V by 70%; below 1e-3 the weights grow fast with few samples.
"""

STAGE_SHARE = 0.25
"""Iterations of a stage between the first and the last, as a share of the main phase's."""


def stages(start_depth: float, effective_depth: float) -> list[float]:
    """Effective depths from the start to Lt, both included, at equal ratios of 1 + Lt that are at most ``RATIO``."""
    fall = math.log1p(start_depth) - math.log1p(effective_depth)
    count = max(1, math.ceil(fall / math.log(RATIO) - 1e-9))
    between = [math.expm1(math.log1p(start_depth) - fall * number / count) for number in range(1, count)]
    return [start_depth, *between, effective_depth]


def carried(objective: Objective, parameters: Tensor, coefficients: Sequence[Coefficients]) -> Tensor:
    """Parameters (R, P) under which networks of other coefficients take nearly the path of ``parameters`` (R, P).

    With A_l the path of the training inputs under the old coefficients, and A'_l, S'_l that under the new ones, c' and
    b', layer by layer from A'_0 = A_0:

        V'_l = argmin_U |A_l - c' A'_{l-1} - b' U S'_{l-1}|_F^2 + r |U - V_l|_F^2,

    a ridge regression towards the old V, in float64, with r = ``RIDGE`` b'^2 tr(S' S'^T)/(w + 1). Where V S = A, as
    inside a bottleneck of a leaky network, V itself is the solution. Columns are samples.

    Args:
        objective: of the old networks, with their coefficients.
        parameters: of the old networks.
        coefficients: of the new networks, one a run; the depth stays.
    """
    new = parameters.clone()
    weights, new_weights = objective.views(parameters)[0], objective.views(new)[0]
    embeddings = objective.ends(parameters)[0]
    for run, (old, now) in enumerate(zip(objective.run_coefficients, coefficients, strict=True)):
        path = embeddings[run].double() @ objective.problem.inputs[run].double()
        moved = path
        for l in range(objective.depth):
            weight = weights[run, l].double()
            path = old.skip[l] * path + old.branch[l] * (weight @ _state(path))
            state = now.branch[l] * _state(moved)
            missing = path - now.skip[l] * moved - weight @ state
            normal = state @ state.mT
            normal.diagonal().add_(RIDGE * normal.diagonal().mean())
            weight = weight + torch.linalg.solve(normal, state @ missing.mT).mT
            moved = now.skip[l] * moved + weight @ state
            new_weights[run, l] = weight.to(new)
    return new


def _state(activations: Tensor) -> Tensor:
    """S = [relu(A); 1]; (w + 1, n) for (w, n)."""
    return torch.cat([activations.clamp_min(0.0), activations.new_ones(1, activations.shape[1])])
