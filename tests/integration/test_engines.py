"""Engines: the same records from each, and runs that misbehave end alone."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from leakybench.engines import EngineError, Job, Outcome, make_engine
from leakybench.engines import family as family_module
from leakybench.engines.limits import Limits
from leakybench.errors import UsageError
from leakybench.registry import baselines, register_baseline
from leakybench.sweeps.grid import Setting
from tests.helpers import dummies
from tests.helpers.records import jobs


@pytest.fixture(autouse=True)
def _dummies() -> None:
    dummies.register()


def compute(planned: Iterable[Job], **settings: Any) -> dict[str, Outcome]:
    """Outcomes by run id."""
    with make_engine("local", **settings) as engine:
        return {outcome.record.run_id: outcome for outcome in engine.map(iter(planned))}


def test_records_do_not_depend_on_engine_order_or_worker_count() -> None:
    planned = jobs(6, steps=["uniform", "adaptive"])
    reference = compute(planned, workers=0)
    assert {outcome.record.status for outcome in reference.values()} == {"ok"}
    for order, workers in ((planned, 1), (planned[::-1], 2), (planned[::2] + planned[1::2], 2)):
        found = compute(order, workers=workers)
        assert found.keys() == reference.keys()
        for run_id, outcome in found.items():
            assert outcome.record.comparable() == reference[run_id].record.comparable()
            assert outcome.record.arrays.keys() == reference[run_id].record.arrays.keys()
            for name, array in outcome.record.arrays.items():
                np.testing.assert_array_equal(array, reference[run_id].record.arrays[name])


def test_the_threads_of_a_worker_are_recorded() -> None:
    for settings in ({"workers": 0}, {"workers": 1}):
        (outcome,) = compute(jobs(1), threads=2, **settings).values()
        assert outcome.record.wall_clock["threads"] == 2


def test_torch_computes_with_the_threads_of_its_worker(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    ledger = [Setting("ledger", str(tmp_path / "ledger"))]
    (outcome,) = compute(jobs(1, "dummy/Count-v0", baseline_settings=ledger), workers=1, threads=2).values()
    assert outcome.record.status == "ok", outcome.record.message
    assert (tmp_path / "ledger.threads").read_text() == "2"


def test_the_in_process_engine_puts_thread_settings_back() -> None:
    before = dict(os.environ)
    with make_engine("local", workers=0, threads=3):
        assert os.environ["OMP_NUM_THREADS"] == "3"
    assert dict(os.environ) == before


def test_a_run_that_ignores_signals_ends_at_its_timeout() -> None:
    planned = jobs(1, "dummy/Hang-v0")
    with make_engine("local", workers=1, limits=Limits(timeout=3.0)) as engine:
        (warm,) = engine.map(iter(jobs(1)))
        start = time.monotonic()
        (outcome,) = engine.map(iter(planned))
        passed = time.monotonic() - start
    assert warm.record.status == "ok"
    assert outcome.record.status == "timeout"
    assert outcome.record.message == "ended at the limit of 3 s"
    assert 3.0 <= passed < 4.0
    assert 3.0 <= outcome.record.wall_clock["total"] < 4.0


def test_a_run_beyond_its_memory_ends_and_the_next_one_is_well() -> None:
    planned = [*jobs(1, "dummy/Eat-v0"), *jobs(1)]
    found = compute(planned, workers=1, limits=Limits(memory=300 * 2**20))
    statuses = [found[job.run.run_id].record.status for job in planned]
    assert statuses == ["oom", "ok"]
    assert "300 MiB" in found[planned[0].run.run_id].record.message


@pytest.mark.parametrize(
    ("baseline", "status", "message"),
    [
        ("dummy/Raise-v0", "error", "ValueError: no luck"),
        ("dummy/Leave-v0", "error", "SystemExit: 5"),
        ("dummy/Memory-v0", "oom", "MemoryError"),
        ("dummy/Diverge-v0", "diverged", "the loss is not finite"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_run_raises_is_its_record(baseline: str, status: str, message: str, workers: int) -> None:
    (outcome,) = compute(jobs(1, baseline), workers=workers).values()
    assert (outcome.record.status, outcome.record.message) == (status, message)
    assert outcome.log.count("Traceback") == (status != "diverged")
    if baseline == "dummy/Raise-v0" and workers:
        assert outcome.log.startswith("about to fail\n")


def test_a_worker_that_dies_once_costs_nothing_but_time(tmp_path: Path) -> None:
    once = [Setting("once", str(tmp_path / "died"))]
    (outcome,) = compute(jobs(1, "dummy/Die-v0", baseline_settings=once), workers=1).values()
    assert outcome.record.status == "ok"


def test_a_worker_that_always_dies_is_given_up_after_three_attempts(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    always = [Setting("ledger", str(ledger))]
    (outcome,) = compute(jobs(1, "dummy/Die-v0", baseline_settings=always), workers=1).values()
    assert outcome.record.status == "error"
    assert "SIGKILL" in outcome.record.message
    assert "3 attempts" in outcome.record.message
    assert len(ledger.read_text().splitlines()) == 3


def test_a_dead_worker_is_noticed_though_its_child_lives_and_the_child_ends_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARENT", str(os.getpid()))
    start = time.monotonic()
    (outcome,) = compute(jobs(1, "dummy/Orphan-v0"), workers=1).values()
    assert outcome.record.status == "error"
    assert time.monotonic() - start < 30.0
    assert not [process for process in psutil.process_iter() if _is_our_worker(process)]


def _is_our_worker(process: psutil.Process) -> bool:
    try:
        # a guardian and its worker say which process they belong to; a fork has the command line of the worker
        ours = "leakybench.engines.worker" in process.cmdline() and process.environ().get("PARENT") == str(os.getpid())
        return ours and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def test_workers_are_kept_from_run_to_run_and_end_with_the_engine() -> None:
    def workers() -> set[int]:
        return {child.pid for child in psutil.Process().children()} - before

    before: set[int] = set()
    before = workers()
    seen: set[int] = set()
    with make_engine("local", workers=2) as engine:
        for _ in engine.map(iter(jobs(8))):
            seen |= workers()
    assert 1 <= len(seen) <= 2
    assert workers() == set()


def test_leaving_the_engine_ends_a_run_in_hand() -> None:
    with make_engine("local", workers=1) as engine:
        drawn = threading.Event()

        def draw() -> Iterable[Job]:
            drawn.set()
            yield from jobs(1, "dummy/Hang-v0")

        threading.Thread(target=lambda: list(engine.map(iter(draw()))), daemon=True).start()
        assert drawn.wait(10.0)
        time.sleep(0.5)
        start = time.monotonic()
    assert time.monotonic() - start < 2.0


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    from tests.helpers import cli

    process = cli.start(*cli.GRID, "dummy/Hang-v0", "--results", tmp_path, "--workers", 1)
    parent = psutil.Process(process.pid)
    deadline = time.monotonic() + 30.0
    while not list(tmp_path.glob("*.claim")) or not parent.children():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = parent.children()
    time.sleep(1.0)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    gone, alive = psutil.wait_procs(children, timeout=5.0)
    assert gone
    assert not alive


def test_what_is_registered_by_hand_reaches_the_workers() -> None:
    id = "dummy/ByHand-v0"
    register_baseline(id, entry_point=f"{dummies.PREFIX}:Tiny", kwargs={"width": 3}, summary="only in this process")
    try:
        (outcome,) = compute(jobs(1, id), workers=1).values()
    finally:
        baselines.unregister(id)
    assert outcome.record.status == "ok"


def test_a_worker_with_another_meaning_of_an_id_says_so() -> None:
    (job,) = jobs(1)
    other = dataclasses.replace(job, baseline_spec=dataclasses.replace(job.baseline_spec, kwargs={"width": 3}))
    (outcome,) = compute([other], workers=0).values()
    assert outcome.record.status == "error"
    assert "registered differently" in outcome.record.message


def test_a_worker_with_other_code_says_so() -> None:
    (job,) = jobs(1)
    other = dataclasses.replace(job, run=dataclasses.replace(job.run, source="9.9.9+other"))
    (outcome,) = compute([other], workers=0).values()
    assert outcome.record.status == "error"
    assert "source" in outcome.record.message
    assert "same versions" in outcome.record.message
    assert outcome.record.run_id == other.run.run_id


def test_a_worker_that_cannot_start_is_an_error_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family_module.sys, "executable", "/bin/false")
    with make_engine("local", workers=1) as engine, pytest.raises(EngineError, match="cannot be started"):
        list(engine.map(iter(jobs(1))))


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("slurm", {"workers": 1}, "engine must be one of"),
        ("local", {"workers": 0, "limits": Limits(timeout=1.0)}, "requires at least 1 worker"),
        ("local", {"workers": 1, "scheduler": "tcp://a:1"}, "requires the engine dask"),
        ("dask", {"workers": 1, "scheduler": "not an address"}, "tcp://HOST:PORT"),
        ("dask", {"workers": 0}, "at least 1 worker"),
    ],
)
def test_combinations_that_cannot_be_are_refused(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_engine(name, **settings)


def test_jobs_are_drawn_only_when_somebody_is_free() -> None:
    drawn = itertools.count()
    latest = -1

    def draw() -> Iterable[Job]:
        nonlocal latest
        for job in jobs(10):
            latest = next(drawn)
            yield job

    with make_engine("local", workers=2) as engine:
        for number, _ in enumerate(engine.map(iter(draw()))):
            assert latest <= number + 2
