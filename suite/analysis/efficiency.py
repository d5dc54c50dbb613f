"""Sample efficiency: how many times the samples of the best method each method needs, over the families of ladders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leakybench.analysis.ladders import Goal, Ladder, Threshold, threshold
from leakybench.specs import natural_key
from leakybench.stats.thresholds import NORMAL

GOAL = Goal(metric="error")
"""Threshold behind the efficiency: a mean test error of one half."""
Method = tuple[str, str]
"""Label of a baseline without its step rule, and the step rule."""


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """The sample efficiency of a method.

    Attributes:
        value: geometric mean over families of N_best / N; 1 for the method that needs fewest on every family.
        low: lower end of the 95% interval; None where there is none, as for an upper bound.
        high: upper end, at most 1; None where there is none.
        bound: whether the value is an upper bound, since a ladder of the method, or of the best one, leaves its
            threshold outside.
        families: number of families.
    """

    value: float
    low: float | None
    high: float | None
    bound: bool
    families: int


@dataclass(frozen=True, kw_only=True)
class Efficiencies:
    """The sample efficiency of every method with ladders.

    Attributes:
        methods: by method; a method that lacks a family is missing.
        families: tasks that count, in natural order.
        unreached: tasks on which no method reaches the threshold.
        rare: tasks that fewer than half of the methods climbed.
        incomplete: number of methods without a number, since they lack a family or their runs do not tell there.
    """

    methods: Mapping[Method, Efficiency]
    families: list[str]
    unreached: list[str]
    rare: list[str]
    incomplete: int


@dataclass(frozen=True, kw_only=True)
class _Need:
    """Number of samples that a method needs on a family: ``place`` is -1 before the ladder, 1 behind it."""

    samples: float
    deviation: float | None
    place: int


def sample_efficiency(ladders: Sequence[Ladder], goal: Goal = GOAL) -> Efficiencies:
    """Return the geometric mean over families of N_best / N for each method.

    N is the threshold of a method on a task, N_best the smallest one of all methods with ladders there. A threshold
    behind the ladder counts as the last value, one before it as the first; where that makes the ratio too large, the
    result is an upper bound. A ratio is at most 1.

    The interval is by the delta method on logarithms: the variance of log E = mean over F families of
    (log N_best - log N) is 1/F^2 times the sum of s^2 + s_best^2 over the families where another method is best, s the
    standard deviations of the log thresholds. That the best one was chosen by the same runs is not corrected for.

    Args:
        ladders: of one axis and preset, along which tasks get easier.
        goal: the threshold.
    """
    needs: dict[str, dict[Method, _Need]] = {}
    climbed: dict[str, set[Method]] = {}
    for ladder in ladders:
        method = (ladder.method, ladder.steps)
        climbed.setdefault(ladder.task, set()).add(method)
        if (need := _need(ladder, threshold(ladder, goal))) is not None:
            needs.setdefault(ladder.task, {})[method] = need
    methods = set().union(*climbed.values())
    tasks = sorted(climbed, key=natural_key)
    common = [task for task in tasks if 2 * len(climbed[task]) >= len(methods)]
    families = [task for task in common if any(need.place < 1 for need in needs.get(task, {}).values())]
    complete = {method for method in methods if families and all(method in needs[task] for task in families)}
    return Efficiencies(
        methods={method: _efficiency(method, [needs[task] for task in families]) for method in sorted(complete)},
        families=families,
        unreached=[task for task in common if task not in families],
        rare=[task for task in tasks if task not in common],
        incomplete=len(methods) - len(complete),
    )


def _need(ladder: Ladder, found: Threshold) -> _Need | None:
    """The samples that a method needs; None where the runs do not tell."""
    first, last = ladder.rungs[0].value, ladder.rungs[-1].value
    if found.value is not None:
        return _Need(samples=found.value, deviation=_deviation(found), place=0)
    if found.side == "above" or (found.side == "open" and found.low is not None and found.high is None):
        return _Need(samples=last, deviation=None, place=1)
    if found.side == "below" or (found.side == "open" and found.high is not None and found.low is None):
        return _Need(samples=first, deviation=None, place=-1)
    return None


def _deviation(found: Threshold) -> float | None:
    """Standard deviation of the logarithm, from one end of the interval where the other is open."""
    if found.deviation is not None or found.value is None:
        return found.deviation
    if found.high is not None:
        return math.log(found.high / found.value) / NORMAL
    return None if found.low is None else math.log(found.value / found.low) / NORMAL


def _efficiency(method: Method, families: Sequence[Mapping[Method, _Need]]) -> Efficiency:
    logs, variance, bound, known = 0.0, 0.0, False, True
    for needs in families:
        mine, best = needs[method], min(needs.values(), key=lambda need: need.samples)
        if mine.samples <= best.samples:
            continue
        logs += math.log(best.samples / mine.samples)
        if mine.place == 1 or best.place == -1:
            bound = True
        for need in (mine, best):
            if need.place == 0:
                known &= need.deviation is not None
                variance += (need.deviation or 0.0) ** 2
    count = len(families)
    value, half = math.exp(logs / count), NORMAL * math.sqrt(variance) / count
    high = min(1.0, value * math.exp(half)) if known and half > 0 else None
    low = value * math.exp(-half) if high is not None and not bound else None
    return Efficiency(value=value, low=low, high=high, bound=bound, families=count)


def efficiency_notes(found: Efficiencies, goal: Goal = GOAL) -> list[str]:
    """What the efficiency is, over which families, and what it leaves out."""
    if not found.families:
        return ["no sample efficiency: no method reaches the threshold on a task that half of the methods climbed."]
    count = len(found.families)
    sentences = [
        f"samples: geometric mean over {count} {'family' if count == 1 else 'families'} ({', '.join(found.families)}) "
        f"of N_best / N, where N is the number of training samples from which on the mean {goal.metric} reaches "
        f"{goal.level:g}, and N_best the smallest of all methods with ladders; <=: an upper bound, since a threshold "
        "lies outside its "
        "ladder. The runs of ladders count nowhere else on this board."
    ]
    if found.unreached:
        sentences.append(f"no method reaches the threshold on {', '.join(found.unreached)}: not among the families.")
    if found.rare:
        sentences.append(
            f"fewer than half of the methods have ladders on {', '.join(found.rare)}: not among the families."
        )
    if found.incomplete:
        sentences.append(f"{found.incomplete} methods with ladders lack a threshold on a family: no number of samples.")
    return sentences
