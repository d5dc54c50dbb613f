"""``make perf``: step and fit times as ratios, memory, growth, adaptive overhead and time to target, each in one run.

    python -m tests.perf.ratios [grid] [precision] [scaling] [memory] [adaptive] [batch] [compilers] [fit] [growth]
    python -m tests.perf.ratios target              time to target against the paper's protocol
    python -m tests.perf.ratios rivals              time to target against other optimisers, see tests/perf/rivals.py
    python -m tests.perf.ratios against COMMIT      the whole fit against another commit's, see tests/perf/against.py

Milliseconds depend on the machine; the project's promises are ratios (see ``tests/perf/timings.py``).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from scipy.stats import quantile_test

import leakybench
from leakybench.baselines.networks.descent import AdamSettings, run_adam
from leakybench.baselines.networks.matmul import choose, matmul_scope, time_products
from leakybench.baselines.networks.objective import Objective
from leakybench.baselines.networks.steps import AdaptiveSteps
from leakybench.errors import UsageError
from tests.perf import against, rivals, timings
from tests.perf.fit_shares import fit
from tests.perf.growth import growth
from tests.perf.problems import make_start
from tests.perf.tables import exponent, show

GRID = [
    (100, 1000, 20),
    (20, 100, 5),
    (20, 1000, 20),
    (20, 5000, 100),
    (50, 100, 100),
    (50, 1000, 20),
    (100, 100, 5),
    (100, 100, 100),
    (100, 5000, 20),
    (200, 1000, 20),
    (400, 1000, 5),
    (400, 5000, 5),
]


ADAPTIVE_PAIRS = 31


def grid() -> None:
    """Engine against plain network and floor over shapes and threads."""
    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for width, samples, depth in GRID:
            got = timings.step_seconds(width, samples, depth, rounds=9)
            rows.append(
                [threads, width, samples, depth]
                + [1e3 * got[name] for name in ("plain", "engine", "floor")]
                + [got["plain"] / got["engine"], got["engine"] / got["floor"]]
            )
    headers = ["threads", "w", "N", "L", "plain, ms", "engine, ms", "floor, ms", "plain/engine", "engine/floor"]
    show("one step, medians of 9 in turn", rows, headers)


def precision() -> None:
    """bfloat16 products: time of a step, and their effect on objective, rank and test error."""
    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for width, samples, depth in ((100, 1000, 20), (200, 1000, 20), (400, 1000, 10)):
            candidates = {
                "plain": timings.plain_step(width, samples, depth),
                "engine": timings.engine_step(width, samples, depth),
                "bfloat16": timings.engine_step(width, samples, depth, products=torch.bfloat16),
            }
            with matmul_scope():
                got = timings.median_seconds(candidates, rounds=9)
            plain, engine, rounded = (got[name] for name in candidates)
            rows.append(
                [threads, width, samples, depth, 1e3 * engine, 1e3 * rounded, engine / rounded, plain / rounded]
            )
    headers = ["threads", "w", "N", "L", "float32, ms", "bfloat16, ms", "float32/bfloat16", "plain/bfloat16"]
    show("products in bfloat16, one step", rows, headers)
    torch.set_num_threads(1)
    rows = []
    for effective_depth in (3.0, 7.0):
        for seed in range(3):
            task = leakybench.make("LowRank-k3-v0", seed=seed)
            records = [
                leakybench.evaluate(
                    leakybench.make_baseline("LeakyResNet-v0", effective_depth=effective_depth, precision=name),
                    task,
                    seed=seed,
                    preset="standard",
                )
                for name in ("float32", "bfloat16")
            ]
            objectives = [record.training["objective"] for record in records]
            rows.append(
                [effective_depth, seed, *objectives, 100 * (objectives[1] / objectives[0] - 1)]
                + [record.bottleneck_rank for record in records]
                + [record.test_error for record in records]
                + [record.wall_clock["fit"] for record in records]
            )
    headers = ["Lt", "seed", "F", "F, bf16", "higher by, %", "rank", "rank, bf16", "error", "error, bf16"]
    show("products in bfloat16, standard fits of LowRank-k3-v0", rows, [*headers, "fit, s", "fit, s, bf16"])


def compilers() -> None:
    """Time torch.compile and JAX beside the others, where they are installed."""
    rows, names = [], ["engine", "floor", "plain", "torch.compile", "JAX"]
    for threads in (1, 2):
        command = [sys.executable, "-m", "tests.perf.compilers", str(threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        got = json.loads(done.stdout.splitlines()[-1])
        times = [1e3 * got[name] if name in got else None for name in names]
        rows.append([threads, *times, *(got[name] / got["engine"] if name in got else None for name in names[2:])])
    headers = ["threads", *names, *(f"{name}/engine" for name in names[2:])]
    show("compilers, one step at w=100 N=1000 L=20, ms, medians of 15 in turn", rows, headers)
    if importlib.util.find_spec("jax") is None:
        print("JAX is not installed: not measured")


GROWING = {"engine": timings.engine_step, "floor": timings.floor_step}


def scaling() -> None:
    """Growth of the engine's step with N, L and w where products dominate."""
    torch.set_num_threads(1)
    axes = {
        "N": [(200, n, 10) for n in (500, 1000, 2000, 4000)],
        "L": [(100, 1000, depth) for depth in (5, 10, 20, 40, 80)],
        "w": [(w, 1000, 10) for w in (160, 256, 400, 640)],
    }
    rows = []
    for axis, shapes in axes.items():
        steps_of = {f"{name} {shape}": (make, shape) for shape in shapes for name, make in GROWING.items()}
        with matmul_scope():
            got = timings.median_seconds({key: make(*shape) for key, (make, shape) in steps_of.items()}, rounds=9)
        sizes = [dict(zip("wNL", shape, strict=True))[axis] for shape in shapes]
        seconds = [[got[f"{name} {shape}"] for shape in shapes] for name in GROWING]
        rows.append([axis, str(sizes), *(exponent(sizes, values) for values in seconds)])
    headers = ["axis", "sizes", *(f"exponent, {name}" for name in GROWING)]
    show("growth of a step, fitted exponents (linear in N and L, square in w)", rows, headers)


def memory() -> None:
    """Resident memory of a large engine over the activations that its backward pass needs."""
    width, samples, depth = 200, 20_000, 40
    process = psutil.Process()
    warm = timings.engine_step(20, 100, 5)
    warm()
    before = process.memory_info().rss
    step = timings.engine_step(width, samples, depth)
    with matmul_scope():
        step()
    used = process.memory_info().rss - before
    stored = 4 * depth * (width + 1) * samples
    show("memory", [[used / 2**20, stored / 2**20, used / stored]], ["resident, MiB", "activations, MiB", "ratio"])


def adaptive() -> None:
    """The overhead of adaptive step-sizes in Adam, with one update every 20 steps."""
    torch.set_num_threads(1)
    rows = []
    start = make_start("LeakyResNet-v0", {"effective_depth": 7.0})
    with matmul_scope():
        for name, rule in (("uniform", False), ("adaptive", True)):
            objective, parameters = start.objective()
            rows.append((name, rule, objective, parameters, AdamSettings(steps=40, rate=1e-4, warmup=0)))

        def block(rule: bool, objective: Objective, parameters: torch.Tensor, settings: AdamSettings) -> float:
            mover = AdaptiveSteps(np.asarray(objective.run_coefficients[0].step_sizes), patience=10**9)
            begun = time.perf_counter()
            run_adam(objective, parameters, settings, adaptive=[mover] if rule else None)
            return time.perf_counter() - begun

        seconds: dict[str, list[float]] = {name: [] for name, *_ in rows}
        for number in range(ADAPTIVE_PAIRS):
            for name, *arguments in rows if number % 2 else rows[::-1]:
                seconds[name].append(block(*arguments))
    without, with_updates = (np.asarray(seconds[name]) for name in ("uniform", "adaptive"))
    overheads = 100 * (with_updates / without - 1)
    low, high = quantile_test(overheads, p=0.5).confidence_interval(0.95)
    show(
        f"adaptive step-sizes: 40 steps of Adam with an update every 20, {ADAPTIVE_PAIRS} pairs in turn",
        [[np.median(without), np.median(with_updates), np.median(overheads), low, high]],
        ["without, s", "with, s", "overhead, %", "from", "to"],
    )


def batch() -> None:
    """Seconds a run and step: one process with a batch of 8, against one run at a time."""
    rows = []
    for width, samples, depth in ((100, 1000, 20), (20, 100, 10)):
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with matmul_scope():
                got = timings.median_seconds(
                    {
                        "one": timings.engine_step(width, samples, depth),
                        "eight": timings.engine_step(width, samples, depth, runs=8),
                    },
                    rounds=7,
                )
            rows.append([width, samples, depth, threads, 1e3 * got["one"], 1e3 * got["eight"] / 8])
    show("a batch of 8 seeds, ms a run and step", rows, ["w", "N", "L", "threads", "alone", "in a batch of 8"])


PARTS: dict[str, Callable[[], None]] = {
    part.__name__: part for part in (grid, precision, scaling, memory, adaptive, batch, compilers, fit, growth)
}
WITH_SEEDS = ("target", "rivals")


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    formatter = argparse.RawDescriptionHelpFormatter
    if arguments[:1] == ["against"]:
        parser = argparse.ArgumentParser(description=against.__doc__, formatter_class=formatter)
        against.add_arguments(parser)
        try:
            against.main(parser.parse_args(arguments[1:]))
        except UsageError as error:
            parser.error(str(error))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    add = parser.add_argument
    add("parts", nargs="*", choices=[*PARTS, *WITH_SEEDS, []], help="what to measure (all but rivals: hours)")
    add("--seeds", type=int, metavar="N", help="of target, two minutes and more each (1), or of rivals (5)")
    add("--budget", type=float, default=8.0, metavar="X", help="of a rival, in times of this package's training (8)")
    add("--out", type=Path, metavar="FILE", help="where runs of rivals are kept (a file of the temporary folder)")
    parsed = parser.parse_args(arguments)
    if (parsed.seeds is not None and parsed.seeds < 1) or not parsed.budget > 0.0:
        parser.error(f"--seeds and --budget must be above 0, got {parsed.seeds} and {parsed.budget:g}")
    print(f"backend: {choose()} of { ({name: f'{1e3 * s:.2f} ms' for name, s in time_products().items()}) }")
    for name in parsed.parts or [*PARTS, "target"]:
        if name == "target":
            rivals.target(parsed.seeds or 1)
        elif name == "rivals":
            rivals.rivals(parsed.seeds or 5, parsed.budget, parsed.out)
        else:
            PARTS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
