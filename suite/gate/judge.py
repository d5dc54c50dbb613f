"""Judge runs against a reference: which number regressed, improved or stayed the same, by how much, and how surely.

A change counts if it is beyond the threshold and chance does not explain it, after Holm's correction over all places
tested: no change at all has to be ruled out for an error, the allowed factor for a time, which scatters by itself. A
number is the same only if the interval of its change lies within the threshold, or if every pair is equal to the bit.
All else is undecided, and whatever is missing is not measured. A result that is suddenly better than the reference is
either a leak of test data or an advance, and somebody has to decide which; a faster fit is welcome. Times are ratios to
a yardstick that was measured together with the runs.
"""

from __future__ import annotations

import pandas as pd

from leakybench.analysis.scores import changed, latest
from leakybench.gate.quantities import judge_ranks, judge_ratios, judge_statuses, place_of
from leakybench.gate.settings import DEFAULT_METRICS, Metric, Settings
from leakybench.gate.times import fastest, judge_times
from leakybench.gate.verdict import Line, Verdict, not_measured
from leakybench.record import FAILED

__all__ = ["DEFAULT_METRICS", "Line", "Metric", "Settings", "Verdict", "fastest", "judge"]

PAIR = ["task", "method", "steps", "preset", "seed"]


def judge(reference: pd.DataFrame, current: pd.DataFrame, settings: Settings) -> Verdict:
    """Compare two score frames of the same plan.

    Args:
        reference: the reference runs, from ``leakybench.analysis.scores.score_frame``, including the yardstick's.
        current: the new runs, likewise.
        settings: metrics and thresholds.
    """
    lines = [line for frame in (reference, current) for line in _unusable(frame)]
    reference, current = (latest(frame[~changed(frame)])[0] for frame in (reference, current))
    together = _pair_up(reference, current, settings)
    lines += _unpaired(together)
    both = together["_merge"] == "both"
    counted = together["counted_a"].eq(True) & together["counted_b"].eq(True)
    lines += _uncounted(together[both & ~counted])
    pairs = together[both & counted]
    notes: list[str] = []
    if len(pairs):
        lines += judge_statuses(pairs)
        for metric in settings.metrics:
            lines += judge_ratios(pairs, metric, settings.level)
        lines += judge_ranks(pairs, settings)
        time_lines, notes = judge_times(reference, current, pairs, settings)
        lines += time_lines
    return Verdict(lines=lines, pairs=len(pairs), notes=notes)


def _pair_up(reference: pd.DataFrame, current: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Merge the runs of both sides, without the yardstick's, by task, baseline, step rule, preset and seed."""
    sides = [frame[frame["baseline_id"] != settings.yardstick].copy() for frame in (reference, current)]
    for metric in settings.metrics:  # a column that only one side has keeps its name in a merge
        for side in sides:
            if metric.column not in side:
                side[metric.column] = float("nan")
    return sides[0].merge(sides[1], on=PAIR, suffixes=("_a", "_b"), how="outer", indicator=True, validate="1:1")


def _unusable(frame: pd.DataFrame) -> list[Line]:
    """Return the runs that cannot be trusted: changed after they were written, or two of one place."""
    texts = [
        f"{place_of(row)} seed {row['seed']}: its hash does not fit" for _, row in frame[changed(frame)].iterrows()
    ]
    twice = frame[frame.duplicated(PAIR)]
    texts += [f"{place_of(row)} seed {row['seed']}: there are two results of it" for _, row in twice.iterrows()]
    return not_measured(texts, metric="runs")


def _unpaired(together: pd.DataFrame) -> list[Line]:
    texts = []
    for side, name in (("left_only", "runs of the reference are missing"), ("right_only", "runs have no reference")):
        if (alone := together["_merge"] == side).any():
            first = together[alone].iloc[0]
            texts.append(f"{int(alone.sum())} {name}, such as {place_of(first)} seed {first['seed']}")
    return not_measured(texts, metric="runs")


def _uncounted(pairs: pd.DataFrame) -> list[Line]:
    """Return the pairs of which one side failed or has no error."""
    lines = []
    for _, row in pairs.iterrows():
        side, name = ("b", "now") if bool(row["counted_a"]) else ("a", "in the reference")
        reason = f"status {row[f'status_{side}']}"
        reason += f": {row[f'message_{side}']}" if row[f"status_{side}"] in FAILED else ", but no usable test error"
        text = f"{place_of(row)} seed {row['seed']}: {name} {reason}"
        lines += not_measured([text], metric="runs", where=place_of(row))
    return lines
