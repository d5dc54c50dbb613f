"""Ten thousand records: loaded to a frame in 3 s, a resume planned in 3 s, and in proportion to their number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leakybench.analysis.frame import to_frame
from leakybench.engines import Job
from leakybench.store import Store, seal
from leakybench.sweeps.plan import make_plan
from tests.helpers import dummies
from tests.helpers.records import jobs, record

RUNS = 10_000
CURVE = [round(1.0 / (step + 1), 6) for step in range(100)]


@pytest.fixture(scope="module")
def planned() -> list[Job]:
    dummies.register()
    return jobs(RUNS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, planned: list[Job]) -> dict[int, Path]:
    """Stores of several sizes, each record with a curve and evidence like a real one, written without fsync."""
    made = {}
    for size in (RUNS // 8, RUNS // 4, RUNS // 2, RUNS):
        folder = made[size] = tmp_path_factory.mktemp(f"store{size}")
        for job in planned[:size]:
            training = {"objective": 0.33, "curve": CURVE, "rho": CURVE[:20], "evaluations": 6000}
            full = record(run=job.run, training=training)
            (folder / f"{full.run_id}.json").write_text(seal(full, None).to_json())
    return made


def _exponent(folders: dict[int, Path], action: Callable[[int], Any]) -> float:
    """Slope of log time against log size, by least squares over the smallest and largest stores' best of two."""
    times = {}
    for size in folders:
        best = math.inf
        for _ in range(2):
            start = time.perf_counter()
            action(size)
            best = min(best, time.perf_counter() - start)
        times[size] = best
    xs, ys = [math.log(size) for size in times], [math.log(seconds) for seconds in times.values()]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / sum((x - mx) ** 2 for x in xs)


def test_load_to_a_frame(benchmark: Any, folders: dict[int, Path]) -> None:
    frame = benchmark.pedantic(Store(folders[RUNS]).frame, rounds=3, warmup_rounds=1)
    assert len(frame) == RUNS
    exponent = _exponent(folders, lambda size: to_frame(Store(folders[size])))
    benchmark.extra_info["exponent"] = round(exponent, 3)
    print(f"\nload: exponent of growth {exponent:.2f}")
    assert benchmark.stats.stats.min < 3.0
    assert exponent < 1.2


def test_plan_a_resume(benchmark: Any, folders: dict[int, Path], planned: list[Job]) -> None:
    plan = benchmark.pedantic(lambda: make_plan(planned, Store(folders[RUNS])), rounds=3, warmup_rounds=1)
    assert (len(plan.todo), len(plan.kept)) == (0, RUNS)
    half = make_plan(planned, Store(folders[RUNS // 2]))
    assert len(half.todo) == RUNS // 2
    exponent = _exponent(folders, lambda size: make_plan(planned[:size], Store(folders[size])))
    benchmark.extra_info["exponent"] = round(exponent, 3)
    print(f"\nplan: exponent of growth {exponent:.2f}")
    assert benchmark.stats.stats.min < 3.0
    assert exponent < 1.2


def test_expand_the_grid(benchmark: Any) -> None:
    dummies.register()
    assert len(benchmark.pedantic(lambda: jobs(RUNS), rounds=3)) == RUNS
    assert benchmark.stats.stats.min < 3.0


def test_write_a_record(benchmark: Any, tmp_path: Path) -> None:
    import numpy as np

    store = Store(tmp_path)
    full = record(training={"curve": CURVE}, arrays={"spectra": np.ones((21, 100))})
    benchmark(store.write, full)
    assert benchmark.stats.stats.median < 0.05
