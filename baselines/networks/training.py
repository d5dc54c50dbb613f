"""From a training set to a trained network, for one run or for a batch of seeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leakybench import seeding
from leakybench.baseline import check_preset
from leakybench.baselines.networks import initial, quasi_newton, warm_start
from leakybench.baselines.networks.descent import Curve, adapt_steps, run_adam, run_sgd
from leakybench.baselines.networks.matmul import matmul_scope
from leakybench.baselines.networks.objective import FitProblem, Objective
from leakybench.baselines.networks.outcome import Training, trained_networks
from leakybench.baselines.networks.quasi_newton import QuasiNewtonSettings
from leakybench.baselines.networks.recipes import CONTINUATION_DAMPING, Recipe, recipe_for
from leakybench.baselines.networks.recursion import Coefficients
from leakybench.baselines.networks.settings import NetworkSettings
from leakybench.baselines.networks.steps import AdaptiveSteps
from leakybench.baselines.networks.trained import TrainedNetwork
from leakybench.errors import UsageError
from leakybench.task import Split

ADAPTING_SHARE = 0.6
"""Adaptive step-sizes are frozen after this share of the main phase, so that its end is an optimum at fixed steps."""


SETTLING_SHARE = 0.2
"""Of Adam's steps, for early and settled step-sizes under a recipe without a continuation."""


def train_networks(
    settings: NetworkSettings, trains: Sequence[Split], *, seeds: Sequence[int], preset: str, name: str
) -> list[TrainedNetwork]:
    """Train one network a seed, together in batched products.

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
    # the choice of a library is one between those of the processor
    with matmul_scope(None if settings.device == "cpu" else "highest") as backend:
        return trained_networks(_train(settings, preset, trains, seeds, name, backend))


def _train(
    settings: NetworkSettings, preset: str, trains: Sequence[Split], seeds: Sequence[int], name: str, backend: str
) -> Training:
    """Run all phases of a preset's recipe."""
    recipe = recipe_for(preset, settings.coefficients.scale)
    settled = settle(settings, recipe, trains, seeds, name) if settings.settled else None
    begun = time.perf_counter()
    first = settings if settings.start_depth is None else settings.at(settings.start_depth)
    runs = [first.coefficients] * len(seeds)
    if settled is not None:
        runs = [run.with_steps(rule.step_sizes) for run, rule in zip(runs, settled.rules, strict=True)]
    problem, weights = build_problem(first, recipe, trains, seeds, name, runs)
    products = torch.bfloat16 if settings.precision == "bfloat16" else None
    objective = Objective(problem, first.coefficients, products=products)
    if settled is not None:
        objective.set_coefficients(runs)
    parameters = objective.initial(weights)
    objective.gradient(parameters, torch.empty_like(parameters))  # first touch of the memory, and the libraries' set-up
    objective.evaluations = 0 if settled is None else settled.evaluations
    warmup_seconds = time.perf_counter() - begun

    adaptive = adaptive_steps(settings, recipe, len(seeds))
    probes = [seeding.torch_generator(name, seed, "curvature probe") for seed in seeds]
    curve: Curve = []
    before: list[dict[str, Any]] = [{} if settled is None else settled.report() for _ in seeds]
    if settings.start_depth is not None:
        objective, parameters, paths = descend(settings, preset, objective, parameters, probes)
        recipe = replace(recipe, continuation=())
        before = [{**values, "start_path": path} for values, path in zip(before, paths, strict=True)]
    if recipe.adam is not None:
        curve += run_adam(objective, parameters, recipe.adam, adaptive=adaptive)
    if recipe.sgd_steps:
        curve += run_sgd(objective, parameters, steps=recipe.sgd_steps, rate=recipe.sgd_rate, adaptive=adaptive)
    reasons = ["ran its length"] * len(seeds)
    if recipe.main_phase is not None:
        reasons = train_in_stages(
            recipe, objective, parameters, probes, adaptive=adaptive, early=settings.early, curve=curve
        )
    return Training(
        settings=settings,
        objective=objective,
        parameters=parameters,
        seeds=seeds,
        curve=curve,
        reasons=reasons,
        adaptive=adaptive if settled is None else settled.rules,
        warmup_seconds=warmup_seconds,
        matmul=backend,
        before=before,
    )


def descend(
    settings: NetworkSettings, preset: str, objective: Objective, parameters: Tensor, probes: Sequence[torch.Generator]
) -> tuple[Objective, Tensor, list[list[list[float]]]]:
    """Train at ``settings.start_depth``, then at smaller effective depths, each from the last one's solution.

    The first stage is a whole training, and the ones between it and Lt have ``warm_start.STAGE_SHARE`` of its
    iterations. Each has the penalty of ``NetworkSettings.at``. Step-sizes stay.

    Args:
        settings: of the networks, with a ``start_depth``.
        preset: one whose recipe has a main phase.
        objective: at the start's effective depth.
        parameters: initial, (R, P); changed.
        probes: one a run.

    Returns:
        The objective at Lt, parameters (R, P) whose path is that of the last stage, and for each run the
        [effective depth, objective] of each stage.
    """
    assert settings.start_depth is not None
    *depths, _ = path = warm_start.stages(settings.start_depth, settings.coefficients.effective_depth)
    products = torch.bfloat16 if settings.precision == "bfloat16" else None
    reached: list[list[list[float]]] = [[] for _ in probes]
    for number, (depth, following) in enumerate(zip(depths, path[1:], strict=True)):
        recipe = recipe_for(preset, max(depth, 1.0))
        if recipe.main_phase is None:
            raise UsageError(f"start_depth needs the preset smoke, standard or converged, got {preset}")
        if number > 0:
            iterations = max(1, round(warm_start.STAGE_SHARE * recipe.main_phase.iterations))
            recipe = replace(recipe, continuation=(), main_phase=replace(recipe.main_phase, iterations=iterations))
        train_in_stages(recipe, objective, parameters, probes)
        for run, value in enumerate(objective.predict(parameters).value.tolist()):
            reached[run].append([depth, value])
        next_settings = settings.at(following)
        coefficients = next_settings.coefficients
        runs = [coefficients.with_steps(run.step_sizes) for run in objective.run_coefficients]
        parameters = warm_start.carried(objective, parameters, runs)
        problem = replace(objective.problem, penalty=next_settings.penalty * coefficients.scale)
        evaluations = objective.evaluations
        objective = Objective(problem, coefficients, products=products)
        objective.set_coefficients(runs)
        objective.evaluations = evaluations
    return objective, parameters, reached


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Step-sizes that a short training has found.

    Attributes:
        rules: one a run, frozen.
        evaluations: gradients that the training took.
        seconds: its time.
    """

    rules: list[AdaptiveSteps]
    evaluations: int
    seconds: float

    def report(self) -> dict[str, Any]:
        """What the report of each run says of it, beside the trajectory of the step-sizes."""
        return {"settling_evaluations": self.evaluations, "settling_seconds": self.seconds}


def settle(
    settings: NetworkSettings, recipe: Recipe, trains: Sequence[Split], seeds: Sequence[int], name: str
) -> Settled:
    """Find step-sizes by a short training with the adaptive rule, whose weights are thrown away.

    It is the part of the recipe in which the penalty rises: 100 iterations, before the 300 of ``standard``. Where there
    is none, as in ``paper``, it is ``SETTLING_SHARE`` of Adam's steps. The training that follows is the one with a
    fixed rule of these step-sizes, initial weights included.
    """
    begun = time.perf_counter()
    problem, weights = build_problem(settings, recipe, trains, seeds, name)
    products = torch.bfloat16 if settings.precision == "bfloat16" else None
    objective = Objective(problem, settings.coefficients, products=products)
    parameters = objective.initial(weights)
    rules = [AdaptiveSteps(np.asarray(settings.step_sizes)) for _ in seeds]
    if recipe.adam is not None:
        steps = max(1, round(SETTLING_SHARE * recipe.adam.steps))
        run_adam(objective, parameters, replace(recipe.adam, steps=steps), adaptive=rules)
    if recipe.main_phase is not None:
        probes = [seeding.torch_generator(name, seed, "curvature probe") for seed in seeds]
        raise_penalty(recipe, objective, parameters, probes, adaptive=rules)
    _freeze(rules, objective)
    return Settled(rules=rules, evaluations=objective.evaluations, seconds=time.perf_counter() - begun)


def adaptive_steps(settings: NetworkSettings, recipe: Recipe, runs: int) -> list[AdaptiveSteps] | None:
    """The adaptive rule at its start, one a run, or None where the step-sizes are fixed.

    Early step-sizes stay from the end of the continuation on, see ``train_in_stages``; where there is none, as in
    ``paper``, after ``SETTLING_SHARE`` of Adam's steps.
    """
    if not settings.adaptive:
        return None
    until = round(SETTLING_SHARE * recipe.adam.steps) if settings.early and recipe.adam is not None else None
    return [AdaptiveSteps(np.asarray(settings.step_sizes), until=until) for _ in range(runs)]


def train_in_stages(
    recipe: Recipe,
    objective: Objective,
    parameters: Tensor,
    probes: Sequence[torch.Generator],
    *,
    adaptive: Sequence[AdaptiveSteps] | None = None,
    early: bool = False,
    curve: Curve | None = None,
    progress: quasi_newton.Progress | None = None,
) -> list[str]:
    """Run the continuation in the penalty and then the main phase, from ``parameters`` (R, P), in place.

    Args:
        recipe: with a ``main_phase``.
        objective: to minimise.
        parameters: (R, P).
        probes: a generator of the preconditioner's probes for each run.
        adaptive: one a run: step-sizes that change between two stages and at each refresh of the main phase, except
            in its last part.
        early: whether they stay in the whole main phase.
        curve: receives the curve at the full penalty.
        progress: called along the main phase.

    Returns:
        Why each run ended.
    """
    assert recipe.main_phase is not None
    main = recipe.main_phase
    raise_penalty(recipe, objective, parameters, probes, adaptive=adaptive)
    adapt = None
    if adaptive is not None and early:
        _freeze(adaptive, objective)
    elif adaptive is not None:
        remaining = int(ADAPTING_SHARE * main.iterations / max(main.refresh, 1))

        def adapt(active: np.ndarray) -> np.ndarray:
            nonlocal remaining
            remaining -= 1
            if remaining < 0:
                _freeze(adaptive, objective)
            return adapt_steps(objective, parameters, adaptive, active=active)

    result = quasi_newton.minimise(objective, parameters, main, probes=probes, progress=progress, adapt=adapt)
    if adaptive is not None:
        _freeze(adaptive, objective)
    if curve is not None:
        curve += result.curve
    return result.reason


def raise_penalty(
    recipe: Recipe,
    objective: Objective,
    parameters: Tensor,
    probes: Sequence[torch.Generator],
    *,
    adaptive: Sequence[AdaptiveSteps] | None = None,
) -> None:
    """Run the continuation in the penalty, up to its full strength, from ``parameters`` (R, P), in place.

    Arguments as those of ``train_in_stages``; the step-sizes change after each stage.
    """
    main = recipe.main_phase
    assert main is not None
    for number, (share, iterations) in enumerate(recipe.continuation):
        if adaptive is not None and number > 0:
            adapt_steps(objective, parameters, adaptive)
        objective.penalty_scale = share
        stage = QuasiNewtonSettings(
            iterations=iterations, memory=main.memory, refresh=main.refresh, damping=CONTINUATION_DAMPING, average=0
        )
        quasi_newton.minimise(objective, parameters, stage, probes=probes)
    objective.penalty_scale = 1.0
    if adaptive is not None:
        adapt_steps(objective, parameters, adaptive)


def _freeze(adaptive: Sequence[AdaptiveSteps], objective: Objective) -> None:
    for rule in adaptive:
        rule.freeze(objective.evaluations)


def build_problem(
    settings: NetworkSettings,
    recipe: Recipe,
    trains: Sequence[Split],
    seeds: Sequence[int],
    name: str,
    runs: Sequence[Coefficients] | None = None,
) -> tuple[FitProblem, Tensor]:
    """The data as columns, the ends, and the initial V (R, L, w, w + 1), each drawn from its own seed.

    Draws are made on the CPU, whatever the device, so that training starts from the same numbers on each. ``runs`` are
    the coefficients of each run where their step-sizes differ from those of the settings.
    """
    d_in, d_out = trains[0].inputs.shape[1], trains[0].targets.shape[1]
    kind = settings.initial or recipe.initial
    check_dimensions(settings.width, d_in, d_out, learn_ends=settings.learn_ends)
    runs = [settings.coefficients] * len(seeds) if runs is None else runs
    embeddings, readouts, weights = [], [], []
    for seed, coefficients in zip(seeds, runs, strict=True):
        draw = seeding.torch_generator(name, seed, "init")
        embedding, transposed_readout = (_draw_end(kind, settings.width, size, draw) for size in (d_in, d_out))
        embeddings.append(embedding)
        readouts.append(transposed_readout.mT.contiguous())
        if kind == "looks-linear":
            noise = settings.gain * recipe.noise
            weight = initial.looks_linear(coefficients, settings.width, noise=noise, generator=draw)
        else:
            weight = initial.signal_preserving(coefficients, settings.width, gain=settings.gain, generator=draw)
        weights.append(weight)
    problem = FitProblem(
        inputs=torch.stack([torch.from_numpy(train.inputs).mT.contiguous() for train in trains]),
        targets=torch.stack([torch.from_numpy(train.targets).mT.contiguous() for train in trains]),
        embedding=torch.stack(embeddings).float(),
        readout=torch.stack(readouts).float(),
        # F's penalty is (c0/2) sum rho |V|^2 with c0 = lambda max(Lt, 1)
        penalty=settings.penalty * settings.coefficients.scale,
        learn_ends=settings.learn_ends,
    )
    return problem.to(torch.device(settings.device)), torch.stack(weights).float()


def _draw_end(kind: str, width: int, size: int, draw: torch.Generator) -> Tensor:
    """An embedding (w, size) that suits the initial weights as far as the width allows."""
    if kind == "looks-linear" and 2 * size <= width:
        return initial.mirrored(width, size, generator=draw)
    return initial.orthonormal(width, size, generator=draw)


def check_dimensions(width: int, d_in: int, d_out: int, *, learn_ends: bool) -> None:
    """Raise ``UsageError`` where a fixed orthonormal embedding or read-out does not fit into the width."""
    if not learn_ends and width < max(d_in, d_out):
        raise UsageError(
            f"width must be at least {max(d_in, d_out)} for {d_in} inputs and {d_out} outputs, got {width} "
            "(or learn the ends: ends='learned')"
        )
