"""Sweeps in batches: the records that single runs give, each once, whatever happens to a batch."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from leakybench.cli import main
from leakybench.engines import make_engine
from leakybench.engines.limits import Limits
from leakybench.packs.verify import verify
from leakybench.store import Store
from leakybench.sweeps.grid import Grid, Setting, parse_setting
from leakybench.sweeps.plan import make_plan
from leakybench.sweeps.sweep import sweep
from tests.helpers import cli, dummies
from tests.helpers.records import jobs

MANY = (*cli.GRID, "dummy/Many-v0", "--preset", "smoke")


@pytest.fixture(autouse=True)
def _dummies() -> None:
    dummies.register()


def started(ledger: Path) -> list[list[int]]:
    """The seeds of each fit that was started, in order."""
    return [[int(word) for word in line.split()] for line in ledger.read_text().splitlines()] if ledger.exists() else []


def assert_whole(folder: Path, seeds: int) -> None:
    """Each run once, its files sound, and nothing left over."""
    store = Store(folder, set_aside=False)
    verdict = verify(store)
    assert verdict.sound, verdict.damaged
    assert sorted(found.run.seed for found in store) == list(range(seeds))
    assert {path.suffix for path in folder.iterdir()} == {".json", ".npz"}


@pytest.mark.parametrize("workers", [0, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 2))])
def test_batches_give_the_records_of_single_runs(tmp_path: Path, workers: int) -> None:
    # least squares without batched products: equal to the bit
    once = (*MANY, "--seeds", "0:7", "--workers", workers, "--results")
    assert main([*map(str, once), str(tmp_path / "single")]) == 0
    done = cli.call(*once, tmp_path / "batch", "--batch", 3)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path / "batch", 7)
    single, batch = Store(tmp_path / "single"), Store(tmp_path / "batch")
    for found in batch:
        assert found.comparable() == single.read(found.run_id).comparable()
        np.testing.assert_array_equal(batch.arrays(found.run_id)["draws"], single.arrays(found.run_id)["draws"])
        assert found.provenance["batch"]["asked"] == 3
        assert found.wall_clock["threads"] == 1
    sizes = Counter(found.provenance["batch"]["size"] for found in batch)
    assert sizes == {3: 6, 1: 1}


def test_auto_measures_says_so_and_goes_on_with_the_faster_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for batch_seconds, chosen, rest in ((0.02, "batch", "in batches"), (0.5, "single", "individually")):
        folder, ledger = tmp_path / chosen, tmp_path / f"{chosen}.ledger"
        settings = {"seconds": 0.2, "batch_seconds": batch_seconds, "ledger": ledger}
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        once = [*MANY, *words, "--seeds", "0:12", "--batch", "auto", "--workers", "1", "--results", str(folder)]
        assert main([*once, "--json"]) == 0
        captured = capsys.readouterr()
        (note,) = json.loads(captured.out)["notes"]
        assert note.endswith(f"a run in a batch of 8; the rest runs {rest}")
        assert captured.err.splitlines()[0] == f"leakybench: {note}"
        expected = [1, 8, 3] if chosen == "batch" else [1, 8, 1, 1, 1]
        assert [len(seeds) for seeds in started(ledger)] == expected
        assert_whole(folder, 12)
        told = [found.provenance["batch"] for found in Store(folder)]
        assert sum(batch.get("chosen") == chosen for batch in told) == 11
        assert all(0.2 <= batch["single_fit_seconds"] < 0.5 for batch in told if "chosen" in batch)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("raise", "ValueError: no luck"),
        pytest.param("memory", "MemoryError", marks=pytest.mark.slow),
        pytest.param("leave", "SystemExit: 5", marks=pytest.mark.slow),
        pytest.param("diverge", "DivergedError: the loss is not finite", marks=pytest.mark.slow),
        ("die", "the worker process was ended by signal 9, SIGKILL (perhaps the machine ran out of memory)"),
        pytest.param("short", "LeakybenchError: fit_many gave 3 models for 4 seeds", marks=pytest.mark.slow),
    ],
)
def test_one_bad_seed_in_a_batch_costs_no_run(tmp_path: Path, mode: str, message: str) -> None:
    ledger = tmp_path / "ledger"
    words = ("--set", f"mode={mode}", "--set", "only_seed=2", "--set", f"ledger={ledger}")
    folder = tmp_path / "runs"
    done = cli.call(*MANY, *words, "--seeds", "0:8", "--batch", 4, "--workers", 1, "--results", folder)
    assert done.returncode == 0, done.stderr
    assert f"a batch of 4 failed, so its runs run individually: {message}\n" in done.stderr
    assert_whole(folder, 8)
    # one attempt of the batch, and each run alone
    assert [len(seeds) for seeds in started(ledger)] == [4] + [1] * 8
    assert {found.status for found in Store(folder)} == {"ok"}


@pytest.mark.slow
def test_a_seed_that_fails_alone_too_is_the_only_one_that_fails(tmp_path: Path) -> None:
    words = ("--set", "mode=raise", "--set", "only_seed=2", "--set", "in_batch=false")
    done = cli.call(*MANY, *words, "--seeds", "0:4", "--batch", 4, "--workers", 1, "--results", tmp_path)
    assert done.returncode == 3, done.stderr
    store = Store(tmp_path)
    assert {found.run.seed: found.status for found in store} == {0: "ok", 1: "ok", 2: "error", 3: "ok"}
    (failed,) = (found for found in store if found.status == "error")
    assert "ValueError" in store.log(failed.run_id)
    assert failed.provenance["batch"] == {"size": 1, "asked": 4}


@pytest.mark.slow
def test_a_run_that_diverges_in_a_batch_is_computed_alone(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    words = ("--set", "mode=nan", "--set", "only_seed=1", "--set", f"ledger={ledger}")
    folder = tmp_path / "runs"
    done = cli.call(*MANY, *words, "--seeds", "0:8", "--batch", 4, "--workers", 1, "--results", folder)
    assert done.returncode == 0, done.stderr
    assert [seeds for seeds in started(ledger) if len(seeds) == 1] == [[1]]
    assert [len(seeds) for seeds in started(ledger)] == [4, 4, 1]
    assert {found.status for found in Store(folder)} == {"ok"}


def sweep_with(folder: Path, limits: Limits, batching: str, **settings: Any) -> tuple[Store, Counter[str], list[str]]:
    from leakybench.sweeps.batching import parse_batch

    planned = jobs(3, "dummy/Many-v0", baseline_settings=[Setting(*item) for item in settings.items()])
    store = Store(folder)
    store.prepare()
    with make_engine("local", workers=1, limits=limits) as engine:
        progress = sweep(make_plan(planned, store), store, engine, batching=parse_batch(batching))
    return store, progress.counts, progress.notes


@pytest.mark.slow
def test_a_batch_has_the_time_of_its_runs_together(tmp_path: Path) -> None:
    # 3 x 0.8 s is above the limit of a run and within that of three
    store, counts, notes = sweep_with(tmp_path, Limits(timeout=2.0), "3", batch_seconds=0.8)
    assert (counts, notes) == ({"ok": 3}, [])
    assert {found.wall_clock["batch"] for found in store} == {3}


@pytest.mark.slow
def test_a_batch_beyond_its_time_or_memory_falls_back_to_single_runs(tmp_path: Path) -> None:
    store, counts, notes = sweep_with(tmp_path / "time", Limits(timeout=3.0), "3", mode="hang")
    assert counts == {"ok": 3}
    assert notes[0].endswith("a batch of 3 failed, so its runs run individually: ended at the limit of 9 s")
    assert not any("batch" in found.wall_clock for found in store)
    store, counts, notes = sweep_with(tmp_path / "memory", Limits(memory=300 * 2**20), "3", mode="eat")
    assert counts == {"ok": 3}
    assert notes[0].endswith("ended at the limit of 300 MiB of memory")


@pytest.mark.parametrize("workers", [pytest.param(count, marks=pytest.mark.slow) for count in (0, 2)])
def test_a_sweep_killed_in_a_batch_loses_and_repeats_no_finished_run(tmp_path: Path, workers: int) -> None:
    folder, ledger = tmp_path / "runs", tmp_path / "ledger"
    words = ("--set", "batch_seconds=0.3", "--set", f"ledger={ledger}", "--seeds", "0:12", "--batch", 3)
    process = cli.start(*MANY, *words, "--workers", workers, "--results", folder)
    deadline = time.monotonic() + 60.0
    # into a batch behind the first: some runs are done, some are in hand
    while not (list(folder.glob("*.json")) and len(started(ledger)) >= 3) and time.monotonic() < deadline:
        time.sleep(0.01)
    children = psutil.Process(process.pid).children()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not psutil.wait_procs(children, timeout=5.0)[1]
    done, before = {found.run.seed for found in Store(folder)}, len(started(ledger))
    assert 0 < len(done) < 12
    verdict = verify(Store(folder, set_aside=False))
    assert verdict.sound, verdict.damaged
    last = cli.call(*MANY, *words, "--workers", workers, "--results", folder)
    assert last.returncode == 0, last.stderr
    assert f"{len(done)} already stored" in last.stderr
    assert not done & {seed for seeds in started(ledger)[before:] for seed in seeds}
    assert_whole(folder, 12)


def test_ctrl_c_in_a_batch_gives_its_runs_up(tmp_path: Path) -> None:
    words = ("--set", "batch_seconds=2.0", "--seeds", "0:6", "--batch", 3, "--workers", 1, "--results", tmp_path)
    process = cli.start(*MANY, *words)
    deadline = time.monotonic() + 60.0
    while len(list(tmp_path.glob("*.claim"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "interrupted: 0 of 6 runs are complete and stored" in err
    assert "--batch 3" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_batching_sweeps_share_a_folder(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "runs", tmp_path / "ledger"
    words = ("--set", "batch_seconds=0.1", "--set", f"ledger={ledger}", "--set", "seconds=0.2", "--seeds", "0:24")
    both = [cli.start(*MANY, *words, "--batch", how, "--workers", 1, "--results", folder) for how in ("auto", "4")]
    texts = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert sorted(seed for seeds in started(ledger) for seed in seeds) == list(range(24))
    assert_whole(folder, 24)


def test_the_plan_file_has_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    grid = 'task = "dummy/Tiny-v0"\nbaseline = "dummy/Many-v0"\nseeds = "0:4"\nworkers = 0\npreset = "smoke"\n'
    plan.write_text(f"batch = 4\n{grid}")
    assert main(["run", "--plan", str(plan), "--results", str(tmp_path / "runs")]) == 0
    assert {found.wall_clock["batch"] for found in Store(tmp_path / "runs")} == {4}
    plan.write_text(f"batch = 1.5\n{grid}")
    assert main(["run", "--plan", str(plan), "--results", str(tmp_path / "runs")]) == 2
    assert "batch must be of type" in capsys.readouterr().err


def test_help_says_why_batches_are_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "up to round-off, which training amplifies" in words
    assert "(default: off)" in words


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_dask_carries_batches_too(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    planned = jobs(6, "dummy/Many-v0", baseline_settings=[Setting("mode", "raise"), Setting("only_seed", 5)])
    from leakybench.sweeps.batching import Batching

    store = Store(tmp_path)
    store.prepare()
    with make_engine("dask", workers=1) as engine:
        progress = sweep(make_plan(planned, store), store, engine, batching=Batching(size=3))
    assert progress.counts == {"ok": 6}
    assert sorted(found.provenance["batch"]["size"] for found in store) == [1, 1, 1, 3, 3, 3]


SMALL = ["depth=8", "width=16"]


def test_networks_in_a_batch_are_the_networks_of_single_runs(tmp_path: Path) -> None:
    from leakybench.sweeps.batching import Batching

    grid = Grid(
        tasks=["LowRank-k2-v0"],
        baselines=["LeakyResNet-v0"],
        seeds=range(4),
        preset="smoke",
        baseline_settings=[parse_setting(text) for text in SMALL],
        task_settings=[parse_setting(text) for text in ("d=8", "n_train=80", "n_test=40")],
    )
    found = {}
    for name, batching in (("single", None), ("batch", Batching(size=4))):
        store = Store(tmp_path / name)
        store.prepare()
        with make_engine("local", workers=0) as engine:
            progress = sweep(make_plan(grid.jobs(), store), store, engine, batching=batching)
        assert progress.counts == {"ok": 4}
        found[name] = {record.run_id: record for record in store}
    assert {record.wall_clock["batch"] for record in found["batch"].values()} == {4}
    for run_id, single in found["single"].items():
        batch = found["batch"][run_id]
        assert batch.bottleneck_rank == single.bottleneck_rank
        # a batched product may sum in another order: float32 round-off (6e-8), which the some 60 evaluations of this
        # preset, each with a line search that branches on it, raise by up to four orders of magnitude
        for name in ("objective", "cost", "penalty"):
            assert batch.training[name] == pytest.approx(single.training[name], rel=1e-3), name
        assert batch.test_error == pytest.approx(single.test_error, rel=1e-2)
