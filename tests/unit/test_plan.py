"""What is still to do, in which order, and how long it will take."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakybench.console.plans import failure_reasons
from leakybench.errors import UsageError
from leakybench.store import Store
from leakybench.sweeps.grid import Grid, Setting
from leakybench.sweeps.plan import GUESS_REFERENCE_SECONDS, GUESS_SECONDS, make_plan
from tests.helpers import dummies
from tests.helpers.records import jobs, record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    dummies.register()
    store = Store(tmp_path)
    return store


def _stored(store: Store, job: object, status: str = "ok", total: float = 2.0) -> None:
    fields = {"wall_clock": {"total": total}} | ({} if status == "ok" else {"test_error": None})
    store.write(record(run=job.run, status=status, **fields))  # type: ignore[attr-defined]


def test_what_is_finished_is_kept_and_the_rest_is_to_do(store: Store) -> None:
    planned = jobs(7)
    for job, status in zip(planned, ["ok", "collapsed", "diverged", "timeout", "oom", "error"], strict=False):
        _stored(store, job, status)
    plan = make_plan(planned, store)
    assert plan.size == 7
    assert sorted(plan.kept.values()) == ["collapsed", "diverged", "ok"]
    assert {p.job.run.seed for p in plan.todo} == {3, 4, 5, 6}
    assert {p.job.run.seed for p in plan.todo if p.replaces is None} == {6}
    assert {p.job.run.seed for p in make_plan(planned, store, retry="none").todo} == {6}
    assert len(make_plan(planned, store, retry="all").todo) == 7
    with pytest.raises(UsageError, match="retry must be"):
        make_plan(planned, store, retry="some")


def test_a_damaged_record_is_set_aside_and_its_run_is_to_do(store: Store) -> None:
    planned = jobs(2)
    _stored(store, planned[0])
    store.path(planned[1].run.run_id).write_text("{ half")
    plan = make_plan(planned, store)
    assert [p.job.run.seed for p in plan.todo] == [1]
    assert plan.todo[0].replaces is None
    assert len(store.problems) == 1


def test_a_record_of_a_newer_version_is_not_replaced(store: Store) -> None:
    (job,) = jobs(1)
    _stored(store, job)
    path = store.path(job.run.run_id)
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(UsageError, match=r"written by a newer version.*upgrade"):
        make_plan([job], store)
    assert '"schema": 99' in path.read_text()


def test_estimates_come_from_the_closest_measurement(store: Store) -> None:
    narrow, wide = ([Setting("width", width)] for width in (4, 9))
    for seed, total in enumerate((3.0, 5.0, 100.0)):
        _stored(store, jobs([seed], baseline_settings=narrow)[0], total=total)
    _stored(store, jobs([0], baseline_settings=wide)[0], total=40.0)
    _stored(store, jobs([1], baseline_settings=wide)[0], "timeout", total=9999.0)
    new = [
        *jobs([8], baseline_settings=narrow),
        *jobs([8], baseline_settings=wide),
        *jobs([8]),
        *jobs([8], "dummy/Raise-v0"),
    ]
    plan = make_plan(new, store)
    assert plan.measured == 3
    # the same settings; then the same baseline with any (3, 5, 40, 100); then a guess, the median being exact
    by_label = {p.job.run.baseline_label: p.seconds for p in plan.todo}
    assert list(by_label.values()) == [40.0, 22.5, 5.0, GUESS_REFERENCE_SECONDS]
    assert GUESS_SECONDS.keys() >= {"smoke", "standard", "converged", "paper"}


def test_a_search_is_estimated_by_its_trials_or_seconds(store: Store) -> None:
    def grid(tune: int | str | None, seed: int) -> Grid:
        return Grid(tasks=["dummy/Tiny-v0"], baselines=["KernelRidge-v0"], tune=tune, seeds=[seed])

    _stored(store, grid(None, 0).jobs()[0], total=2.0)
    planned = {tune: make_plan(grid(tune, 1).jobs(), store) for tune in (None, 8, "30s")}
    assert {tune: plan.seconds for tune, plan in planned.items()} == {
        # one fit of all rows; six trials of three fits, and two of which many end early
        None: 2.0, 8: 2.0 * (1 + 6 * 3 + 2 * 1.5), "30s": 32.0,
    }  # fmt: skip
    assert {tune: plan.measured for tune, plan in planned.items()} == {None: 1, 8: 0, "30s": 0}
    _stored(store, grid(8, 0).jobs()[0], total=50.0)
    # what was measured comes first, and does not become the price of the baseline as it is
    assert make_plan(grid(8, 1).jobs(), store).seconds == 50.0
    assert make_plan(grid(None, 1).jobs(), store).seconds == 2.0


def test_the_longest_run_goes_first_and_the_makespan_follows(store: Store) -> None:
    for seed, total in enumerate((1.0, 2.0, 6.0, 3.0)):
        variant = [Setting("width", 10 + seed)]
        _stored(store, jobs([0], baseline_settings=variant)[0], total=total)
    new = [job for seed in range(4) for job in jobs([1], baseline_settings=[Setting("width", 10 + seed)])]
    plan = make_plan(new, store)
    assert [p.seconds for p in plan.todo] == [6.0, 3.0, 2.0, 1.0]
    assert plan.seconds == 12.0
    assert [plan.makespan(n) for n in (1, 2, 3, 50)] == [12.0, 6.0, 6.0, 6.0]
    assert make_plan([], store).makespan(4) == 0.0


def test_the_end_of_a_sweep_names_the_commonest_reasons_of_failures(store: Store) -> None:
    planned = jobs(8)
    told = ["ValueError: a\nb", "ValueError: a\nb", "gone", "late", "late", "late", "odd", ""]
    for job, message in zip(planned, told, strict=True):
        fields = {"status": "error", "message": message, "test_error": None} if message else {}
        store.write(record(run=job.run, **fields))  # type: ignore[arg-type]
    plan = make_plan(planned, store, retry="none")
    first = planned[3].run
    lines = failure_reasons(plan, store)
    assert lines[0] == f"error: late (dummy/Tiny-v0 x {first.baseline_label}, seed 3, {first.run_id[:8]} and 2 more)"
    assert lines[1].startswith(r"error: ValueError: a\nb (")
    assert lines[1].endswith("and 1 more)")
    assert lines[2].startswith("error: gone (")
    assert lines[3:] == ["1 other reason"]
    assert all("\n" not in line for line in lines)
