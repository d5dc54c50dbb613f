"""First-order training: Adam on the stacked parameters with adaptive step-sizes, and plain SGD."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from leakybench.baselines.networks.objective import Objective
from leakybench.baselines.networks.recursion import Movement
from leakybench.baselines.networks.steps import AdaptiveSteps

Progress = Callable[[int, Tensor, Tensor], None]


@dataclass(frozen=True, kw_only=True)
class AdamSettings:
    """Adam with cosine decay.

    Attributes:
        steps: gradients.
        rate: peak learning rate on V = W / max(Lt, 1).
        final: last rate over the peak.
        warmup: steps of linear warm-up of the rate.
        adapt_every: gradients between two updates of adaptive step-sizes.
    """

    steps: int
    rate: float
    final: float = 0.0
    warmup: int = 20
    adapt_every: int = 20

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        cosine = 0.5 * (1.0 + math.cos(math.pi * step / max(self.steps, 1)))
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        return self.rate * rise * (self.final + (1.0 - self.final) * cosine)


@dataclass(kw_only=True)
class DescentResult:
    """The curve: (evaluations, objective (R,), criticality residual (R,)) every 50 steps."""

    curve: list[tuple[int, list[float], list[float]]] = field(default_factory=list)


def adam(
    objective: Objective,
    parameters: Tensor,
    settings: AdamSettings,
    *,
    adaptive: AdaptiveSteps | None = None,
    progress: Progress | None = None,
) -> DescentResult:
    """Run Adam from ``parameters`` (R, P), updated in place; ``adaptive`` updates the objective's step-sizes on the
    way.
    """
    gradient = torch.empty_like(parameters)
    first, second = torch.zeros_like(parameters), torch.zeros_like(parameters)
    count = torch.zeros((), dtype=torch.float32, device=parameters.device)
    result = DescentResult()
    for step in range(settings.steps):
        due = adaptive is not None and step % settings.adapt_every == 0 and step >= settings.warmup
        movement = objective.movement() if due else None
        objective.gradient(parameters, gradient, movement=movement)
        if (step + 1) % 50 == 0:
            note(objective, parameters, gradient, result.curve, progress, step + 1)
        count += 1
        torch._fused_adam_(
            [parameters], [gradient], [first], [second], [], [count],
            lr=settings.rate_at(step), beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-10,
            amsgrad=False, maximize=False,
        )  # fmt: skip
        if adaptive is not None and movement is not None:
            adapt(objective, parameters, adaptive, movement)
    return result


def sgd(
    objective: Objective,
    parameters: Tensor,
    *,
    steps: int,
    rate: float,
    adaptive: AdaptiveSteps | None = None,
    adapt_every: int = 20,
    progress: Progress | None = None,
) -> DescentResult:
    """Plain gradient descent at a constant rate, in place."""
    gradient = torch.empty_like(parameters)
    result = DescentResult()
    for step in range(steps):
        movement = objective.movement() if adaptive is not None and step % adapt_every == 0 else None
        objective.gradient(parameters, gradient, movement=movement)
        if (step + 1) % 50 == 0:
            note(objective, parameters, gradient, result.curve, progress, step + 1)
        parameters.sub_(gradient, alpha=rate)
        if adaptive is not None and movement is not None:
            adapt(objective, parameters, adaptive, movement)
    return result


def adapt(objective: Objective, parameters: Tensor, adaptive: AdaptiveSteps, movement: Movement | None = None) -> bool:
    """One update of the step-sizes of a single run; returns whether they changed.

    With a skip connection V stays, being the velocity field that the steps integrate. Without one the steps only
    weigh the layers, whose product is the function: b_l V_l stays.

    Args:
        movement: noted in the gradient before, which spares a forward pass; without it, one is made.
    """
    if adaptive.frozen_at is not None:
        return False
    if movement is None:
        movement = objective.movement()
        objective.predict(parameters, movement=movement)
    moved, sizes = movement.norms()
    changed = adaptive.update(moved[:, 0].cpu().numpy(), sizes[:, 0].cpu().numpy(), objective.evaluations)
    if changed:
        before = objective.coefficients
        objective.set_coefficients(before.with_steps(adaptive.step_sizes))
        if before.skipless:
            ratio = parameters.new_tensor(before.branch) / parameters.new_tensor(objective.coefficients.branch)
            objective.views(parameters)[0].mul_(ratio[:, None, None])
    return changed


def note(
    objective: Objective,
    parameters: Tensor,
    gradient: Tensor,
    curve: list[tuple[int, list[float], list[float]]],
    progress: Progress | None,
    step: int,
) -> None:
    """Add a point to a training curve and report it."""
    value = objective.cost() + objective.penalty(parameters)
    residual = objective.criticality_residual(parameters, gradient)
    curve.append((objective.evaluations, value.tolist(), residual.tolist()))
    if progress is not None:
        progress(step, value, residual)
