"""What the intervals and tests really cover, by simulation with known truth: ``python -m suite.stats.coverage``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from suite.stats.intervals import METHODS, STATISTICS, bounds

Sampler = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class World:
    """A distribution of run scores whose mean, median and interquartile mean are known exactly (by quadrature)."""

    name: str
    law: object
    truth: dict[str, float]


def world(name: str, law: object) -> World:
    """Truths of a frozen scipy distribution; the interquartile mean is 2 times the integral of the quantile over
    (1/4, 3/4)."""
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
    finite = np.concatenate(widths)
    return float(np.mean(np.concatenate(hits))), float(np.mean(finite[np.isfinite(finite)]) / spread), level


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


def main() -> int:
    """Print the table: coverage in percent, a row a statistic, number of tasks and seeds, and method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    args = parser.parse_args()
    table = coverage_table(repetitions=args.repetitions, resamples=args.resamples)
    wide = table.pivot_table(
        index=["statistic", "tasks", "seeds", "method"], columns="world", values="coverage", sort=False
    )
    print((100 * wide).round(1).to_string())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
