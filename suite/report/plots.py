"""Plots as SVG text, without a drawing library: a page stays small and needs nothing from outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from suite.report.text import clean, shorten

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 46


@dataclass(frozen=True, kw_only=True)
class Point:
    """A method in the plot of error against cost: position, error bar, name, and whether it is on the Pareto front."""

    x: float
    y: float
    low: float | None
    high: float | None
    name: str
    front: bool


def log_ticks(low: float, high: float) -> list[float]:
    """Round values within [low, high] for a logarithmic axis: 1, 2 and 5 times powers of ten, or powers alone if too
    many."""
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    for mantissas in ((1, 2, 5), (1,)):
        ticks = [m * 10.0**e for e in range(first, last + 1) for m in mantissas if low <= m * 10.0**e <= high]
        if 2 <= len(ticks) <= 9:
            return ticks
    step = max(1, (last - first) // 6)
    ticks = [10.0**e for e in range(first, last + 1, step) if low <= 10.0**e <= high]
    return ticks if len(ticks) > 1 else [low, high]


class _LogAxis:
    def __init__(self, values: Sequence[float], start: float, stop: float) -> None:
        low, high = min(values), max(values)
        # a margin, and at least a factor of 1.5 in all, so that one point has an axis, too
        self.low, self.high = low / 1.25, max(high * 1.25, low * 1.5)
        self._start, self._stop = start, stop

    def __call__(self, value: float) -> float:
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self._start + min(share, 1.0) * (self._stop - self._start)


def pareto_svg(points: Sequence[Point], x_label: str, y_label: str) -> str:
    """Error against cost on logarithmic axes, with 95% error bars and the Pareto front as a staircase; empty without
    points.

    Names are escaped; they show as titles and beside the points of the front.
    """
    drawn = [point for point in points if point.x > 0 and point.y > 0]
    if not drawn:
        return ""
    x_axis = _LogAxis([point.x for point in drawn], LEFT, WIDTH - RIGHT)
    y_axis = _LogAxis([point.y for point in drawn], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)} against '
        f'{escape(x_label)}">'
    ]
    for tick in log_ticks(x_axis.low, x_axis.high):
        x = x_axis(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    for tick in log_ticks(y_axis.low, y_axis.high):
        y = y_axis(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    place = f'x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 8}"'
    parts.append(f'<text class="axis" {place} text-anchor="middle">{escape(x_label)}</text>')
    place = f'transform="translate(14 {middle:.0f}) rotate(-90)"'
    parts.append(f'<text class="axis" {place} text-anchor="middle">{escape(y_label)}</text>')
    front = sorted((point for point in drawn if point.front), key=lambda point: point.x)
    if front:
        steps = [f"M{x_axis(front[0].x):.1f} {y_axis(front[0].y):.1f}"]
        steps += [f"H{x_axis(point.x):.1f}V{y_axis(point.y):.1f}" for point in front[1:]]
        parts.append(f'<path class="front" d="{"".join(steps)}H{WIDTH - RIGHT}"/>')
    taken: list[tuple[float, float, float]] = []
    parts.extend(_mark(point, x_axis, y_axis, taken) for point in sorted(drawn, key=lambda point: point.y))
    parts.append("</svg>")
    return "".join(parts)


def _mark(point: Point, x_axis: _LogAxis, y_axis: _LogAxis, taken: list[tuple[float, float, float]]) -> str:
    """One method; ``taken`` holds (left, right, baseline) of the names so far and gets this one's."""
    x, y = x_axis(point.x), y_axis(point.y)
    name = escape(clean(point.name))
    parts = [f'<g class="{"best" if point.front else "other"}"><title>{name}: {point.y:.3g} at {point.x:.3g}</title>']
    if point.low is not None and point.high is not None:
        top, bottom = y_axis(point.high), y_axis(max(point.low, y_axis.low))
        parts.append(f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
    parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
    if point.front:
        label = shorten(clean(point.name), 34)
        long = 6.5 * len(label)  # a fair width of 12 px letters
        anchor, left = ("end", x - 8 - long) if x > 0.6 * WIDTH else ("start", x + 8)
        height = y - 7
        while any(left < end and start < left + long and abs(height - at) < 13 for start, end, at in taken):
            height -= 13
        taken.append((left, left + long, height))
        shift = -8 if anchor == "end" else 8
        place = f'x="{x + shift:.1f}" y="{height:.1f}"'
        parts.append(f'<text class="name" {place} text-anchor="{anchor}">{escape(label)}</text>')
    parts.append("</g>")
    return "".join(parts)
