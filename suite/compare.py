"""``leakybench compare``: what one selection of runs does better or worse than another, on the same task and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from suite.errors import UsageError
from suite.scores import POLICY, latest
from suite.stats import holm, mcnemar, paired, probability_of_improvement
from suite.stats.paired import MIN_PAIRS

PAIRINGS: dict[str, tuple[str, ...]] = {
    "folders": ("task", "method", "steps", "preset", "seed"),
    "baselines": ("task", "preset", "seed"),
    "steps": ("task", "method", "preset", "seed"),
}
"""What the two runs of a pair share: all but the code (two folders), all but the baseline, or all but the step rule."""
GROUPINGS = {"task": ["task"], "baseline": ["method", "steps"], "overall": []}
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The verdicts of a comparison.

    Attributes:
        first, second: names of the two sides; a difference is first minus second.
        rows: a row a group and a last row ``all``; see :func:`compare`.
        notes: what a reader must know beside the numbers.
    """

    first: str
    second: str
    rows: pd.DataFrame
    notes: list[str]


def pairs_of(first: pd.DataFrame, second: pd.DataFrame, pairing: str) -> tuple[pd.DataFrame, list[str]]:
    """The runs of both sides that share the keys of ``pairing``, columns of the sides with the suffixes ``_a`` and
    ``_b``.

    Returns:
        The pairs in which both runs count, and a sentence for everything that was left out.

    Raises:
        UsageError: a side holds several baselines where the pairing needs one.
    """
    keys = list(PAIRINGS[pairing])
    said = []
    sides = []
    for name, frame in (("first", first), ("second", second)):
        kept, superseded = latest(frame)
        if superseded:
            said.append(f"{superseded} older runs of the {name} side were left out.")
        repeated = kept[kept.duplicated(keys, keep=False)]
        if not repeated.empty:
            labels = ", ".join(sorted(repeated["baseline"].astype(str).unique())[:6])
            raise UsageError(f"the {name} side must be one baseline, got several: {labels}; choose one by its label")
        excluded = int((~kept["counted"]).sum())
        if excluded:
            said.append(f"{excluded} runs of the {name} side ended in error or were interrupted and are left out.")
        sides.append(kept[kept["counted"]])
    together = sides[0].merge(sides[1], on=keys, suffixes=("_a", "_b"), how="inner", validate="1:1")
    for name, side in zip(("first", "second"), sides, strict=True):
        if alone := len(side) - len(together):
            said.append(f"{alone} runs of the {name} side have no partner with the same {', '.join(keys)}.")
    failures = [int((together[f"status_{s}"] != "ok").sum()) for s in "ab"]
    if any(failures):
        said.append(f"{failures[0]} runs of the first side and {failures[1]} of the second did not end ok: {POLICY}.")
    return together, said


def compare(
    first: pd.DataFrame, second: pd.DataFrame, *, pairing: str, by: str = "task", names: Sequence[str] = ("A", "B")
) -> Comparison:
    """Paired effects with intervals and verdicts.

    Args:
        first, second: score frames of the two sides.
        pairing: one of ``PAIRINGS``.
        by: a row for each ``task``, each ``baseline``, or only the ``overall`` one.

    Returns:
        Rows with ``group``; ``pairs``; ``error_a``, ``error_b`` (mean over strata); ``difference``, ``low``,
        ``high`` (paired, 95%, share of the targets' variance); ``ratio``, ``ratio_low``, ``ratio_high`` (geometric
        mean of A / B with 95% interval, None where an error is 0); ``p_value`` (Holm-corrected over the groups; the
        row ``all``, the one primary question, is not); ``improvement``, ``improvement_low``, ``improvement_high``
        (probability that A has the smaller error); ``recovered_a``, ``recovered_b``, ``recovered_of``,
        ``recovered_p`` (exact McNemar); ``time_ratio`` (geometric mean of fit seconds A / B, pairs of one machine
        and thread count only); ``verdict`` for A. Missing values are None.
    """
    if by not in GROUPINGS:
        raise UsageError(f"--by must be one of {', '.join(GROUPINGS)}, got {by!r}")
    together, said = pairs_of(first, second, pairing)
    columns = [name for name in GROUPINGS[by] if name in together]
    strata = [name for name in PAIRINGS[pairing] if name not in ("seed", "preset")]
    groups: list[tuple[str, pd.DataFrame]] = []
    if columns:
        for key, part in together.groupby(columns, sort=True):
            groups.append((" ".join(str(item) for item in key if item != "-"), part))
    # each group is tested among its peers; the sum of all is a question of its own
    raw = [paired(_differences(part, strata)).p_value for _, part in groups]
    corrected = holm(raw)
    rows = [_row(name, part, strata, p) for (name, part), p in zip(groups, corrected, strict=True)]
    rows.append(_row(ALL, together, strata, None))
    if together["preset"].nunique() > 1:
        said.append("pairs of several presets are pooled: choose one with --preset.")
    if together.empty:
        said.append("no run of one side has a partner on the other.")
    elif rows[-1]["time_ratio"] is None:
        said.append("no pair was timed on one machine with one number of threads: times are not compared.")
    said.append(
        f"verdict: two-sided paired t-test at 5% (Holm over the rows but '{ALL}'), at least {MIN_PAIRS} pairs; "
        "difference and ratio are first against second, smaller error is better."
    )
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]})
    return Comparison(first=names[0], second=names[1], rows=frame, notes=said)


def _differences(pairs: pd.DataFrame, strata: list[str], scale: str = "plain") -> list[np.ndarray]:
    found = []
    for _, part in pairs.groupby(strata, sort=False):
        a, b = part["score_a"].to_numpy(), part["score_b"].to_numpy()
        found.append(np.log(a) - np.log(b) if scale == "log" else a - b)
    return found


def _row(name: str, pairs: pd.DataFrame, strata: list[str], p_value: float | None) -> dict[str, Any]:
    known = None if p_value is None or np.isnan(p_value) else p_value
    result = paired(_differences(pairs, strata), p_value=known)
    row: dict[str, Any] = {
        "group": name,
        "pairs": len(pairs),
        "error_a": _mean(pairs, strata, "score_a"),
        "error_b": _mean(pairs, strata, "score_b"),
        "difference": result.effect,
        "low": result.low,
        "high": result.high,
        "p_value": result.p_value,
        "verdict": result.verdict,
        **dict.fromkeys(("ratio", "ratio_low", "ratio_high", "improvement", "improvement_low", "improvement_high")),
        **_recovery(pairs),
        "time_ratio": _time_ratio(pairs),
    }
    if len(pairs):
        if (pairs[["score_a", "score_b"]] > 0).all(axis=None):
            log = paired(_differences(pairs, strata, "log"))
            row |= dict(zip(("ratio", "ratio_low", "ratio_high"), np.exp([log.effect, log.low, log.high]), strict=True))
        chance = probability_of_improvement(_differences(pairs, strata))
        row |= {
            "improvement": chance.estimate,
            "improvement_low": chance.low,
            "improvement_high": chance.high,
        }
    return {key: _none(value) for key, value in row.items()}


def _mean(pairs: pd.DataFrame, strata: list[str], column: str) -> float | None:
    return float(pairs.groupby(strata)[column].mean().mean()) if len(pairs) else None


def _recovery(pairs: pd.DataFrame) -> dict[str, Any]:
    judged = pairs[pairs["recovered_a"].notna() & pairs["recovered_b"].notna()] if len(pairs) else pairs
    if not len(judged):
        return dict.fromkeys(("recovered_a", "recovered_b", "recovered_of", "recovered_p"))
    a, b = judged["recovered_a"].astype(bool), judged["recovered_b"].astype(bool)
    p_value = mcnemar(int((a & ~b).sum()), int((b & ~a).sum()))
    return {
        "recovered_a": int(a.sum()),
        "recovered_b": int(b.sum()),
        "recovered_of": len(judged),
        "recovered_p": p_value,
    }


def _time_ratio(pairs: pd.DataFrame) -> float | None:
    if not len(pairs):
        return None
    threads = pairs["threads_a"].fillna(-1) == pairs["threads_b"].fillna(-1)
    same = (pairs["machine_a"] == pairs["machine_b"]) & threads & (pairs["machine_a"] != "unknown")
    ended = (pairs["status_a"] == "ok") & (pairs["status_b"] == "ok")
    timed = pairs[same & ended & (pairs["fit_seconds_a"] > 0) & (pairs["fit_seconds_b"] > 0)]
    if timed.empty:
        return None
    return float(np.exp(np.mean(np.log(timed["fit_seconds_a"] / timed["fit_seconds_b"]))))


def _none(value: Any) -> Any:
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
