"""One bad worker never ends a sweep: what a run does to its process or its result is an error of that run alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakybench.engines import Job, Outcome, guarded, make_engine
from leakybench.engines import pool as pool_module
from leakybench.engines.output import HEAD_BYTES, TAIL_BYTES
from leakybench.store import ConflictError, Store
from leakybench.sweeps.grid import Grid, Setting
from leakybench.sweeps.plan import make_plan
from leakybench.sweeps.sweep import sweep
from tests.helpers import intruders
from tests.helpers.records import jobs, record


def intruding(mode: str, ledger: Path) -> Job:
    """A run that misbehaves towards its own worker."""
    intruders.register()
    (job,) = jobs(1, intruders.ID, baseline_settings=[Setting("mode", mode), Setting("ledger", str(ledger))])
    return job


MESSAGES = {
    "interrupt": "KeyboardInterrupt",
    "print": "RuntimeError: 300 MB are printed",
    "forged": "the worker process sent no valid result: a record of another run",
    "garbage": "the worker process sent no valid result: impossible length",
    "twice": "",
}
"""What the record of each mode says; nothing where the run is in order."""


def test_what_a_run_does_to_its_worker_costs_itself_one_attempt_and_others_nothing(tmp_path: Path) -> None:
    ledgers = {mode: tmp_path / mode for mode in MESSAGES}
    planned = {mode: intruding(mode, ledger) for mode, ledger in ledgers.items()}
    (good,) = jobs(1)
    with make_engine("local", workers=1) as engine:
        found = {outcome.record.run_id: outcome for outcome in engine.map(iter([*planned.values(), good]))}
    assert found[good.run.run_id].record.status == "ok"
    for mode, job in planned.items():
        message = found[job.run.run_id].record.message or ""
        assert (message[: len(MESSAGES[mode])], bool(message)) == (MESSAGES[mode], bool(MESSAGES[mode])), mode
        assert len(ledgers[mode].read_text().splitlines()) == 1, mode
    log = found[planned["print"].run.run_id].log
    # two excerpts, of the output and of the traceback, and the lines that say what is left out
    assert len(log) <= 2 * (HEAD_BYTES + TAIL_BYTES) + 200
    assert log.startswith("xxx")
    assert "bytes left out" in log
    assert log.rstrip().endswith("300 MB are printed")


@pytest.mark.parametrize("fields", [{"measures": {"set": {1, 2}}}, {"arrays": {"no name": np.ones(1)}}])
def test_a_result_that_cannot_be_encoded_is_an_error_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    intruders.register()
    (job,) = jobs(1)
    monkeypatch.setattr(guarded, "execute", lambda job, threads: [Outcome(record=record(run=job.run, **fields))])
    with make_engine("local", workers=0) as engine:
        (outcome,) = engine.map(iter([job]))
    assert outcome.record.status == "error"
    assert str(outcome.record.message).startswith("the result of the run cannot be stored: ")
    assert "Traceback" in outcome.log


def test_an_interrupt_in_this_process_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    intruders.register()

    def interrupted(job: Job, threads: int) -> list[Outcome]:
        raise KeyboardInterrupt

    monkeypatch.setattr(guarded, "execute", interrupted)
    with make_engine("local", workers=0) as engine, pytest.raises(KeyboardInterrupt):
        list(engine.map(iter(jobs(1))))


def test_an_unexpected_failure_of_a_supervisor_is_an_error_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    intruders.register()
    first, second = jobs(2)

    def run(self: Any, job: Job) -> list[Outcome]:
        if job.run.seed == first.run.seed:
            raise ZeroDivisionError("nobody thought of it")
        return [Outcome(record=record(run=job.run))]

    monkeypatch.setattr(pool_module.Supervisor, "run", run)
    with make_engine("local", workers=1) as engine:
        outcomes = {outcome.record.run_id: outcome.record for outcome in engine.map(iter([first, second]))}
    assert outcomes[first.run.run_id].status == "error"
    assert "ZeroDivisionError: nobody thought of it" in str(outcomes[first.run.run_id].message)
    assert outcomes[second.run.run_id].status == "ok"


@pytest.mark.slow
def test_a_worker_of_foreign_code_serves_its_origin_alone_and_built_in_code_never_meets_it(tmp_path: Path) -> None:
    intruders.register()
    ledger = tmp_path / "ledger"
    here = [intruding("note", ledger)] * 2
    grid = Grid(tasks=["Linear-k3-v0"], baselines=["Mean-v0"], seeds=[0], preset="smoke")
    (built_in,) = grid.jobs()
    with make_engine("local", workers=1) as engine:
        for job in (here[0], built_in, here[1]):
            (outcome,) = engine.map(iter([job]))
            assert outcome.record.status == "ok", outcome.record.message
    assert built_in.origin == ""
    assert here[0].origin
    # the worker of the plugin is kept, and is not the one of the built-in run
    first, again = ledger.read_text().split()
    assert first == again


class OneRecord:
    """An engine that returns a given record for each job."""

    workers = 1

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def map(self, planned: Any) -> Any:
        for job in planned:
            yield Outcome(record=record(run=job.run, **self._fields), log="y" * 10**6)


def test_a_contradiction_is_one_note_and_the_earlier_record_stays(tmp_path: Path) -> None:
    intruders.register()
    store = Store(tmp_path)
    store.prepare()
    planned = jobs(2)
    plan = make_plan(planned, store)

    class Meanwhile(OneRecord):
        def map(self, drawn: Any) -> Any:
            for number, outcome in enumerate(super().map(drawn)):
                if number == 0:  # another sweep, without a claim, is faster
                    store.write(record(run=outcome.record.run, test_error=0.5))
                yield outcome

    progress = sweep(plan, store, Meanwhile())
    (note,) = progress.notes
    assert "another result of this run" in note
    assert (progress.counts, progress.elsewhere) == ({"ok": 1}, {"ok": 1})
    assert sorted(stored.test_error or 0.0 for stored in store) == [0.25, 0.5]
    with pytest.raises(ConflictError):
        store.write(record(run=planned[0].run, test_error=0.75))


def test_a_record_that_the_store_refuses_becomes_an_error(tmp_path: Path) -> None:
    intruders.register()
    store = Store(tmp_path)
    store.prepare()
    progress = sweep(make_plan(jobs(2), store), store, OneRecord(measures={"set": {1, 2}}))
    assert progress.counts == {"error": 2}
    assert all(str(stored.message).startswith("the result cannot be stored: ") for stored in store)
    logs = {len(path.read_text()) for path in tmp_path.glob("*.log")}
    assert max(logs) < HEAD_BYTES + TAIL_BYTES + 100
    assert not list(tmp_path.glob("*.claim"))
    assert os.listdir(tmp_path)
