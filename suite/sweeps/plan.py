"""Plan a sweep: which runs of a grid remain, in which order, and how long they will take."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from leakybench.engines.job import Job
from leakybench.errors import UsageError
from leakybench.record import FAILED, Record, RunSpec
from leakybench.specs import TUNE
from leakybench.store import DamagedError, NewerSchemaError, Store
from leakybench.tuning.search import FOLDS, STARTUP
from leakybench.tuning.space import Budget, parse_budget

RETRY = ("failed", "all", "none")
SAMPLE = 1000
"""Number of stored records that are read to estimate run times; ids are hashes, so the first ones are a fair sample."""

GUESS_SECONDS = {"smoke": 2.0, "standard": 30.0, "converged": 240.0, "paper": 240.0}
"""Guessed seconds of a network if no similar run is stored: an order of magnitude, until the first times are stored."""
GUESS_REFERENCE_SECONDS = 1.0
LATE_FITS = 1.5
"""Of a trial once a search prunes: many end after the first of their fits."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A run to compute.

    Attributes:
        job: the run with its specs.
        seconds: estimated duration.
        replaces: version of the stored record that it replaces; None without one.
    """

    job: Job
    seconds: float
    replaces: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep before it starts.

    Attributes:
        todo: runs to compute, longest first.
        kept: status by id of the runs that already have a record.
        measured: number of estimates that come from stored times; the others are guesses.
    """

    todo: Sequence[Planned]
    kept: dict[str, str] = field(default_factory=dict)
    measured: int = 0

    @property
    def size(self) -> int:
        """Number of runs of the grid, done or not."""
        return len(self.todo) + len(self.kept)

    @property
    def seconds(self) -> float:
        """Estimated seconds of all remaining runs, one after the other."""
        return sum(planned.seconds for planned in self.todo)

    def makespan(self, workers: int) -> float:
        """Return the estimated seconds with ``workers`` workers, each taking the longest remaining run."""
        ends = [0.0] * max(min(workers, len(self.todo)), 1)
        for planned in self.todo:
            earliest = min(range(len(ends)), key=ends.__getitem__)
            ends[earliest] += planned.seconds
        return max(ends)

    def kept_counts(self) -> Counter[str]:
        """Return the number of kept records by status."""
        return Counter(self.kept.values())


def check_retry(retry: str) -> str:
    """Return ``retry``, or raise ``UsageError`` with the allowed values."""
    if retry not in RETRY:
        raise UsageError(f"retry must be one of {', '.join(RETRY)}, got {retry!r}")
    return retry


def make_plan(jobs: Iterable[Job], store: Store, *, retry: str = "failed") -> Plan:
    """Compare the runs of a grid with the stored records.

    Args:
        jobs: the runs of the grid.
        store: the folder of their records.
        retry: which runs with a record are computed again: those that ``failed`` (timeout, oom, error, interrupted),
            ``all``, or ``none``.

    Raises:
        UsageError: an unknown ``retry``, or a record that a newer version wrote.
    """
    check_retry(retry)
    present = set(store.ids())
    costs = Costs()
    kept: dict[str, str] = {}
    waiting: list[tuple[Job, tuple[int, int] | None]] = []
    for job in jobs:
        run_id = job.run.run_id
        replaces = store.version(run_id) if run_id in present else None
        record = _stored(store, run_id) if replaces is not None else None
        if record is None:
            waiting.append((job, None))
            continue
        costs.learn(record)
        if retry == "all" or (retry == "failed" and record.status in FAILED):
            waiting.append((job, replaces))
        else:
            kept[run_id] = record.status
    if waiting:
        costs.learn_from(store, sorted(present)[:SAMPLE])
    todo = []
    measured = 0
    for job, replaces in waiting:
        seconds, known = costs.estimate(job)
        measured += known
        todo.append(Planned(job=job, seconds=seconds, replaces=replaces))
    # equal estimates keep the order of the grid: sorting is stable
    todo.sort(key=lambda planned: -planned.seconds)
    return Plan(todo=todo, kept=kept, measured=measured)


def _stored(store: Store, run_id: str) -> Record | None:
    """Read the record of a planned run; set a damaged one aside, and refuse one that a newer version wrote."""
    try:
        return store.read(run_id)
    except DamagedError as error:
        store.quarantine(run_id, str(error))
    except NewerSchemaError as error:
        raise UsageError(f"{store.path(run_id)} was {error}: upgrade leakybench, or name another --results") from None
    except UsageError:
        pass  # another process took it away between the listing and the reading
    return None


class Costs:
    """Run times by kind of run; the closest measured kind gives the estimate of a new run."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, ...], list[float]] = {}

    def learn(self, record: Record) -> None:
        """Add the time of a run that ended by itself."""
        total = record.wall_clock.get("total")
        if record.status in FAILED or not isinstance(total, int | float):
            return
        for key in self._keys(record.run):
            self._seconds.setdefault(key, []).append(float(total))

    def learn_from(self, store: Store, run_ids: Sequence[str]) -> None:
        """Add the times of some stored runs."""
        for run_id in run_ids:
            if (record := store.try_read(run_id)) is not None:
                self.learn(record)

    def estimate(self, job: Job) -> tuple[float, bool]:
        """Return the estimated seconds, and whether they come from a measurement."""
        for key in self._keys(job.run):
            if key in self._seconds:
                return statistics.median(self._seconds[key]), True
        if (budget := job.run.baseline_overrides.get(TUNE)) is not None:
            return self._search_estimate(job, parse_budget(budget)), False
        guess = GUESS_SECONDS[job.run.preset] if job.baseline_spec.steps else GUESS_REFERENCE_SECONDS
        return guess, False

    def _search_estimate(self, job: Job, budget: Budget) -> float:
        """Seconds of a tuned run of which none was measured, from those of the baseline as it is."""
        overrides = {name: value for name, value in job.run.baseline_overrides.items() if name != TUNE}
        plain = dataclasses.replace(job, run=dataclasses.replace(job.run, baseline_overrides=overrides))
        once = self.estimate(plain)[0]
        if budget.seconds is not None:
            return once + budget.seconds
        trials = budget.trials or 0
        return once * (1.0 + FOLDS * min(trials, STARTUP) + LATE_FITS * max(trials - STARTUP, 0))

    @staticmethod
    def _keys(run: RunSpec) -> list[tuple[str, ...]]:
        tuned = str(run.baseline_overrides.get(TUNE, ""))
        return [
            (run.preset, run.baseline_label, run.task_label),
            (run.preset, run.baseline_label),
            (run.preset, run.baseline, tuned),
        ]
