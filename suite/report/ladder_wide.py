"""The thresholds of ladders side by side: a row a method, a column a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leakybench.analysis.labels import effective_depth
from leakybench.analysis.ladders import Goal, Ladder, Threshold, threshold
from leakybench.errors import UsageError
from leakybench.report import text
from leakybench.report.cells import Column, SortKey
from leakybench.report.ladder import outside, threshold_notes, threshold_text
from leakybench.report.layout import layout_notes, layout_table
from leakybench.specs import natural_key

FORMATS = ("terminal", "github", "latex")


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method with its ladders.

    Attributes:
        name: label of the baseline, and its step rule where the methods have several.
        ladders: by task, with the threshold.
    """

    name: str
    ladders: dict[str, tuple[Ladder, Threshold]]


def render_wide(ladders: Sequence[Ladder], goal: Goal, format: str = "terminal", *, notes: Sequence[str] = ()) -> str:
    """Render one threshold of every ladder, a row a method and a column a task, without a final newline.

    Networks come first, by their effective depth, then the other methods by name.

    Args:
        ladders: of one axis.
        goal: the threshold.
        format: one of ``FORMATS``.
        notes: further sentences under the table.

    Raises:
        UsageError: another format, which holds a row a ladder.
    """
    if format not in FORMATS:
        raise UsageError(f"a wide table is one of {', '.join(FORMATS)}; {format} has a row a ladder")
    found = [(ladder, threshold(ladder, goal)) for ladder in ladders]
    tasks = sorted({ladder.task for ladder in ladders}, key=natural_key)
    columns: list[Column[Method]] = [
        Column(name="baseline", text=lambda row: text.clean(row.name), key=lambda row: text.natural_text(row.name)),
        *(_task_column(task, ladders[0].axis) for task in tasks),
    ]
    table = layout_table(columns, methods(found), format)
    return table + layout_notes(
        [*notes, *threshold_notes([(ladder, [each]) for ladder, each in found], [goal])], format
    )


def methods(found: Sequence[tuple[Ladder, Threshold]]) -> list[Method]:
    """Group ladders by method, networks by their effective depth before the others by name."""
    several = len({ladder.steps for ladder, _ in found if effective_depth(ladder.method) is not None}) > 1
    grouped: dict[tuple[str, str], dict[str, tuple[Ladder, Threshold]]] = {}
    for ladder, each in found:
        grouped.setdefault((ladder.method, ladder.steps), {})[ladder.task] = ladder, each

    def order(key: tuple[str, str]) -> tuple[object, ...]:
        depth = effective_depth(key[0])
        return depth is None, depth or 0.0, natural_key(key[0]), key[1]

    return [
        Method(name=f"{method}, {steps}" if several and steps else method, ladders=grouped[method, steps])
        for method, steps in sorted(grouped, key=order)
    ]


def _task_column(task: str, axis: str) -> Column[Method]:
    def cell(row: Method) -> str:
        if task not in row.ladders:
            return text.MISSING
        ladder, found = row.ladders[task]
        return threshold_text(found, (ladder.rungs[0].value, ladder.rungs[-1].value))

    def key(row: Method) -> SortKey:
        return outside(*row.ladders[task]) if task in row.ladders else None

    return Column(name=text.clean(task), unit=f"{axis}, 95%", text=cell, key=key, right=True)
