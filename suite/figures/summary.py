"""From rows to means with 95% intervals over seeds: the numbers that a figure draws and a text may cite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from leakybench.stats import interval, paired

COLUMNS = ("quantity", "mean [of quantity]", "low [of quantity]", "high [of quantity]", "runs")


def summarise(frame: pd.DataFrame, by: Sequence[str], values: Sequence[str], *, along: str = "") -> pd.DataFrame:
    """The mean of each of ``values`` over the rows that share ``by``, with Student's 95% interval over those rows.

    Args:
        frame: the data of a figure.
        by: columns that identify a point.
        values: columns to average; values that are not finite are left out.
        along: a column that differs a little from row to row, such as the place of a layer: averaged for each point.

    Returns:
        ``by`` (and ``along``), then :data:`COLUMNS`: the name of the quantity, its mean and the ends of its interval
        (nan for a single run), and the rows that counted; in order of appearance.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False) if len(frame) else []:
        place = [float(group[along].mean())] if along else []
        for name in values:
            numbers = group[name].to_numpy(dtype=np.float64)
            numbers = numbers[np.isfinite(numbers)]
            if len(numbers):
                found = interval(numbers)
                rows.append([*key, *place, name, found.estimate, found.low, found.high, len(numbers)])
    return pd.DataFrame(rows, columns=[*by, *([along] if along else []), *COLUMNS])


def paired_differences(
    frame: pd.DataFrame, value: str, *, first: str, second: str, rule: str, by: Sequence[str]
) -> pd.DataFrame:
    """``first`` minus ``second`` of ``value``, paired by seed, at each ``by``; ``rule`` holds the two names.

    Returns:
        As :func:`summarise`, with ``quantity`` = ``first - second``.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False) if len(frame) else []:
        table = group.pivot_table(index="seed", columns=rule, values=value)
        if first not in table or second not in table:
            continue
        differences = (table[first] - table[second]).dropna().to_numpy(dtype=np.float64)
        if len(differences):
            found = paired([differences])
            rows.append([*key, f"{first} - {second}", found.effect, found.low, found.high, len(differences)])
    return pd.DataFrame(rows, columns=[*by, *COLUMNS])


def seeds_text(summary: pd.DataFrame) -> str:
    """``mean and 95% interval over 5 seeds``; a range where some points have fewer."""
    if summary.empty:
        return "no runs"
    least, most = int(summary["runs"].min()), int(summary["runs"].max())
    if most == 1:
        return "1 seed, no interval"
    return f"mean and 95% interval over {most if least == most else f'{least} to {most}'} seeds"
