"""How many singular values are large: the rule of the largest gap, with a floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from suite.errors import UsageError
from suite.measures.arrays import as_float64

FLOOR = 1e-2
"""Values below this share of the first count as noise: networks trained to a criticality residual of 1e-2 to 1e-1
have tails of that size."""


@dataclass(frozen=True)
class Gap:
    """How many values are large, and how clearly.

    Attributes:
        rank: number of values before the gap; None for a spectrum that vanishes.
        ratio: s_rank / max(s_{rank + 1}, floor s_1), at least 1; None where rank is.
        above_floor: number of values above the floor.
        reason: why there is no rank; empty otherwise.
    """

    rank: int | None
    ratio: float | None
    above_floor: int
    reason: str = ""


def largest_gap(values: Any, *, floor: float = FLOOR) -> Gap:
    """The rank at the largest ratio of neighbours ``s_i / s_{i+1}``, everything below ``floor s_1`` being raised to it.

    The raised tail closes the spectrum: after the last value above the floor, the ratio is that value over the floor.
    So a spectrum without a gap, such as 1, 0.8, 0.6, 0.5 of a full-rank code, counts whole, and noise of any shape
    below the floor opens no gap. Of equal ratios the first counts.

    Args:
        values: singular values, decreasing, (m,).
        floor: share of the first value, in (0, 1).

    Raises:
        UsageError: negative, increasing or non-finite values, or a floor outside (0, 1).
    """
    array = as_float64("values", values, ndim=1)
    if not 0.0 < floor < 1.0:
        raise UsageError(f"floor must lie between 0 and 1, got {floor!r}")
    if (array < 0.0).any() or (np.diff(array) > 1e-12 * abs(array[0])).any():
        raise UsageError("singular values must be at least 0 and decrease")
    if array[0] == 0.0:
        return Gap(rank=None, ratio=None, above_floor=0, reason="the spectrum vanishes")
    raised = np.append(np.maximum(array / array[0], floor), floor)
    ratios = raised[:-1] / raised[1:]
    best = int(np.argmax(ratios))
    return Gap(rank=best + 1, ratio=float(ratios[best]), above_floor=int(np.sum(array > floor * array[0])))
