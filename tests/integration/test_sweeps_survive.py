"""Sweeps that are killed, starved of disk, doubled or interrupted: nothing lost, nothing repeated for nothing."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil
import pytest

from leakybench.engines import Job, Outcome
from leakybench.packs.verify import verify
from leakybench.store import Store
from leakybench.sweeps.plan import make_plan
from leakybench.sweeps.sweep import Progress, sweep
from tests.helpers import cli, dummies
from tests.helpers.records import jobs, record


def started(ledger: Path) -> list[int]:
    """The seeds of the runs that were started, in order."""
    return [int(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def assert_sound(folder: Path) -> None:
    verdict = verify(Store(folder, set_aside=False))
    assert verdict.sound, verdict.damaged
    assert not (folder / "quarantine").exists()


def finished(folder: Path) -> set[int]:
    return {found.run.seed for found in Store(folder, set_aside=False)}


@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.slow)])
def test_sweeps_killed_at_random_moments_lose_and_repeat_nothing(tmp_path: Path, kills: int) -> None:
    runs, rng = 20 * kills, random.Random(20240527)
    folder, ledger = tmp_path / "runs", tmp_path / "ledger"
    grid = (*cli.GRID, "dummy/Fit-v0", "--seeds", f"0:{runs}", "--set", f"ledger={ledger}", "--set", "seconds=0.015")
    killed_at_work = 0
    for kill in range(kills):
        done, before = finished(folder), len(started(ledger))
        # with and without worker processes: the store must not depend on who computes
        workers = (2, 0)[kill % 2]
        process = cli.start(*grid, "--results", folder, "--workers", workers)
        deadline = time.monotonic() + 60.0
        while len(started(ledger)) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        killed_at_work += process.returncode == -signal.SIGKILL
        assert_sound(folder)
        again = started(ledger)[before:]
        assert not done & set(again), "a finished run was computed again"
        assert max(Counter(again).values(), default=0) <= 1
    assert killed_at_work == kills
    done = finished(folder)
    assert done, "no sweep came as far as one record"
    last = cli.call(*grid, "--results", folder, "--workers", 2)
    assert last.returncode == 0, last.stderr
    assert_sound(folder)
    assert len(Store(folder).ids()) == runs
    assert finished(folder) == set(range(runs))
    assert {path.suffix for path in folder.iterdir()} == {".json", ".npz"}
    repeated = len(started(ledger)) - runs
    assert repeated <= 2 * kills, "more was repeated than was in flight"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 KiB that can be enlarged."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("mounting a small file system needs rights that this user has not")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True, timeout=10)


@pytest.mark.slow  # a limit on file sizes below fills no disk and takes half as long
def test_a_full_disk_stops_the_sweep_cleanly_and_the_sweep_goes_on_later(small_disk: Path) -> None:
    folder = small_disk / "runs"
    grid = (*cli.GRID, "dummy/Fit-v0", "--seeds", "0:60", "--results", folder)
    for workers in (0, 2):
        full = cli.call(*grid, "--workers", workers)
        assert full.returncode == 3
        assert "No space left on device" in full.stderr
        assert "resume with: leakybench run" in full.stderr
        assert "Traceback" not in full.stderr
        assert_sound(folder)
        assert {path.suffix for path in folder.iterdir()} <= {".json", ".npz"}
    done = len(Store(folder).ids())
    assert 5 <= done < 60
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True, capture_output=True, timeout=10)
    rest = cli.call(*grid)
    assert rest.returncode == 0, rest.stderr
    assert f"{done} already stored" in rest.stderr
    assert len(Store(folder).ids()) == 60
    assert_sound(folder)


def test_a_limit_on_file_sizes_is_a_full_disk_too(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, resource.RLIM_INFINITY))

    grid = (*cli.GRID, "dummy/Fit-v0", "--seeds", "0:4", "--results", tmp_path, "--workers", 0)
    full = cli.call(*grid, preexec_fn=limit)
    assert full.returncode == 3
    assert "File too large" in full.stderr
    assert "0 of 4 runs are complete and stored" in full.stderr
    assert Store(tmp_path).ids() == []
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".tmp", ".claim")]
    assert cli.call(*grid).returncode == 0
    assert len(Store(tmp_path).ids()) == 4
    assert_sound(tmp_path)


@pytest.mark.slow
def test_two_sweeps_on_one_folder_share_the_work(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "runs", tmp_path / "ledger"
    grid = (*cli.GRID, "dummy/Fit-v0", "--seeds", "0:60", "--set", f"ledger={ledger}", "--set", "seconds=0.05")
    both = [cli.start(*grid, "--results", folder, "--workers", 1, "--json") for _ in range(2)]
    texts = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert sorted(started(ledger)) == list(range(60))
    assert finished(folder) == set(range(60))
    assert_sound(folder)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".npz"}


@pytest.mark.slow
def test_a_sweep_takes_over_the_runs_of_one_that_is_killed(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "runs", tmp_path / "ledger"
    grid = (*cli.GRID, "dummy/Fit-v0", "--seeds", "0:12", "--set", f"ledger={ledger}", "--set", "seconds=0.4")
    first = cli.start(*grid, "--results", folder, "--workers", 2)
    while not list(folder.glob("*.claim")) if folder.exists() else True:
        time.sleep(0.02)
    second = cli.start(*grid, "--results", folder, "--workers", 2)
    time.sleep(0.6)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, (out, err)
    assert finished(folder) == set(range(12))
    assert len(started(ledger)) <= 12 + 2
    assert_sound(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_an_interrupted_sweep_says_what_is_done_and_how_to_go_on(
    tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    grid = (*cli.GRID, "dummy/Fit-v0", "--seeds", "0:30", "--set", "seconds=0.2", "--results", tmp_path)
    process = cli.start(*grid, "--workers", workers)
    deadline = time.monotonic() + 60.0
    while len(list(tmp_path.glob("*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    children = psutil.Process(process.pid).children()
    process.send_signal(number)
    start = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - start < 5.0
    assert process.returncode == 3
    done = len(Store(tmp_path).ids())
    lines = err.splitlines()
    assert f"interrupted: {done} of 30 runs are complete and stored" in lines[0]
    assert lines[1].startswith("leakybench: resume with: leakybench run --task dummy/Tiny-v0")
    assert len(lines) == 2
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".npz"}
    assert not psutil.wait_procs(children, timeout=5.0)[1]
    assert_sound(tmp_path)


class FakeEngine:
    """Returns a record with a megabyte of arrays for each job."""

    workers = 1

    def map(self, planned: Iterator[Job]) -> Iterator[Outcome]:
        for job in planned:
            yield Outcome(record=record(run=job.run, arrays={"large": np.ones(2**17)}), log="x" * 10_000)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def test_memory_does_not_grow_with_finished_runs(tmp_path: Path) -> None:
    dummies.register()
    store = Store(tmp_path)
    plan = make_plan(jobs(120), store)
    held: list[tuple[int, int]] = []

    def measure(progress: Progress) -> None:
        held.append(tracemalloc.get_traced_memory())
        tracemalloc.reset_peak()

    tracemalloc.start()
    sweep(plan, store, FakeEngine(), notify=measure)
    tracemalloc.stop()
    early, late = held[20], held[-1]
    # a run's own data are 1 MiB; what a finished one may leave is a share of a counter
    assert late[0] - early[0] < 2**18, "held"
    assert late[1] - early[1] < 2**18, "peak"


def test_a_failing_notification_does_not_lose_the_record(tmp_path: Path) -> None:
    dummies.register()
    store = Store(tmp_path)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(make_plan(jobs(3), store), store, FakeEngine(), notify=stop)
    assert len(store.ids()) == 1
    assert not list(tmp_path.glob("*.claim"))
    assert sweep(make_plan(jobs(3), store), store, FakeEngine()).counts == {"ok": 2}


def test_runs_that_another_sweep_finished_since_the_plan_are_not_repeated(tmp_path: Path) -> None:
    dummies.register()
    store, planned = Store(tmp_path), jobs(3)
    store.write(record(run=planned[0].run, status="error", test_error=None))
    plan = make_plan(planned, store)
    assert len(plan.todo) == 3
    # meanwhile another sweep tries the failed run again, in vain, and does a missing one
    store.write(record(run=planned[0].run, status="timeout", test_error=None), replace=True)
    store.write(record(run=planned[1].run))
    progress = sweep(plan, store, FakeEngine())
    assert progress.counts == {"ok": 1}
    assert progress.elsewhere == {"ok": 1, "timeout": 1}
    assert (progress.done, progress.failures) == (3, 1)
    assert progress.seconds_left == pytest.approx(0.0)


def test_a_record_says_how_many_workers_ran_side_by_side(tmp_path: Path) -> None:
    dummies.register()
    store = Store(tmp_path)
    sweep(make_plan(jobs(1), store), store, FakeEngine())
    assert next(iter(store)).provenance["workers"] == 1
