"""What a figure is made of, and the runs that it is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leakybench.engines.job import Job
from leakybench.figures.summary import summarise
from leakybench.record import Record, RunSpec
from leakybench.specs import canonical_json
from leakybench.store import DamagedError, Store
from leakybench.sweeps.grid import Grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

EFFECTIVE_DEPTH, DEPTH, POSITION = "effective_depth [1]", "depth [layers]", "p [1]"
"""Columns that several figures share. Every column of a CSV but the keys ends in its unit, ``[1]`` for none."""

KEYS = (
    "run_id", "status", "seed", "steps", "layer", "index", "kind", "g0", "part", "quantity", "runs", "estimator",
    "slice", "workers",
)  # fmt: skip
"""Columns without a unit: names, counts and labels."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One run with its arrays, read when asked for."""

    record: Record
    store: Store

    @property
    def ok(self) -> bool:
        """Whether it ended ok, so that it has measures."""
        return self.record.status == "ok"

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays beside the record; empty where there are none or they cannot be read."""
        try:
            return self.store.arrays(self.record.run_id)
        except DamagedError:
            return {}

    def setting(self, name: str) -> Any:
        """An override of the baseline."""
        return self.record.run.baseline_overrides[name]

    def measure(self, name: str) -> float:
        """A number of the record's measures; nan where it has none."""
        value = self.record.measures.get(name)
        return float(value) if isinstance(value, int | float) else float("nan")

    @property
    def keys(self) -> dict[str, Any]:
        """The columns that every row begins with."""
        return {"run_id": self.record.run_id, "seed": self.record.run.seed, "status": self.record.status}


class Runs:
    """The stored runs of a figure, in the order of its jobs.

    Args:
        store: where they are.
        jobs: which ones are wanted.
        any_source: also take a run that another version of the code made, the newest, where this version's is missing.
    """

    def __init__(self, store: Store, jobs: Sequence[Job], *, any_source: bool = False) -> None:
        self.jobs = jobs
        self.missing = 0
        self._found: list[Stored] = []
        present = set(store.ids())
        others = _newest(store) if any_source and any(job.run.run_id not in present for job in jobs) else {}
        for job in jobs:
            record = store.try_read(job.run.run_id) if job.run.run_id in present else others.get(_question(job.run))
            if record is None:
                self.missing += 1
            else:
                self._found.append(Stored(record=record, store=store))

    def __iter__(self) -> Iterator[Stored]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _question(run: RunSpec) -> tuple[Any, ...]:
    """What a run answers, whatever code answered it, and whether its settings were written as 7 or as 7.0."""
    settings = (run.task_overrides, run.baseline_overrides)
    return run.task, run.baseline, run.seed, run.preset, *(canonical_json(_whole(values)) for values in settings)


def _whole(value: Any) -> Any:
    """Plain JSON with its whole numbers as integers."""
    if isinstance(value, Mapping):
        return {name: _whole(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _newest(store: Store) -> dict[tuple[Any, ...], Record]:
    found = sorted(store, key=lambda record: str(record.provenance.get("created") or ""))
    return {_question(record.run): record for record in found}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        name: as in ``leakybench.figures.MODULES``.
        caption: one sentence: what is shown, of which task, at which preset.
        grids: seeds to the runs that it needs.
        collect: runs to the data, one row a run or a layer; its columns are in ``KEYS`` or end in a unit.
        by, values, along: of the summary, see :func:`leakybench.figures.summary.summarise`.
        extra: further rows of the summary, from the data: paired differences.
        draw: data and summary to the figure.
        costly: collecting takes long, so data of the same runs are kept.
        further: more tables, from the data, by what their file's name adds to that of the figure.
        tabled, table_of: the quantities that a table of the figure shows, by their headings, and the values of its keys
            to which it keeps (all of them unless named).
        counted: heading of the column that says how many runs are behind a row.
    """

    name: str
    caption: str
    grids: Callable[[Sequence[int]], list[Grid]]
    collect: Callable[[Runs], pd.DataFrame]
    draw: Callable[[pd.DataFrame, pd.DataFrame], Canvas]
    by: tuple[str, ...]
    values: tuple[str, ...]
    along: str = ""
    extra: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    costly: bool = False
    further: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = field(default_factory=dict)
    tabled: Mapping[str, str] = field(default_factory=dict)
    table_of: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    counted: str = "seeds"

    def summarise(self, data: pd.DataFrame) -> pd.DataFrame:
        """The means and intervals of the data."""
        tables = [summarise(data, self.by, self.values, along=self.along)] if self.values else []
        tables += [] if self.extra is None else [self.extra(data)]
        return pd.concat(tables, ignore_index=True)
