"""Decide on a paired change against an allowed one: two one-sided tests [Schuirmann 1987], and their power.

All changes are differences of logarithms, new minus reference; positive is worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from leakybench.gate.verdict import IMPROVED, REGRESSED, SAME, UNDECIDED
from leakybench.stats import holm
from leakybench.stats.intervals import Strata, estimate, standard_error
from leakybench.stats.paired import MIN_PAIRS

CONFIDENCE = 0.9
"""Of the interval: it lies within the threshold exactly where both one-sided tests reject at 5%."""
POWER = 0.8
"""Share of checks in which a change of the size ``detects`` would be seen."""
LEAST_PAIRS = 3
"""Pairs below which nothing is called regressed or improved."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A mean paired change.

    Attributes:
        size: mean over tasks of the mean difference.
        low: lower end of its 90% interval; nan where no task has two pairs.
        high: upper end of its interval.
        error: standard error of ``size``; nan where there is no interval.
        degrees: degrees of freedom of ``error``.
        reference_error: standard error of the mean of the reference's own values over its seeds.
        pairs: number of pairs, of tasks with at least two where there is one.
        identical: whether every difference is exactly 0.
    """

    size: float
    low: float
    high: float
    error: float
    degrees: float
    reference_error: float
    pairs: int
    identical: bool


def effect_of(differences: Strata, reference: Strata) -> Effect:
    """Compute the change of one place.

    Args:
        differences: one array (pairs,) for each task.
        reference: the reference's values of the same pairs.
    """
    present = [index for index, values in enumerate(differences) if len(values)]
    usable = [index for index in present if len(differences[index]) >= 2]
    chosen = [np.asarray(differences[index], dtype=np.float64) for index in usable or present]
    size = float(estimate([values.mean(keepdims=True) for values in chosen], "mean"))
    identical = all(bool(np.all(np.asarray(values) == 0.0)) for values in differences)
    error = degrees = spread = math.nan
    if usable:
        error, degrees = (float(value) for value in standard_error(chosen, "mean"))
        spread = float(standard_error([np.asarray(reference[index]) for index in usable], "mean")[0])
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * error if usable else math.nan
    return Effect(
        size=size, low=size - reach, high=size + reach, error=error, degrees=degrees, reference_error=spread,
        pairs=sum(len(values) for values in chosen), identical=identical,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What an effect amounts to.

    Attributes:
        kind: a verdict.
        p_value: chance of such a change, or a larger one, if the true one is ``null``; after the correction.
        detects: smallest true change that is called regressed in ``POWER`` of all checks, as a logarithm; None if the
            pairs are too few for any.
    """

    kind: str
    p_value: float
    detects: float | None


def decide(
    effects: Sequence[Effect], limit: float, *, level: float, better: bool = True, null: float | None = None
) -> list[Decision]:
    """Decide on the effects of one metric in all its places, Holm's correction over them.

    A change is called so where the measured one is beyond the limit and one beyond ``null`` is shown at ``level``.

    Args:
        effects: one for each place.
        limit: allowed change, as a logarithm.
        level: of ``regressed`` and ``improved``.
        null: true change that has to be ruled out, as a logarithm: 0 for a number that the same code repeats, such as
            an error; None for the limit itself, for one that scatters by itself, such as a time.
        better: whether a decrease beyond the limit is a change too; if not, it only needs to be no increase to be same.
    """
    null = limit if null is None else null
    worse = holm([_beyond(effect.size - null, effect) for effect in effects])
    gains = holm([_beyond(-effect.size - null, effect) for effect in effects])
    decisions = []
    for effect, p_worse, p_better in zip(effects, worse, gains, strict=True):
        kind = UNDECIDED
        if effect.identical:
            kind = SAME
        elif effect.pairs >= LEAST_PAIRS and effect.size > limit and p_worse < level:
            kind = REGRESSED
        elif effect.pairs >= LEAST_PAIRS and -effect.size > limit and p_better < level:
            kind = IMPROVED
        elif effect.pairs >= MIN_PAIRS and effect.high < limit and (effect.low > -limit or not better):
            kind = SAME
        p_value = float(p_worse if effect.size >= 0 else p_better)
        detects = _detects(effect, limit, null, level / max(1, len(effects)))
        decisions.append(Decision(kind=kind, p_value=p_value, detects=detects))
    return decisions


def _beyond(excess: float, effect: Effect) -> float:
    """One-sided p-value of the excess of a measured change over the one to rule out."""
    if math.isnan(effect.error):
        return math.nan
    if effect.error == 0:
        return 0.0 if excess > 0 else 1.0
    return float(stats.t.sf(excess / effect.error, effect.degrees))


def _detects(effect: Effect, limit: float, null: float, level: float) -> float | None:
    """Return the larger of ``null + (t_(1 - level) + t_POWER) error`` and ``limit + t_POWER error``.

    The error is that of the reference's seeds where nothing changed.

    Where no pair differs, nothing says how unlike a change acts on different seeds: it is taken to do so by as much as
    the seeds differ themselves.
    """
    if effect.pairs < LEAST_PAIRS or math.isnan(effect.error):
        return None
    error = effect.error or effect.reference_error
    power = float(stats.t.ppf(POWER, effect.degrees))
    return max(null + (float(stats.t.ppf(1 - level, effect.degrees)) + power) * error, limit + power * error)
