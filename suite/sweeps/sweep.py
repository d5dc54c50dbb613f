"""Carry out a plan: claim a run, compute it, write its record. Only counts stay in memory."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from leakybench.engines.engine import Engine
from leakybench.engines.job import Job
from leakybench.engines.output import clip
from leakybench.engines.supervisor import LEFT_BEHIND
from leakybench.errors import UsageError
from leakybench.record import FAILED, Record
from leakybench.store import ConflictError, Store, storable
from leakybench.sweeps.batching import Batches, Batching, Schedule, SingleRuns
from leakybench.sweeps.claims import Claims, clear_leftovers
from leakybench.sweeps.plan import Plan, Planned

WAIT_SECONDS = 0.2
"""Seconds between two looks at runs that another sweep is working on."""


@dataclass
class Progress:
    """How far a sweep has come.

    Attributes:
        total: number of runs to do.
        seconds_left: estimated seconds of the runs that are not done.
        counts: runs computed by this sweep, by status.
        elsewhere: runs that another sweep on the same folder computed meanwhile, by status.
        waiting: number of runs that another sweep is computing now.
        notes: lines for the user: how runs are batched, what a run left behind, which results contradict stored ones.
    """

    total: int
    seconds_left: float
    counts: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Number of runs of the plan that have a record now."""
        return self.counts.total() + self.elsewhere.total()

    @property
    def failures(self) -> int:
        """Number of runs that did not end by themselves."""
        return sum((self.counts + self.elsewhere)[status] for status in FAILED)


def sweep(
    plan: Plan,
    store: Store,
    engine: Engine,
    *,
    batching: Batching | None = None,
    notify: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Compute all runs of ``plan.todo``; their records are in the store when it returns.

    A run that a second sweep on the same folder is computing is not computed twice: this sweep goes on with other runs
    and waits for it at the end, or takes it over when its owner dies.

    Args:
        plan: the runs to compute.
        store: the folder that receives the records.
        engine: an entered engine.
        batching: how to batch runs that differ only in their seed; None computes each run on its own.
        notify: called after each record, and while waiting.

    Raises:
        OSError: a record cannot be written (for example, the disk is full).
        KeyboardInterrupt: passed on.
        EngineError: passed on.
    """
    schedule: Schedule = SingleRuns() if batching is None else Batches(batching, engine)
    progress = Progress(total=len(plan.todo), seconds_left=plan.seconds, notes=schedule.notes)
    clear_leftovers(store.folder)
    pending: Sequence[Planned] = plan.todo
    with Claims(store) as claims:
        while pending:
            schedule.begin(pending)
            turn = _Turn(schedule, store, claims, progress, notify)
            for outcome in engine.map(turn.draw()):
                if (record := schedule.judge(outcome.record)) is None:
                    turn.put_back(outcome.record.run_id)
                    continue
                # times depend on what else the machine does, so the record says how many ran side by side
                origin = {**record.provenance, "workers": engine.workers}
                turn.finish(dataclasses.replace(record, provenance=origin), clip(outcome.log))
            pending = [*turn.deferred, *turn.again, *schedule.left()]
            progress.waiting = len(turn.deferred)
            if turn.deferred:
                notify(progress)
            if pending and not turn.computed:
                time.sleep(WAIT_SECONDS)
    return progress


class _Turn:
    """One pass over the remaining runs, which claims them one by one and defers those that another sweep has.

    Attributes:
        deferred: runs that another sweep is working on.
        again: runs whose batch failed.
        computed: number of started jobs.
    """

    def __init__(
        self,
        schedule: Schedule,
        store: Store,
        claims: Claims,
        progress: Progress,
        notify: Callable[[Progress], None],
    ) -> None:
        self.deferred: list[Planned] = []
        self.again: list[Planned] = []
        self.computed = 0
        self._schedule, self._store, self._claims = schedule, store, claims
        self._progress, self._notify = progress, notify
        self._claimed: dict[str, Planned] = {}

    def draw(self) -> Iterator[Job]:
        """Yield the jobs of this sweep; the runs of a job are claimed when it is drawn."""
        while unit := self._schedule.pick():
            if mine := [planned for planned in unit if self._claim(planned)]:
                self._schedule.start(mine)
                self.computed += 1
                yield dataclasses.replace(mine[0].job, mates=tuple(planned.job.run for planned in mine[1:]))

    def _claim(self, planned: Planned) -> bool:
        run_id = planned.job.run.run_id
        if not self._claims.take(run_id):
            self.deferred.append(planned)
            return False
        if self._store.version(run_id) != planned.replaces and (record := self._store.try_read(run_id)):
            # another sweep finished it since the plan was made
            self._claims.release(run_id)
            self._count(self._progress.elsewhere, record, planned)
            return False
        self._claimed[run_id] = planned
        return True

    def put_back(self, run_id: str) -> None:
        """Give back a run that ended without a result of its own."""
        self._claims.release(run_id)
        self.again.append(self._claimed.pop(run_id))

    def finish(self, record: Record, log: str) -> None:
        """Write the record of a run and release the run; other sweeps will find it done."""
        planned = self._claimed[record.run_id]
        # only where the plan found a record, or a damaged one, did it ask for its replacement
        replace = planned.replaces is not None
        counts = self._progress.counts
        try:
            try:
                self._store.write(record, log, replace=replace)
            except UsageError:
                record = storable(record)
                self._store.write(record, log, replace=replace)
        except ConflictError as error:
            self._say(str(error))
            record = self._store.try_read(record.run_id) or record
            counts = self._progress.elsewhere
        self._claims.release(record.run_id)
        del self._claimed[record.run_id]
        self._say_strays(record)
        self._count(counts, record, planned)

    def _say_strays(self, record: Record) -> None:
        """Tell the user which baseline leaves processes running; once, since every seed does the same."""
        for text in record.provenance.get("surroundings", ()):
            if str(text).startswith(LEFT_BEHIND):
                self._say(f"runs of {record.run.baseline} {text}")

    def _say(self, note: str) -> None:
        if note not in self._progress.notes:
            self._progress.notes.append(note)

    def _count(self, counts: Counter[str], record: Record, planned: Planned) -> None:
        counts[record.status] += 1
        self._progress.seconds_left -= planned.seconds
        self._notify(self._progress)
