"""What a sweep adds to its runs: at most 50 ms each; two workers are worth at least 1.85 of one; memory stays flat."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from leakybench.engines import make_engine
from leakybench.store import Store
from leakybench.sweeps.grid import Setting
from leakybench.sweeps.plan import make_plan
from leakybench.sweeps.sweep import Progress, sweep
from tests.helpers import dummies
from tests.helpers.records import jobs


def _timed(folder: Path, workers: int, runs: int, baseline: str = "dummy/Fit-v0", **settings: Any) -> float:
    """Seconds of a sweep whose workers stand ready."""
    dummies.register()
    store = Store(folder)
    store.prepare()
    plan = make_plan(jobs(runs, baseline, **settings), store)
    with make_engine("local", workers=workers) as engine:
        # imports and process starts are paid once a sweep, not once a run
        warm = jobs([10**6 + number for number in range(4 * workers)], baseline, **settings)
        assert len(list(engine.map(iter(warm)))) == len(warm)
        start = time.perf_counter()
        progress = sweep(plan, store, engine)
        seconds = time.perf_counter() - start
    messages = {record.message for record in store if record.status != "ok"}
    assert progress.counts == {"ok": runs}, messages
    return seconds


@pytest.mark.parametrize("workers", [1, 2])
def test_overhead_of_a_run(benchmark: Any, tmp_path: Path, workers: int) -> None:
    runs = 100
    seconds = benchmark.pedantic(lambda: _timed(tmp_path / str(time.time_ns()), workers, runs), rounds=2)
    each = seconds / runs * 1000.0
    benchmark.extra_info["milliseconds_a_run"] = round(each, 2)
    print(f"\n{workers} workers: {each:.1f} ms a run in all, its own work included")
    assert each < 50.0


def test_two_workers_against_one_waiting(benchmark: Any, tmp_path: Path) -> None:
    """Runs that only wait: what the engine itself costs, whatever else the machine does."""
    wait = {"baseline_settings": [Setting("seconds", 0.5)]}
    one = _timed(tmp_path / "one", 1, 16, **wait)
    two = benchmark.pedantic(lambda: _timed(tmp_path / "two", 2, 16, **wait), rounds=1)
    print(f"\nwaiting runs: {one:.2f} s with 1 worker, {two:.2f} s with 2: {one / two:.2f} times")
    assert one / two >= 1.85


def test_two_workers_against_one_computing(benchmark: Any, tmp_path: Path) -> None:
    """Runs that compute; needs two cores with nothing else to do."""
    if psutil.cpu_percent(interval=1.0) > 20.0 or (os.cpu_count() or 1) < 2:
        pytest.skip("two idle cores are needed to compare one worker with two")
    one = _timed(tmp_path / "one", 1, 24, "dummy/Spin-v0")
    two = benchmark.pedantic(lambda: _timed(tmp_path / "two", 2, 24, "dummy/Spin-v0"), rounds=1)
    print(f"\ncomputing runs: {one:.2f} s with 1 worker, {two:.2f} s with 2: {one / two:.2f} times")
    assert one / two >= 1.85


def test_resident_memory_stays_flat(benchmark: Any, tmp_path: Path) -> None:
    dummies.register()
    store = Store(tmp_path)
    plan = make_plan(jobs(1500), store)
    process, sizes = psutil.Process(), {}

    def measure(progress: Progress) -> None:
        if progress.done % 250 == 0:
            sizes[progress.done] = process.memory_info().rss / 2**20

    def run() -> None:
        with make_engine("local", workers=2) as engine:
            sweep(plan, store, engine, notify=measure)

    benchmark.pedantic(run, rounds=1)
    print("\nMiB resident after runs:", {done: round(size, 1) for done, size in sizes.items()})
    assert max(sizes.values()) - sizes[250] < 4.0
