"""Batches: what --batch allows, how a measurement decides, and what a batch's records say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

import leakybench
from leakybench.analysis.scores import machine_of
from leakybench.engines import Job, Outcome
from leakybench.errors import LeakybenchError, UsageError
from leakybench.evaluation import can_batch, evaluate_many
from leakybench.store import Store
from leakybench.sweeps.batching import DEFAULT_SIZE, Batches, Batching, faster, parse_batch
from leakybench.sweeps.grid import Setting
from leakybench.sweeps.plan import make_plan
from leakybench.sweeps.sweep import Progress, sweep
from tests.helpers import dummies
from tests.helpers.records import jobs, record


@pytest.fixture(autouse=True)
def _dummies() -> None:
    dummies.register()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("off", None),
        ("auto", Batching(size=DEFAULT_SIZE, measured=True)),
        ("2", Batching(size=2)),
        (16, Batching(size=16)),
        ("1024", Batching(size=1024)),
    ],
)
def test_what_batch_allows(value: object, expected: Batching | None) -> None:
    assert parse_batch(value) == expected


@pytest.mark.parametrize(
    "value", ["", "on", "Auto", "1", "0", "-2", "1025", "2.0", "auto:4", "٣", "9" * 40, 1, True, 2.0]
)
def test_what_batch_refuses(value: object) -> None:
    with pytest.raises(UsageError, match="batch must be off, auto or a size from 2 to 1024"):
        parse_batch(value)


def test_the_shorter_mean_fit_wins_and_a_tie_stays_with_single_runs() -> None:
    assert faster([2.0, 4.0], [2.9]) == "batch"
    assert faster([2.0, 4.0], [3.1]) == "single"
    assert faster([3.0], [3.0]) == "single"


class ClockedEngine:
    """Computes nothing: single fits take ``alone`` seconds, those in a batch ``together``; keeps the size of each job.

    Jobs are drawn as a pool of ``workers`` draws them: as many as there are workers, then one for each that ends.
    """

    def __init__(
        self, workers: int = 1, *, alone: float = 1.0, together: float = 1.0, **statuses: Sequence[int]
    ) -> None:
        self.workers = workers
        self.sizes: list[int] = []
        self._seconds = (alone, together)
        self._statuses = {seed: status for status, seeds in statuses.items() for seed in seeds}
        self.batch_fails = False

    def map(self, planned: Iterator[Job]) -> Iterator[Outcome]:
        in_hand: list[Job] = []
        while True:
            while len(in_hand) < self.workers and (job := next(planned, None)) is not None:
                self.sizes.append(len(job.runs))
                in_hand.append(job)
            if not in_hand:
                return
            yield from self._outcomes(in_hand.pop(0))

    def _outcomes(self, job: Job) -> Iterator[Outcome]:
        size = len(job.runs)
        if size > 1 and self.batch_fails:
            yield from (
                Outcome(record=record(run=run, status="oom", message="too much", test_error=None)) for run in job.runs
            )
            return
        fit = self._seconds[size > 1]
        origin: dict[str, Any] = {"batch": {"size": size, "fit_seconds": fit}} if size > 1 else {}
        for run in job.runs:
            status = self._statuses.get(run.seed, "ok")
            yield Outcome(
                record=record(run=run, status=status, wall_clock={"fit": fit, "total": fit}, provenance=origin)
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def swept(folder: Path, engine: ClockedEngine, batching: Batching, planned: list[Job]) -> tuple[Store, Progress]:
    store = Store(folder)
    store.prepare()
    progress = sweep(make_plan(planned, store), store, engine, batching=batching)
    assert len(store.ids()) == len(planned)
    assert progress.done == len(planned)
    assert not list(folder.glob("*.claim"))
    return store, progress


AUTO = Batching(measured=True)


def test_a_batch_that_is_faster_takes_the_rest(tmp_path: Path) -> None:
    engine = ClockedEngine(alone=1.0, together=0.25)
    store, progress = swept(tmp_path, engine, AUTO, jobs(20, "dummy/Many-v0"))
    assert engine.sizes == [1, 8, 8, 3]
    assert progress.notes == [
        "dummy/Tiny-v0 x dummy/Many-v0[steps=uniform]: a fit takes 1 s alone, 0.25 s a run in a batch of 8; "
        "the rest runs in batches"
    ]
    told = [found.provenance["batch"] for found in store]
    measured = {"single_fit_seconds": 1.0, "batch_fit_seconds": 0.25, "chosen": "batch"}
    assert sorted(batch["size"] for batch in told) == [1] + [3] * 3 + [8] * 16
    for batch in told:
        assert batch["asked"] == "auto"
        # the first run was written before there was a batch to compare it with
        assert (measured.items() <= batch.items()) == (batch["size"] > 1)


def test_a_batch_that_is_slower_leaves_the_rest_to_single_runs(tmp_path: Path) -> None:
    engine = ClockedEngine(alone=1.0, together=1.5)
    store, progress = swept(tmp_path, engine, AUTO, jobs(12, "dummy/Many-v0"))
    assert engine.sizes == [1, 8, 1, 1, 1]
    assert progress.notes[0].endswith("1 s alone, 1.5 s a run in a batch of 8; the rest runs individually")
    rest = [found.provenance["batch"] for found in store if found.provenance["batch"].get("chosen") == "single"]
    assert sorted(batch["size"] for batch in rest) == [1] * 3 + [8] * 8


def test_every_worker_measures_and_no_worker_waits_for_a_batch_that_could_be_shared(tmp_path: Path) -> None:
    engine = ClockedEngine(workers=2, alone=1.0, together=0.25)
    swept(tmp_path / "one", engine, AUTO, jobs(8, "dummy/Many-v0"))
    assert engine.sizes == [1, 1, 3, 3]
    engine = ClockedEngine(workers=2)
    swept(tmp_path / "forced", engine, Batching(size=8), jobs(8, "dummy/Many-v0"))
    assert engine.sizes == [4, 4]
    # with as many groups as workers there is no need to share one
    engine = ClockedEngine(workers=2)
    widths = [Setting("width", 8), Setting("width", 9)]
    swept(tmp_path / "two", engine, Batching(size=8), jobs(8, "dummy/Many-v0", baseline_settings=widths))
    assert engine.sizes[0] == 8


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow), 5])
@pytest.mark.parametrize("seeds", [1, 2, 3, *(pytest.param(count, marks=pytest.mark.slow) for count in (4, 5)), 9])
@pytest.mark.parametrize("batching", [AUTO, Batching(size=3)])
def test_no_number_of_seeds_or_workers_leaves_a_run_behind(
    tmp_path: Path, seeds: int, workers: int, batching: Batching
) -> None:
    engine = ClockedEngine(workers, together=0.5)
    swept(tmp_path, engine, batching, jobs(seeds, "dummy/Many-v0,dummy/Fit-v0", steps=["uniform", "adaptive"]))
    assert sum(engine.sizes) == 4 * seeds
    assert max(engine.sizes) <= batching.size


def test_what_cannot_be_batched_runs_singly_as_ever(tmp_path: Path) -> None:
    engine = ClockedEngine()
    planned = [*jobs(5, "dummy/Fit-v0"), *jobs(5, "dummy/Many-v0", steps=["adaptive"])]
    store, progress = swept(tmp_path, engine, Batching(size=4), planned)
    assert engine.sizes == [1] * 10
    assert [note.split(" (")[0] for note in progress.notes] == ["no batches for 2 of 2 configurations"]
    assert not any("batch" in found.provenance for found in store)
    assert not can_batch(leakybench.make_baseline("Ridge-v0"))
    assert can_batch(leakybench.make_baseline("LeakyResNet-v0", steps="adaptive"))
    assert can_batch(leakybench.make_baseline("LeakyResNet-v0", steps="irregular"))


def test_without_batching_jobs_are_single_and_keep_the_order_of_the_plan(tmp_path: Path) -> None:
    engine, store = ClockedEngine(), Store(tmp_path)
    sweep(make_plan(jobs(4, "dummy/Many-v0"), store), store, engine)
    assert engine.sizes == [1] * 4
    assert not any("batch" in found.provenance for found in store)


def test_a_run_that_ends_early_is_no_measure_of_a_fit(tmp_path: Path) -> None:
    engine = ClockedEngine(alone=1.0, together=0.5, diverged=[0], error=[1])
    swept(tmp_path, engine, AUTO, jobs(6, "dummy/Many-v0"))
    # seeds 0 and 1 tell nothing, seed 2 is the first that does
    assert engine.sizes == [1, 1, 1, 3]
    engine = ClockedEngine(error=range(6))
    swept(tmp_path / "none", engine, AUTO, jobs(6, "dummy/Many-v0"))
    assert engine.sizes == [1] * 6


def test_the_runs_of_a_failed_batch_are_computed_alone_and_so_is_the_rest_of_the_group(tmp_path: Path) -> None:
    engine = ClockedEngine()
    engine.batch_fails = True
    store, progress = swept(tmp_path, engine, Batching(size=4), jobs(10, "dummy/Many-v0"))
    assert engine.sizes == [4] + [1] * 10
    assert progress.counts == {"ok": 10}
    assert progress.notes[0].endswith("a batch of 4 failed, so its runs run individually: too much")
    assert {found.provenance["batch"]["size"] for found in store} == {1}


def test_what_a_batch_calls_diverged_is_computed_alone(tmp_path: Path) -> None:
    engine = ClockedEngine(diverged=[2])
    store, progress = swept(tmp_path, engine, Batching(size=4), jobs(8, "dummy/Many-v0"))
    assert engine.sizes == [4, 4, 1]
    assert progress.counts == {"ok": 7, "diverged": 1}
    assert {found.run.seed for found in store if found.provenance["batch"]["size"] == 1} == {2}


def test_runs_that_another_sweep_holds_do_not_hold_up_the_measurement() -> None:
    schedule = Batches(AUTO, ClockedEngine())
    planned = make_plan(jobs(5, "dummy/Many-v0"), Store(Path("nowhere"))).todo
    schedule.begin(planned)
    # the first two are claimed by somebody else: picked, and never started
    assert [len(schedule.pick()) for _ in range(2)] == [1, 1]
    third = schedule.pick()
    schedule.start(third)
    assert third == [planned[2]]
    assert schedule.pick() == []
    assert schedule.left() == list(planned[3:])


def test_a_batch_is_what_single_runs_are() -> None:
    tasks = [leakybench.make("dummy/Tiny-v0", seed=seed) for seed in range(4)]
    many = leakybench.make_baseline("dummy/Many-v0", batch_seconds=0.05)
    together = evaluate_many(many, tasks, seeds=range(4), preset="smoke")
    for seed, (task, found) in enumerate(zip(tasks, together, strict=True)):
        alone = leakybench.evaluate(many, task, seed=seed, preset="smoke")
        assert found.comparable() == alone.comparable()
        np.testing.assert_array_equal(found.arrays["draws"], alone.arrays["draws"])
        assert found.wall_clock["batch"] == found.provenance["batch"]["size"] == 4
        # 4 x 0.05 s for the batch, a quarter of them for each; the rest is least squares
        assert 0.05 <= found.wall_clock["fit"] < 0.15
        assert found.wall_clock["total"] == pytest.approx(
            sum(found.wall_clock[phase] for phase in ("setup", "fit", "evaluation", "measures"))
        )


def test_a_batch_whose_models_are_too_few_is_an_error() -> None:
    tasks = [leakybench.make("dummy/Tiny-v0", seed=seed) for seed in range(3)]
    many = leakybench.make_baseline("dummy/Many-v0", mode="short")
    with pytest.raises(LeakybenchError, match="2 models for 3 seeds"):
        evaluate_many(many, tasks, seeds=range(3), preset="smoke")


def test_the_warm_up_of_a_batch_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dummies.TinyMany._solve

    def solve(train: Any, seed: int) -> Any:
        model = before(train, seed)
        model.report.values["warmup_seconds"] = 0.3
        return model

    monkeypatch.setattr(dummies.TinyMany, "_solve", staticmethod(solve))
    tasks = [leakybench.make("dummy/Tiny-v0", seed=seed) for seed in range(3)]
    many = leakybench.make_baseline("dummy/Many-v0", batch_seconds=0.2)
    for found in evaluate_many(many, tasks, seeds=range(3), preset="smoke"):
        # 0.6 s for the batch, of which 0.3 s warm-up: 0.1 s of each for a run
        assert 0.1 <= found.wall_clock["setup"] < 0.15
        assert 0.1 <= found.wall_clock["fit"] < 0.15
        assert "warmup_seconds" not in found.training


def test_times_of_batched_and_single_runs_do_not_compare() -> None:
    machine = {"processor": "Test CPU", "cores": 2}
    assert machine_of({**machine, "batch": {"size": 8}}) == "Test CPU, 2 cores, batched"
    assert machine_of({**machine, "batch": {"size": 1}}) == machine_of(machine) == "Test CPU, 2 cores"
