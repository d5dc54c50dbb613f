"""The number of large singular values, by the rule of the largest gap with a floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from leakybench.errors import UsageError
from leakybench.measures.arrays import as_float64

FLOOR = 3e-2
"""Values below this share of the first count as noise. On trained networks of true rank 1 to 10, the last true
direction of a Jacobian has 0.14 of the first or more, and the one after it 0.01 to 0.07. At rank 10 a smaller floor
counts the latter as well."""

CLOSING = 0.25
"""A spectrum that ends above the floor has no tail: its end counts as a drop to this share of the floor."""


@dataclass(frozen=True)
class Gap:
    """The number of large values, and how clear the gap behind them is.

    Attributes:
        rank: number of values before the gap; None if the spectrum vanishes.
        ratio: ratio of the values on both sides of the gap, at least 1; None if ``rank`` is None.
        above_floor: number of values above the floor.
        reason: why there is no rank; empty otherwise.
    """

    rank: int | None
    ratio: float | None
    above_floor: int
    reason: str = ""


def largest_gap(values: Any, *, floor: float = FLOOR) -> Gap:
    """Find the rank at the largest ratio of neighbours ``s_i / s_{i+1}``.

    Values below ``floor s_1`` are first raised to it, so that noise of any shape below the floor opens no gap. A
    spectrum that ends above the floor, such as that of a map of full rank, is followed by a drop to a quarter of the
    floor, so that all values of 1, 0.7, 0.5, 0.3, 0.2 count. If two ratios are equal, the first one counts.

    Args:
        values: singular values, decreasing, (m,).
        floor: share of the first value, in (0, 1).

    Raises:
        UsageError: the values are negative, increasing or not finite, or the floor is outside (0, 1).
    """
    array = as_float64("values", values, ndim=1)
    ranks, ratios, above = largest_gaps(array[None], floor=floor)
    if ranks[0] == 0:
        return Gap(rank=None, ratio=None, above_floor=0, reason="the spectrum vanishes")
    return Gap(rank=int(ranks[0]), ratio=float(ratios[0]), above_floor=int(above[0]))


def largest_gaps(
    values: Any, *, floor: float = FLOOR
) -> tuple[Int[np.ndarray, " n"], Float64[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Apply ``largest_gap`` to each row of ``values`` (n, m).

    Returns:
        Ranks, ratios and counts above the floor, each (n,). The rank of a row that vanishes is 0.
    """
    array = as_float64("values", values)
    if not 0.0 < floor < 1.0:
        raise UsageError(f"floor must lie between 0 and 1, got {floor!r}")
    top = array[:, :1]
    if (array < 0.0).any() or (np.diff(array, axis=1) > 1e-12 * top).any():
        raise UsageError("singular values must be at least 0 and decrease")
    present = top[:, 0] > 0.0
    relative = array / np.where(present[:, None], top, 1.0)
    raised = np.maximum(relative, floor)
    closing = np.where(relative[:, -1:] > floor, CLOSING * floor, floor)
    ratios = raised / np.hstack([raised[:, 1:], closing])
    best = np.argmax(ratios, axis=1)
    above = np.sum(relative > floor, axis=1)
    return np.where(present, best + 1, 0), np.take_along_axis(ratios, best[:, None], axis=1)[:, 0], above
