"""The columns of every table, one list for each: terminal, Markdown, LaTeX and the HTML page show the same cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leakybench.analysis.comparison import ComparisonRow
from leakybench.analysis.leaderboard import BoardRow
from leakybench.analysis.overall import MIN_MOVE, Order
from leakybench.analysis.runs import RunRow
from leakybench.analysis.summary import GROUPINGS, SummaryRow
from leakybench.report import text
from leakybench.report.cells import (
    CRITICALITY_UNIT,
    Column,
    alignment_text,
    criticality_text,
    missed_text,
    share_missed,
    unknown_columns,
)


def summary_columns(rows: Sequence[SummaryRow], by: str, letters: Mapping[str, str]) -> list[Column[SummaryRow]]:
    """Columns of the summary table; preset, threads and machine only where they tell rows apart, alignment and
    criticality only where they are known.

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
    if len({tuple(row.statistics.threads) for row in rows if row.statistics.threads}) < 2:
        hidden.add("threads")
    hidden |= unknown_columns(row.statistics for row in rows)
    columns = {**_GROUP_COLUMNS, **_QUALITY_COLUMNS, **_cost_columns(letters)}
    return [column for name, column in columns.items() if name not in hidden]


def _error(row: SummaryRow) -> str:
    numbers = row.statistics
    shown = text.error_text(numbers.test_error, numbers.test_error_low, numbers.test_error_high)
    return text.marked(shown + "*" * bool(numbers.imputed), bool(numbers.changed))


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
    "alignment": Column(
        name="alignment",
        unit="mean (95%)",
        text=lambda row: alignment_text(row.statistics),
        key=lambda row: row.statistics.alignment,
        right=True,
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
        text=lambda row: text.whole_text(row.statistics.true_rank),
        key=lambda row: row.statistics.true_rank,
        right=True,
    ),
    "missed": Column(
        name="rank missed",
        unit="runs, share (95%)",
        text=lambda row: missed_text(row.statistics),
        key=lambda row: share_missed(row.statistics),
        right=True,
    ),
    "criticality": Column(
        name="criticality",
        unit=CRITICALITY_UNIT,
        text=lambda row: criticality_text(row.statistics),
        key=lambda row: row.statistics.criticality,
        right=True,
    ),
}


def _cost_columns(letters: Mapping[str, str]) -> dict[str, Column[SummaryRow]]:
    """Time, threads, machine (by its short name), and number of runs by status."""

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
        "status": Column(
            name="status",
            unit="runs",
            text=lambda row: text.count_text(row.statistics.status),
            key=lambda row: row.statistics.runs,
        ),
    }


def board_columns(
    rows: Sequence[BoardRow], tasks: int, cost_unit: str, devices: Sequence[str] = ()
) -> list[Column[BoardRow]]:
    """Columns of a table of the leaderboard; alignment, misses and criticality only where a row has one, and the number
    of tasks only where a row lacks some.

    Args:
        rows: rows of the table.
        tasks: number of tasks of the table.
        cost_unit: unit of the costs, empty where they cannot be compared.
        devices: devices of the costs. Several have a column each, so that no column sorts costs of two devices.
    """
    columns: dict[str, Column[BoardRow]] = {
        "place": Column(name="place", unit="rank (95%)", text=place_text, key=lambda row: row.rank_low),
        "method": Column(
            name="baseline", text=lambda row: text.clean(row.method), key=lambda row: _natural(row.method)
        ),
        "steps": Column(name="steps", text=lambda row: text.clean(row.steps), key=lambda row: row.steps),
        "error": _board_error(tasks),
        "alignment": _board_alignment(rows),
        "missed": Column(
            name="rank missed",
            unit="runs, share (95%)",
            text=lambda row: missed_text(row.statistics),
            # a share of the tasks that a method happened to run sorts behind
            key=lambda row: None if row.score is None else share_missed(row.statistics),
        ),
        "samples": _board_samples(),
        **{f"cost {device}": _board_cost(cost_unit, device) for device in (devices if len(devices) > 1 else [None])},
        "criticality": Column(
            name="criticality",
            unit=CRITICALITY_UNIT,
            text=lambda row: criticality_text(row.statistics),
            key=lambda row: row.statistics.criticality,
        ),
        "tasks": Column(name="tasks", unit=f"of {tasks}", text=lambda row: str(row.tasks), key=lambda row: row.tasks),
        "status": Column(
            name="status",
            unit="runs",
            text=lambda row: text.count_text(row.statistics.status),
            key=lambda row: row.statistics.runs,
        ),
    }
    hidden = unknown_columns(row.statistics for row in rows)
    if all(row.tasks == tasks for row in rows):
        hidden.add("tasks")
    if all(row.samples is None for row in rows):
        hidden.add("samples")
    return [column for name, column in columns.items() if name not in hidden]


def _board_samples() -> Column[BoardRow]:
    """Sample efficiency: ``0.412 (0.371-0.458)``, ``<= 0.120`` for an upper bound."""

    def samples(row: BoardRow) -> str:
        if row.samples is None:
            return text.MISSING
        if row.samples.bound:
            return f"<= {text.share_text(row.samples.value)}"
        return text.share_text(row.samples.value, row.samples.low, row.samples.high)

    return Column(
        name="samples",
        unit="N_best / N, 95%",
        text=samples,
        key=lambda row: None if row.samples is None else row.samples.value,
    )


def _board_error(tasks: int) -> Column[BoardRow]:
    """The score over several tasks, or the test error on one."""

    def error(row: BoardRow) -> str:
        shown = text.error_text(row.score, row.score_low, row.score_high)
        shown += "*" * bool(row.statistics.imputed and row.score is not None)
        return text.marked(shown, bool(row.statistics.changed))

    name, unit = ("test error", "mean (95%), / var(y)") if tasks == 1 else ("score", "mean (95%)")
    return Column(name=name, unit=unit, text=error, key=lambda row: row.score)


def _board_alignment(rows: Sequence[BoardRow]) -> Column[BoardRow]:
    """The code alignment of the methods that have one on every task where any method has one: a mean over other tasks
    than the rest of the column is no number of this column."""
    all_tasks = max((row.statistics.aligned_tasks for row in rows), default=0)

    def alignment(row: BoardRow) -> float | None:
        return row.statistics.alignment if row.statistics.aligned_tasks == all_tasks else None

    return Column(
        name="alignment",
        unit="mean (95%)",
        text=lambda row: text.MISSING if alignment(row) is None else alignment_text(row.statistics),
        key=alignment,
    )


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


def order_columns() -> list[Column[Order]]:
    """Columns of the table that says how another overall score changes the order of the methods."""

    def moves(row: Order) -> str:
        named = [f"{text.clean(item.name)} {item.place_by_score} to {item.place}" for item in row.moves]
        return ", ".join(named) or f"none by {MIN_MOVE} places or more"

    return [
        Column(name="other score", text=lambda row: row.name, key=lambda row: row.name),
        Column(
            name="Kendall's tau",
            unit="with the score",
            text=lambda row: text.MISSING if row.tau is None else f"{row.tau:.2f}",
            key=lambda row: row.tau,
        ),
        Column(name="largest changes of place", text=moves, key=lambda row: len(row.moves)),
    ]


def run_columns(rows: Sequence[RunRow], letters: Mapping[str, str]) -> list[Column[RunRow]]:
    """Columns of a list of runs, the alignment only where a run has one; ``letters`` holds the short name of each
    machine."""
    alignment: Column[RunRow] = Column(
        name="alignment", text=lambda row: text.share_text(row.alignment), key=lambda row: row.alignment
    )
    return [
        Column(name="task", text=lambda row: text.clean(row.task), key=lambda row: _natural(row.task)),
        Column(name="baseline", text=lambda row: text.clean(row.method), key=lambda row: _natural(row.method)),
        Column(name="steps", text=lambda row: text.clean(row.steps), key=lambda row: row.steps),
        Column(name="seed", text=lambda row: str(row.seed), key=lambda row: row.seed),
        Column(name="status", text=lambda row: row.status, key=lambda row: row.status),
        Column(
            name="test error",
            unit="/ var(y)",
            text=lambda row: text.marked(text.error_text(row.score) + "*" * row.imputed, row.changed),
            key=lambda row: row.score,
        ),
        *([alignment] if any(row.alignment is not None for row in rows) else []),
        Column(name="rank", text=lambda row: text.whole_text(row.rank), key=lambda row: row.rank),
        Column(
            name="true", unit="rank", text=lambda row: text.whole_text(row.true_rank), key=lambda row: row.true_rank
        ),
        Column(
            name="fit", unit="s", text=lambda row: text.seconds_text(row.fit_seconds), key=lambda row: row.fit_seconds
        ),
        Column(name="threads", text=lambda row: text.whole_text(row.threads), key=lambda row: row.threads),
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
            text=lambda row: text.marked(text.error_text(row.error_a), bool(row.changed)),
            key=lambda row: row.error_a,
        ),
        Column(
            name="test error B",
            unit="/ var(y)",
            text=lambda row: text.marked(text.error_text(row.error_b), bool(row.changed)),
            key=lambda row: row.error_b,
        ),
        Column(
            name="A - B",
            unit="mean (95%), / var(y)",
            text=lambda row: text.marked(text.signed_text(row.difference, row.low, row.high), bool(row.changed)),
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
        Column(name="recovered A : B", unit="runs", text=recovered, key=recovered_ahead),
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
