"""Records as one pandas frame: one row for each run, the columns of ``COLUMNS`` first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from leakybench.record import Record
from leakybench.store import intact

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "run_id": "str",
    "task": "str",
    "baseline": "str",
    "task_id": "str",
    "baseline_id": "str",
    "steps": "object",
    "seed": "int64",
    "preset": "str",
    "source": "str",
    "status": "str",
    "message": "str",
    "intact": "boolean",
    "test_error": "float64",
    "train_error": "float64",
    "true_rank": "Int64",
    "bottleneck_rank": "Int64",
    "rank_recovered": "boolean",
    "code_alignment": "float64",
    "code_leak": "float64",
    "setup_seconds": "float64",
    "fit_seconds": "float64",
    "evaluation_seconds": "float64",
    "measures_seconds": "float64",
    "total_seconds": "float64",
    "threads": "Int64",
    "device": "str",
    "processor": "object",
    "cores": "Int64",
    "created": "object",
    "commit": "object",
}
"""Columns that every frame has, with their types.

``task`` and ``baseline`` are labels, the overrides in brackets; ``task_id`` and ``baseline_id`` are the ids alone.
``intact`` is false for a record that was changed after it was written, and missing for one without a hash. ``steps`` is
the step-size rule, where the run names one. ``device`` is ``cpu`` or ``cuda: <name of the card>``. Times
are seconds. A missing number is ``nan`` or ``<NA>``, never a substitute.
"""

_PHASES = ("setup", "fit", "evaluation", "measures", "total")


def to_frame(records: Iterable[Record], *, extras: bool = True) -> pd.DataFrame:
    """Build a frame with one row for each record, in the given order.

    Args:
        records: any number of records; without any the frame is empty and has its columns.
        extras: add the plain numbers, texts and flags of ``training`` and ``measures`` as columns ``training.<name>``
            and ``measures.<name>`` (nested names joined by dots; lists stay in the record).
    """
    import pandas as pd

    rows = [{encodable(name): encodable(value) for name, value in _row(record, extras).items()} for record in records]
    columns: dict[str, Any] = {
        name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in COLUMNS.items()
    }
    # ordered by first appearance, so that equal stores give equal frames
    names = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    columns.update((name, [row.get(name) for row in rows]) for name in sorted(names))
    return pd.DataFrame(columns)


def _row(record: Record, extras: bool) -> dict[str, Any]:
    run, clock, origin = record.run, record.wall_clock, record.provenance
    row = {
        "run_id": record.run_id,
        "task": run.task_label,
        "baseline": run.baseline_label,
        "task_id": run.task,
        "baseline_id": run.baseline,
        "steps": run.baseline_overrides.get("steps"),
        "seed": run.seed,
        "preset": run.preset,
        "source": run.source,
        "status": record.status,
        "message": record.message,
        "intact": intact(record),
        "test_error": number_or_none(record.test_error),
        "train_error": number_or_none(record.train_error),
        "true_rank": record.true_rank,
        "bottleneck_rank": record.bottleneck_rank,
        "rank_recovered": record.rank_recovered,
        "code_alignment": record.code_alignment,
        "code_leak": record.code_leak,
        **{f"{phase}_seconds": number_or_none(clock.get(phase)) for phase in _PHASES},
        "threads": clock.get("threads"),
        "device": record.device,
        **{name: origin.get(name) for name in ("processor", "cores", "created", "commit")},
    }
    if extras:
        row.update(_scalars("training", record.training))
        row.update(_scalars("measures", record.measures))
    return row


def _scalars(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _scalars(f"{prefix}.{name}", value)
        elif isinstance(value, bool | str):
            yield f"{prefix}.{name}", value
        elif isinstance(value, int | float):
            # integers that no column of numbers can hold become floats, or are missing
            small = isinstance(value, int) and abs(value) < 2**63
            yield f"{prefix}.{name}", value if small else number_or_none(value)


def encodable(value: Any) -> Any:
    """A text with escapes for lone surrogates, which no column of texts can hold; other values as they are."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def number_or_none(value: object) -> float | None:
    """A finite number as a float; None for anything else, also for an integer beyond the largest float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
