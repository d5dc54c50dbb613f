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

from leakybench import seeding
from leakybench.baseline import FitReport, check_preset
from leakybench.baselines.networks import (
    descent,
    initial,
    quasi_newton,
    steps,
)
from leakybench.baselines.networks.descent import AdamSettings
from leakybench.baselines.networks.matmul import matmul_scope
from leakybench.baselines.networks.objective import Objective, Problem
from leakybench.baselines.networks.quasi_newton import PolishSettings
from leakybench.baselines.networks.recursion import Coefficients
from leakybench.baselines.networks.trained import TrainedNetwork
from leakybench.errors import UsageError
from leakybench.task import Split

Curve = list[tuple[int, list[float], list[float]]]
"""(evaluations, objective (R,), criticality residual (R,)) along a training, at the full penalty."""

ADAPTING_SHARE = 0.6
"""Adaptive step-sizes rest after this share of the main phase, so that its end is an optimum at fixed steps."""

COLLAPSED_SPREAD = 0.02
"""A network whose outputs vary by less than this share of the targets' variance is a constant function: collapsed."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a preset trains.

    Attributes:
        adam: a first phase of Adam; None for none.
        sgd_steps, sgd_rate: a phase of plain gradient descent behind it (the paper's protocol).
        continuation: (share of the penalty, iterations) of quasi-Newton stages that raise the penalty to its full
            strength. At full strength from the start, shrinking the weights pays before the fit has begun, and the rank
            ends too low.
        polish: the main phase, at the full penalty; None for none.
        initial: ``looks-linear`` or ``gaussian``.
        noise: of looks-linear weights.
    """

    adam: AdamSettings | None = None
    sgd_steps: int = 0
    sgd_rate: float = 0.0
    continuation: tuple[tuple[float, int], ...] = ()
    polish: PolishSettings | None = None
    initial: str = "looks-linear"
    noise: float = 0.2


CONTINUATION = ((0.02, 25), (0.06, 25), (0.2, 25), (0.5, 25))

RECIPES: dict[str, Recipe] = {
    "smoke": Recipe(
        continuation=((0.05, 12), (0.3, 12)),
        polish=PolishSettings(iterations=24),
    ),
    "standard": Recipe(
        continuation=CONTINUATION,
        polish=PolishSettings(iterations=200, refresh=40, tolerance=0.02),
    ),
    "converged": Recipe(
        continuation=CONTINUATION,
        polish=PolishSettings(iterations=2000, memory=40, tolerance=0.02, stall=2e-4),
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
        precision: of the products while training, ``float32`` or ``bfloat16``.
    """

    width: int
    depth: int
    effective_depth: float | None
    rule: str
    penalty: float
    learn_ends: bool
    precision: str = "float32"

    @property
    def coefficients(self) -> Coefficients:
        """c, b and rho where training starts."""
        return Coefficients.of(steps.initial(self.rule, self.depth), self.effective_depth)


PENALTY_STRENGTH = 0.05
PENALTY_KNEE = 5.0


def penalty_rule(effective_depth: float) -> float:
    """lambda = 0.05 s / (s^2 + 25) with s = max(Lt, 1): the one rule for every effective depth.

    A path through a bottleneck of rank k pays lambda Lt (COI/2 + kinetic/(2 Lt^2)), with the COI near k inside. The
    rule keeps lambda Lt (1 + (5/Lt)^2), the sum of both up to constants, at 0.05: at a large effective depth lambda
    falls like 1/Lt, as it must if the price lambda Lt k / 2 of a rank is not to outgrow what the rank explains; at a
    small one it falls like Lt, since moving within a short depth is what costs there.
    """
    scale = max(effective_depth, 1.0)
    return PENALTY_STRENGTH * scale / (scale**2 + PENALTY_KNEE**2)


def fit_many(
    settings: NetworkSettings, trains: Sequence[Split], *, seeds: Sequence[int], preset: str, name: str
) -> list[TrainedNetwork]:
    """Train one network a seed, together in batched products.

    Adaptive step-sizes differ from run to run, which batched products cannot; such runs are trained one after another.

    Args:
        settings: shared by all.
        trains: one training set a seed, all of one shape.
        seeds: of the initial weights.
        preset: see ``leakybench.baseline.PRESETS``.
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
    products = torch.bfloat16 if settings.precision == "bfloat16" else None
    objective = Objective(problem, coefficients, products=products)
    parameters = objective.initial(weights)
    warm = torch.empty_like(parameters)
    objective.gradient(parameters, warm)  # first touch of the memory, and the libraries' own set-up
    objective.evaluations = 0
    warmup_seconds = time.perf_counter() - begun

    adaptive = None
    if settings.rule == "adaptive":
        adaptive = steps.AdaptiveSteps(np.asarray(coefficients.step_sizes))
    probes = [seeding.torch_generator(name, seed, "curvature probe") for seed in seeds]
    curve: Curve = []
    if recipe.adam is not None:
        curve += descent.adam(objective, parameters, recipe.adam, adaptive=adaptive).curve
    if recipe.sgd_steps:
        sgd = descent.sgd(objective, parameters, steps=recipe.sgd_steps, rate=recipe.sgd_rate, adaptive=adaptive)
        curve += sgd.curve
    reasons = ["ran its length"] * len(seeds)
    if recipe.polish is not None:
        reasons = polish(recipe, objective, parameters, probes, adaptive=adaptive, curve=curve)
    return _models(settings, objective, parameters, seeds, curve, reasons, adaptive, warmup_seconds, backend)


def polish(
    recipe: Recipe,
    objective: Objective,
    parameters: Tensor,
    probes: Sequence[torch.Generator],
    *,
    adaptive: steps.AdaptiveSteps | None = None,
    curve: Curve | None = None,
    progress: quasi_newton.Progress | None = None,
) -> list[str]:
    """The continuation in the penalty and then the main phase, from ``parameters`` (R, P), in place.

    Args:
        recipe: with a ``polish``.
        objective, parameters, probes: as for :func:`leakybench.baselines.networks.quasi_newton.polish`.
        adaptive: step-sizes that move between two stages and at each refresh of the main phase, and rest in its last
            part.
        curve: receives the curve at the full penalty.
        progress: called along the main phase.

    Returns:
        Why each run ended.
    """
    assert recipe.polish is not None
    main = recipe.polish
    for number, (share, iterations) in enumerate(recipe.continuation):
        if adaptive is not None and number > 0:
            descent.adapt(objective, parameters, adaptive)
        objective.penalty_scale = share
        stage = dataclasses.replace(main, iterations=iterations, average=0, tolerance=0.0, stall=0.0)
        quasi_newton.polish(objective, parameters, stage, probes=probes)
    objective.penalty_scale = 1.0
    adapt = None
    if adaptive is not None:
        descent.adapt(objective, parameters, adaptive)
        remaining = int(ADAPTING_SHARE * main.iterations / max(main.refresh, 1))

        def adapt() -> bool:
            nonlocal remaining
            remaining -= 1
            if remaining < 0:
                adaptive.freeze(objective.evaluations)
            return descent.adapt(objective, parameters, adaptive)

    result = quasi_newton.polish(objective, parameters, main, probes=probes, progress=progress, adapt=adapt)
    if adaptive is not None:
        adaptive.freeze(objective.evaluations)
    if curve is not None:
        curve += result.curve
    return result.reason


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
    curve: Curve,
    reasons: list[str],
    adaptive: steps.AdaptiveSteps | None,
    warmup_seconds: float,
    backend: str,
) -> list[TrainedNetwork]:
    evaluations = objective.evaluations
    if settings.precision != "float32":
        objective.set_products(None)  # what is reported is exact
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
            "precision": settings.precision,
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
