"""The parts of a figure, and the stored runs that it is made from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leakybench.engines.job import Job
from leakybench.errors import LeakybenchError
from leakybench.figures.summary import summarise_points
from leakybench.record import Record, RunSpec
from leakybench.registry import baselines, tasks
from leakybench.settings import complete, differing
from leakybench.specs import canonical_json
from leakybench.store import DamagedError, Store
from leakybench.sweeps.grid import Grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

EFFECTIVE_DEPTH, DEPTH, POSITION = "effective_depth [1]", "depth [layers]", "p [1]"
"""Columns that several figures share. The name of every CSV column, except those in ``KEYS``, ends in its unit; ``[1]``
means none."""

KEYS = (
    "run_id", "status", "seed", "steps", "layer", "index", "kind", "g0", "part", "quantity", "runs", "estimator",
    "slice", "workers", "task", "baseline",
)  # fmt: skip
"""Columns without a unit: names, counts and labels."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One stored run; its arrays are read at first use.

    Attributes:
        record: record of the run.
        store: store that holds its arrays.
    """

    record: Record
    store: Store

    @property
    def ok(self) -> bool:
        """Whether the run has status ok, and hence measures."""
        return self.record.status == "ok"

    @cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays beside the record; empty if there are none or they cannot be read."""
        try:
            return self.store.arrays(self.record.run_id)
        except DamagedError:
            return {}

    def setting(self, name: str) -> Any:
        """The value of a baseline setting of the run, also of one that is the default."""
        run = self.record.run
        return complete(baselines.spec(run.baseline), run.baseline_overrides)[name]

    def default(self, name: str, missing: Any = None) -> Any:
        """The default of a baseline setting of the run's id; ``missing`` if the baseline has no such setting."""
        return complete(baselines.spec(self.record.run.baseline), {}).get(name, missing)

    def measure(self, name: str) -> float:
        """A number among the record's measures; nan if the record has no such number."""
        value = self.record.measures.get(name)
        return float(value) if isinstance(value, int | float) else float("nan")

    @property
    def keys(self) -> dict[str, Any]:
        """The columns that every row starts with."""
        return {"run_id": self.record.run_id, "seed": self.record.run.seed, "status": self.record.status}


class Runs:
    """The stored runs of a figure, in the order of its jobs.

    Args:
        store: store to read from.
        jobs: the runs to read.
        any_source: if the run of this version of the code is missing, take the newest one of any other version.
    """

    def __init__(self, store: Store, jobs: Sequence[Job], *, any_source: bool = False) -> None:
        self.jobs = jobs
        self.missing = 0
        self._stored: list[Stored] = []
        present = set(store.ids())
        others = _newest(store) if any_source and any(job.run.run_id not in present for job in jobs) else {}
        for job in jobs:
            record = store.try_read(job.run.run_id) if job.run.run_id in present else others.get(_run_key(job.run))
            if record is None:
                self.missing += 1
            else:
                self._stored.append(Stored(record=record, store=store))

    def __iter__(self) -> Iterator[Stored]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def _run_key(run: RunSpec) -> tuple[Any, ...]:
    """Key of a run that does not depend on the code version, nor on how its settings are written."""
    named: tuple[tuple[Any, str, Mapping[str, Any]], ...] = (
        (tasks, run.task, run.task_overrides),
        (baselines, run.baseline, run.baseline_overrides),
    )
    settings = []
    for registry, id, overrides in named:
        values = dict(overrides)
        # an id that is not registered here, or a setting that it does not take, is not asked for by a figure
        with contextlib.suppress(LeakybenchError):
            spec = registry.spec(id)
            values = differing(spec, {**spec.kwargs, **overrides})
        settings.append(canonical_json(values))
    return run.task, run.baseline, run.seed, run.preset, *settings


def _newest(store: Store) -> dict[tuple[Any, ...], Record]:
    records = sorted(store, key=lambda record: str(record.provenance.get("created") or ""))
    return {_run_key(record.run): record for record in records}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Definition of one figure.

    Attributes:
        name: name of the figure, a key of ``leakybench.figures.MODULES``.
        caption: the quantities shown, the task and the preset.
        grids: map the seeds to the grids of runs that the figure needs.
        collect: turn the runs into the data, one row per run or layer; each column is in ``KEYS`` or ends in a unit.
        draw: draw the figure from data and summary.
        by: columns that identify a point of the summary, see ``leakybench.figures.summary.summarise_points``.
        values: columns that the summary averages.
        along: column that the summary averages within a point, such as the position of a layer.
        extra: compute further rows of the summary from the data, such as paired differences.
        costly: whether collecting takes long; data of the same runs are then not collected again.
        further: more tables, computed from the data, by the suffix of their file name.
        tabled: the quantities in a Markdown table of the figure, by heading.
        table_of: the values of the key columns to which that table is restricted; other columns are not restricted.
        counted: heading of the column with the number of runs behind a row.
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

    def summary_of(self, data: pd.DataFrame) -> pd.DataFrame:
        """Means and intervals of the data."""
        tables = [summarise_points(data, self.by, self.values, along=self.along)] if self.values else []
        tables += [] if self.extra is None else [self.extra(data)]
        return pd.concat(tables, ignore_index=True)
