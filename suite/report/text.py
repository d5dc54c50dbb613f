"""Text of numbers and names, the same in every table, page and terminal."""

from __future__ import annotations

import math
import re

MISSING = "-"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def error_text(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """``0.231 (0.204-0.258)``: three significant digits of the value, the ends to the same place; ``-`` without one."""
    if value is None or not math.isfinite(value):
        return MISSING
    places = 3 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    if places > 5 or value >= 1e4:
        return f"{value:.2e}" + ("" if low is None or high is None else f" ({low:.1e} to {high:.1e})")
    text = f"{value:.{places}f}"
    return text if low is None or high is None else f"{text} ({low:.{places}f}-{high:.{places}f})"


def signed_text(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """``-0.012 (-0.020 to -0.004)``: a difference, always with its sign, ends to the place of the first digit of the
    width."""
    if value is None or not math.isfinite(value):
        return MISSING
    size = max(abs(x) for x in (value, low, high) if x is not None and math.isfinite(x))
    places = 3 if size == 0 else min(max(0, 2 - math.floor(math.log10(size))), 8)
    text = f"{value:+.{places}f}"
    return text if low is None or high is None else f"{text} ({low:+.{places}f} to {high:+.{places}f})"


def share_text(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """``0.764 (0.741-0.787)``: three decimals, for numbers up to 1; ``to`` between ends of which one is negative."""
    if value is None or not math.isfinite(value):
        return MISSING
    if low is None or high is None:
        return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.2e}"
    return f"{value:.3f} ({low:.3f}{' to ' if low < 0 else '-'}{high:.3f})"


def seconds_text(value: float | None) -> str:
    """Seconds with three significant digits: ``0.0123``, ``12.3``, ``1230``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return (
        f"{value:#.3g}".rstrip(".") if 1e-3 <= abs(value) < 1000 else f"{value:.0f}" if value >= 1 else f"{value:.1g}"
    )


def rank_text(rank: int | None, low: int | None, high: int | None) -> str:
    """``3`` where all runs agree, ``3 (2-4)`` otherwise, ``-`` where no run has a rank."""
    if rank is None:
        return MISSING
    return str(rank) if low == high else f"{rank} ({low}-{high})"


def count_text(counts: dict[str, int]) -> str:
    """``5 ok`` or ``4 ok, 1 collapsed``."""
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or MISSING


def clean(text: object) -> str:
    """A name as one line: control and direction-changing characters, which could forge a row or hide one, become
    escapes."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), str(text))


def shorten(text: str, width: int = 60) -> str:
    """At most ``width`` characters, the middle left out, since ids differ at their ends."""
    if len(text) <= width:
        return text
    head = (width - 3) // 2
    return f"{text[:head]}...{text[-(width - 3 - head) :]}"


def natural_text(text: str) -> str:
    """Pad the numbers in a text, so that plain comparison gives the order of ``leakybench.specs.natural_key``."""
    return re.sub(r"\d+", lambda match: match[0].zfill(12), str(text))
