"""How the parts of ``tests.perf.ratios`` print what they measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from tabulate import tabulate


def show(title: str, rows: Sequence[Sequence[object]], headers: Sequence[str]) -> None:
    """Print a table under its title."""
    print(f"\n{title}\n\n{tabulate(rows, headers=headers, floatfmt='.3g')}", flush=True)


def exponent(values: ArrayLike, seconds: ArrayLike) -> float:
    """The power of ``values`` that fits ``seconds`` best."""
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])
