"""From a training set to a trained network: the recipe of each preset, for one run or for a batch of seeds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines import descent, initial, quasi_newton, steps
from baselines.backend import matmul_scope
from baselines.descent import AdamSettings
from baselines.model import TrainedNetwork
from baselines.network import Coefficients
from baselines.objective import Objective, Problem
from baselines.quasi_newton import PolishSettings
from suite import seeding
from suite.baseline import FitReport, check_preset
from suite.errors import UsageError
from suite.task import Split

COLLAPSED_SPREAD = 0.02
"""A network whose outputs vary by less than this share of the targets' variance is a constant function: collapsed."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a preset trains.

    Attributes:
        adam: the first phase, which finds the bottleneck.
        polish: the second, which goes to the critical point; None for none.
        rounds: the polish is cut into so many; adaptive step-sizes move once between two of them.
        sgd_steps, sgd_rate: a phase of plain gradient descent instead of the polish (the paper's protocol).
        initial: ``looks-linear`` or ``gaussian``.
        noise: of looks-linear weights.
    """

    adam: AdamSettings
    polish: PolishSettings | None = None
    rounds: int = 1
    sgd_steps: int = 0
    sgd_rate: float = 0.0
    initial: str = "looks-linear"
    noise: float = 0.3


RECIPES: dict[str, Recipe] = {
    "smoke": Recipe(
        adam=AdamSettings(steps=40, rate=0.01, penalty_ramp=0.7),
        polish=PolishSettings(iterations=20, memory=10),
    ),
    "standard": Recipe(
        adam=AdamSettings(steps=150, rate=0.01, penalty_ramp=0.7),
        polish=PolishSettings(iterations=400, tolerance=0.02),
        rounds=4,
    ),
    "converged": Recipe(
        adam=AdamSettings(steps=150, rate=0.01, penalty_ramp=0.7),
        polish=PolishSettings(iterations=3000, tolerance=0.01),
        rounds=10,
    ),
}


def paper_recipe(scale: float) -> Recipe:
    """The protocol of [JK24 appendix B]: 5000 epochs of Adam at rate 1e-3 on W, then 1000 of SGD at a smaller one.

    V = W / scale, and Adam's steps do not depend on the gradient's size, so 1e-3 on W is 1e-3/scale on V.
    """
    return Recipe(
        adam=AdamSettings(steps=5000, rate=1e-3 / scale, final=1.0, warmup=1),
        sgd_steps=1000,
        sgd_rate=1e-3,
        initial="gaussian",
    )


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What defines a network and its objective, whatever the preset.

    Attributes:
        width: w; depth: L.
        effective_depth: Lt; None for a fully-connected network.
        rule: the step-size rule.
        penalty: lambda, from :func:`penalty_rule` unless given.
        learn_ends: train embedding and read-out too.
    """

    width: int
    depth: int
    effective_depth: float | None
    rule: str
    penalty: float
    learn_ends: bool

    @property
    def coefficients(self) -> Coefficients:
        """c, b and rho where training starts."""
        return Coefficients.of(steps.initial(self.rule, self.depth), self.effective_depth)


def penalty_rule(effective_depth: float, strength: float = 0.03, offset: float = 10.0) -> float:
    """lambda = strength / (max(Lt, 1) + offset): the one rule for every effective depth.

    A bottleneck of rank k costs lambda Lt k / 2, so a constant lambda underestimates the rank at a large effective
    depth, where lambda has to fall like 1/Lt; at a small one the kinetic energy dominates, which falls with lambda
    alone, and 1/Lt would drown the fit in it. ``offset`` is where the one regime gives way to the other.
    """
    return strength / (max(effective_depth, 1.0) + offset)


def fit_many(
    settings: NetworkSettings, trains: Sequence[Split], *, seeds: Sequence[int], preset: str, name: str
) -> list[TrainedNetwork]:
    """Train one network a seed, together in batched products.

    Adaptive step-sizes differ from run to run, which batched products cannot; such runs are trained one after another.

    Args:
        settings: shared by all.
        trains: one training set a seed, all of one shape.
        seeds: of the initial weights.
        preset: see ``suite.baseline.PRESETS``.
        name: of the baseline, for the generators.

    Returns:
        The networks, each equal to what training alone gives, up to the round-off of the products.
    """
    check_preset(preset)
    if len(trains) != len(seeds) or not seeds:
        raise UsageError(f"fit_many needs one training set a seed, got {len(trains)} and {len(seeds)}")
    shapes = {(train.inputs.shape, train.targets.shape) for train in trains}
    if len(shapes) > 1:
        raise UsageError(f"fit_many needs training sets of one shape, got {sorted(shapes)}")
    if settings.rule == "adaptive" and len(seeds) > 1:
        pairs = zip(trains, seeds, strict=True)
        return [fit_many(settings, [t], seeds=[s], preset=preset, name=name)[0] for t, s in pairs]
    recipe = paper_recipe(settings.coefficients.scale) if preset == "paper" else RECIPES[preset]
    with matmul_scope() as backend:
        return _fit(settings, recipe, trains, seeds, name, backend)


def _fit(
    settings: NetworkSettings, recipe: Recipe, trains: Sequence[Split], seeds: Sequence[int], name: str, backend: str
) -> list[TrainedNetwork]:
    begun = time.perf_counter()
    coefficients = settings.coefficients
    problem, weights = build(settings, recipe, trains, seeds, name)
    objective = Objective(problem, coefficients)
    parameters = objective.initial(weights)
    warm = torch.empty_like(parameters)
    objective.gradient(parameters, warm)  # first touch of the memory, and the libraries' own set-up
    objective.evaluations = 0
    warmup_seconds = time.perf_counter() - begun

    adaptive = None
    if settings.rule == "adaptive":
        adaptive = steps.AdaptiveSteps(np.asarray(coefficients.step_sizes))
    probes = [seeding.torch_generator(name, seed, "curvature probe") for seed in seeds]
    curve = descent.adam(objective, parameters, recipe.adam, adaptive=adaptive).curve
    if recipe.sgd_steps:
        curve += descent.sgd(
            objective, parameters, steps=recipe.sgd_steps, rate=recipe.sgd_rate, adaptive=adaptive
        ).curve
    reasons = ["ran its length"] * len(seeds)
    if recipe.polish is not None:
        rounds = recipe.rounds if adaptive is not None else 1
        share = dataclasses.replace(recipe.polish, iterations=recipe.polish.iterations // rounds)
        for number in range(rounds):
            if adaptive is not None and (number == rounds - 1 or not descent.adapt(objective, parameters, adaptive)):
                adaptive.freeze(objective.evaluations)
            result = quasi_newton.polish(objective, parameters, share, probes=probes)
            curve += result.curve
            reasons = result.reason
    return _models(settings, objective, parameters, seeds, curve, reasons, adaptive, warmup_seconds, backend)


def build(
    settings: NetworkSettings, recipe: Recipe, trains: Sequence[Split], seeds: Sequence[int], name: str
) -> tuple[Problem, Tensor]:
    """The data as columns, the ends, and the initial V (R, L, w, w + 1), each drawn from its own seed."""
    d_in, d_out = trains[0].inputs.shape[1], trains[0].targets.shape[1]
    check_dimensions(settings.width, d_in, d_out, learn_ends=settings.learn_ends)
    coefficients = settings.coefficients
    embeddings, readouts, weights = [], [], []
    for seed in seeds:
        draw = seeding.torch_generator(name, seed, "init")
        ends = [_end(recipe, settings.width, size, draw) for size in (d_in, d_out)]
        embeddings.append(ends[0])
        readouts.append(ends[1].mT.contiguous())
        if recipe.initial == "looks-linear":
            weight = initial.looks_linear(coefficients, settings.width, noise=recipe.noise, generator=draw)
        else:
            weight = initial.signal_preserving(coefficients, settings.width, generator=draw)
        weights.append(weight)
    problem = Problem(
        inputs=torch.stack([torch.from_numpy(train.inputs).mT.contiguous() for train in trains]),
        targets=torch.stack([torch.from_numpy(train.targets).mT.contiguous() for train in trains]),
        embedding=torch.stack(embeddings).float(),
        readout=torch.stack(readouts).float(),
        # F's penalty is (c0/2) sum rho |V|^2 with c0 = lambda max(Lt, 1)
        penalty=settings.penalty * coefficients.scale,
        learn_ends=settings.learn_ends,
    )
    return problem, torch.stack(weights).float()


def _end(recipe: Recipe, width: int, size: int, draw: torch.Generator) -> Tensor:
    """An embedding (w, size) that suits the initial weights as far as the width allows."""
    if recipe.initial == "looks-linear" and 2 * size <= width:
        return initial.mirrored(width, size, generator=draw)
    return initial.orthonormal(width, size, generator=draw)


def check_dimensions(width: int, d_in: int, d_out: int, *, learn_ends: bool) -> None:
    """Raise :class:`UsageError` where a fixed orthonormal embedding or read-out does not fit into the width."""
    if not learn_ends and width < max(d_in, d_out):
        raise UsageError(
            f"width must be at least {max(d_in, d_out)} for {d_in} inputs and {d_out} outputs, got {width} "
            "(or learn the ends: ends='learned')"
        )


def _models(
    settings: NetworkSettings,
    objective: Objective,
    parameters: Tensor,
    seeds: Sequence[int],
    curve: list[tuple[int, list[float], list[float]]],
    reasons: list[str],
    adaptive: steps.AdaptiveSteps | None,
    warmup_seconds: float,
    backend: str,
) -> list[TrainedNetwork]:
    evaluations = objective.evaluations
    gradient = torch.empty_like(parameters)
    objective.gradient(parameters, gradient)
    cost, penalty = objective.cost().tolist(), objective.penalty(parameters).tolist()
    residual = objective.criticality_residual(parameters, gradient).tolist()
    objective.predict(parameters)
    outputs = objective._residual + objective._targets
    outputs = outputs.reshape(len(seeds), *objective.problem.targets.shape[1:]).double()
    spread = (outputs - outputs.mean(dim=2, keepdim=True)).square().sum(dim=(1, 2))
    targets = objective.problem.targets.double()
    total = (targets - targets.mean(dim=2, keepdim=True)).square().sum(dim=(1, 2))
    views = objective.views(parameters)
    ends = views[1:] if settings.learn_ends else [objective.problem.embedding, objective.problem.readout]
    models = []
    for run, seed in enumerate(seeds):
        finite = bool(torch.isfinite(parameters[run]).all()) and np.isfinite(cost[run])
        share = float(spread[run] / total[run]) if finite else float("nan")
        status, message = "ok", ""
        if not finite:
            status, message = "diverged", "training left the finite numbers"
        elif share < COLLAPSED_SPREAD:
            status = "collapsed"
            message = f"the outputs vary by {share:.1e} of the targets' variance: a constant function"
        values: dict[str, Any] = {
            "objective": cost[run] + penalty[run],
            "cost": cost[run],
            "penalty": penalty[run],
            "criticality_residual": residual[run],
            "lambda": settings.penalty,
            "evaluations": evaluations,
            "stopped": reasons[run],
            "curve": [[at, value[run], left[run]] for at, value, left in curve],
            "step_sizes": list(objective.coefficients.step_sizes),
            "matmul": backend,
            "threads": torch.get_num_threads(),
            "warmup_seconds": warmup_seconds,
            "seed": seed,
        }
        if adaptive is not None:
            values |= {
                "step_trajectory": adaptive.trajectory,
                "steps_frozen_at": adaptive.frozen_at,
                "steps_spread": adaptive.spread,
            }
        models.append(
            TrainedNetwork(
                weights=views[0][run].cpu().clone(),
                embedding=ends[0][run].cpu().clone(),
                readout=ends[1][run].cpu().clone(),
                coefficients=objective.coefficients,
                penalty=settings.penalty,
                report=FitReport(status=status, message=message, values=values),
            )
        )
    return models
