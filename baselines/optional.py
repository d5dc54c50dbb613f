"""Checks of settings that are None by default, for a choice that the baseline makes by itself."""

from __future__ import annotations

from leakybench.errors import UsageError
from leakybench.specs import is_number


def check_positive(name: str, value: object) -> None:
    """Raise ``UsageError`` unless a setting is None or a finite number above 0."""
    if value is not None and not (is_number(value) and value > 0):  # type: ignore[operator]
        raise UsageError(f"{name} must be a finite number above 0, or None, got {value!r}")


def check_count(name: str, value: object, low: int) -> None:
    """Raise ``UsageError`` unless a setting is None or an integer of at least ``low``."""
    if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and value >= low):
        raise UsageError(f"{name} must be an integer, at least {low}, or None, got {value!r}")
