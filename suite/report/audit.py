"""An audit as text, JSON, or a picture."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

from leakybench.analysis.audit import METRICS, REDUNDANT, RELIABLE, SEPARATED, Audit, Item, TaskAudit, names
from leakybench.report import text
from leakybench.report.cells import Column
from leakybench.report.layout import layout_notes, layout_table, markdown

FORMATS = ("terminal", "github", "json", "svg")


def render(audit: Audit, format: str = "terminal") -> str:
    """Render an audit, without a final newline.

    Args:
        audit: of ``leakybench.analysis.audit.audit``.
        format: one of ``FORMATS``.
    """
    if format == "json":
        return json.dumps(audit.to_dict(), indent=1, allow_nan=False)
    if format == "svg":
        return picture(audit)
    table = layout_table(audit_columns(audit.tasks), audit.tasks, format)
    opening = [summary(audit), *([core_text(audit)] if audit.core else [])]
    shown = [markdown(line) if format == "github" else line for line in opening]
    return "\n\n".join([*shown, table]) + layout_notes(NOTES, format)


NOTES = (
    "ICC: share of the variance of a run that lies between methods, with its 95% interval; errors by their logarithm.",
    "separated: pairs of methods that differ at 95%, paired by seed, after Holm's correction.",
    "seeds: median over neighbours in the order of the seeds that part them with a power of 80%.",
    "nearest: the task with the most similar order of methods by error, and Kendall's tau of the two orders.",
    "verdict: dead, no pair is separated; rank dead, every run has the rank or none has; weak, an ICC below "
    f"{RELIABLE:g} or fewer than {SEPARATED:.0%} of the pairs separated; redundant, tau of {REDUNDANT:g} or more; "
    "separates.",
)


def summary(audit: Audit) -> str:
    """One line with the numbers of the whole board."""
    counted = sum(item.icc is not None for item in audit.items)
    parts = [f"{audit.methods} methods, {len(audit.tasks)} tasks, {audit.runs} runs, preset {audit.preset}"]
    if audit.reliable_share is not None:
        parts.append(f"ICC of at least {RELIABLE:g}: {audit.reliable_share:.0%} of {counted} items")
    if audit.separated_share is not None:
        parts.append(f"separated: {audit.separated_share:.0%} of all pairs of methods")
    dead = audit.dead
    parts.append(f"dead: {len(dead)}" + (f", {text.clean(names(dead))}" if dead else ""))
    parts.append(f"recovered with an error of 1 or more: {audit.worse_than_mean}")
    return "; ".join(parts) + "."


def core_text(audit: Audit) -> str:
    """One line on the core set."""
    core = audit.core
    if core is None:
        return ""
    return (
        f"core: {', '.join(text.clean(task) for task in core.tasks)} ({len(core.tasks)} of {core.of}) order the "
        f"methods as all live ones do with tau {core.tau:.2f}, at worst {core.worst:.2f} with a method left out of the choice."
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
        return text.MISSING if found is None or not found.pairs else f"{found.separated} of {found.pairs}"

    def seeds(row: TaskAudit) -> str:
        found = item(row)
        return text.MISSING if found is None or found.seeds_needed is None else f"{found.seeds_needed:.0f}"

    return [
        Column(name=metric, unit="ICC (95%)", text=icc, key=lambda row: found.icc if (found := item(row)) else None),
        Column(
            name="separated",
            unit="pairs",
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


def _nearest(row: TaskAudit) -> str:
    return text.MISSING if row.nearest is None or row.tau is None else f"{text.clean(row.nearest)} ({row.tau:.2f})"


LINE, LEFT, WIDTH, TOP = 22, 190, 300, 46
COLOURS = {"error": "#2a6fb0", "alignment": "#c2571a", "rank": "#5a5a5a"}


def picture(audit: Audit) -> str:
    """Draw an SVG with a line for each task.

    The intraclass correlation of each metric is a dot with its interval; beside it, the share of runs that recovered
    the rank.
    """
    height = TOP + LINE * len(audit.tasks) + 44
    panel = LEFT + WIDTH + 40
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {panel + WIDTH + 20} {height}" font-size="11" '
        'font-family="sans-serif" fill="#222">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="16">intraclass correlation: share of the variance between methods (95%)</text>',
        f'<text x="{panel}" y="16">share of runs that recovered the rank (95%)</text>',
        *_legend(audit),
        *_axis(LEFT, height),
        *_axis(panel, height),
    ]
    # the threshold of a reliable item
    shapes.append(_line(LEFT + RELIABLE * WIDTH, TOP - 6, LEFT + RELIABLE * WIDTH, height - 38, "#999", "3 3"))
    for index, row in enumerate(audit.tasks):
        middle = TOP + LINE * index + LINE / 2
        label = html.escape(text.shorten(text.clean(row.task)))
        shapes.append(f'<text x="{LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">{label}</text>')
        for place, (metric, item) in enumerate(row.items.items()):
            if item.icc is not None and item.icc_low is not None and item.icc_high is not None:
                y = middle + 6 * (place - 0.5)
                shapes += _dot(LEFT, y, item.icc, item.icc_low, item.icc_high, COLOURS[metric])
        if row.missed is not None and row.pass_low is not None and row.pass_high is not None:
            share = 1.0 - row.missed / row.judged
            shapes += _dot(panel, middle, share, row.pass_low, row.pass_high, COLOURS["rank"])
    return "\n".join([*shapes, "</svg>"])


def _legend(audit: Audit) -> list[str]:
    present = [metric for metric in METRICS if any(metric in row.items for row in audit.tasks)]
    shapes = []
    for place, metric in enumerate(present):
        x = LEFT + 90 * place
        shapes.append(f'<circle cx="{x + 4}" cy="30" r="3.5" fill="{COLOURS[metric]}"/>')
        shapes.append(f'<text x="{x + 12}" y="34">{metric}</text>')
    return shapes


def _axis(left: float, height: float) -> list[str]:
    shapes = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + tick * WIDTH
        shapes.append(_line(x, TOP - 6, x, height - 38, "#ddd"))
        shapes.append(f'<text x="{x:.1f}" y="{height - 22}" text-anchor="middle">{tick:g}</text>')
    return shapes


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def _dot(left: float, y: float, value: float, low: float, high: float, colour: str) -> list[str]:
    low, value, high = (left + min(max(number, 0.0), 1.0) * WIDTH for number in (low, value, high))
    return [
        _line(low, y, high, y, colour),
        f'<circle cx="{value:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>',
    ]
