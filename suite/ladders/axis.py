"""The axis of a ladder: a numeric setting of the task, and the values that a ladder may visit."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass

from leakybench.analysis.ladders import is_easier
from leakybench.errors import UsageError

SPLITS = 4
"""Number of parts into which a design may split the gap between two values."""
MAX_VALUES = 64
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
FORM = "NAME=FIRST:LAST (doubling), NAME=FIRST:LAST:COUNT, or NAME=V1,V2,.."


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A numeric setting and its values.

    A position counts quarters of the gaps: 0 is the first value, 4 the second, 6 halfway to the third.

    Attributes:
        name: of the setting.
        values: at least two, increasing.
        whole: whether all values are integers, and so those between them.
    """

    name: str
    values: tuple[float, ...]
    whole: bool

    @property
    def log(self) -> bool:
        """Whether the gaps are split on a logarithmic scale: where all values are positive."""
        return self.values[0] > 0

    @property
    def easier(self) -> bool:
        """Whether the task gets easier along the axis."""
        return is_easier(self.name)

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions of the values."""
        return tuple(range(0, SPLITS * len(self.values), SPLITS))

    def value(self, position: int) -> int | float:
        """Return the value at a position, rounded to three digits between the given ones."""
        index, part = divmod(position, SPLITS)
        low = self.values[index]
        if part:
            high, share = self.values[index + 1], part / SPLITS
            between = low * (high / low) ** share if self.log else low + share * (high - low)
            low = float(f"{between:.3g}")
        return round(low) if self.whole else float(low)

    def between(self, low: int, high: int) -> int | None:
        """Return the position halfway between two, or None if no value of its own lies there."""
        middle = (low + high) // 2
        if middle in (low, high) or not self.value(low) < self.value(middle) < self.value(high):
            return None
        return middle

    def place(self, position: int) -> float:
        """Return the place of a position on the scale of the axis: octaves, or the value itself."""
        value = self.value(position)
        return math.log2(value) if self.log else float(value)


def parse_axis(text: object) -> Axis:
    """Read an axis from ``n_train=25:3200`` (doubling), ``noise=0.05:1.6:6`` (equal ratios), or ``k=1,2,3,5``.

    Raises:
        UsageError: another form, fewer than two values, or values that do not increase.
    """
    name, separator, listed = str(text).partition("=")
    if not separator or not _NAME.fullmatch(name.strip()):
        raise UsageError(f"an axis reads {FORM}, got {str(text)[:60]!r}")
    name = name.strip()
    values = _range(name, listed) if ":" in listed else [_number(name, part) for part in listed.split(",")]
    if len(values) < 2:
        raise UsageError(f"the axis {name} needs two values or more, got {listed[:60]!r}")
    if len(values) > MAX_VALUES:
        raise UsageError(f"the axis {name} takes at most {MAX_VALUES} values, got {len(values)}")
    if any(high <= low for low, high in itertools.pairwise(values)):
        raise UsageError(f"the values of the axis {name} must increase, got {listed[:60]}")
    return Axis(name=name, values=tuple(values), whole=all(float(value).is_integer() for value in values))


def _range(name: str, listed: str) -> list[float]:
    parts = listed.split(":")
    if len(parts) > 3:
        raise UsageError(f"an axis reads {FORM}, got {f'{name}={listed}'[:60]!r}")
    first, last = _number(name, parts[0]), _number(name, parts[1])
    if not 0 < first < last:
        raise UsageError(
            f"the range of the axis {name} must rise from above 0, got {listed[:60]}; "
            f"list other values, as in {name}=0,1,2"
        )
    whole = first.is_integer() and last.is_integer()
    if len(parts) == 3:
        count = _number(name, parts[2])
        if not (count.is_integer() and 2 <= count <= MAX_VALUES):
            raise UsageError(f"the axis {name} takes from 2 to {MAX_VALUES} values, got {parts[2][:20]}")
        steps = int(count) - 1
        values = [float(f"{first * (last / first) ** (step / steps):.3g}") for step in range(steps)] + [last]
    else:
        doublings = math.floor(math.log2(last / first) + 1e-9)
        values = [first * 2.0**step for step in range(doublings + 1)]
        if values[-1] < last * (1 - 1e-9):
            values.append(last)
    return [float(round(value)) for value in values] if whole else values


def _number(name: str, text: str) -> float:
    try:
        value = float(text.strip())
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"the axis {name} needs finite numbers, got {text.strip()[:20]!r}; an axis reads {FORM}")
    return value
