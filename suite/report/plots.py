"""Plots as SVG text, without a drawing library: a page stays small and needs nothing from outside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leakybench.report.text import clean, html, shorten

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 46
MAX_BANDS = 6
"""Largest number of profiles with bands: bands of more cannot be told apart."""


COLOURS = 20
"""Number of colours that the page's style has for baselines and lines, as classes k0 to k19."""


@dataclass(frozen=True, kw_only=True)
class ProfileLine:
    """A performance profile as it is drawn.

    Attributes:
        name: name of the method.
        share: share of runs at or below each threshold.
        low: lower end of its interval at each threshold.
        high: upper end of its interval at each threshold.
        colour: index of the colour, counted modulo ``COLOURS``.
        dash: dash pattern of the line (``stroke-dasharray``), empty for a solid one.
    """

    name: str
    share: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: int = 0
    dash: str = ""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A method in the plot of error against cost.

    Attributes:
        x: cost.
        y: error.
        low: lower end of the error bar; None without one.
        high: upper end of the error bar; None without one.
        name: name of the method.
        front: whether the method is on the Pareto front.
        colour: index of the colour, counted modulo ``COLOURS``.
        shape: shape of the marker, ``circle`` or a key of ``CORNERS``.
    """

    x: float
    y: float
    low: float | None
    high: float | None
    name: str
    front: bool
    colour: int = 0
    shape: str = "circle"


@dataclass(frozen=True, kw_only=True)
class StepLook:
    """How a step rule is drawn; the colour is that of the baseline.

    Attributes:
        shape: shape of its marker.
        dash: dash pattern of its line, empty for a solid one.
    """

    shape: str
    dash: str


BUILT_IN_LOOKS = {
    "-": StepLook(shape="circle", dash=""),
    "uniform": StepLook(shape="square", dash=""),
    "irregular": StepLook(shape="diamond", dash="2 3"),
    "adaptive": StepLook(shape="triangle", dash="7 3"),
}
"""Looks of baselines without layers and of the built-in step rules."""
FURTHER_LOOKS = (
    StepLook(shape="pennant", dash="12 3"),
    StepLook(shape="hexagon", dash="7 3 2 3"),
    StepLook(shape="plus", dash="12 3 2 3"),
    StepLook(shape="bar", dash="2 6"),
)
"""Looks of other step rules in order of appearance, repeated where there are more rules."""

CORNERS = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    "triangle": ((0, -1.3), (1.2, 0.8), (-1.2, 0.8)),
    "pennant": ((0, 1.3), (1.2, -0.8), (-1.2, -0.8)),
    "hexagon": ((-1.1, 0), (-0.55, -0.95), (0.55, -0.95), (1.1, 0), (0.55, 0.95), (-0.55, 0.95)),
    "plus": (
        (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4),
        (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4),
    ),
    "bar": ((-1.4, -0.55), (1.4, -0.55), (1.4, 0.55), (-1.4, 0.55)),
}  # fmt: skip
"""Corners of each shape around (0, 0), in units of the marker's size."""


def step_looks(rules: Iterable[str]) -> dict[str, StepLook]:
    """The look of each step rule: the built-in rules keep theirs, other rules get the next in order of appearance.

    Returns:
        The built-in rules first, in the order of ``BUILT_IN_LOOKS``, then the others; rules that do not appear are
        left out.
    """
    appeared = list(dict.fromkeys(rules))
    looks = {rule: look for rule, look in BUILT_IN_LOOKS.items() if rule in appeared}
    others = [rule for rule in appeared if rule not in BUILT_IN_LOOKS]
    return looks | {rule: FURTHER_LOOKS[index % len(FURTHER_LOOKS)] for index, rule in enumerate(others)}


def marker(shape: str, x: float, y: float, size: float = 5.0) -> str:
    """A marker as an SVG element; all shapes have about the same area."""
    if shape in CORNERS:
        path = "L".join(f"{x + size * dx:.1f} {y + size * dy:.1f}" for dx, dy in CORNERS[shape])
        return f'<path d="M{path}Z"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}"/>'


def log_ticks(low: float, high: float) -> list[float]:
    """Round values within [low, high] for a logarithmic axis: 1, 2 and 5 times powers of ten, powers alone where those
    would be too many, and evenly spaced round numbers where they would be too few."""
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    for mantissas in ((1, 2, 5), (1,)):
        ticks = [m * 10.0**e for e in range(first, last + 1) for m in mantissas if low <= m * 10.0**e <= high]
        if 3 <= len(ticks) <= 9:
            return ticks
    if high / low > 100:
        step = max(1, (last - first) // 6)
        return [10.0**e for e in range(first, last + 1, step) if low <= 10.0**e <= high]
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    gap = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
    return [round(i * gap, 12) for i in range(math.ceil(low / gap), math.floor(high / gap) + 1)]


class _LogAxis:
    def __init__(self, values: Sequence[float], start: float, stop: float) -> None:
        low, high = min(values), max(values)
        # a margin, and at least a factor of 1.3 in all, so that a single point has an axis too
        self.low, self.high = low / 1.15, max(high * 1.15, low * 1.3)
        self._start, self._stop = start, stop

    def __call__(self, value: float) -> float:
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self._start + min(share, 1.0) * (self._stop - self._start)


def pareto_svg(points: Sequence[Point], x_label: str, y_label: str) -> str:
    """Error against cost on logarithmic axes, with 95% error bars and the Pareto front as a staircase; empty without
    points.

    Names are escaped; they show as titles, and beside the points of the front where there is room.
    """
    drawn = [point for point in points if point.x > 0 and point.y > 0]
    if not drawn:
        return ""
    x_axis = _LogAxis([point.x for point in drawn], LEFT, WIDTH - RIGHT)
    # bars reach into the plot, but one that nearly touches 0 must not stretch a logarithmic axis without end
    bars = [max(end, point.y / 3) for point in drawn for end in (point.low, point.high) if end is not None]
    y_axis = _LogAxis([*(point.y for point in drawn), *bars], HEIGHT - BOTTOM, TOP)
    parts = [_svg_start(f"{y_label} against {x_label}"), _frame(x_axis, x_label, y_label)]
    parts += [_grid_line(y_axis(tick), f"{tick:g}") for tick in log_ticks(y_axis.low, y_axis.high)]
    front = sorted((point for point in drawn if point.front), key=lambda point: point.x)
    if front:
        steps = [f"M{x_axis(front[0].x):.1f} {y_axis(front[0].y):.1f}"]
        steps += [f"H{x_axis(point.x):.1f}V{y_axis(point.y):.1f}" for point in front[1:]]
        parts.append(f'<path class="front" d="{"".join(steps)}H{WIDTH - RIGHT}"/>')
    # the front on top, where markers lie on each other
    parts += [_marker_with_bar(point, x_axis, y_axis) for point in sorted(drawn, key=lambda point: point.front)]
    # names avoid the markers and each other; where there is no room, the legend alone names a point
    taken = [(x_axis(p.x) - 8, x_axis(p.x) + 8, y_axis(p.y) - 8, y_axis(p.y) + 8) for p in drawn]
    for point in front:
        parts.append(_name_beside(shorten(clean(point.name), 34), x_axis(point.x), y_axis(point.y), taken))
    parts.append("</svg>")
    return "".join(parts)


def _marker_with_bar(point: Point, x_axis: _LogAxis, y_axis: _LogAxis) -> str:
    x, y = x_axis(point.x), y_axis(point.y)
    look = f"k{point.colour % COLOURS} {'best' if point.front else 'other'}"
    parts = [f'<g class="{look}"><title>{html(point.name)}: {point.y:.3g} at {point.x:.3g}</title>']
    if point.low is not None and point.high is not None:
        top, bottom = y_axis(point.high), y_axis(max(point.low, y_axis.low))
        parts.append(f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
    parts.append(marker(point.shape, x, y))
    parts.append("</g>")
    return "".join(parts)


def _name_beside(label: str, x: float, y: float, taken: list[tuple[float, float, float, float]]) -> str:
    """The name beside a point, where there is room; ``taken`` holds boxes (left, right, top, bottom) and gets its
    own."""
    long = 6.5 * len(label)  # approximate width of 12 px letters
    for rise in (-7, 16, -20, 29, -33, 42, -46, 55):
        for anchor, left in (("start", x + 8), ("end", x - 8 - long)):
            box = (left, left + long, y + rise - 11, y + rise + 2)
            inside = box[0] >= LEFT and box[1] <= WIDTH - RIGHT and box[2] >= 0 and box[3] <= HEIGHT - BOTTOM
            if inside and not any(
                box[0] < right and start < box[1] and box[2] < bottom and top < box[3]
                for start, right, top, bottom in taken
            ):
                taken.append(box)
                place = f'x="{x + (8 if anchor == "start" else -8):.1f}" y="{y + rise:.1f}"'
                return f'<text class="name" {place} text-anchor="{anchor}">{html(label)}</text>'
    return ""


def profile_svg(profiles: Sequence[ProfileLine], thresholds: Sequence[float], x_label: str, y_label: str) -> str:
    """Performance profiles on a logarithmic axis of thresholds, with bands for at most ``MAX_BANDS`` profiles; empty
    without profiles."""
    if not profiles or len(thresholds) < 2:
        return ""
    x_axis = _LogAxis(thresholds, LEFT, WIDTH - RIGHT)
    bottom = HEIGHT - BOTTOM

    def height(share: float) -> float:
        return bottom - share * (bottom - TOP - 6)

    parts = [_svg_start(f"{y_label} against {x_label}"), _frame(x_axis, x_label, y_label)]
    parts += [_grid_line(height(share), f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1)]
    places = [f"{x_axis(threshold):.1f}" for threshold in thresholds]
    for profile in profiles:
        colour = profile.colour % COLOURS
        if len(profiles) <= MAX_BANDS:
            upper = [f"{x} {height(y):.1f}" for x, y in zip(places, profile.high, strict=True)]
            lower = [f"{x} {height(y):.1f}" for x, y in zip(places, profile.low, strict=True)]
            parts.append(f'<path class="band k{colour}" d="M{"L".join(upper)}L{"L".join(reversed(lower))}Z"/>')
        line = [f"{x} {height(y):.1f}" for x, y in zip(places, profile.share, strict=True)]
        dash = f' stroke-dasharray="{profile.dash}"' if profile.dash else ""
        title = f"<title>{html(profile.name)}</title>"
        parts.append(f'<path class="curve k{colour}"{dash} d="M{"L".join(line)}">{title}</path>')
    parts.append("</svg>")
    return "".join(parts)


def _svg_start(label: str) -> str:
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html(label)}">'


def _frame(x_axis: _LogAxis, x_label: str, y_label: str) -> str:
    """Vertical grid lines with their values, and the names of both axes."""
    parts = []
    for tick in log_ticks(x_axis.low, x_axis.high):
        x = x_axis(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="below" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    place = f'x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 8}"'
    parts.append(f'<text class="under" {place} text-anchor="middle">{html(x_label)}</text>')
    # a narrow screen hides this label; the text above the plot names the axis too
    place = f'transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"'
    parts.append(f'<text class="side" {place} text-anchor="middle">{html(y_label)}</text>')
    return "".join(parts)


def _grid_line(y: float, label: str) -> str:
    """A horizontal grid line with its value."""
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
