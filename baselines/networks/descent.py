"""First-order training: Adam on the stacked parameters with adaptive step-sizes, and plain SGD."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from leakybench.baselines.networks.objective import Evaluation, Objective
from leakybench.baselines.networks.recursion import Movement
from leakybench.baselines.networks.steps import AdaptiveSteps

Progress = Callable[[int, np.ndarray, np.ndarray], None]
"""Called with (step, objective (R,), criticality residual (R,))."""

Curve = list[tuple[int, list[float], list[float]]]
"""(evaluations, objective (R,), criticality residual (R,)) along a training, at the full penalty."""


@dataclass(frozen=True, kw_only=True)
class AdamSettings:
    """Adam with cosine decay.

    Attributes:
        steps: number of gradients.
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


def run_adam(
    objective: Objective,
    parameters: Tensor,
    settings: AdamSettings,
    *,
    adaptive: Sequence[AdaptiveSteps] | None = None,
    progress: Progress | None = None,
) -> Curve:
    """Run Adam from ``parameters`` (R, P), in place; ``adaptive`` updates the objective's step-sizes on the way.

    Returns:
        A point of the curve every 50 steps.
    """
    gradient = torch.empty_like(parameters)
    first, second = torch.zeros_like(parameters), torch.zeros_like(parameters)
    count = torch.zeros((), dtype=torch.float32, device=parameters.device)
    curve: Curve = []
    for step in range(settings.steps):
        due = adaptive is not None and step % settings.adapt_every == 0 and step >= settings.warmup
        movement = objective.movement() if due else None
        evaluation = objective.gradient(parameters, gradient, movement=movement)
        if (step + 1) % 50 == 0:
            record_point(evaluation, curve, progress, step + 1)
        count += 1
        torch._fused_adam_(
            [parameters], [gradient], [first], [second], [], [count],
            lr=settings.rate_at(step), beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-10,
            amsgrad=False, maximize=False,
        )  # fmt: skip
        if adaptive is not None and movement is not None:
            adapt_steps(objective, parameters, adaptive, movement)
    return curve


def run_sgd(
    objective: Objective,
    parameters: Tensor,
    *,
    steps: int,
    rate: float,
    adaptive: Sequence[AdaptiveSteps] | None = None,
    adapt_every: int = 20,
    progress: Progress | None = None,
) -> Curve:
    """Run plain gradient descent at a constant rate, in place; returns a point of the curve every 50 steps."""
    gradient = torch.empty_like(parameters)
    curve: Curve = []
    for step in range(steps):
        movement = objective.movement() if adaptive is not None and step % adapt_every == 0 else None
        evaluation = objective.gradient(parameters, gradient, movement=movement)
        if (step + 1) % 50 == 0:
            record_point(evaluation, curve, progress, step + 1)
        parameters.sub_(gradient, alpha=rate)
        if adaptive is not None and movement is not None:
            adapt_steps(objective, parameters, adaptive, movement)
    return curve


def adapt_steps(
    objective: Objective,
    parameters: Tensor,
    adaptive: Sequence[AdaptiveSteps],
    movement: Movement | None = None,
    active: np.ndarray | None = None,
) -> np.ndarray:
    """Update the step-sizes of every run once; returns which changed, truth values (R,).

    With a skip connection V stays, being the velocity field that the steps integrate. Without one the steps only
    weigh the layers, whose product is the function: b_l V_l stays.

    Args:
        objective: whose step-sizes change.
        parameters: (R, P); V is rescaled in place where there is no skip connection.
        adaptive: the rule, one a run.
        movement: recorded by the last gradient, which saves a forward pass; without it, one is made.
        active: the runs to update, (R,); all by default. One that has ended keeps its step-sizes.
    """
    if all(rule.frozen_at is not None for rule in adaptive):
        return np.zeros(len(adaptive), dtype=bool)
    if movement is None:
        movement = objective.movement()
        objective.predict(parameters, movement=movement)
    moved, sizes = (norms.cpu().numpy() for norms in movement.norms())
    wanted = np.ones(len(adaptive), dtype=bool) if active is None else active
    changed = np.array(
        [
            bool(wanted[run]) and rule.update(moved[:, run], sizes[:, run], objective.evaluations)
            for run, rule in enumerate(adaptive)
        ]
    )
    if changed.any():
        before = objective.run_coefficients
        now = [run.with_steps(rule.step_sizes) for run, rule in zip(before, adaptive, strict=True)]
        objective.set_coefficients(now)
        if before[0].skipless:
            old, new = (parameters.new_tensor([run.branch for run in runs]) for runs in (before, now))
            objective.views(parameters)[0].mul_((old / new)[:, :, None, None])
    return changed


def record_point(evaluation: Evaluation, curve: Curve, progress: Progress | None, step: int) -> None:
    """Add the newest evaluation to a training curve and report it."""
    value, residual = (each.cpu().numpy() for each in (evaluation.value, evaluation.criticality_residual))
    curve.append((evaluation.objective.evaluations, value.tolist(), residual.tolist()))
    if progress is not None:
        progress(step, value, residual)
