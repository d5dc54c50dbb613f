"""The fits that the parts of ``tests.perf.ratios`` time: LowRank-k3-v0 under the three families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import leakybench
from leakybench import seeding
from leakybench.baselines.networks.objective import FitProblem, Objective
from leakybench.baselines.networks.recipes import Recipe, recipe_for
from leakybench.baselines.networks.settings import NetworkSettings
from leakybench.baselines.networks.training import build_problem

FAMILIES: dict[str, dict[str, Any]] = {
    "LeakyResNet-v0": {"effective_depth": 7.0},
    "ResNet-v0": {},
    "FullyConnected-v0": {},
}


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a fit starts.

    Attributes:
        name: of the generators, the baseline's.
        seed: of the task and of the initial weights.
        settings: of the network.
        recipe: of the preset.
        data: the data set, the ends and the penalty.
        weights: initial V, (1, L, w, w + 1).
    """

    name: str
    seed: int
    settings: NetworkSettings
    recipe: Recipe
    data: FitProblem
    weights: Tensor

    def objective(self) -> tuple[Objective, Tensor]:
        """The objective and the initial parameters (1, P), after a first gradient, which no fit counts as its time."""
        objective = Objective(self.data, self.settings.coefficients)
        parameters = objective.initial(self.weights)
        objective.gradient(parameters, torch.empty_like(parameters))
        objective.evaluations = 0
        return objective, parameters

    def probes(self) -> list[torch.Generator]:
        """The generators of the metric's probes, as a fit draws them."""
        return [seeding.torch_generator(self.name, self.seed, "curvature probe")]


def make_start(
    baseline: str,
    settings: Mapping[str, Any],
    *,
    preset: str = "standard",
    seed: int = 0,
    task: Mapping[str, Any] | None = None,
) -> Start:
    """The start of a baseline's fit of LowRank-k3-v0; ``task`` holds settings of the task."""
    made: Any = leakybench.make_baseline(baseline, **settings)
    train = leakybench.make("LowRank-k3-v0", seed=seed, **(task or {})).train
    name, network = type(made).__name__, made.network
    recipe = recipe_for(preset, network.coefficients.scale)
    data, weights = build_problem(network, recipe, [train], [seed], name)
    return Start(name=name, seed=seed, settings=network, recipe=recipe, data=data, weights=weights)
