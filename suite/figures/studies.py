"""The runs that figures are made from: what is trained, under which names. Ids are text; nothing is imported."""

from __future__ import annotations

from collections.abc import Sequence

from suite.grid import Grid, Setting

BASELINE = "LeakyResNet-v0"
RANK_TASK, RANK = "LowRank-k3-v0", 3
STEPS_TASK = "NestedRank-6-3-v0"
STEPS_DEPTH = 3

EFFECTIVE_DEPTHS = (1, 2, 3, 5, 7, 10, 15, 20)
PROFILE_DEPTH = 7
LAYERS = (6, 8, 12, 18)
DEEPER = 24
"""Uniform steps go deeper than the others, so that adaptive steps at 18 layers have something of equal cost beside
them."""
SPECTRA_LAYERS = 18
GRID_EFFECTIVE_DEPTHS, GRID_LAYERS = (1, 3, 7, 15), (8, 16, 24, 32)
GRID_SEEDS = 3


def layers_for(effective_depth: int) -> int:
    """L = max(20, 2 Lt): the layers of the depth study."""
    return max(20, 2 * effective_depth)


def _grid(
    task: str, effective_depth: float, depths: Sequence[int], seeds: Sequence[int], preset: str, rule: str
) -> Grid:
    settings = [Setting("effective_depth", effective_depth), *(Setting("depth", depth) for depth in depths)]
    return Grid(
        tasks=[task],
        baselines=[BASELINE],
        steps=[rule],
        baseline_settings=settings,
        seeds=list(seeds),
        preset=preset,
    )


def depth_study(seeds: Sequence[int], effective_depths: Sequence[int] = EFFECTIVE_DEPTHS) -> list[Grid]:
    """Rank 3 at every effective depth, trained until the weights are critical."""
    return [_grid(RANK_TASK, float(lt), [layers_for(lt)], seeds, "converged", "uniform") for lt in effective_depths]


def profile_study(seeds: Sequence[int]) -> list[Grid]:
    """The member of the depth study whose profiles are shown."""
    return depth_study(seeds, [PROFILE_DEPTH])


def steps_study(seeds: Sequence[int], layers: Sequence[int] = LAYERS) -> list[Grid]:
    """Dimensions 30-6-3-30 under the three step rules [JK24 figure 2]."""
    return [
        _grid(STEPS_TASK, STEPS_DEPTH, layers, seeds, "standard", rule) for rule in ("uniform", "irregular", "adaptive")
    ]


def cost_study(seeds: Sequence[int]) -> list[Grid]:
    """Uniform and adaptive steps, and uniform ones that go deeper."""
    uniform, _, adaptive = steps_study(seeds)
    return [uniform, adaptive, _grid(STEPS_TASK, STEPS_DEPTH, [DEEPER], seeds, "standard", "uniform")]


def grid_study(seeds: Sequence[int]) -> list[Grid]:
    """Effective depth and layers varied together, wherever L > Lt."""
    return [
        _grid(RANK_TASK, lt, [depth for depth in GRID_LAYERS if depth > lt], seeds[:GRID_SEEDS], "standard", "uniform")
        for lt in GRID_EFFECTIVE_DEPTHS
    ]
