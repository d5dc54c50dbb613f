"""Group runs into jobs: one run each, or one batch of seeds.

A batch is an ordinary job: one worker computes it with its own threads, and several workers compute several batches
side by side. The two ways therefore differ in the fit alone, and the fit seconds per run in one worker decide.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Protocol

from leakybench.errors import UsageError
from leakybench.evaluation import can_batch
from leakybench.record import FAILED, Record
from leakybench.registry import build
from leakybench.specs import canonical_json
from leakybench.sweeps.plan import Planned

DEFAULT_SIZE = 8
MAX_SIZE = 1024
SMALLEST_GROUP = 3
"""Number of runs that a measurement needs: one alone and two in a batch."""


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How a user wants runs to be batched.

    Attributes:
        size: largest number of runs in a batch.
        measured: whether a measurement decides between batches and single runs.
    """

    size: int = DEFAULT_SIZE
    measured: bool = False


def parse_batch(value: object) -> Batching | None:
    """Read ``off`` (None), ``auto``, or the largest size of a batch.

    Raises:
        UsageError: any other value, or a size out of range.
    """
    if value == "off":
        return None
    if value == "auto":
        return Batching(measured=True)
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 2 <= int(text) <= MAX_SIZE):
        raise UsageError(f"batch must be off, auto or a size from 2 to {MAX_SIZE}, got {str(value)[:60]!r}")
    return Batching(size=int(text))


def faster(single_seconds: Sequence[float], batch_seconds: Sequence[float]) -> str:
    """Return ``batch`` or ``single``, whichever has the smaller mean fit time per run.

    Args:
        single_seconds: fit times of single runs.
        batch_seconds: fit times of batches, each divided by its size.
    """
    return "batch" if fmean(batch_seconds) < fmean(single_seconds) else "single"


class Schedule(Protocol):
    """Decide which runs of a sweep form the next job, turn by turn.

    Attributes:
        notes: lines for the user, oldest first.
    """

    notes: list[str]

    def begin(self, pending: Sequence[Planned]) -> None:
        """Start a new turn over the remaining runs, while no job is running."""
        ...

    def pick(self) -> list[Planned]:
        """Return the runs of the next job; an empty list if none remain or the rest waits for a measurement."""
        ...

    def start(self, unit: Sequence[Planned]) -> None:
        """Note that a job starts with those of the picked runs that no other sweep is working on."""
        ...

    def judge(self, record: Record) -> Record | None:
        """Return the record to keep of a finished run; None if the run has to be computed again on its own."""
        ...

    def left(self) -> list[Planned]:
        """Return the runs of this turn that were not picked."""
        ...


class SingleRuns:
    """One job per run, in the order of the plan."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._waiting: deque[Planned] = deque()

    def begin(self, pending: Sequence[Planned]) -> None:
        """See ``Schedule``."""
        self._waiting = deque(pending)

    def pick(self) -> list[Planned]:
        """See ``Schedule``."""
        return [self._waiting.popleft()] if self._waiting else []

    def start(self, unit: Sequence[Planned]) -> None:
        """See ``Schedule``."""

    def judge(self, record: Record) -> Record:
        """See ``Schedule``."""
        return record

    def left(self) -> list[Planned]:
        """See ``Schedule``."""
        return list(self._waiting)


@dataclass
class _Group:
    """Runs that differ only in their seed, and how they are computed.

    Attributes:
        name: label of task and baseline.
        way: ``batch`` or ``single``; empty until it is measured.
        batchable: whether the baseline trains batches; its records then say how they were computed.
        waiting: runs of this turn that are not picked yet.
        seconds: fit seconds per run, by way.
        running: number of running jobs, by way.
    """

    name: str
    way: str
    batchable: bool
    waiting: deque[Planned] = field(default_factory=deque)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"single": [], "batch": []})
    running: dict[str, int] = field(default_factory=lambda: {"single": 0, "batch": 0})

    def measurement(self) -> dict[str, Any]:
        """Return what a record keeps of the measurement."""
        if not self.seconds["batch"]:
            return {}
        each = {f"{way}_fit_seconds": fmean(seconds) for way, seconds in self.seconds.items()}
        return {**each, "chosen": self.way}


class Batches:
    """Batches of the runs that differ only in their seed, if their baseline trains batches.

    If a measurement decides, a group first computes single runs, one for each worker that would otherwise be idle, then
    batches in the same way, and computes the rest in the faster way. All of these are runs of the sweep, so measuring
    costs no extra run.

    A failed batch, and a run that diverged in a batch, say little about a single run. Such runs are computed again on
    their own, and the group of a failed batch forms no further batches.

    Args:
        batching: how the user wants runs to be batched.
        engine: its ``workers`` are kept busy.
    """

    def __init__(self, batching: Batching, engine: Any) -> None:
        self.notes: list[str] = []
        self._batching = batching
        self._engine = engine
        self._groups: dict[str, _Group] = {}
        self._alone: set[str] = set()
        self._running: dict[str, tuple[_Group, set[str], int]] = {}

    def begin(self, pending: Sequence[Planned]) -> None:
        """See ``Schedule``."""
        first = not self._groups
        self._running.clear()
        for group in self._groups.values():
            group.waiting.clear()
            group.running = {"single": 0, "batch": 0}
        for planned in pending:
            self._group(planned).waiting.append(planned)
        if first:
            self._sort_out()

    def _group(self, planned: Planned) -> _Group:
        run = planned.job.run
        key = canonical_json({**run.to_dict(), "seed": run.run_id if run.run_id in self._alone else None})
        if key not in self._groups:
            batchable = can_batch(build(planned.job.baseline_spec, run.baseline_overrides))
            known = "single" if not batchable or run.run_id in self._alone else "batch"
            way = "" if self._batching.measured and known == "batch" else known
            self._groups[key] = _Group(f"{run.task_label} x {run.baseline_label}", way, batchable)
        return self._groups[key]

    def _sort_out(self) -> None:
        """Give up batching groups that are too small to be measured; note how many cannot be batched at all."""
        for group in self._groups.values():
            if not group.way and len(group.waiting) < SMALLEST_GROUP:
                group.way = "single"
        single = sum(group.way == "single" or len(group.waiting) < 2 for group in self._groups.values())
        if single:
            why = "no fit_many, step-sizes that adapt, or too few seeds"
            self.notes.append(f"no batches for {single} of {len(self._groups)} configurations ({why})")

    def pick(self) -> list[Planned]:
        """See ``Schedule``."""
        waiting = [group for group in self._groups.values() if group.waiting]
        for group in waiting:
            share = math.ceil(max(self._engine.workers, 1) / len(waiting))
            if count := self._count(group, share):
                return [group.waiting.popleft() for _ in range(count)]
        return []

    def _count(self, group: _Group, share: int) -> int:
        """Return how many runs of a group the next job has; 0 to wait.

        Args:
            group: runs that differ only in their seed.
            share: number of its jobs to run side by side.
        """
        left = len(group.waiting)
        # a running single run ends long before a batch would, so its worker will need a part as well
        parts = max(share - group.running["batch"], 1)
        size = min(self._batching.size, math.ceil(left / parts))
        if group.way:
            return size if group.way == "batch" else 1
        if not group.seconds["single"]:
            # leave two for a batch, unless nothing else would ever be measured
            return 1 if not group.running["single"] or (group.running["single"] < share and left > 2) else 0
        return min(max(size, 2), left) if group.running["batch"] < share else 0

    def start(self, unit: Sequence[Planned]) -> None:
        """See ``Schedule``."""
        group = self._group(unit[0])
        ids = {planned.job.run.run_id for planned in unit}
        group.running["batch" if len(unit) > 1 else "single"] += 1
        self._running.update({run_id: (group, ids, len(unit)) for run_id in tuple(ids)})

    def judge(self, record: Record) -> Record | None:
        """See ``Schedule``."""
        group, ids, size = self._running.pop(record.run_id)
        way = "batch" if size > 1 else "single"
        ids.remove(record.run_id)
        group.running[way] -= not ids
        if size > 1 and record.status in FAILED:
            self._alone.add(record.run_id)
            if group.way != "single":
                group.way = "single"
                self.notes.append(
                    f"{group.name}: a batch of {size} failed, so its runs run individually: {record.message}"
                )
            return None
        if not group.way:
            self._measure(group, way, size, record)
        if size > 1 and record.status == "diverged":
            self._alone.add(record.run_id)
            return None
        if not group.batchable:
            return record
        asked = "auto" if self._batching.measured else self._batching.size
        batch = {"size": size, **record.provenance.get("batch", {}), "asked": asked, **group.measurement()}
        return dataclasses.replace(record, provenance={**record.provenance, "batch": batch})

    def _measure(self, group: _Group, way: str, size: int, record: Record) -> None:
        if way == "batch":
            seconds = record.provenance["batch"]["fit_seconds"]
        elif record.status in ("ok", "collapsed"):
            seconds = record.wall_clock.get("fit")
        else:
            return  # a run that ended early says nothing about a whole fit
        if not isinstance(seconds, int | float):
            return
        group.seconds[way].append(seconds)
        if way == "batch":
            group.way = faster(group.seconds["single"], group.seconds["batch"])
            alone, together = fmean(group.seconds["single"]), fmean(group.seconds["batch"])
            rest = "in batches" if group.way == "batch" else "individually"
            times = f"a fit takes {alone:.3g} s alone, {together:.3g} s a run in a batch of {size}"
            self.notes.append(f"{group.name}: {times}; the rest runs {rest}")

    def left(self) -> list[Planned]:
        """See ``Schedule``."""
        return [planned for group in self._groups.values() for planned in group.waiting]
