"""The recipe at every effective depth: collapse, rank, criticality, and the gain of further minimisation.

    python -m tests.convergence.recipe [--seeds 0:5] [--depths 1,2,3,5,7,10,15,20] [--further-seeds 0:1] [--results DIR]

Trains ``LeakyResNet-v0`` on ``LowRank-k3-v0`` at the converged preset, depth max(20, 2 Lt), and stores the records in
DIR like any sweep: runs that are stored there are not repeated. The reference records are in
results/reference/figures/records. Then minimises the objective of some seeds further in float64, and prints the table.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from pathlib import Path

import torch
from tabulate import tabulate

import leakybench
from leakybench.baselines.networks.objective import Objective
from leakybench.baselines.networks.quasi_newton import QuasiNewtonSettings, minimise
from leakybench.baselines.networks.recipes import RECIPES
from leakybench.baselines.networks.trained import TrainedNetwork
from leakybench.baselines.networks.training import build_problem
from leakybench.evaluation import run_spec
from leakybench.store import Store
from leakybench.sweeps.grid import parse_seeds

TASK = "LowRank-k3-v0"
ITERATIONS = 500
COLUMNS = ("effective_depth", "depth", "seed", "status", "rank", "test_error", "objective", "residual", "evaluations")


class KeepsModel:
    """A baseline that keeps the model of its last fit; its spec is that of the baseline it wraps."""

    def __init__(self, baseline: leakybench.Baseline) -> None:
        self.baseline = baseline
        self.spec = baseline.spec  # type: ignore[attr-defined]
        self.model: TrainedNetwork | None = None

    def prepare(self) -> None:
        self.baseline.prepare()  # type: ignore[attr-defined]

    def fit(self, train: leakybench.Split, *, seed: int, preset: str) -> leakybench.Model:
        self.model = self.baseline.fit(train, seed=seed, preset=preset)  # type: ignore[assignment]
        return self.model  # type: ignore[return-value]


def further_gain(keeper: KeepsModel, task: leakybench.Task, seed: int) -> float:
    """Relative decrease of the objective in 500 more preconditioned L-BFGS iterations in float64."""
    model, settings = keeper.model, keeper.baseline.network  # type: ignore[attr-defined]
    assert model is not None
    data, _ = build_problem(settings, RECIPES["converged"], [task.train], [seed], type(keeper.baseline).__name__)
    objective = Objective(data.to(torch.float64), model.coefficients)
    parameters = objective.initial(model.weights.double().unsqueeze(0))
    before = float(objective.predict(parameters).value)
    result = minimise(
        objective,
        parameters,
        QuasiNewtonSettings(iterations=ITERATIONS, memory=40),
        probes=[torch.Generator().manual_seed(seed)],
    )
    return 1.0 - float(result.objective[0]) / before


def read_gains(file: Path) -> dict[tuple[int, int], float]:
    """By effective depth and seed; empty where there is no file."""
    if not file.exists():
        return {}
    with file.open() as lines:
        return {(int(r["effective_depth"]), int(r["seed"])): float(r["gain"]) for r in csv.DictReader(lines)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:5")
    parser.add_argument("--further-seeds", default="0:1")
    parser.add_argument("--depths", default="1,2,3,5,7,10,15,20")
    parser.add_argument("--results", type=Path, default=Path("results/runs"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store, rows = Store(arguments.results), []
    store.prepare()
    gains_file = arguments.results.parent / "recipe-further-polish.csv"
    gains = read_gains(gains_file)
    for seed in parse_seeds(arguments.seeds):
        for effective_depth in (int(text) for text in arguments.depths.split(",")):
            depth = max(20, 2 * effective_depth)
            task = leakybench.make(TASK, seed=seed)
            keeper = KeepsModel(
                leakybench.make_baseline(
                    "LeakyResNet-v0", effective_depth=effective_depth, depth=depth, steps="uniform"
                )
            )
            run = run_spec(keeper, task, seed=seed, preset="converged")
            key = (effective_depth, seed)
            wanted = seed in parse_seeds(arguments.further_seeds) and key not in gains
            if wanted or store.try_read(run.run_id) is None:
                record = leakybench.evaluate(keeper, task, seed=seed, preset="converged")
                store.write(record)
                if wanted:
                    # a second process may work on other seeds
                    gains = read_gains(gains_file) | {key: further_gain(keeper, task, seed)}
                    with gains_file.open("w", newline="") as file:
                        writer = csv.writer(file)
                        writer.writerow(["effective_depth", "seed", "gain"])
                        writer.writerows([*pair, gain] for pair, gain in sorted(gains.items()))
            record = store.read(run.run_id)
            training = record.training
            rows.append(
                [
                    effective_depth,
                    depth,
                    seed,
                    record.status,
                    record.bottleneck_rank,
                    record.test_error,
                    training["objective"],
                    training["criticality_residual"],
                    training["evaluations"],
                    gains.get(key),
                ]
            )
            print(*rows[-1], file=sys.stderr, flush=True)
    rows.sort()
    print(tabulate(rows, headers=[*COLUMNS, "further gain"], floatfmt=".4g"))
    ranks = [row[4] for row in rows]
    residuals = [row[7] for row in rows if row[3] == "ok"]
    print(f"\n{len(rows)} runs: {sum(row[3] == 'ok' for row in rows)} ok, rank 3 in {ranks.count(3)}")
    print(f"median criticality residual {statistics.median(residuals):.4f}, worst {max(residuals):.4f}")
    if gains:
        print(f"largest gain of further minimisation {max(gains.values()):.2%} over {len(gains)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
