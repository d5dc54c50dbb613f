"""Measure the coverage of the intervals and the false alarms of the paired test by simulation with known truth.

``python -m leakybench.stats.coverage`` prints both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from leakybench.stats.intervals import METHODS, STATISTICS, bounds
from leakybench.stats.paired import effect_bounds

Sampler = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class World:
    """A distribution of run scores whose mean, median and interquartile mean are known exactly (by quadrature).

    Attributes:
        name: name of the distribution.
        law: frozen scipy distribution.
        truth: the statistics by name.
    """

    name: str
    law: object
    truth: dict[str, float]


def world(name: str, law: object) -> World:
    """Compute the true statistics of a frozen scipy distribution.

    The interquartile mean is 2 times the integral of the quantile over (1/4, 3/4).
    """
    # Gauss-Legendre of 200 nodes is exact to round-off for these smooth quantile functions
    nodes, weights = np.polynomial.legendre.leggauss(200)
    middle = float(np.sum(weights * law.ppf(0.5 + 0.25 * nodes)) / 2.0)  # type: ignore[attr-defined]
    truth = {"mean": float(law.mean()), "median": float(law.median()), "iqm": middle}  # type: ignore[attr-defined]
    return World(name=name, law=law, truth=truth)


def worlds() -> list[World]:
    """Laws like those of test errors over seeds: symmetric, a little skewed (as measured), heavy-tailed, badly
    skewed."""
    return [
        world("normal", scipy_stats.norm(0.3, 0.03)),
        world("lognormal, 10% spread", scipy_stats.lognorm(0.1, scale=0.3)),
        world("lognormal, 30% spread", scipy_stats.lognorm(0.3, scale=0.3)),
        world("Student t, 5 degrees", scipy_stats.t(5, 0.3, 0.03)),
        world("exponential", scipy_stats.expon(0.1, 0.1)),
    ]


def covered(
    law: World,
    statistic: str,
    method: str,
    *,
    seeds: int,
    tasks: int,
    repetitions: int,
    resamples: int,
    random_state: int,
) -> tuple[float, float, float]:
    """Share of repetitions whose 95% interval holds the truth, its mean width over the law's spread, and the level
    claimed."""
    rng = np.random.default_rng(random_state)
    hits, widths, level = [], [], 0.95
    for size in _chunks(repetitions, 50):  # bounds the memory of the resamples
        strata = [law.law.rvs(size=(size, seeds), random_state=rng) for _ in range(tasks)]  # type: ignore[attr-defined]
        low, high, level = bounds(strata, statistic, method, level=0.95, resamples=resamples, rng=rng)
        hits.append((low <= law.truth[statistic]) & (law.truth[statistic] <= high))
        widths.append(high - low)
    spread = float(law.law.std())  # type: ignore[attr-defined]
    width = np.concatenate(widths)
    finite = width[np.isfinite(width)]  # a bootstrap of five runs may be unbounded
    return float(np.mean(np.concatenate(hits))), float(finite.mean() / spread) if len(finite) else np.inf, level


def _chunks(total: int, size: int) -> Iterator[int]:
    for start in range(0, total, size):
        yield min(size, total - start)


def allowed(statistic: str, tasks: int) -> Sequence[str]:
    """The methods that exist for a statistic."""
    if statistic == "median":
        return [m for m in METHODS if m not in ("t", "bootstrap-t") and (m != "order" or tasks == 1)]
    return [m for m in METHODS if m != "order"]


def coverage_table(
    *, repetitions: int = 1000, resamples: int = 1000, seeds: Sequence[int] = (5, 10), tasks: Sequence[int] = (1, 8),
    random_state: int = 0, methods: Callable[[str, int], Sequence[str]] = allowed,
) -> pd.DataFrame:  # fmt: skip
    """Coverage of every method: columns statistic, tasks, seeds, method, world, coverage, width, claimed."""
    rows = []
    for statistic in STATISTICS:
        for n_tasks in tasks:
            for n_seeds in seeds:
                for method in methods(statistic, n_tasks):
                    for law in worlds():
                        share, width, claimed = covered(
                            law, statistic, method, seeds=n_seeds, tasks=n_tasks, repetitions=repetitions,
                            resamples=resamples, random_state=random_state,
                        )  # fmt: skip
                        rows.append((statistic, n_tasks, n_seeds, method, law.name, share, width, claimed))
    names = ["statistic", "tasks", "seeds", "method", "world", "coverage", "width", "claimed"]
    return pd.DataFrame(rows, columns=names)


def _collapsing(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Scores of a method that collapses to 1 in one run of ten."""
    return np.where(rng.random(size) < 0.1, 1.0, 0.2 + 0.02 * rng.standard_normal(size))


DIFFERENCES: dict[str, Sampler] = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "uniform": lambda rng, size: rng.random(size) - 0.5,
    "t, 3 degrees": lambda rng, size: rng.standard_t(3, size),
    "two lognormals, 30%": lambda rng, size: np.subtract(*np.exp(0.3 * rng.standard_normal((2, *size)))),
    "two that collapse": lambda rng, size: _collapsing(rng, size) - _collapsing(rng, size),
    "gamma, skewness 1": lambda rng, size: rng.gamma(4.0, size=size) - 4.0,
    "lognormal, skewness 1.75": lambda rng, size: np.exp(0.5 * rng.standard_normal(size)) - np.exp(0.125),
    "exponential, skewness 2": lambda rng, size: rng.exponential(size=size) - 1.0,
}
"""Laws of paired differences with mean 0: five symmetric laws, as between methods of equal law, and three skewed
ones, as between methods of equal mean and different spread."""
SHAPES = ((1, 5), (1, 10), (3, 3), (3, 5), (9, 5), (9, 10))
"""Pairs (number of tasks, number of seeds)."""


def alarms(
    law: Sampler,
    *,
    tasks: int,
    seeds: int,
    repetitions: int,
    random_state: int,
    guard: bool = True,
    effect: float = 0.0,
) -> float:
    """Share of repetitions in which the paired test rejects at 5%; task i has the scale 1 + i, and ``effect`` is added
    in units of the scale."""
    rng = np.random.default_rng(random_state)
    strata = [(1 + task) * (law(rng, (repetitions, seeds)) + effect) for task in range(tasks)]
    return float(np.mean(effect_bounds(strata, guard=guard)[-1] < 0.05))


def alarm_table(*, repetitions: int = 20_000, random_state: int = 0) -> pd.DataFrame:
    """Measure the false alarms of Student's test and of the one in use: a row for each shape and test, a column for
    each law.

    The last column is the share of real effects found (normal differences, one standard deviation over the square root
    of the tasks).
    """
    rows = {}
    for tasks, seeds in SHAPES:
        for name, guard in (("Student", False), ("both", True)):

            def share(law: str, effect: float, tasks: int = tasks, seeds: int = seeds, guard: bool = guard) -> float:
                return alarms(
                    DIFFERENCES[law], tasks=tasks, seeds=seeds, repetitions=repetitions, guard=guard, effect=effect,
                    random_state=random_state,
                )  # fmt: skip

            row = {law: share(law, 0.0) for law in DIFFERENCES}
            rows[f"{tasks} x {seeds}", name] = row | {"found": share("normal", tasks**-0.5)}
    return pd.DataFrame(rows).T


def main() -> int:
    """Print both tables, in percent: coverage, a row for each statistic, number of tasks and seeds, and method; and
    false alarms of the paired test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000, help="number of simulated data sets for each interval")
    parser.add_argument("--resamples", type=int, default=1000, help="number of resamples of each bootstrap")
    parser.add_argument("--alarms", action="store_true", help="print only the table of the paired test")
    args = parser.parse_args()
    if not args.alarms:
        table = coverage_table(repetitions=args.repetitions, resamples=args.resamples)
        wide = table.pivot_table(
            index=["statistic", "tasks", "seeds", "method"], columns="world", values="coverage", sort=False
        )
        print((100 * wide).round(1).to_string())
    print((100 * alarm_table()).round(1).to_string())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
