"""The columns of every table, one list for each: terminal, Markdown, LaTeX and the HTML page show the same cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from leakybench.analysis.comparison import ComparisonRow
from leakybench.analysis.leaderboard import BoardRow
from leakybench.analysis.runs import RunRow
from leakybench.analysis.summary import GROUPINGS, RunStatistics, SummaryRow
from leakybench.report import text

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


def summary_columns(rows: Sequence[SummaryRow], by: str, letters: Mapping[str, str]) -> list[Column[SummaryRow]]:
    """Columns of the summary table; preset, criticality and machine only where they tell rows apart or are known.

    Args:
        rows: rows of the table.
        by: one of ``leakybench.analysis.summary.GROUPINGS``.
        letters: short name of each machine.
    """
    hidden = set(GROUPINGS["cell"]) - set(GROUPINGS[by])
    if len(letters) < 2:
        hidden.add("machine")
    if len({row.preset for row in rows}) < 2:
        hidden.add("preset")
    if all(row.statistics.criticality is None for row in rows):
        hidden.add("criticality")
    columns = {**_GROUP_COLUMNS, **_QUALITY_COLUMNS, **_cost_columns(letters)}
    return [column for name, column in columns.items() if name not in hidden]


def _error(row: SummaryRow) -> str:
    numbers = row.statistics
    shown = text.error_text(numbers.test_error, numbers.test_error_low, numbers.test_error_high)
    return shown + "*" * bool(numbers.imputed)


def _recovered(row: SummaryRow) -> str:
    numbers = row.statistics
    return text.MISSING if numbers.recovered is None else f"{numbers.recovered}/{numbers.recovered_of}"


_GROUP_COLUMNS: dict[str, Column[SummaryRow]] = {
    "task": Column(name="task", text=lambda row: _name(row.task), key=lambda row: _natural(row.task)),
    "method": Column(name="baseline", text=lambda row: _name(row.method), key=lambda row: _natural(row.method)),
    "steps": Column(name="steps", text=lambda row: _name(row.steps), key=lambda row: row.steps),
    "preset": Column(name="preset", text=lambda row: text.clean(row.preset), key=lambda row: row.preset),
}

_QUALITY_COLUMNS: dict[str, Column[SummaryRow]] = {
    "error": Column(
        name="test error", unit="mean (95%), / var(y)", text=_error, key=lambda row: row.statistics.test_error
    ),
    "rank": Column(
        name="rank",
        unit="mode (range)",
        text=lambda row: text.rank_text(row.statistics.rank, row.statistics.rank_min, row.statistics.rank_max),
        key=lambda row: row.statistics.rank,
        right=True,
    ),
    "true_rank": Column(
        name="true",
        unit="rank",
        text=lambda row: _integer(row.statistics.true_rank),
        key=lambda row: row.statistics.true_rank,
        right=True,
    ),
    "recovered": Column(
        name="recovered", unit="runs", text=_recovered, key=lambda row: _share(row.statistics), right=True
    ),
    "criticality": Column(
        name="criticality",
        unit="median, rel.",
        text=lambda row: text.error_text(row.statistics.criticality),
        key=lambda row: row.statistics.criticality,
        right=True,
    ),
}


def _cost_columns(letters: Mapping[str, str]) -> dict[str, Column[SummaryRow]]:
    """Time, threads, machine (by its short name), number of runs and their statuses."""

    def threads(row: SummaryRow) -> str:
        return ", ".join(map(str, row.statistics.threads)) or text.MISSING

    def machine(row: SummaryRow) -> str:
        return ", ".join(letters[name] for name in row.statistics.machine) or text.MISSING

    return {
        "fit": Column(
            name="fit",
            unit="median, s",
            text=lambda row: text.seconds_text(row.statistics.fit_seconds),
            key=lambda row: row.statistics.fit_seconds,
            right=True,
        ),
        "threads": Column(name="threads", unit="number", text=threads, key=threads, right=True),
        "machine": Column(name="machine", text=machine, key=machine),
        "runs": Column(
            name="runs",
            unit="number",
            text=lambda row: str(row.statistics.runs),
            key=lambda row: row.statistics.runs,
            right=True,
        ),
        "status": Column(
            name="status",
            unit="runs",
            text=lambda row: text.count_text(row.statistics.status),
            key=lambda row: row.statistics.runs,
        ),
    }


def board_columns(tasks: int, cost_unit: str, devices: Sequence[str] = ()) -> list[Column[BoardRow]]:
    """Columns of a table of the leaderboard.

    Args:
        tasks: number of tasks of the table.
        cost_unit: unit of the costs, empty where they cannot be compared.
        devices: devices of the costs. Several have a column each, so that no column sorts costs of two devices.
    """
    error_name, error_unit = (
        ("test error", "mean (95%), / var(y)") if tasks == 1 else ("score", "min(test error, 1), mean (95%)")
    )

    def error(row: BoardRow) -> str:
        shown = text.error_text(row.score, row.score_low, row.score_high)
        return shown + "*" * bool(row.statistics.imputed and row.score is not None)

    def share(row: BoardRow) -> float | None:
        # a share of the tasks that a method happened to run sorts behind
        return None if row.score is None else _share(row.statistics)

    return [
        Column(name="place", unit="rank (95%)", text=place_text, key=lambda row: row.rank_low),
        Column(name="baseline", text=lambda row: text.clean(row.method), key=lambda row: _natural(row.method)),
        Column(name="steps", text=lambda row: text.clean(row.steps), key=lambda row: row.steps),
        Column(name=error_name, unit=error_unit, text=error, key=lambda row: row.score),
        Column(name="rank recovered", unit="runs, share (95%)", text=recovered_text, key=share),
        *(_board_cost(cost_unit, device) for device in (devices if len(devices) > 1 else [None])),
        Column(
            name="criticality",
            unit="median, rel.",
            text=lambda row: text.error_text(row.statistics.criticality),
            key=lambda row: row.statistics.criticality,
        ),
        Column(name="tasks", unit=f"of {tasks}", text=lambda row: str(row.tasks), key=lambda row: row.tasks),
        Column(
            name="status",
            unit="runs",
            text=lambda row: text.count_text(row.statistics.status),
            key=lambda row: row.statistics.runs,
        ),
    ]


def _board_cost(cost_unit: str, device: str | None) -> Column[BoardRow]:
    """The costs of the rows of one device, or of all rows."""

    def cost(row: BoardRow) -> float | None:
        return row.cost if device in (None, row.device) else None

    return Column(
        name="cost",
        unit=", ".join([cost_unit or "not comparable", *([text.clean(device)] if device else [])]),
        text=lambda row: text.seconds_text(cost(row)) + (" P" if row.pareto and cost(row) is not None else ""),
        key=cost,
    )


def place_text(row: BoardRow) -> str:
    """``1`` alone, ``1=`` for a tie, with the interval where it is wider: ``1= (1-3)``; ``-`` for a method that is not
    ranked."""
    if row.rank_low is None:
        return text.MISSING
    shown = f"{row.rank_low}{'=' if row.tied else ''}"
    return shown if row.rank_low == row.rank_high else f"{shown} ({row.rank_low}-{row.rank_high})"


def recovered_text(row: BoardRow) -> str:
    """``14/15 (0.70-0.99)``: runs with the true rank, and the 95% interval of their share."""
    numbers = row.statistics
    if numbers.recovered is None:
        return text.MISSING
    return f"{numbers.recovered}/{numbers.recovered_of} ({numbers.recovered_low:.2f}-{numbers.recovered_high:.2f})"


def run_columns(letters: Mapping[str, str]) -> list[Column[RunRow]]:
    """Columns of a list of runs; ``letters`` holds the short name of each machine."""
    return [
        Column(name="task", text=lambda row: text.clean(row.task), key=lambda row: _natural(row.task)),
        Column(name="baseline", text=lambda row: text.clean(row.method), key=lambda row: _natural(row.method)),
        Column(name="steps", text=lambda row: text.clean(row.steps), key=lambda row: row.steps),
        Column(name="seed", text=lambda row: str(row.seed), key=lambda row: row.seed),
        Column(name="status", text=lambda row: row.status, key=lambda row: row.status),
        Column(
            name="test error",
            unit="/ var(y)",
            text=lambda row: text.error_text(row.score) + "*" * row.imputed,
            key=lambda row: row.score,
        ),
        Column(name="rank", text=lambda row: _integer(row.rank), key=lambda row: row.rank),
        Column(name="true", unit="rank", text=lambda row: _integer(row.true_rank), key=lambda row: row.true_rank),
        Column(
            name="fit", unit="s", text=lambda row: text.seconds_text(row.fit_seconds), key=lambda row: row.fit_seconds
        ),
        Column(name="threads", text=lambda row: _integer(row.threads), key=lambda row: row.threads),
        Column(name="machine", text=lambda row: letters[row.machine], key=lambda row: letters[row.machine]),
        Column(name="run", text=lambda row: row.run_id[:8], key=lambda row: row.run_id),
    ]


def comparison_columns(by: str) -> list[Column[ComparisonRow]]:
    """Columns of a comparison; ``by`` says what a group is: task, baseline or overall."""

    def pairs(row: ComparisonRow) -> str:
        return f"{row.pairs} ({row.units})" if row.units < row.pairs else str(row.pairs)

    def ratio(row: ComparisonRow) -> str:
        return text.error_text(row.ratio, row.ratio_low, row.ratio_high)

    def improvement(row: ComparisonRow) -> str:
        return text.error_text(row.improvement, row.improvement_low, row.improvement_high)

    def recovered(row: ComparisonRow) -> str:
        if not row.recovered_of:
            return text.MISSING
        shown = f"{row.recovered_a}/{row.recovered_of} : {row.recovered_b}/{row.recovered_of}"
        return shown if row.recovered_a == row.recovered_b else f"{shown} (McNemar p = {row.recovered_p:.2g})"

    def recovered_ahead(row: ComparisonRow) -> float | None:
        return None if row.recovered_a is None or row.recovered_b is None else row.recovered_a - row.recovered_b

    overall = by == "overall"
    return [
        Column(name="" if overall else by, text=lambda row: text.clean(row.group), key=lambda row: _natural(row.group)),
        Column(name="pairs", unit="(data sets)", text=pairs, key=lambda row: row.pairs),
        Column(
            name="test error A",
            unit="/ var(y)",
            text=lambda row: text.error_text(row.error_a),
            key=lambda row: row.error_a,
        ),
        Column(
            name="test error B",
            unit="/ var(y)",
            text=lambda row: text.error_text(row.error_b),
            key=lambda row: row.error_b,
        ),
        Column(
            name="A - B",
            unit="mean (95%), / var(y)",
            text=lambda row: text.signed_text(row.difference, row.low, row.high),
            key=lambda row: row.difference,
        ),
        Column(name="A / B", unit="geometric mean (95%)", text=ratio, key=lambda row: row.ratio),
        Column(
            name="p",
            unit="" if overall else "Holm",
            text=lambda row: text.MISSING if row.p_value is None else f"{row.p_value:.2g}",
            key=lambda row: row.p_value,
        ),
        Column(name="A smaller", unit="share of pairs (95%)", text=improvement, key=lambda row: row.improvement),
        Column(name="true rank found A : B", unit="runs", text=recovered, key=recovered_ahead),
        Column(
            name="fit time A / B",
            unit="geometric mean",
            text=lambda row: text.MISSING if row.time_ratio is None else f"{row.time_ratio:.3g}",
            key=lambda row: row.time_ratio,
        ),
        Column(name="verdict", unit="A is", text=lambda row: row.verdict, key=lambda row: row.verdict),
    ]


def _name(value: str | None) -> str:
    return text.MISSING if value is None else text.clean(value)


def _natural(value: str | None) -> str | None:
    return None if value is None else text.natural_text(value)


def _integer(value: int | None) -> str:
    return text.MISSING if value is None else str(value)


def _share(statistics: RunStatistics) -> float | None:
    """Share of the judged runs that recovered the true rank."""
    if statistics.recovered is None or not statistics.recovered_of:
        return None
    return statistics.recovered / statistics.recovered_of
