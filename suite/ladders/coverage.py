"""Measure how often the intervals of a ladder hold the true threshold, and what they cost against a plain grid.

    python -m leakybench.ladders.coverage [--ladders 1000] [--seed 0]

Simulated methods, each a law of the runs at a number of samples N around a threshold that is known by construction or
by quadrature, climb the axis ``n_train=25:3200`` under the default design, with the threshold at a random place. Two
plain grids are compared: the eight values of the axis, and the fifteen with those between them, to which a design
splits the gap that holds a threshold. Each has as many seeds at a value as give intervals that are no wider, by their
median.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize
from scipy.special import expit

from leakybench.analysis.ladders import Goal
from leakybench.ladders.axis import SPLITS, Axis, parse_axis
from leakybench.ladders.design import BUDGET_EACH, Design
from leakybench.stats.thresholds import Crossing, crossing

AXIS = "n_train=25:3200"
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
MOST_SEEDS = 200

Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Law:
    """A method's runs by their distance from its centre, in octaves of N.

    Attributes:
        name: for the table.
        metric: ``error`` or ``recovery``.
        draw: values of runs at distances (n,), with a generator.
        mean: exact mean at a distance.
    """

    name: str
    metric: str
    draw: Draw
    mean: Callable[[float], float]

    @property
    def offset(self) -> float:
        """Distance of the threshold at 0.5 from the centre, octaves."""
        return float(optimize.brentq(lambda x: self.mean(x) - 0.5, -8.0, 8.0))


def smooth(scale: float, noise: float) -> Law:
    """Normal noise around a logistic curve of a scale in octaves."""
    return Law(
        name=f"logistic, scale {scale:g}, noise {noise:g}",
        metric="error",
        draw=lambda x, rng: expit(-x / scale) + noise * rng.standard_normal(len(x)),
        mean=lambda x: float(expit(-x / scale)),
    )


def own_threshold(spread: float, scale: float, floor: float = 0.0) -> Law:
    """Each seed crosses at a threshold of its own, normal with a spread in octaves: nearly two-valued if scale is
    small."""

    def curve(x: np.ndarray, own: np.ndarray) -> np.ndarray:
        return np.asarray(floor + (1 - floor) * expit((spread * own - x) / scale))

    return Law(
        name=f"own thresholds, spread {spread:g}, scale {scale:g}, floor {floor:g}",
        metric="error",
        draw=lambda x, rng: curve(x, rng.standard_normal(len(x))),
        mean=lambda x: float(WEIGHTS @ curve(np.full(len(NODES), x), NODES) / WEIGHTS.sum()),
    )


def power(exponent: float, spread: float) -> Law:
    """Error 0.5 (N/N0)^-exponent with lognormal spread, at most 1."""

    def curve(x: np.ndarray, own: np.ndarray) -> np.ndarray:
        return np.asarray(np.minimum(0.5 * 2.0 ** (-exponent * x) * np.exp(spread * own), 1.0))

    return Law(
        name=f"power {exponent:g}, lognormal {spread:g}",
        metric="error",
        draw=lambda x, rng: curve(x, rng.standard_normal(len(x))),
        mean=lambda x: float(WEIGHTS @ curve(np.full(len(NODES), x), NODES) / WEIGHTS.sum()),
    )


def recovery(scale: float) -> Law:
    """Each run recovers the rank or not, with a logistic share of a scale in octaves."""
    return Law(
        name=f"recovery, scale {scale:g}",
        metric="recovery",
        draw=lambda x, rng: (rng.random(len(x)) < expit(x / scale)).astype(float),
        mean=lambda x: float(expit(x / scale)),
    )


LAWS = (
    smooth(0.25, 0.15),
    smooth(0.5, 0.1),
    smooth(1.0, 0.1),
    own_threshold(0.3, 0.05),
    own_threshold(0.5, 0.2),
    own_threshold(1.0, 0.1),
    own_threshold(0.3, 0.4, 0.3),
    power(0.7, 0.3),
    power(0.4, 0.2),
    recovery(0.3),
    recovery(0.7),
)


def climb(law: Law, centre: float, design: Design, budget: int, rng: np.random.Generator) -> tuple[Crossing, int]:
    """Simulate one ladder; return the crossing, in octaves, and the number of runs."""
    axis, goal = design.axis, design.goals[0]
    samples: dict[int, np.ndarray] = {}
    spent = 0
    while wants := design.wanted({goal.metric: samples}, {p: len(values) for p, values in samples.items()}):
        for position, number in sorted(wants.items(), key=lambda item: (item[1], item[0])):
            before = samples.get(position, np.zeros(0))
            more = min(number - len(before), budget - spent)
            if more > 0:
                fresh = law.draw(np.full(more, axis.place(position) - centre), rng)
                samples[position], spent = np.concatenate([before, fresh]), spent + more
        if spent >= budget:
            break
    return _crossing(samples, axis, goal), spent


def grid(
    law: Law, centre: float, axis: Axis, goal: Goal, seeds: int, rng: np.random.Generator, *, parts: int
) -> Crossing:
    """Simulate a plain grid of as many seeds at every value, of which ``parts`` lie in a gap of the axis."""
    positions = range(0, axis.positions[-1] + 1, SPLITS // parts)
    samples = {p: law.draw(np.full(seeds, axis.place(p) - centre), rng) for p in positions}
    return _crossing(samples, axis, goal)


def _crossing(samples: dict[int, np.ndarray], axis: Axis, goal: Goal) -> Crossing:
    runs = [(axis.place(position), samples[position]) for position in sorted(samples)]
    return crossing(runs, goal.level, rising=goal.rising(easier=axis.easier), binary=goal.binary)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What ladders of one law gave.

    Attributes:
        law: name of the law.
        share: of the intervals that hold the threshold.
        low: share of thresholds below the interval.
        high: share of thresholds above it.
        ratio: median ratio of the ends.
        runs: mean number of runs.
        grids: runs of a plain grid that is as narrow, and the share of its intervals that hold the threshold, for
            the values of the axis and for twice as many; runs None where ``MOST_SEEDS`` a value are too few.
    """

    law: str
    share: float
    low: float
    high: float
    ratio: float
    runs: float
    grids: list[tuple[int | None, float]]


def measure(law: Law, *, ladders: int, budget: int = BUDGET_EACH, seed: int = 0, compare: bool = True) -> Coverage:
    """Simulate ladders of one law whose thresholds lie at random between the second and the last value but one."""
    axis, goal = parse_axis(AXIS), Goal(metric=law.metric)
    design = Design(axis=axis, goals=[goal])
    rng = np.random.default_rng(seed)
    first, last = axis.place(axis.positions[1]), axis.place(axis.positions[-2])
    truths = rng.uniform(first, last, ladders)
    found = [climb(law, truth - law.offset, design, budget, rng) for truth in truths]
    ends = np.array([(_end(c.low, -np.inf), _end(c.high, np.inf)) for c, _ in found])
    ratio = float(np.median(ends[:, 1] - ends[:, 0]))
    parts = (1, 2) if compare else ()
    grids = [_equal_grid(law, truths[:200], axis, goal, ratio, rng, parts=number) for number in parts]
    return Coverage(
        law=law.name,
        share=float(np.mean((ends[:, 0] <= truths) & (truths <= ends[:, 1]))),
        low=float(np.mean(truths < ends[:, 0])),
        high=float(np.mean(truths > ends[:, 1])),
        ratio=2.0**ratio,
        runs=float(np.mean([runs for _, runs in found])),
        grids=grids,
    )


def _end(value: float | None, missing: float) -> float:
    return missing if value is None else value


def _equal_grid(
    law: Law, truths: np.ndarray, axis: Axis, goal: Goal, width: float, rng: np.random.Generator, *, parts: int
) -> tuple[int | None, float]:
    """Runs of the smallest grid whose median interval is no wider, by doubling and bisection, and its coverage."""

    def intervals(seeds: int) -> np.ndarray:
        found = [grid(law, truth - law.offset, axis, goal, seeds, rng, parts=parts) for truth in truths]
        return np.array([(_end(c.low, -np.inf), _end(c.high, np.inf)) for c in found])

    def wide(seeds: int) -> bool:
        ends = intervals(seeds)
        return float(np.median(ends[:, 1] - ends[:, 0])) > width

    low, high = 2, 4
    while wide(high):
        low, high = high, 2 * high
        if high > MOST_SEEDS:
            return None, np.nan
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) else (low, middle)
    ends = intervals(high)
    values = (len(axis.values) - 1) * parts + 1
    return values * high, float(np.mean((ends[:, 0] <= truths) & (truths <= ends[:, 1])))


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each law, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladders", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=BUDGET_EACH)
    parser.add_argument("--seed", type=int, default=0)
    args: Any = parser.parse_args(argv)
    print(
        "| law | covered, % | below, % | above, % | ratio of the ends, median | runs "
        "| grid of 8: runs (covered, %) | share | grid of 15: runs (covered, %) | share |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for law in LAWS:
        row = measure(law, ladders=args.ladders, budget=args.budget, seed=args.seed)
        shares = " | ".join(f"{100 * share:.1f}" for share in (row.share, row.low, row.high))
        compared = " | ".join(
            "- | -" if runs is None else f"{runs} ({100 * covered:.0f}) | {row.runs / runs:.2f}"
            for runs, covered in row.grids
        )
        print(f"| {row.law} | {shares} | {row.ratio:.2f} | {row.runs:.0f} | {compared} |", flush=True)


if __name__ == "__main__":
    main()
