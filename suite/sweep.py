"""Carry out a plan: claim a run, have it computed, write its record, go on. Nothing is kept in memory but counts."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from suite.claims import Claims, clear_leftovers
from suite.engines.base import Engine, Job
from suite.plan import Plan, Planned
from suite.record import FAILED, Record
from suite.store import Store

WAIT_SECONDS = 0.2
"""Between looks at runs that another sweep is working on."""


@dataclass
class Progress:
    """Where a sweep stands.

    Attributes:
        counts: runs computed by this sweep, by status.
        elsewhere: runs that another sweep on the same folder computed meanwhile, by status.
        seconds_left: estimated, of the runs that are not done.
        waiting: runs that another sweep is working on at this moment.
    """

    total: int
    seconds_left: float
    counts: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    waiting: int = 0

    @property
    def done(self) -> int:
        """Runs of the plan that have their record now."""
        return self.counts.total() + self.elsewhere.total()

    @property
    def failures(self) -> int:
        """Runs that did not end by themselves."""
        return sum((self.counts + self.elsewhere)[status] for status in FAILED)


def sweep(
    plan: Plan, store: Store, engine: Engine, *, notify: Callable[[Progress], None] = lambda progress: None
) -> Progress:
    """Run all of ``plan.todo`` on an entered engine; the records are in the store when it returns.

    A run that a second sweep on the same folder is computing is not computed again: this one goes on with others and
    waits for it at the end, or takes it over when its owner dies.

    Args:
        notify: called after each record, and while waiting.

    Raises:
        OSError: a record cannot be written (a full disk). KeyboardInterrupt, EngineError: passed on.
    """
    progress = Progress(total=len(plan.todo), seconds_left=plan.seconds)
    clear_leftovers(store.folder)
    pending: Sequence[Planned] = plan.todo
    with Claims(store) as claims:
        while pending:
            turn = _Turn(pending, store, claims, progress, notify)
            for outcome in engine.map(turn.draw()):
                # times depend on what else the machine does, so the record says how many ran side by side
                origin = {**outcome.record.provenance, "workers": engine.workers}
                store.write(dataclasses.replace(outcome.record, provenance=origin), outcome.log)
                turn.finish(outcome.record)
            pending = turn.deferred
            progress.waiting = len(pending)
            if pending:
                notify(progress)
                time.sleep(WAIT_SECONDS)
    return progress


class _Turn:
    """One pass over the runs that are left: claims them one by one, and puts off those that somebody else has."""

    def __init__(
        self,
        pending: Sequence[Planned],
        store: Store,
        claims: Claims,
        progress: Progress,
        notify: Callable[[Progress], None],
    ) -> None:
        self.deferred: list[Planned] = []
        self._pending, self._store, self._claims = pending, store, claims
        self._progress, self._notify = progress, notify
        self._claimed: dict[str, Planned] = {}

    def draw(self) -> Iterator[Job]:
        """The jobs of this sweep, each claimed at the moment it is drawn."""
        for planned in self._pending:
            run_id = planned.job.run.run_id
            if not self._claims.take(run_id):
                self.deferred.append(planned)
            elif self._store.version(run_id) != planned.replaces and (record := self._store.try_read(run_id)):
                # somebody else finished it since the plan was made
                self._claims.release(run_id)
                self._count(self._progress.elsewhere, record, planned)
            else:
                self._claimed[run_id] = planned
                yield planned.job

    def finish(self, record: Record) -> None:
        """A record is written: its run is free for others, who will find it done."""
        self._claims.release(record.run_id)
        self._count(self._progress.counts, record, self._claimed.pop(record.run_id))

    def _count(self, counts: Counter[str], record: Record, planned: Planned) -> None:
        counts[record.status] += 1
        self._progress.seconds_left -= planned.seconds
        self._notify(self._progress)
