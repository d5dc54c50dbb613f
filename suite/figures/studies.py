"""The runs that the figures need, as grids. Tasks and baselines are named by their ids; none is imported.

Effective depth and depth are always given, and given as integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from leakybench.sweeps.grid import Grid, Setting

BASELINE = "LeakyResNet-v0"
RANK_TASK, RANK = "LowRank-k3-v0", 3
STEPS_TASK = "NestedRank-6-3-v0"
STEPS_DEPTH = 3

EFFECTIVE_DEPTHS = (1, 2, 3, 5, 7, 10, 15, 20)
PROFILE_DEPTH = 7
"""The registered default of the effective depth."""
LAYERS = (6, 8, 12, 18)
DEEPER = 24
"""Layers of the deepest runs with uniform steps, so that adaptive steps at 18 layers have uniform ones of equal cost to
be compared with."""
SPECTRA_LAYERS = 18
GRID_EFFECTIVE_DEPTHS, GRID_LAYERS = (1, 3, 7, 15), (8, 12, 20, 30)
REFINED_EFFECTIVE_DEPTHS, REFINED_LAYERS, REFINED_SEEDS = (3, 7), (10, 40), 3
"""The layers study adds these to the depth study, with fewer seeds, because 40 layers are the most expensive."""

RANKS, LARGEST_RANK = (1, 2, 3, 5), 10
DIMENSION, DIMENSIONS, LARGEST_DIMENSION = 30, (20, 30, 50), 100
"""Dimensions of the inputs: the default of the tasks, those of the full grid of the rank study, and a larger one."""
NOISES = (0.1, 0.3)
RANK_LAYERS = 12
"""Layers of the rank study: they give the same ranks as 20 layers, at 60% of the cost."""
NOISE_SEEDS, LARGEST_SEEDS = 3, 2

FEW = {"Staircase-k3-v0": 300, "Curved-k2-v0": 100}
"""Two families and the number of samples at which effective depth changes the error most."""
CONTROL_DEPTHS = (0, 1, 3, 7, 15)
"""Effective depths of the controls; 0 is the ResNet."""
START_DEPTH, STARTED_DEPTHS, LIMIT_DEPTHS = 15, (0, 1, 3, 7), (1, 3)
"""Where the low-rank start begins and where it goes; where it is trained to the end as well."""
DEEP_LAYERS = 40
CONTROL_SEEDS, PAPER_SEEDS = 5, 2
"""Largest number of seeds of the controls other than the start, and of the paper's protocol, the slowest."""

FEW_RULES = ("uniform", "irregular", "adaptive", "early", "settled")
FEW_LAYERS, FEW_LEAK = (9, 20), 7
FEW_SAMPLES = {"Staircase-k3-v0": (200, 400), "Curved-k2-v0": (50, 100)}
"""Below and near the threshold of the error."""

TUNED_TASKS = (
    "Curved-k2-v0", "EvenWaves-code-k3-v0", "EvenWaves-k3-n300-v0", "Hierarchical-k3-v0", "Nuisance-k3-n500-v0",
    "PowerLaw-k5-n200-v0",
)  # fmt: skip
TUNED_METHODS = (
    "LeakyResNet-v0", "KernelRidge-v0", "RecursiveFeatureMachine-v0", "DirectionalRegression-v0", "ReducedRank-v0",
    "Ridge-v0",
)  # fmt: skip
TUNED_SAMPLES, TUNED_TRIALS, TUNED_SEEDS = 200, 8, 5


def layers_for(effective_depth: int) -> int:
    """Number of layers in the depth study, L = max(20, 2 Lt)."""
    return max(20, 2 * effective_depth)


def _grid(
    task: str,
    effective_depth: int,
    depths: Sequence[int],
    seeds: Sequence[int],
    preset: str,
    *,
    rule: str = "uniform",
    of_task: Sequence[tuple[str, Any]] = (),
) -> Grid:
    settings = [Setting("effective_depth", effective_depth), *(Setting("depth", depth) for depth in depths)]
    return Grid(
        tasks=[task],
        baselines=[BASELINE],
        steps=[rule],
        task_settings=[Setting(name, value) for name, value in of_task],
        baseline_settings=settings,
        seeds=list(seeds),
        preset=preset,
    )


def depth_study(seeds: Sequence[int], effective_depths: Sequence[int] = EFFECTIVE_DEPTHS) -> list[Grid]:
    """A task of rank 3 at every effective depth, trained until the weights are critical."""
    return [_grid(RANK_TASK, lt, [layers_for(lt)], seeds, "converged") for lt in effective_depths]


def profile_study(seeds: Sequence[int]) -> list[Grid]:
    """The effective depth of the depth study whose profiles are shown."""
    return depth_study(seeds, [PROFILE_DEPTH])


def layers_study(seeds: Sequence[int]) -> list[Grid]:
    """Varying numbers of layers, at two effective depths of the depth study."""
    finer = [
        _grid(RANK_TASK, lt, REFINED_LAYERS, seeds[:REFINED_SEEDS], "converged") for lt in REFINED_EFFECTIVE_DEPTHS
    ]
    return [*depth_study(seeds, REFINED_EFFECTIVE_DEPTHS), *finer]


def steps_study(seeds: Sequence[int], layers: Sequence[int] = LAYERS) -> list[Grid]:
    """Dimensions 30-6-3-30 under the three step rules [JK24 figure 2]."""
    return [
        _grid(STEPS_TASK, STEPS_DEPTH, layers, seeds, "standard", rule=rule)
        for rule in ("uniform", "irregular", "adaptive")
    ]


def paths_study(seeds: Sequence[int]) -> list[Grid]:
    """The deepest runs of the steps study, with one seed."""
    return steps_study(seeds[:1], [SPECTRA_LAYERS])


def weights_study(seeds: Sequence[int]) -> list[Grid]:
    """The deepest runs of the steps study with adaptive and with uniform steps."""
    uniform, _, adaptive = steps_study(seeds, [SPECTRA_LAYERS])
    return [adaptive, uniform]


def cost_study(seeds: Sequence[int]) -> list[Grid]:
    """Uniform and adaptive steps, and deeper networks with uniform steps."""
    uniform, _, adaptive = steps_study(seeds)
    return [uniform, adaptive, _grid(STEPS_TASK, STEPS_DEPTH, [DEEPER], seeds, "standard")]


def grid_study(seeds: Sequence[int]) -> list[Grid]:
    """Effective depth and number of layers varied together, wherever L > Lt."""
    return [
        _grid(RANK_TASK, lt, [depth for depth in GRID_LAYERS if depth > lt], seeds, "standard")
        for lt in GRID_EFFECTIVE_DEPTHS
    ]


def rank_study(seeds: Sequence[int]) -> list[Grid]:
    """The full grid of true rank and dimension with all seeds; rank 10, noise and 100 dimensions with fewer seeds.

    A setting of the task does not change its random draws, so the teacher with noise is the same as without.
    """

    def grid(rank: int, count: int | None, **of_task: Sequence[Any]) -> Grid:
        pairs = [(name, value) for name, values in of_task.items() for value in values]
        task = f"LowRank-k{rank}-v0"
        return _grid(task, PROFILE_DEPTH, [RANK_LAYERS], seeds[:count], "converged", of_task=pairs)

    # the default dimension is left out: it is that of the task itself
    others = [dimension for dimension in DIMENSIONS if dimension != DIMENSION]
    ranks = (*RANKS, LARGEST_RANK)
    return [
        *(grid(rank, None) for rank in RANKS),
        *(grid(rank, None, d=others) for rank in RANKS),
        grid(LARGEST_RANK, NOISE_SEEDS),
        *(grid(rank, NOISE_SEEDS, noise=NOISES) for rank in ranks),
        *(grid(rank, LARGEST_SEEDS, d=[LARGEST_DIMENSION]) for rank in ranks),
    ]


def controls_study(seeds: Sequence[int]) -> list[Grid]:
    """What else could explain that effective depth saves samples: one thing changed at a time, at few samples."""
    few, fewest = seeds[:CONTROL_SEEDS], seeds[:PAPER_SEEDS]
    return [
        grid
        for task in FEW
        for grid in (
            *_control(task, seeds, (*CONTROL_DEPTHS, None)),
            *_control(task, seeds, STARTED_DEPTHS, start_depth=START_DEPTH),
            *_control(task, few, LIMIT_DEPTHS, preset="converged"),
            *_control(task, few, LIMIT_DEPTHS, preset="converged", start_depth=START_DEPTH),
            *_control(task, few, STARTED_DEPTHS, initial="gaussian"),
            *_control(task, few, STARTED_DEPTHS, gain=0.3),
            *_control(task, few, STARTED_DEPTHS, gain=3.0),
            *(grid for lt in (1, 3, 7) for grid in _control(task, few, (lt,), depth=2 * lt)),
            *_control(task, few, (1, 3, 7), depth=DEEP_LAYERS),
            *_control(task, fewest, (1, 7), preset="paper"),
        )
    ]


def _control(
    task: str,
    seeds: Sequence[int],
    effective_depths: Sequence[int | None],
    *,
    preset: str = "standard",
    **changed: Any,
) -> list[Grid]:
    """Networks of each effective depth, None for fully connected, with a setting changed."""
    grids = []
    for lt in effective_depths:
        baseline = "FullyConnected-v0" if lt is None else BASELINE if lt else "ResNet-v0"
        settings = [Setting("effective_depth", lt)] if lt else []
        grids.append(
            Grid(
                tasks=[task],
                baselines=[baseline],
                steps=["uniform"],
                task_settings=[Setting("n_train", FEW[task])],
                baseline_settings=[*settings, *(Setting(name, value) for name, value in changed.items())],
                seeds=list(seeds),
                preset=preset,
            )
        )
    return grids


def few_samples_study(seeds: Sequence[int]) -> list[Grid]:
    """Every step rule at few samples, over the number of layers."""
    return [
        _grid(task, FEW_LEAK, FEW_LAYERS, seeds, "standard", rule=rule, of_task=[("n_train", count)])
        for task, counts in FEW_SAMPLES.items()
        for count in counts
        for rule in FEW_RULES
    ]


def tuned_study(seeds: Sequence[int]) -> list[Grid]:
    """Methods of six kinds on six families, as they are and tuned."""
    return [
        Grid(
            tasks=[task],
            baselines=[method],
            task_settings=[Setting("n_train", TUNED_SAMPLES)],
            seeds=list(seeds[:TUNED_SEEDS]),
            preset="standard",
            tune=tune,
        )
        for task in TUNED_TASKS
        for method in TUNED_METHODS
        for tune in (None, TUNED_TRIALS)
    ]
