"""Judge errors, numbers of the training, ranks and statuses of pairs of runs.

``pairs`` is a merged score frame throughout: one row a pair, ``_a`` the reference's columns and ``_b`` the new ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from leakybench.gate.effects import Decision, Effect, decide, effect_of
from leakybench.gate.settings import Metric, Settings
from leakybench.gate.verdict import IMPROVED, NOT_MEASURED, REGRESSED, SAME, UNDECIDED, Line
from leakybench.stats import holm, mcnemar, proportion_interval
from leakybench.stats.paired import MIN_PAIRS

ACCEPT = "; better than the reference: either a leak, or an advance to accept with an update"
MISSED = 0.05
"""Chance that a change of the share ``detects`` shows in no pair."""


def place_of(row: Any) -> str:
    """Name the place of a run: baseline, step rule and task."""
    return f"{method_of(row['method'], row['steps'])} on {row['task']}"


def method_of(method: object, steps: object) -> str:
    """Name a baseline with its step rule, if it has one."""
    return str(method) if steps == "-" else f"{method} {steps}"


def places(pairs: pd.DataFrame) -> Iterator[tuple[str, list[pd.DataFrame]]]:
    """Yield each baseline over all its tasks and on each single task: a name, and one frame per task."""
    for (method, steps), group in pairs.groupby(["method", "steps"]):
        tasks = [(str(task), part) for task, part in group.groupby("task")]
        name = method_of(method, steps)
        yield name, [part for _, part in tasks]
        if len(tasks) > 1:
            yield from ((f"{name} on {task}", [part]) for task, part in tasks)


def judge_statuses(pairs: pd.DataFrame) -> Iterator[Line]:
    """Yield the judgements on statuses: the runs that no longer end ok, those that now do, and all others."""
    for (method, steps), group in pairs.groupby(["method", "steps"]):
        where = method_of(method, steps)
        before, now = group["status_a"] == "ok", group["status_b"] == "ok"
        for kind, moved in ((REGRESSED, before & ~now), (IMPROVED, ~before & now)):
            for task, part in group[moved].groupby("task"):
                seeds = ", ".join(map(str, sorted(part["seed"])))
                change = f"{part['status_a'].iloc[0]} in the reference, now {part['status_b'].iloc[0]} (seed {seeds})"
                reason = f": {part['message_b'].iloc[0]}" * bool(part["message_b"].iloc[0])
                text = f"status of {where} on {task}: {change}{reason}" + ACCEPT * (kind == IMPROVED)
                count = float(len(part))
                yield Line(
                    metric="status", where=f"{where} on {task}", kind=kind, text=text, effect=count, pairs=len(part)
                )
        if (before == now).all():
            text = f"status of {where}: ended ok, or not, as in the reference in all {len(group)} pairs"
            yield Line(metric="status", where=where, kind=SAME, text=text, effect=0.0, pairs=len(group))


def judge_ratios(pairs: pd.DataFrame, metric: Metric, level: float) -> list[Line]:
    """Judge a number of each run by its ratio to the reference, in every place."""
    a, b = (_usable(pairs, f"{metric.column}_{side}", metric.floor) for side in "ab")
    lines = list(_lost(pairs, a, b, metric))
    if a.isna().all():
        if not metric.optional and len(pairs):
            text = f"{metric.name}: no run of the reference has a {metric.column!r} to compare with"
            lines.append(Line(metric=metric.name, where="all", kind=NOT_MEASURED, text=text))
        return lines
    logs = pairs.assign(before=np.log(a), change=np.log(b) - np.log(a)).dropna(subset=["change"])
    names, effects = [], []
    for name, strata in places(logs):
        names.append(name)
        effects.append(effect_of(*([part[column].to_numpy() for part in strata] for column in ("change", "before"))))
    decisions = decide(effects, float(np.log1p(metric.threshold)), level=level, better=metric.both, null=0.0)
    lines += [_ratio_line(metric, *judged) for judged in zip(names, effects, decisions, strict=True)]
    return lines


def _usable(pairs: pd.DataFrame, column: str, floor: float) -> pd.Series:
    """Return a column plus its floor; nan where there is no positive number."""
    if column not in pairs:
        return pd.Series(np.nan, index=pairs.index)
    values = pd.to_numeric(pairs[column], errors="coerce").astype(float) + floor
    return values.where(np.isfinite(values) & (values > 0))


def _lost(pairs: pd.DataFrame, a: pd.Series, b: pd.Series, metric: Metric) -> Iterator[Line]:
    """Yield a judgement for each number that the reference has and the new runs do not, or the reverse."""
    ended = (pairs["status_a"] == "ok") & (pairs["status_b"] == "ok")
    gone, new = a.notna() & b.isna() & ended, a.isna() & b.notna() & ended
    for (method, steps), group in pairs.groupby(["method", "steps"]):
        where = method_of(method, steps)
        if count := int(gone[group.index].sum()):
            text = f"{metric.name} of {where}: {count} runs no longer report it"
            yield Line(metric=metric.name, where=where, kind=REGRESSED, text=text, effect=float(count), pairs=count)
        if count := int(new[group.index].sum()):
            text = f"{metric.name} of {where}: {count} runs report it that have none in the reference"
            yield Line(metric=metric.name, where=where, kind=NOT_MEASURED, text=text, effect=float(count))


def _ratio_line(metric: Metric, name: str, effect: Effect, decision: Decision) -> Line:
    size, low, high = (float(np.expm1(x)) for x in (effect.size, effect.low, effect.high))
    shown = f"{_percent(size)} ({_percent(low)} to {_percent(high)})" if np.isfinite(low) else _percent(size)
    if effect.identical:
        shown = f"identical in {_count(effect.pairs)}; +0.0%"
    text = f"{metric.name} of {name}: {shown} against the reference, allowed {metric.threshold:.0%}"
    detects = None if decision.detects is None else float(np.expm1(decision.detects))
    text += ending(effect, decision, None if detects is None else _percent(detects))
    return Line(
        metric=metric.name, where=name, kind=decision.kind, text=text + ACCEPT * (decision.kind == IMPROVED),
        effect=size, low=known(low), high=known(high), threshold=metric.threshold, detects=detects, pairs=effect.pairs,
    )  # fmt: skip


def ending(effect: Effect, decision: Decision, detects: str | None) -> str:
    """End the text of a judgement: the p-value of a change, and the smallest one that its pairs can detect, if any."""
    p_value = f", p = {decision.p_value:.2g}" if decision.kind in (REGRESSED, IMPROVED) else ""
    pairs = _count(effect.pairs)
    if detects is None:
        return f"{p_value}; {pairs} can show no change of any size, {MIN_PAIRS} are needed"
    few = f", and {MIN_PAIRS} are needed to call it same" if effect.pairs < MIN_PAIRS else ""
    return f"{p_value}; {pairs} detect {detects}{few}"


def judge_ranks(pairs: pd.DataFrame, settings: Settings) -> list[Line]:
    """Judge the share of runs that recovered the true rank, in every place.

    A share of few runs has no interval within a threshold of 10%. Where every pair agrees, and there are enough or all
    errors are equal to the bit, it is the same; ``detects`` is then the smallest share of changed runs of which at
    least one would have shown.
    """
    known_a, known_b = pairs["recovered_a"].notna(), pairs["recovered_b"].notna()
    lines = []
    for (method, steps), group in pairs[known_a & ~known_b].groupby(["method", "steps"]):
        where = method_of(method, steps)
        text = f"rank recovery of {where}: {len(group)} runs no longer have a rank"
        lines.append(Line(metric="rank", where=where, kind=REGRESSED, text=text, effect=float(len(group))))
    rows = []
    for name, strata in places(pairs[known_a & known_b]):
        part = pd.concat(strata)
        a, b = part["recovered_a"].astype(bool), part["recovered_b"].astype(bool)
        lost, gained = int((a & ~b).sum()), int((~a & b).sum())
        rows.append((name, int(a.sum()), lost, gained, len(part), _identical(part), mcnemar(lost, gained)))
    corrected = holm([row[-1] for row in rows])
    lines += [_rank_line(*row, float(p), settings) for row, p in zip(rows, corrected, strict=True)]
    return lines


def _identical(part: pd.DataFrame) -> bool:
    """Whether both errors of every pair are equal to the bit."""
    columns = [name for name in ("score", "train_error") if f"{name}_a" in part and f"{name}_b" in part]
    return bool(columns) and all(part[f"{name}_a"].equals(part[f"{name}_b"]) for name in columns)


def _rank_line(
    name: str, before: int, lost: int, gained: int, n: int, identical: bool, raw: float, corrected: float,
    settings: Settings,
) -> Line:  # fmt: skip
    effect = (gained - lost) / n
    # five seeds cannot reach 1% in an exact test, so a single task is decided by the place that pools the tasks
    decisive = corrected < settings.level or (raw <= 2 * 0.5**n and n >= MIN_PAIRS and abs(gained - lost) == n)
    loss, gain = proportion_interval(lost, n), proportion_interval(gained, n)
    within = loss.high - gain.low <= settings.rank and gain.high - loss.low <= settings.rank
    kind = UNDECIDED
    if abs(effect) > settings.rank and decisive:
        kind = REGRESSED if effect < 0 else IMPROVED
    elif (lost == gained == 0 and (identical or n >= MIN_PAIRS)) or (within and n >= MIN_PAIRS):
        kind = SAME
    now = before - lost + gained
    share = proportion_interval(now, n)
    detects = 1 - MISSED ** (1 / n)
    text = (
        f"rank recovery of {name}: {now}/{n} runs ({share.low:.2f} to {share.high:.2f}), "
        f"{before}/{n} in the reference, allowed change {settings.rank:.0%}, p = {raw:.2g}; "
        f"{_count(n)} show a change of {detects:.0%} of the runs"
    )
    if kind == UNDECIDED and n < MIN_PAIRS:
        text += f", and {MIN_PAIRS} are needed to call it same"
    return Line(
        metric="rank", where=name, kind=kind, text=text + ACCEPT * (kind == IMPROVED),
        effect=effect, low=share.low - before / n, high=share.high - before / n, threshold=settings.rank,
        detects=detects, pairs=n,
    )  # fmt: skip


def known(value: float) -> float | None:
    """Return a number, or None for one that is not finite."""
    return value if np.isfinite(value) else None


def _percent(value: float) -> str:
    return f"{100 * value:+.1f}%" if abs(value) < 10 else f"x{1 + value:.3g}"


def _count(pairs: int) -> str:
    return f"{pairs} pair" + "s" * (pairs != 1)
