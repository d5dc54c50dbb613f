"""The networks that a training ended with, each with its status and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leakybench.baseline import FitReport
from leakybench.baselines.networks.descent import Curve
from leakybench.baselines.networks.objective import Evaluation, Objective
from leakybench.baselines.networks.settings import NetworkSettings
from leakybench.baselines.networks.steps import AdaptiveSteps
from leakybench.baselines.networks.trained import TrainedNetwork
from leakybench.specs import device_name

COLLAPSED_SPREAD = 0.02
"""A network whose outputs vary by less than this share of the targets' variance is a constant function: collapsed."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A finished training of R runs.

    Attributes:
        settings: of the networks.
        objective: at the final step-sizes.
        parameters: (R, P).
        seeds: of the runs.
        curve: at the full penalty.
        reasons: why each run ended.
        adaptive: the step-sizes, one rule a run, if they followed the networks.
        warmup_seconds: time from the data to the first gradient.
        matmul: the library that multiplied, see ``matmul.choose``.
        before: what else the report says of each run, of the training before the last phases; empty where none was.
    """

    settings: NetworkSettings
    objective: Objective
    parameters: Tensor
    seeds: Sequence[int]
    curve: Curve
    reasons: list[str]
    adaptive: Sequence[AdaptiveSteps] | None
    warmup_seconds: float
    matmul: str
    before: Sequence[dict[str, Any]] = ()


def trained_networks(training: Training) -> list[TrainedNetwork]:
    """One network a run, with its objective evaluated in the precision of the data."""
    objective, parameters, settings = training.objective, training.parameters, training.settings
    evaluations = objective.evaluations
    if settings.precision != "float32":
        objective.set_products(None)
    evaluation = objective.gradient(parameters, torch.empty_like(parameters))
    shares = _spread_shares(objective)
    common = _common_values(training, evaluations)
    weights, (embedding, readout) = objective.views(parameters)[0], objective.ends(parameters)
    networks = []
    for run, (seed, values) in enumerate(zip(training.seeds, _own_values(training, evaluation), strict=True)):
        finite = bool(torch.isfinite(parameters[run]).all()) and np.isfinite(values["cost"])
        status, message = _status(finite, float(shares[run]))
        networks.append(
            TrainedNetwork(
                weights=weights[run].cpu().clone(),
                embedding=embedding[run].cpu().clone(),
                readout=readout[run].cpu().clone(),
                coefficients=objective.run_coefficients[run],
                penalty=settings.penalty,
                device=settings.device,
                report=FitReport(status=status, message=message, values={**values, **common, "seed": seed}),
            )
        )
    return networks


def _spread_shares(objective: Objective) -> Tensor:
    """The variance of the outputs over that of the targets at the newest evaluation; float64 (R,)."""
    outputs, targets = objective.outputs.double(), objective.problem.targets.double()
    spread = (outputs - outputs.mean(dim=2, keepdim=True)).square().sum(dim=(1, 2))
    return spread / (targets - targets.mean(dim=2, keepdim=True)).square().sum(dim=(1, 2))


def _status(finite: bool, share: float) -> tuple[str, str]:
    """Status and message of a run, from its outputs' share of the targets' variance."""
    if not finite:
        return "diverged", "training left the finite numbers"
    if share < COLLAPSED_SPREAD:
        return "collapsed", f"the outputs vary by {share:.1e} of the targets' variance: a constant function"
    return "ok", ""


def _own_values(training: Training, evaluation: Evaluation) -> list[dict[str, Any]]:
    """What the report says of each run alone."""
    cost, penalty = evaluation.cost.tolist(), evaluation.penalty.tolist()
    residual = evaluation.criticality_residual.tolist()
    all_values = []
    for run, coefficients in enumerate(training.objective.run_coefficients):
        values: dict[str, Any] = {
            "objective": cost[run] + penalty[run],
            "cost": cost[run],
            "penalty": penalty[run],
            "criticality_residual": residual[run],
            "stopped": training.reasons[run],
            "curve": [[at, value[run], left[run]] for at, value, left in training.curve],
            "step_sizes": list(coefficients.step_sizes),
        }
        if training.adaptive is not None:
            rule = training.adaptive[run]
            values |= {
                "step_trajectory": rule.trajectory,
                "steps_frozen_at": rule.frozen_at,
                "steps_spread": rule.spread,
            }
        if training.before:
            values |= training.before[run]
        all_values.append(values)
    return all_values


def _common_values(training: Training, evaluations: int) -> dict[str, Any]:
    """What the report says of all runs alike."""
    return {
        "lambda": training.settings.penalty,
        "evaluations": evaluations,
        "matmul": training.matmul,
        "precision": training.settings.precision,
        "threads": torch.get_num_threads(),
        "device": device_name(training.settings.device),
        "warmup_seconds": training.warmup_seconds,
    }
