"""The Dask engine on a real cluster over loopback, with a worker killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from leakybench.engines import make_engine
from leakybench.engines.limits import Limits
from leakybench.store import Store
from leakybench.sweeps.grid import Setting
from leakybench.sweeps.plan import make_plan
from leakybench.sweeps.sweep import sweep
from tests.helpers import cli, dummies
from tests.helpers.records import jobs

pytest.importorskip("distributed")
# sockets and event loops of Dask's own are left for the collector at shutdown
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.slow
def test_a_killed_dask_worker_loses_nothing_and_changes_nothing(tmp_path: Path) -> None:
    dummies.register()
    planned = jobs(20, baseline_settings=[Setting("seconds", 0.25)])
    store = Store(tmp_path / "dask")
    store.prepare()
    killed: list[int] = []

    def kill_one(cluster_pids: set[int]) -> None:
        deadline = time.monotonic() + 30.0
        while len(store.ids()) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        victim = next(pid for pid in sorted(cluster_pids) if psutil.Process(pid).children())
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)

    before = {child.pid for child in psutil.Process().children()}
    with make_engine("dask", workers=2) as engine:
        pids = {child.pid for child in psutil.Process().children()} - before
        thread = threading.Thread(target=kill_one, args=(pids,))
        thread.start()
        progress = sweep(make_plan(planned, store), store, engine)
        thread.join()
    assert killed
    assert progress.counts == {"ok": 20}
    assert len(store.ids()) == 20
    with make_engine("local", workers=0) as engine:
        for outcome in engine.map(iter(planned)):
            run_id = outcome.record.run_id
            assert store.read(run_id).comparable() == outcome.record.comparable()
            np.testing.assert_array_equal(store.arrays(run_id)["draws"], outcome.record.arrays["draws"])


def test_a_ladder_on_a_dask_cluster_takes_the_same_path(tmp_path: Path) -> None:
    ladder = ("ladder", "--task", "dummy/Tiny-v0", "--axis", "noise=0.5:8", "--baseline", "dummy/Fit-v0", "--json")
    found = []
    for name, options in (("dask", ("--engine", "dask", "--workers", 1)), ("local", ("--workers", 0))):
        result = cli.call(*ladder, "--threshold", "error=0.5", "--results", tmp_path / name, *options)
        assert result.returncode == 0, result.stderr
        found.append(json.loads(result.stdout)["ladders"])
    for rows in found:
        for row in rows:
            del row["seconds"]
    assert found[0] == found[1]


@pytest.mark.slow
def test_limits_hold_on_dask_workers_and_an_existing_scheduler_is_used() -> None:
    from distributed import LocalCluster

    dummies.register()
    settings = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(**settings, worker_dashboard_address=None) as cluster:
        engine = make_engine("dask", workers=1, limits=Limits(timeout=1.0), scheduler=cluster.scheduler_address)
        with engine:
            found = list(engine.map(iter([*jobs(1, "dummy/Hang-v0"), *jobs(2), *jobs(1, "dummy/Raise-v0")])))
    assert sorted(outcome.record.status for outcome in found) == ["error", "ok", "ok", "timeout"]
    assert sum("Traceback" in outcome.log for outcome in found) == 1


@pytest.mark.slow
def test_an_interrupt_from_the_terminal_ends_a_dask_sweep_in_two_lines(tmp_path: Path) -> None:
    grid = (*cli.GRID, "dummy/Fit-v0", "--seeds", "0:40", "--set", "seconds=0.3", "--results", tmp_path)
    process = cli.start(*grid, "--engine", "dask", "--workers", 2)
    deadline = time.monotonic() + 60.0
    while len(list(tmp_path.glob("*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert [line.split(":")[1] for line in err.splitlines()] == [" interrupted", " resume with"], err
    deadline = time.monotonic() + 5.0
    while any(map(_runs, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_runs, children))
    assert not list(tmp_path.glob("*.claim"))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
