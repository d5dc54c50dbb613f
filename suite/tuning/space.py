"""Search spaces: which values of its settings a baseline lets a search try, checked and as plain values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from leakybench.errors import LeakybenchError, UsageError, describe
from leakybench.settings import declared, misfit
from leakybench.specs import Spec, canonical_json, is_number, plain_json

FORM = "a list of choices, or {'low': .., 'high': .., 'log': False}"
LARGEST = 2.0**53
"""Largest end of a range of integers: beyond it, neighbours are one number in float64."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """A finite set of values.

    Attributes:
        values: plain JSON values, each once.
    """

    values: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """An interval of numbers, both ends included.

    Attributes:
        low: lower end.
        high: upper end.
        log: whether values are drawn evenly in the logarithm.
        whole: whether values are integers.
    """

    low: float
    high: float
    log: bool
    whole: bool


Space = Mapping[str, Choices | Range]


def search_space(spec: Spec, baseline: object) -> dict[str, Choices | Range]:
    """Return the checked search space that a baseline declares.

    Args:
        spec: of the baseline.
        baseline: built from it; its ``search_space()`` returns, by name of a setting, a list of choices, or a mapping
            with ``low``, ``high`` (integers for a setting of integers) and ``log``.

    Raises:
        UsageError: no ``search_space``, or one that is refused.
    """
    declare = getattr(baseline, "search_space", None)
    if not callable(declare):
        raise UsageError(f"{spec.id} declares no search_space, so that it cannot be tuned")
    listed = _declared_by(declare, spec)
    if not isinstance(listed, Mapping) or not listed:
        raise UsageError(f"search_space of {spec.id} must map settings to {FORM}, got {_shown(listed)}")
    factory = spec.load()
    known = declared(factory)
    space = {}
    for name, values in listed.items():
        if not isinstance(name, str) or name not in known or name in ("spec", "seed"):
            raise UsageError(f"search_space of {spec.id} names a setting that it does not have: {_shown(name)}")
        where = f"{name} in the search_space of {spec.id}"
        space[name] = _domain(where, values)
        for value in _examples(space[name]):
            if (reason := misfit(factory, {name: value})) is not None:
                raise UsageError(f"{where} is of another type: {reason}")
    return space


def _declared_by(declare: Callable[[], object], spec: Spec) -> object:
    try:
        return declare()
    except LeakybenchError:
        raise
    except Exception as error:  # of foreign code
        raise UsageError(f"search_space of {spec.id} fails: {describe(error)}") from error


def _examples(domain: Choices | Range) -> tuple[Any, ...]:
    """Values that show the types of all: every choice, or both ends and, of a range of floats, a number between."""
    if isinstance(domain, Choices):
        return domain.values
    if domain.whole:
        return domain.low, domain.high
    return domain.low, domain.low + (domain.high - domain.low) * 0.381966, domain.high


def _domain(name: str, values: object) -> Choices | Range:
    if isinstance(values, Mapping):
        return _range(name, values)
    if not isinstance(values, list | tuple) or not values:
        raise UsageError(f"{name} must be {FORM}, got {_shown(values)}")
    plain = [plain_json(value, name) for value in values]
    return Choices(values=tuple({canonical_json(value): value for value in plain}.values()))


def _range(name: str, values: Mapping[Any, Any]) -> Range:
    if not {"low", "high"} <= values.keys() <= {"low", "high", "log"}:
        raise UsageError(f"{name} must have low and high, and may have log, got {_shown(dict(values))}")
    low, high, log = values["low"], values["high"], values.get("log", False)
    if not _is_finite(low) or not _is_finite(high) or not isinstance(log, bool):
        raise UsageError(
            f"{name} must have finite numbers as low and high, and log true or false, got {_shown(values)}"
        )
    if not low < high or (log and low <= 0):
        raise UsageError(f"{name} must have low < high, above 0 on a logarithmic scale, got {low} to {high}")
    whole = isinstance(low, int) and isinstance(high, int)
    if whole and max(-low, high) > LARGEST:
        raise UsageError(f"{name} must have integers of at most {LARGEST:.0f} as low and high, got {_shown(values)}")
    return Range(low=low, high=high, log=log, whole=whole)


def _is_finite(value: object) -> bool:
    """Whether a value is a number that a record can hold."""
    try:
        return is_number(value) and abs(value) <= 1e100  # type: ignore[arg-type]
    except OverflowError:  # an integer beyond all floats
        return False


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a search goes on.

    Attributes:
        trials: number of trials; None without a limit.
        seconds: time after which no further trial starts; None without a limit.
    """

    trials: int | None = None
    seconds: float | None = None

    @property
    def setting(self) -> int | str:
        """The value of the setting ``tune``, as it enters the identity of a run: ``16``, or ``"60s"``."""
        return f"{self.seconds:.12g}s" if self.trials is None else self.trials


MAX_TRIALS = 10_000
_BUDGET = re.compile(r"\d+(\.\d*)?(e[+-]?\d+)?s?", re.ASCII)


def parse_budget(value: object) -> Budget:
    """Read ``16`` (trials) or ``"60s"`` (seconds).

    Raises:
        UsageError: any other value.
    """
    text = str(value).strip() if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    seconds = text.endswith("s")
    number = float(text.removesuffix("s")) if _BUDGET.fullmatch(text) else math.nan
    allowed = 0 < number <= 1e7 if seconds else number.is_integer() and 1 <= number <= MAX_TRIALS
    if not math.isfinite(number) or not allowed:
        raise UsageError(f"tune must be from 1 to {MAX_TRIALS} trials, or seconds as in 60s, got {_shown(value)}")
    return Budget(seconds=number) if seconds else Budget(trials=int(number))
