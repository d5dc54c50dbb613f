"""An audit as text, JSON, or a picture."""

from __future__ import annotations

from collections.abc import Sequence

from leakybench.analysis.audit import METRICS, REDUNDANT, RELIABLE, SEPARATED, Audit, Item, TaskAudit, names
from leakybench.report import text
from leakybench.report.audit_picture import picture
from leakybench.report.cells import Column
from leakybench.report.layout import layout_notes, layout_table

FORMATS = ("terminal", "github", "json", "svg")


def render(audit: Audit, format: str = "terminal") -> str:
    """Render an audit, without a final newline.

    Args:
        audit: of ``leakybench.analysis.audit.audit``.
        format: one of ``FORMATS``.
    """
    if format == "json":
        return text.to_json(audit.to_dict(), indent=1)
    if format == "svg":
        return picture(audit)
    table = layout_table(audit_columns(audit.tasks), audit.tasks, format)
    opening = [summary(audit), *([core_text(audit)] if audit.core else [])]
    shown = [text.escape(line, format) for line in opening]
    return "\n\n".join([*shown, table]) + layout_notes([*NOTES, *audit.notes], format)


NOTES = (
    "ICC: share of the variance of a run that lies between methods, with its 95% interval; errors by their logarithm, "
    "cut to [1e-4, 1].",
    "separated: share of the pairs of methods, and of families, that differ at 95%, paired by seed, after Holm's "
    "correction; a family is all variants and step rules of a baseline, averaged.",
    "seeds: median over neighbours in the order of the seeds that part them with a power of 80%.",
    "nearest: the task with the most similar order of methods by error, and Kendall's tau of the two orders.",
    "verdict: dead, no pair is separated, or methods vary less than the seeds do once the luck that they share is "
    "removed; rank dead, every run has the rank or none has; weak, an ICC below "
    f"{RELIABLE:g} or fewer than {SEPARATED:.0%} of the pairs of families separated; redundant, an earlier task that "
    f"separates orders the methods alike, tau of {REDUNDANT:g} or more; else separates.",
)


def summary(audit: Audit) -> str:
    """One line with the numbers of the whole board."""
    counted = sum(item.icc is not None for item in audit.items)
    parts = [
        f"{audit.methods} methods of {audit.families} families, {len(audit.tasks)} tasks, {audit.runs} runs, preset "
        f"{text.clean(audit.preset)}"
    ]
    if audit.left_out:
        parts.append(f"left out as references: {', '.join(map(text.clean, audit.left_out))}")
    if audit.reliable_share is not None:
        parts.append(f"ICC of at least {RELIABLE:g}: {audit.reliable_share:.0%} of {counted} items")
    if audit.separated_share is not None:
        pairs = f"separated: {audit.separated_share:.0%} of all pairs of methods"
        parts.append(pairs + (f", {audit.family_share:.0%} of families" if audit.family_share is not None else ""))
    dead = audit.dead
    parts.append(f"dead: {len(dead)}" + (f", {text.clean(names(dead))}" if dead else ""))
    parts.append(f"recovered with an error of 1 or more: {audit.worse_than_mean}")
    return "; ".join(parts) + "."


def core_text(audit: Audit) -> str:
    """One line on the core set."""
    core = audit.core
    if core is None:
        return ""
    places = f"{core.largest_move} place{'s' * (core.largest_move != 1)}"
    return (
        f"core: {', '.join(text.clean(task) for task in core.tasks)} ({len(core.tasks)} of {core.of} live tasks) order "
        f"the methods as all {core.board} tasks do with tau {core.tau:.2f} (random sets of this size: "
        f"{core.tau_random:.2f}); at worst {core.worst:.2f} with a method left out of the choice, which is then placed "
        f"at most {places} away."
    )


def audit_columns(rows: Sequence[TaskAudit]) -> list[Column[TaskAudit]]:
    """Columns of the audit; a metric that no task has is left out."""
    present = [metric for metric in METRICS if any(metric in row.items for row in rows)]
    return [
        Column(name="task", text=lambda row: text.clean(row.task), key=lambda row: text.natural_text(row.task)),
        Column(name="kind", text=lambda row: row.kind, key=lambda row: row.kind),
        Column(name="rank missed", unit="runs", text=_missed, key=lambda row: row.missed, right=True),
        *(column for metric in present for column in _item_columns(metric)),
        Column(name="nearest", unit="tau", text=_nearest, key=lambda row: row.tau),
        Column(name="verdict", text=lambda row: text.clean(row.verdict), key=lambda row: row.verdict),
    ]


def _item_columns(metric: str) -> list[Column[TaskAudit]]:
    def item(row: TaskAudit) -> Item | None:
        return row.items.get(metric)

    def icc(row: TaskAudit) -> str:
        found = item(row)
        return text.MISSING if found is None else text.error_text(found.icc, found.icc_low, found.icc_high)

    def separated(row: TaskAudit) -> str:
        found = item(row)
        return text.MISSING if found is None else f"{_percent(found.share)}, {_percent(found.family_share)}"

    def seeds(row: TaskAudit) -> str:
        found = item(row)
        return text.MISSING if found is None or found.seeds_needed is None else f"{found.seeds_needed:.0f}"

    return [
        Column(name=metric, unit="ICC (95%)", text=icc, key=lambda row: found.icc if (found := item(row)) else None),
        Column(
            name="separated",
            unit="methods, families",
            text=separated,
            key=lambda row: found.share if (found := item(row)) else None,
            right=True,
        ),
        Column(
            name="seeds",
            unit="to part neighbours",
            text=seeds,
            key=lambda row: found.seeds_needed if (found := item(row)) else None,
            right=True,
        ),
    ]


def _missed(row: TaskAudit) -> str:
    return text.MISSING if row.missed is None else f"{row.missed} of {row.judged}"


def _percent(share: float | None) -> str:
    return text.MISSING if share is None else f"{share:.0%}"


def _nearest(row: TaskAudit) -> str:
    return text.MISSING if row.nearest is None or row.tau is None else f"{text.clean(row.nearest)} ({row.tau:.2f})"
