"""What a baseline says of its training: converted to plain values, or refused with the name of the value."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from leakybench.baseline import FitReport, Model
from leakybench.errors import BaselineError

REPORTED = ("ok", "collapsed", "diverged")
"""Statuses that a report may state; the others are found out by the harness."""
MAX_DEPTH = 5
MAX_ITEMS = 200_000
MAX_TEXT = 100_000
ADVICE = "report numbers, texts, lists or mappings, and larger arrays in FitReport.arrays"


def report_of(model: Model) -> FitReport:
    """Return the model's report on its training, in plain values; an empty report if it has none.

    numpy and torch numbers, arrays and tensors become numbers and lists, paths become text. Numbers that are not finite
    stay: the record writes them as null.

    Raises:
        BaselineError: no ``FitReport``, an unknown status, or a value that is none of these, with its name.
    """
    report = getattr(model, "report", None)
    if report is None:
        return FitReport()
    if not isinstance(report, FitReport):
        raise BaselineError(f"report of the model must be a leakybench.baseline.FitReport, got {_kind(report)}")
    if report.status not in REPORTED:
        raise BaselineError(f"status of a report must be one of {', '.join(REPORTED)}, got {_shown(report.status)}")
    if not isinstance(report.message, str):
        raise BaselineError(f"message of a report must be text, got {_kind(report.message)}")
    for name in ("values", "arrays"):
        if not isinstance(getattr(report, name), Mapping):
            raise BaselineError(f"{name} of a report must map names to values, got {_kind(getattr(report, name))}")
    values = _Plain().of(report.values, "values")
    if "warmup_seconds" in values:
        _check_seconds(values["warmup_seconds"])
    arrays = {str(name): _array(value, f"arrays.{name}") for name, value in report.arrays.items()}
    return dataclasses.replace(report, values=values, arrays=arrays)


def _check_seconds(value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.0 <= value < math.inf:
        raise BaselineError(f"values.warmup_seconds of a report must be seconds, at least 0, got {_shown(value)}")


class _Plain:
    """Converts values to plain JSON, and counts them."""

    def __init__(self) -> None:
        self._items = 0

    def of(self, value: Any, name: str, depth: int = 0) -> Any:
        """Return ``value`` in plain terms; ``name`` is its place in the report."""
        self._items += 1
        if self._items > MAX_ITEMS:
            raise BaselineError(f"a report holds at most {MAX_ITEMS} values, and {name} exceeds that: {ADVICE}")
        if depth > MAX_DEPTH:
            raise BaselineError(f"{name[:100]} of a report is nested more than {MAX_DEPTH} deep, or holds itself")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, str):
            return self._text(str(value), name)
        if isinstance(value, int):
            return self._integer(int(value), name)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, Mapping):
            return {self._key(key, name): self.of(item, f"{name}.{key}", depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, f"{name}[{place}]", depth + 1) for place, item in enumerate(value)]
        if (array := _numbers(value)) is not None:
            if array.size > MAX_ITEMS:
                raise BaselineError(f"{name} of a report has {array.size} numbers, at most {MAX_ITEMS}: {ADVICE}")
            return self.of(array.tolist(), name, depth)
        raise BaselineError(f"{name} of a report is {_kind(value)}, which JSON cannot hold: {ADVICE}")

    @staticmethod
    def _key(key: Any, name: str) -> str:
        if isinstance(key, bool) or not isinstance(key, str | int | np.integer):
            raise BaselineError(f"{name} of a report has a key of type {_kind(key)}: keys must be text")
        return str(key)

    @staticmethod
    def _integer(value: int, name: str) -> int:
        if abs(value) >= 2**63:
            raise BaselineError(f"{name} of a report is an integer of {value.bit_length()} bits, at most 63")
        return value

    @staticmethod
    def _text(value: str, name: str) -> str:
        if len(value) > MAX_TEXT:
            raise BaselineError(f"{name} of a report has {len(value)} characters, at most {MAX_TEXT}")
        return value


def _numbers(value: Any) -> np.ndarray | None:
    """Return an array or tensor of real numbers or booleans as a numpy array; None for anything else."""
    if not isinstance(value, np.ndarray):
        if not type(value).__module__.startswith("torch") or not hasattr(value, "detach"):
            return None
        try:
            value = value.detach().cpu()
            value = (value.float() if value.is_floating_point() and value.element_size() == 2 else value).numpy()
        except (RuntimeError, TypeError):  # sparse, quantised, meta
            return None
    return value if value.dtype.kind in "biuf" else None


def _array(value: Any, name: str) -> np.ndarray:
    found = _numbers(value)
    if found is None:
        found = np.asarray(value) if isinstance(value, list | tuple | int | float) else None
    if found is None or found.dtype.kind not in "biuf":
        raise BaselineError(f"{name} of a report is {_kind(value)}, not an array of real numbers")
    return found


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of dtype {value.dtype}"
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # a value's own repr may raise anything
        text = _kind(value)
    return text[:60]
