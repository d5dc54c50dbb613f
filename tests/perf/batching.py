"""The speed-up by batches of seeds on this machine: ``python -m tests.perf.batching [--preset standard]``.

The same runs four times: in two processes one by one, in two processes in batches, in two processes as ``--batch auto``
decides, and in one process of two threads in one batch. Seconds are those of the whole sweep, with the workers started.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from leakybench.engines import Job, make_engine
from leakybench.store import Store
from leakybench.sweeps.batching import Batching
from leakybench.sweeps.grid import Grid, parse_setting
from leakybench.sweeps.plan import make_plan
from leakybench.sweeps.sweep import sweep

SIZES = {
    "w = 20, N = 100, L = 10": (("width=20", "depth=10"), ("d=8", "n_train=100", "n_test=100")),
    "w = 100, N = 1000, L = 20": (("width=100", "depth=20"), ("n_train=1000", "n_test=200")),
}
WAYS: dict[str, tuple[int, int, Batching | None]] = {
    "2 processes": (2, 1, None),
    "2 processes, batches": (2, 1, Batching(size=8)),
    "2 processes, --batch auto": (2, 1, Batching(measured=True)),
    # last: on a machine that is busy otherwise, threads that wait for each other take very long
    "1 process of 2 threads, a batch": (1, 2, Batching(size=8)),
}


def planned(
    baseline_settings: tuple[str, ...], task_settings: tuple[str, ...], seeds: list[int], preset: str
) -> list[Job]:
    """The runs of one size."""
    return Grid(
        tasks=["LowRank-k2-v0"],
        baselines=["LeakyResNet-v0"],
        seeds=seeds,
        preset=preset,
        baseline_settings=[parse_setting(text) for text in baseline_settings],
        task_settings=[parse_setting(text) for text in task_settings],
    ).jobs()


@dataclass(frozen=True)
class Result:
    """A timed sweep.

    Attributes:
        seconds: of the whole sweep.
        fit: mean seconds of a fit, as its process counts them.
        notes: of the sweep.
    """

    seconds: float
    fit: float
    notes: list[str]


def timed(jobs: list[Job], warm: list[Job], workers: int, threads: int, batching: Batching | None) -> Result:
    """Time a sweep whose workers have run ``warm`` before, so that imports and first touches do not count."""
    with tempfile.TemporaryDirectory() as folder, make_engine("local", workers=workers, threads=threads) as engine:
        store = Store(Path(folder))
        for _ in engine.map(iter(warm)):
            pass
        start = time.perf_counter()
        progress = sweep(make_plan(jobs, store), store, engine, batching=batching)
        seconds = time.perf_counter() - start
        assert progress.counts == {"ok": len(jobs)}, progress.counts
        return Result(seconds, fmean(record.wall_clock["fit"] for record in store), progress.notes)


def main() -> None:
    """Print one table a size."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf.batching", description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument(
        "--rounds", type=int, default=1, help="number of sweeps, of which the shortest counts (default: 1)"
    )
    options = parser.parse_args()
    for title, (baseline_settings, task_settings) in SIZES.items():
        print(f"{title}, preset {options.preset}, {options.seeds} seeds", flush=True)
        jobs = planned(baseline_settings, task_settings, list(range(options.seeds)), options.preset)
        warm = planned(("width=20", "depth=10"), ("d=8", "n_train=50", "n_test=50"), [90, 91, 92, 93], "smoke")
        unit = 0.0
        for name, (workers, threads, batching) in WAYS.items():
            rounds = [timed(jobs, warm, workers, threads, batching) for _ in range(options.rounds)]
            best = min(rounds, key=lambda result: result.seconds)
            unit = unit or best.seconds
            ratio = f"{best.seconds:7.2f} s   {unit / best.seconds:5.2f} x"
            print(f"  {name:33} {ratio}   fit {best.fit:.3f} s a run in its process", flush=True)
            for note in best.notes:
                print(f"    {note}", flush=True)


if __name__ == "__main__":
    main()
