"""How the whole iteration of a fit grows with samples, layers and width, beside the floor, and the memory of a fit.

    python -m tests.perf.growth

prints resident memory as JSON: a process of its own holds no memory of earlier measurements.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial

import numpy as np
import psutil
import torch

from leakybench.baselines.networks import quasi_newton
from leakybench.baselines.networks.matmul import matmul_scope
from leakybench.baselines.networks.quasi_newton import QuasiNewtonSettings
from tests.perf import timings
from tests.perf.problems import Start, make_start
from tests.perf.tables import exponent, show

Shape = tuple[int, int, int]

AXES: dict[str, list[Shape]] = {
    "N": [(200, samples, 10) for samples in (500, 1000, 2000, 4000)],
    "L": [(100, 1000, depth) for depth in (5, 10, 20, 40)],
    "w": [(width, 1000, 10) for width in (64, 96, 128, 192, 256)],
}
"""(w, N, L) along each axis; a point takes a few seconds."""

MEMORY_SHAPE: Shape = (200, 20_000, 20)
MEMORY_LIMIT = 1.3
ROUNDS = 3
SETTINGS = QuasiNewtonSettings(iterations=40, refresh=20)


def start_of(shape: Shape) -> Start:
    """The start of a fit of (w, N, L)."""
    width, samples, depth = shape
    settings = {"effective_depth": 3.0, "width": width, "depth": depth}
    return make_start("LeakyResNet-v0", settings, task={"n_train": samples, "n_test": 100})


def iterate(start: Start, settings: QuasiNewtonSettings) -> tuple[float, float]:
    """Seconds of an iteration, and evaluations of one, of a fit at the full penalty."""
    objective, parameters = start.objective()
    with matmul_scope():
        begun = time.perf_counter()
        result = quasi_newton.minimise(objective, parameters, settings, probes=start.probes())
        seconds = time.perf_counter() - begun
    iterations = int(np.max(result.iterations))
    return seconds / iterations, objective.evaluations / iterations


def growth() -> None:
    """Print the growth of a fit's iteration, and the memory of a fit."""
    torch.set_num_threads(1)
    show_exponents()
    show_memory()


def show_exponents() -> None:
    """Print fitted exponents of an iteration, of an iteration over its evaluations, and of the floor."""
    rows = []
    for axis, shapes in AXES.items():
        starts = {shape: start_of(shape) for shape in shapes}
        seconds: dict[Shape, list[tuple[float, float, float]]] = {shape: [] for shape in shapes}
        for _ in range(ROUNDS):
            for shape, start in starts.items():
                (each, evaluations), floor = timings.beside_floor(shape, partial(iterate, start, SETTINGS))
                seconds[shape].append((each, each / evaluations, floor))
        medians = np.array([np.median(seconds[shape], axis=0) for shape in shapes])
        sizes = [dict(zip("wNL", shape, strict=True))[axis] for shape in shapes]
        exponents = [exponent(sizes, column) for column in medians.T]
        rows.append([axis, str(sizes), *exponents, str([round(1e3 * value, 1) for value in medians[:, 0].tolist()])])
    headers = ["axis", "sizes", "exponent, iteration", "an evaluation", "floor", "iteration, ms"]
    show("growth of the whole iteration of a fit, fitted exponents (linear in N and L, square in w)", rows, headers)


def show_memory() -> None:
    """Print resident memory of a large fit over what it must store: activations and pairs."""
    command = [sys.executable, "-m", "tests.perf.growth"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    got = json.loads(done.stdout.splitlines()[-1])
    needed = got["activations"] + got["pairs"]
    sizes = [got[name] / 2**20 for name in ("resident", "activations", "pairs")]
    row = [*sizes, got["resident"] / needed, MEMORY_LIMIT]
    headers = ["resident, MiB", "activations, MiB", "pairs, MiB", "resident/both", "asked at most"]
    show("memory of a fit, w = {}, N = {}, L = {}".format(*MEMORY_SHAPE), [row], headers)


def fit_memory(shape: Shape) -> dict[str, float]:
    """Bytes of a fit while it holds all its pairs: resident, and the activations and pairs that it has to store.

    A fit gives its pairs back when it ends, so that memory is read where it reports its progress.
    """
    process = psutil.Process()
    iterate(start_of((64, 100, 5)), QuasiNewtonSettings(iterations=12, refresh=6))  # libraries and threads set up
    before = process.memory_info().rss
    resident = []
    objective, parameters = start_of(shape).objective()
    probes = [torch.Generator().manual_seed(0)]
    settings = QuasiNewtonSettings(iterations=SETTINGS.memory + 5, refresh=SETTINGS.refresh)

    def read(iteration: int, value: np.ndarray, residual: np.ndarray) -> None:
        resident.append(process.memory_info().rss - before)

    with matmul_scope():
        quasi_newton.minimise(objective, parameters, settings, probes=probes, progress=read)
    width, samples, depth = shape
    item = parameters.element_size()
    return {
        "resident": max(resident),
        "activations": item * depth * (width + 1) * samples,
        "pairs": 3 * item * settings.memory * objective.size,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(fit_memory(MEMORY_SHAPE)))
