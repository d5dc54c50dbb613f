"""In which pieces a sweep hands its runs out: each by itself, or runs that differ in their seed alone in batches.

A batch is a job as any other: one worker computes it with its own threads, and several workers compute several batches
side by side. So the two ways differ in the fit alone, and the seconds of a fit for each run, in one worker, decide.
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
"""Runs that a measurement needs: one alone and two in a batch."""


@dataclass(frozen=True, kw_only=True)
class Batching:
    """What was asked for.

    Attributes:
        size: runs in a batch, at most.
        measured: whether a measurement decides between batches and single runs.
    """

    size: int = DEFAULT_SIZE
    measured: bool = False


def parse_batch(value: object) -> Batching | None:
    """``off`` (None), ``auto``, or the largest size of a batch.

    Raises:
        UsageError: something else, or a size out of range.
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
    """``batch`` or ``single``: whose fit takes fewer seconds for each run, in the mean.

    Args:
        single_seconds: of fits alone in their worker. batch_seconds: of batches, each over its size.
    """
    return "batch" if fmean(batch_seconds) < fmean(single_seconds) else "single"


class Schedule(Protocol):
    """Hands out the runs of a sweep, turn by turn.

    Attributes:
        notes: lines for the user, in the order in which they arose.
    """

    notes: list[str]

    def begin(self, pending: Sequence[Planned]) -> None:
        """A new turn over the runs that are left; nothing is in hand."""
        ...

    def pick(self) -> list[Planned]:
        """The runs of the next job; none where nothing is left or what is left waits for a measurement."""
        ...

    def start(self, unit: Sequence[Planned]) -> None:
        """A job is handed out: those of the picked runs that nobody else is working on."""
        ...

    def judge(self, record: Record) -> Record | None:
        """The record to keep of a run that came back; None where the run is to be computed again, alone."""
        ...

    def left(self) -> list[Planned]:
        """The runs of this turn that were not picked."""
        ...


class Singly:
    """Each run by itself, in the order of the plan."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._waiting: deque[Planned] = deque()

    def begin(self, pending: Sequence[Planned]) -> None:
        """See :class:`Schedule`."""
        self._waiting = deque(pending)

    def pick(self) -> list[Planned]:
        """See :class:`Schedule`."""
        return [self._waiting.popleft()] if self._waiting else []

    def start(self, unit: Sequence[Planned]) -> None:
        """See :class:`Schedule`."""

    def judge(self, record: Record) -> Record:
        """See :class:`Schedule`."""
        return record

    def left(self) -> list[Planned]:
        """See :class:`Schedule`."""
        return list(self._waiting)


@dataclass
class _Group:
    """Runs that differ in their seed alone, and what is known of them.

    Attributes:
        way: ``batch`` or ``single``; empty until it is measured.
        batchable: whether the baseline trains batches; its records then say how they were computed.
        seconds: of fits, by way, for each run.
        in_hand: jobs, by way.
    """

    name: str
    way: str
    batchable: bool
    waiting: deque[Planned] = field(default_factory=deque)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"single": [], "batch": []})
    in_hand: dict[str, int] = field(default_factory=lambda: {"single": 0, "batch": 0})

    def measurement(self) -> dict[str, Any]:
        """What a record keeps of it."""
        if not self.seconds["batch"]:
            return {}
        each = {f"{way}_fit_seconds": fmean(seconds) for way, seconds in self.seconds.items()}
        return {**each, "chosen": self.way}


class Batches:
    """Runs that differ in their seed alone in batches, where their baseline trains batches.

    Where a measurement decides, single runs of a group are computed first, one for each worker that would else have
    nothing to do; with the first of them measured, batches likewise; with the first of those measured, the rest goes
    the faster way. All of these are runs of the sweep, so the measurement costs none.

    A failed batch, and a run that diverged in one, tell little of a single run: such runs are computed again alone, and
    the group of a failed batch has no further ones.

    Args:
        batching: what was asked for.
        engine: whose ``workers`` are to be kept busy.
    """

    def __init__(self, batching: Batching, engine: Any) -> None:
        self.notes: list[str] = []
        self._batching = batching
        self._engine = engine
        self._groups: dict[str, _Group] = {}
        self._alone: set[str] = set()
        self._in_hand: dict[str, tuple[_Group, set[str], int]] = {}

    def begin(self, pending: Sequence[Planned]) -> None:
        """See :class:`Schedule`."""
        first = not self._groups
        self._in_hand.clear()
        for group in self._groups.values():
            group.waiting.clear()
            group.in_hand = {"single": 0, "batch": 0}
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
        """What is too few for a measurement goes singly; say how much cannot be batched at all."""
        for group in self._groups.values():
            if not group.way and len(group.waiting) < SMALLEST_GROUP:
                group.way = "single"
        singly = sum(group.way == "single" or len(group.waiting) < 2 for group in self._groups.values())
        if singly:
            why = "no fit_many, adaptive step-sizes, or too few seeds"
            self.notes.append(f"no batches for {singly} of {len(self._groups)} configurations ({why})")

    def pick(self) -> list[Planned]:
        """See :class:`Schedule`."""
        waiting = [group for group in self._groups.values() if group.waiting]
        for group in waiting:
            share = math.ceil(max(self._engine.workers, 1) / len(waiting))
            if count := self._count(group, share):
                return [group.waiting.popleft() for _ in range(count)]
        return []

    def _count(self, group: _Group, share: int) -> int:
        """How many runs of a group the next job has; 0 to wait. ``share``: jobs of the group to have side by side."""
        left = len(group.waiting)
        # a single run in hand ends long before a batch would, so its worker has a part to come as well
        parts = max(share - group.in_hand["batch"], 1)
        size = min(self._batching.size, math.ceil(left / parts))
        if group.way:
            return size if group.way == "batch" else 1
        if not group.seconds["single"]:
            # leave two for a batch, unless nothing else would ever be measured
            return 1 if not group.in_hand["single"] or (group.in_hand["single"] < share and left > 2) else 0
        return min(max(size, 2), left) if group.in_hand["batch"] < share else 0

    def start(self, unit: Sequence[Planned]) -> None:
        """See :class:`Schedule`."""
        group = self._group(unit[0])
        ids = {planned.job.run.run_id for planned in unit}
        group.in_hand["batch" if len(unit) > 1 else "single"] += 1
        self._in_hand.update({run_id: (group, ids, len(unit)) for run_id in tuple(ids)})

    def judge(self, record: Record) -> Record | None:
        """See :class:`Schedule`."""
        group, ids, size = self._in_hand.pop(record.run_id)
        way = "batch" if size > 1 else "single"
        ids.remove(record.run_id)
        group.in_hand[way] -= not ids
        if size > 1 and record.status in FAILED:
            self._alone.add(record.run_id)
            if group.way != "single":
                group.way = "single"
                self.notes.append(f"{group.name}: a batch of {size} failed, so all go singly: {record.message}")
            return None
        if not group.way:
            self._measure(group, way, size, record)
        if size > 1 and record.status == "diverged":
            self._alone.add(record.run_id)
            return None
        if not group.batchable:
            return record
        asked = "auto" if self._batching.measured else self._batching.size
        said = {"size": size, **record.provenance.get("batch", {}), "asked": asked, **group.measurement()}
        return dataclasses.replace(record, provenance={**record.provenance, "batch": said})

    def _measure(self, group: _Group, way: str, size: int, record: Record) -> None:
        if way == "batch":
            seconds = record.provenance["batch"]["fit_seconds"]
        elif record.status in ("ok", "collapsed"):
            seconds = record.wall_clock.get("fit")
        else:
            return  # what ended early says nothing of a whole fit
        if not isinstance(seconds, int | float):
            return
        group.seconds[way].append(seconds)
        if way == "batch":
            group.way = faster(group.seconds["single"], group.seconds["batch"])
            alone, together = fmean(group.seconds["single"]), fmean(group.seconds["batch"])
            rest = "in batches" if group.way == "batch" else "singly"
            times = f"a fit takes {alone:.3g} s alone, {together:.3g} s a run in a batch of {size}"
            self.notes.append(f"{group.name}: {times}; what is left goes {rest}")

    def left(self) -> list[Planned]:
        """See :class:`Schedule`."""
        return [planned for group in self._groups.values() for planned in group.waiting]
