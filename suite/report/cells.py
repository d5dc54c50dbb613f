"""A column of a table, and the texts of the cells that several tables share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from leakybench.analysis.summary import CONVERGED, RunStatistics
from leakybench.report import text

CRITICALITY_UNIT = f"median (above {CONVERGED:g})"
Row = TypeVar("Row")
SortKey = str | float | None
"""What a cell is sorted by; None, a missing value, comes last in both directions."""


@dataclass(frozen=True, kw_only=True)
class Column(Generic[Row]):
    """A column of a table.

    Attributes:
        name: header.
        unit: unit or statistic below the header; empty without one.
        text: text of the cell of a row.
        key: sort key of the cell of a row.
        right: whether cells are aligned to the right.
    """

    name: str
    unit: str = ""
    text: Callable[[Row], str]
    key: Callable[[Row], SortKey]
    right: bool = False


def unknown_columns(rows: Iterable[RunStatistics]) -> set[str]:
    """Of alignment, misses and criticality, those that no row has."""
    listed = list(rows)
    return {
        name
        for name in ("alignment", "missed", "criticality")
        if all(getattr(numbers, name) is None for numbers in listed)
    }


def alignment_text(numbers: RunStatistics) -> str:
    """``0.764 (0.741-0.787)``: mean code alignment and its 95% interval."""
    return text.share_text(numbers.alignment, numbers.alignment_low, numbers.alignment_high)


def missed_text(numbers: RunStatistics) -> str:
    """``3 of 65 (0.02-0.13)``: runs that did not recover the true rank, and the 95% interval of their share."""
    if numbers.missed is None:
        return text.MISSING
    shown = f"{numbers.missed} of {numbers.recovered_of}"
    if numbers.recovered_low is None or numbers.recovered_high is None:
        return shown
    return f"{shown} ({1 - numbers.recovered_high:.2f}-{1 - numbers.recovered_low:.2f})"


def criticality_text(numbers: RunStatistics) -> str:
    """``3.28 ! (71 of 80)``: median criticality, ``!`` where it is above ``CONVERGED``, and how many runs are above."""
    shown = text.error_text(numbers.criticality)
    if numbers.converged is None or numbers.converged_of is None:
        return shown
    late = numbers.converged_of - numbers.converged
    return shown + " !" * (numbers.has_converged is False) + f" ({late} of {numbers.converged_of})" * (late > 0)


def share_missed(statistics: RunStatistics) -> float | None:
    """Share of the judged runs that did not recover the true rank."""
    if statistics.missed is None or not statistics.recovered_of:
        return None
    return statistics.missed / statistics.recovered_of
