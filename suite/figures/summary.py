"""Means with 95% intervals over seeds: the numbers that a figure shows and a text may cite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from leakybench.stats import interval, paired

COLUMNS = ("quantity", "mean [of quantity]", "low [of quantity]", "high [of quantity]", "runs")


def summarise_points(frame: pd.DataFrame, by: Sequence[str], values: Sequence[str], *, along: str = "") -> pd.DataFrame:
    """Mean of each of ``values`` over the rows of each point, with Student's 95% interval over these rows.

    Args:
        frame: the data of a figure.
        by: columns that identify a point.
        values: columns to average; values that are not finite are left out.
        along: a column that differs slightly within a point, such as the position of a layer; it is averaged.

    Returns:
        The columns ``by`` (and ``along``), then ``COLUMNS``: the name of the quantity, its mean, the ends of its
        interval (nan for a single run), and the number of rows averaged; in order of appearance.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False) if len(frame) else []:
        place = [float(group[along].mean())] if along else []
        for name in values:
            numbers = group[name].to_numpy(dtype=np.float64)
            numbers = numbers[np.isfinite(numbers)]
            if len(numbers):
                mean = interval(numbers)
                rows.append([*key, *place, name, mean.estimate, mean.low, mean.high, len(numbers)])
    return pd.DataFrame(rows, columns=[*by, *([along] if along else []), *COLUMNS])


def paired_differences(
    frame: pd.DataFrame, value: str, *, first: str, second: str, rule: str, by: Sequence[str]
) -> pd.DataFrame:
    """Differences of ``value`` between two rules, paired by seed, at each point.

    Args:
        frame: the data of a figure.
        value: column to compare.
        first: name of the first rule.
        second: name of the second rule, which is subtracted.
        rule: column that holds the names.
        by: columns that identify a point.

    Returns:
        A table as from ``summarise_points``, with the quantity ``first - second``.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False) if len(frame) else []:
        table = group.pivot_table(index="seed", columns=rule, values=value)
        if first not in table or second not in table:
            continue
        differences = (table[first] - table[second]).dropna().to_numpy(dtype=np.float64)
        if len(differences):
            result = paired([differences])
            rows.append([*key, f"{first} - {second}", result.effect, result.low, result.high, len(differences)])
    return pd.DataFrame(rows, columns=[*by, *COLUMNS])


def seeds_text(summary: pd.DataFrame) -> str:
    """Describe the intervals: ``mean and 95% interval over 5 seeds``, or a range if some points have fewer seeds."""
    if summary.empty:
        return "no runs"
    least, most = int(summary["runs"].min()), int(summary["runs"].max())
    if most == 1:
        return "1 seed, no interval"
    return f"mean and 95% interval over {most if least == most else f'{least} to {most}'} seeds"
