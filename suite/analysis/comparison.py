"""``leakybench compare``: what one selection of runs does better or worse than another, on the same task and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.scores import CAP, POLICY, latest
from leakybench.errors import UsageError
from leakybench.stats import (
    holm,
    mcnemar,
    paired,
    proportion_interval,
)
from leakybench.stats.paired import MIN_PAIRS

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
        by: what a group is: task, baseline or overall.
    """

    first: str
    second: str
    rows: pd.DataFrame
    notes: list[str]
    by: str = "task"


def pairs_of(
    first: pd.DataFrame, second: pd.DataFrame, pairing: str, names: Sequence[str] = ("A", "B")
) -> tuple[pd.DataFrame, list[str]]:
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
    for name, frame in zip(names, (first, second), strict=True):
        kept, superseded = latest(frame)
        if superseded:
            said.append(f"{superseded} older runs of {name} were left out.")
        repeated = kept[kept.duplicated(keys, keep=False)]
        if not repeated.empty:
            labels = ", ".join(sorted(repeated["baseline"].astype(str).unique())[:6])
            raise UsageError(f"{name} must be one baseline, got several: {labels}; choose one by its label")
        excluded = int((~kept["counted"]).sum())
        if excluded:
            said.append(f"{excluded} runs of {name} ended in error or were interrupted and are left out.")
        sides.append(kept[kept["counted"]])
    together = sides[0].merge(sides[1], on=keys, suffixes=("_a", "_b"), how="inner", validate="1:1")
    alike = ", ".join("baseline" if key == "method" else key for key in keys)
    for name, side in zip(names, sides, strict=True):
        if alone := len(side) - len(together):
            said.append(f"{alone} of {len(side)} runs of {name} are left out: no partner of the same {alike}.")
    failures = [int((together[f"status_{s}"] != "ok").sum()) for s in "ab"]
    if any(failures):
        counts = " and ".join(f"{n} of {name}" for n, name in zip(failures, names, strict=True) if n)
        said.append(f"runs that did not end ok: {counts}; {POLICY}.")
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
        Rows with ``group``; ``pairs``; ``units`` (tasks x seeds: pairs of several baselines on the same data are
        averaged first and count once); ``error_a``, ``error_b`` (mean over tasks; in a row over several tasks, here and
        in all that follows, of min(test error, 1)); ``difference``, ``low``, ``high`` (paired, 95%, share of the
        targets' variance); ``ratio``, ``ratio_low``, ``ratio_high`` (geometric mean of A / B
        with 95% interval, None where an error is 0); ``p_value`` (Holm-corrected over the groups; the row ``all``, the
        one primary question, is not); ``improvement``, ``improvement_low``, ``improvement_high`` (probability that A
        has the smaller error); ``recovered_a``, ``recovered_b``, ``recovered_of`` (runs), ``recovered_p`` (exact
        McNemar over units); ``time_ratio`` (geometric mean of fit seconds A / B, pairs of one machine and thread count
        only); ``verdict`` for A. Missing values are None.
    """
    if by not in GROUPINGS:
        raise UsageError(f"--by must be one of {', '.join(GROUPINGS)}, got {by!r}")
    together, said = pairs_of(first, second, pairing, names)
    columns = [name for name in GROUPINGS[by] if name in together]
    groups: list[tuple[str, pd.DataFrame]] = []
    if columns:
        for key, part in together.groupby(columns, sort=True):
            groups.append((" ".join(str(item) for item in key if item != "-"), part))
    # each group is tested among its peers; the sum of all is a question of its own
    groups = [(name, _capped(part)) for name, part in groups]
    whole = _capped(together)
    raw = [paired(_differences(part)).p_value for _, part in groups]
    corrected = holm(raw)
    rows = [_row(name, part, p) for (name, part), p in zip(groups, corrected, strict=True)]
    rows.append(_row(ALL, whole, None))
    if above := int((together[["score_a", "score_b"]] > whole[["score_a", "score_b"]]).any(axis=1).sum()):
        said.append(
            f"in rows over several tasks an error above 1 counts as 1, as in a score; so it is in {above} pairs."
        )
    if (units := rows[-1]["units"]) < (pairs := rows[-1]["pairs"]):
        said.append(
            f"{pairs} pairs lie on {units} data sets (tasks x seeds): the differences of several baselines on the same "
            "data are averaged, and count once."
        )
    if together["preset"].nunique() > 1:
        said.append("pairs of several presets are pooled: choose one with --preset.")
    if together.empty:
        said.append("no run of one side has a partner on the other.")
    elif rows[-1]["time_ratio"] is None:
        said.append("no pair was timed on one machine with one number of threads: times are not compared.")
    said.append(
        "A is better or worse where two paired tests at 5% agree, Student's and one corrected for skewness"
        + (f" (p is Holm's over the rows but '{ALL}')" if groups else "")
        + f"; below {MIN_PAIRS} data sets there is no verdict."
    )
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]})
    return Comparison(first=names[0], second=names[1], rows=frame, notes=said, by=by)


DATA = ["task", "preset", "seed"]
"""What decides the data of a run: runs that share it are not independent."""


def _differences(pairs: pd.DataFrame, scale: str = "plain") -> list[np.ndarray]:
    """First minus second, one array (seeds,) a task, averaged over the baselines that share a data set."""
    if scale == "log":
        each = np.log(pairs["score_a"]) - np.log(pairs["score_b"])
    elif scale == "wins":
        each = (pairs["score_a"] < pairs["score_b"]) + 0.5 * (pairs["score_a"] == pairs["score_b"])
    else:
        each = pairs["score_a"] - pairs["score_b"]
    units = each.groupby([pairs[name] for name in DATA], sort=False).mean()
    return [part.to_numpy(dtype=float) for _, part in units.groupby(level="task", sort=False)]


def _capped(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of several tasks with errors of at most 1; those of one task as they are."""
    if pairs["task"].nunique() < 2:
        return pairs
    return pairs.assign(score_a=pairs["score_a"].clip(upper=CAP), score_b=pairs["score_b"].clip(upper=CAP))


def _row(name: str, pairs: pd.DataFrame, p_value: float | None) -> dict[str, Any]:
    known = None if p_value is None or np.isnan(p_value) else p_value
    result = paired(_differences(pairs), p_value=known)
    row: dict[str, Any] = {
        "group": name,
        "pairs": len(pairs),
        "units": len(pairs[DATA].drop_duplicates()),
        "error_a": _mean(pairs, "score_a"),
        "error_b": _mean(pairs, "score_b"),
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
            log = paired(_differences(pairs, "log"))
            row |= dict(zip(("ratio", "ratio_low", "ratio_high"), np.exp([log.effect, log.low, log.high]), strict=True))
        wins = np.concatenate(_differences(pairs, "wins"))
        chance = proportion_interval(float(wins.sum()), len(wins))
        row |= {
            "improvement": chance.estimate,
            "improvement_low": chance.low,
            "improvement_high": chance.high,
        }
    return {key: _none(value) for key, value in row.items()}


def _mean(pairs: pd.DataFrame, column: str) -> float | None:
    return float(pairs.groupby(DATA)[column].mean().groupby("task").mean().mean()) if len(pairs) else None


def _recovery(pairs: pd.DataFrame) -> dict[str, Any]:
    judged = pairs[pairs["recovered_a"].notna() & pairs["recovered_b"].notna()] if len(pairs) else pairs
    if not len(judged):
        return dict.fromkeys(("recovered_a", "recovered_b", "recovered_of", "recovered_p"))
    a, b = judged["recovered_a"].astype(bool), judged["recovered_b"].astype(bool)
    ahead = (a.astype(int) - b.astype(int)).groupby([judged[name] for name in DATA]).sum()
    p_value = mcnemar(int((ahead > 0).sum()), int((ahead < 0).sum()))
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
