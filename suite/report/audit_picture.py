"""The picture of an audit: an SVG that stands alone, a line for each task."""

from __future__ import annotations

from leakybench.analysis.audit import METRICS, RELIABLE, Audit
from leakybench.analysis.audit_items import Item
from leakybench.report import text
from leakybench.report.plots import marker

LINE, TOP, BOTTOM = 24, 56, 38
"""Height of a line, and room above and below the lines, pixels."""
LEFT, WIDTH, GAP, RIGHT = 210, 290, 64, 270
"""Room for the names, width of a panel, room between the panels, and room for the verdicts, pixels."""
LONGEST = 30
"""Largest number of letters of a name or a verdict."""
LOOKS = {"error": ("#0072b2", "circle"), "alignment": ("#d55e00", "square"), "rank": ("#444444", "diamond")}
"""Colour and marker of each metric, told apart by either [Okabe and Ito 2008]."""
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def picture(audit: Audit) -> str:
    """Draw an audit as SVG.

    The intraclass correlation of each metric is a marker with its 95% interval, cut to [0, 1]; a dashed line shows the
    least one that is called reliable. Beside it are the share of runs that recovered the rank, with its interval and
    the runs that missed it, and the verdict.
    """
    height = TOP + LINE * len(audit.tasks) + BOTTOM
    second = LEFT + WIDTH + GAP
    total = second + WIDTH + RIGHT
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" width="{total}" height="{height}" '
        'font-size="12" font-family="sans-serif" fill="#222" role="img" aria-label="audit of a board">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(LEFT, 18, "variance between methods (ICC, 95%)"),
        _text(second, 18, "runs that recovered the rank (95%), and missed"),
        *_legend(audit),
        *_axis(LEFT, height),
        *_axis(second, height),
        _line(LEFT + RELIABLE * WIDTH, TOP, LEFT + RELIABLE * WIDTH, height - BOTTOM, "#777", "4 3"),
    ]
    for index, row in enumerate(audit.tasks):
        middle = TOP + LINE * (index + 0.5)
        shapes.append(_text(LEFT - 10, middle + 4, _label(row.task), "end"))
        for metric, item in row.items.items():
            apart = 0.0 if len(row.items) == 1 else -4.5 if metric == METRICS[0] else 4.5
            shapes += _correlation(item, middle + apart)
        if row.missed is not None and row.pass_low is not None and row.pass_high is not None:
            share = 1 - row.missed / row.judged
            shapes += _point(second, middle, share, row.pass_low, row.pass_high, "rank")
            shapes.append(_text(second + WIDTH + 12, middle + 4, f"{row.missed}/{row.judged}"))
        shapes.append(_text(second + WIDTH + 66, middle + 4, _label(row.verdict)))
    return "\n".join([*shapes, "</svg>"])


def _label(name: str) -> str:
    return text.shorten(text.clean(name), LONGEST)


def _correlation(item: Item, y: float) -> list[str]:
    if item.icc is None or item.icc_low is None or item.icc_high is None:
        return []
    return _point(LEFT, y, item.icc, item.icc_low, item.icc_high, item.metric)


def _legend(audit: Audit) -> list[str]:
    present = [metric for metric in METRICS if any(metric in row.items for row in audit.tasks)]
    shapes = []
    for place, metric in enumerate(present):
        x = LEFT + 6 + 90 * place
        shapes += [_marker(metric, x, 36), _text(x + 10, 40, metric)]
    return shapes


def _axis(left: float, height: float) -> list[str]:
    shapes = []
    for tick in TICKS:
        x = left + tick * WIDTH
        shapes += [_line(x, TOP, x, height - BOTTOM, "#ddd"), _text(x, height - BOTTOM + 18, f"{tick:g}", "middle")]
    return shapes


def _point(left: float, y: float, value: float, low: float, high: float, metric: str) -> list[str]:
    low, value, high = (left + min(max(number, 0.0), 1.0) * WIDTH for number in (low, value, high))
    return [_line(low, y, high, y, LOOKS[metric][0]), _marker(metric, value, y)]


def _marker(metric: str, x: float, y: float) -> str:
    colour, shape = LOOKS[metric]
    return f'<g fill="{colour}">{marker(shape, x, y, 3.8)}</g>'


def _text(x: float, y: float, content: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text.html(content)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} stroke="{colour}" stroke-width="1.4"{dashed}/>'
