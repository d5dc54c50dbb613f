"""The score frame, one row for each run, and the policy for runs that did not end well.

Tables, comparisons and gates all work on this frame, and so share the policy:

- ``collapsed``, ``diverged``, ``timeout`` and ``oom`` are outcomes of the method. Such a run counts, with its
  measured test error where it has one and otherwise with 1, the error of predicting the mean, a user's fallback. It
  never counts as having recovered the rank, and counts with its measured code alignment and otherwise with 0, chance.
  Imputed errors are flagged (column ``imputed``).
- ``error`` and ``interrupted`` are no evidence about the method. Such a run is left out of every statistic, and
  reported.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.frame import encodable, number_or_none, to_frame
from leakybench.errors import UsageError
from leakybench.record import STATUSES, Record, label, structure_found
from leakybench.registry import baselines, tasks

OUTCOMES = ("ok", "collapsed", "diverged", "timeout", "oom")
"""Statuses that count in statistics; the others are excluded and reported."""
IMPUTED_ERROR = 1.0
"""Test error of the mean predictor, used where an outcome has no measured error."""
CAP = 1.0
"""Largest error that counts in a number over several tasks: that of the mean predictor, a user's fallback. Without this
cap one small data set on which every method fails would decide the sum, and a run that broke off (which counts as 1)
would be better than one that ended with 4."""
MAX_ERROR = 1e50
"""Largest error that statistics compute with, and what a larger one counts as: its sixth power is still finite."""
CHANCE = 0.0
"""Code alignment of a model whose directions are drawn by chance, used where an outcome has no measured alignment."""
LEAST_ALIGNMENT = -1e4
"""Values below are no alignment: the least is -k/(d - k), for k of d directions that all miss the code."""
POLICY = (
    "collapsed, diverged, timeout and oom runs count: with their measured error, or with 1 (the mean predictor) where "
    "there is none, and as rank not recovered; error and interrupted runs are left out of all statistics"
)
NO_STEPS = "-"
CRITICALITY_NAMES = ("criticality_residual", "criticality")
_MACHINE_KEYS = ("processor", "cores", "device", "system")
_ADDED: dict[str, str] = {
    "method": "str", "steps": "str", "score": "float64", "imputed": "bool", "counted": "bool", "recovered": "boolean",
    "criticality": "float64", "machine": "str", "commit": "str", "created": "str",
}  # fmt: skip


def score_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Build the score frame: the columns of ``leakybench.analysis.frame.to_frame``, and those that verdicts need.

    Returns:
        One row for each record. Added or completed columns: ``method`` (the baseline's label without its step
        rule) and ``steps`` (the rule, also where the record leaves it to the default; ``-`` for a baseline
        without layers); ``score`` (test error under the policy of this module, share of the targets' variance),
        ``imputed``, ``counted``, ``recovered`` (rank recovery under the policy); ``alignment`` (code alignment under
        the policy); ``criticality`` (relative);
        ``machine`` (what must agree for times to be comparable); ``commit``, ``created`` as text.
    """
    listed = list(records)
    frame = to_frame(listed)
    added = [{name: encodable(value) for name, value in _verdict_columns(record).items()} for record in listed]
    for name, dtype in _ADDED.items():
        frame[name] = pd.Series([row[name] for row in added], dtype=dtype, index=frame.index)
    return frame.assign(alignment=_alignment(frame))


def _alignment(frame: pd.DataFrame) -> pd.Series:
    """The code alignment of each run under the policy: as measured, or ``CHANCE`` for a failed run without one.

    The second holds only on a task where some run has an alignment, and only for a method that has one in some run, or
    that has no run which ended ok: real data has no code, and a method without a derivative no alignment.
    """
    measured = frame["code_alignment"].where(frame["code_alignment"].between(LEAST_ALIGNMENT, 1 + 1e-9))
    known, ok = measured.notna(), frame["status"] == "ok"
    method = [frame["method"], frame["steps"]]
    has_code = known.groupby(frame["task"]).transform("any")
    judged = known.groupby(method).transform("any") | ~ok.groupby(method).transform("any")
    return measured.mask(frame["counted"] & ~ok & ~known & has_code & judged, CHANCE)


def _verdict_columns(record: Record) -> dict[str, Any]:
    run, origin = record.run, record.provenance
    outcome = record.status in OUTCOMES
    error = number_or_none(record.test_error)
    possible = error is not None and error >= 0
    # an ok run without an error is a broken record, not an outcome: it must not get the mean predictor's score
    imputed = outcome and record.test_error is None and record.status != "ok"
    rest = {key: value for key, value in run.baseline_overrides.items() if key != "steps"}
    # by the present definition, also for a record that is older than it
    found = structure_found(
        record.bottleneck_rank, record.true_rank, alignment=record.code_alignment, test_error=record.test_error
    )
    failed_to_recover = False if outcome and record.true_rank is not None else None
    return {
        "method": label(run.baseline, rest),
        "steps": steps_of(run.baseline, run.baseline_overrides),
        "score": IMPUTED_ERROR if imputed else min(error, MAX_ERROR) if error is not None and possible else None,
        "imputed": imputed,
        "counted": outcome and (imputed or possible),
        "recovered": found if record.status == "ok" else failed_to_recover,
        "criticality": criticality_of(record),
        "machine": machine_of(origin),
        "commit": str(origin.get("commit") or ""),
        "created": str(origin.get("created") or ""),
    }


def criticality_of(record: Record) -> float:
    """The criticality residual ``|W_l - Lt B_l^T S_{l-1}| / |W_l|`` that training or measures report; nan where
    neither does."""
    for values in (record.training, record.measures):
        for name in CRITICALITY_NAMES:
            value = values.get(name)
            if isinstance(value, Mapping):  # one number a layer, with its summary
                value = value.get("mean", value.get("max"))
            if (number := number_or_none(value)) is not None:
                return number
    return math.nan


def machine_of(provenance: Mapping[str, Any]) -> str:
    """Name the machine of a run: processor, cores, accelerator, system, and whether runs were trained in batches.

    Wall-clock times are comparable only within one such name; it is ``unknown`` where the record has none of these.
    """
    parts = []
    for key in _MACHINE_KEYS:
        value = provenance.get(key)
        if value is not None:
            parts.append(f"{value} cores" if key == "cores" else str(value))
    batch = provenance.get("batch")
    if isinstance(batch, Mapping) and batch.get("size") != 1:
        parts.append("batched")  # its fit time is a share of a fit of many
    return ", ".join(parts) or "unknown"


def steps_of(baseline: str, overrides: Mapping[str, Any]) -> str:
    """The step-size rule of a run: its override, else the setting of the id, else ``uniform``.

    A baseline without layers has the rule ``-``.
    """
    if "steps" in overrides:
        return str(overrides["steps"])
    return _registered_steps(baseline)


@cache
def _registered_steps(baseline: str) -> str:
    if baseline not in baselines:
        return NO_STEPS
    spec = baselines.spec(baseline)
    return spec.default_steps or NO_STEPS


def latest(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Keep one run for each task, baseline, step rule, preset and seed: the one created last.

    Two source versions of one run are two answers to the same question: averaging them would count the seed twice.

    Returns:
        The frame in its order, and the number of superseded runs that were dropped.
    """
    keys = ["task", "method", "steps", "preset", "seed"]
    order = frame.sort_values("created", kind="stable")
    runs = frame.loc[frame.index.isin(order.drop_duplicates(keys, keep="last").index)]
    return runs, len(frame) - len(runs)


def changed(frame: pd.DataFrame) -> pd.Series:
    """Whether the record of each run was changed after it was written: its hash does not fit."""
    return ~frame["intact"].fillna(True).astype(bool)


def keep_intact(frame: pd.DataFrame, *, include_changed: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the runs whose records were changed after they were written, unless they are asked for.

    Returns:
        The frame without them, and a sentence that counts and names them; none where all are as they were written.
    """
    odd = changed(frame)
    if include_changed or not odd.any():
        return frame, []
    sentence = (
        f"{changed_runs(frame)} left out, since the hash of a record does not fit its content; "
        "--include-changed takes them in."
    )
    return frame[~odd], [sentence]


def changed_runs(frame: pd.DataFrame, shown: int = 5) -> str:
    """Count and name the runs whose records were changed: ``2 runs of changed records (0a1b2c3d, 4e5f6a7b)``."""
    ids = [str(run_id)[:8] for run_id in frame.loc[changed(frame), "run_id"]]
    listed = ", ".join(ids[:shown]) + ", .." * (len(ids) > shown)
    return f"{len(ids)} run{'s' * (len(ids) != 1)} of changed records ({listed})"


def status_counts(statuses: Iterable[str]) -> dict[str, int]:
    """Count runs by status, in the order of ``leakybench.record.STATUSES``; statuses without a run are left out."""
    listed = list(statuses)
    return {status: count for status in STATUSES if (count := listed.count(status))}


def select(frame: pd.DataFrame, **globs: str | None) -> pd.DataFrame:
    """Select the rows whose columns match globs: ``select(frame, task="LowRank-*", steps="adaptive")``.

    ``task`` and ``baseline`` match the label with its overrides or the id alone; ``@name`` matches the ids of a set.

    Raises:
        UsageError: a column that the frame lacks, or a glob that no row matches.
    """
    for name, glob in globs.items():
        if glob is None or frame.empty:
            continue
        if name not in frame:
            raise UsageError(f"records have no column {name!r}; columns: {', '.join(frame.columns)}")
        hits = np.zeros(len(frame), dtype=bool)
        if glob.startswith("@") and name in ("task", "baseline"):
            members = tasks.match([glob]) if name == "task" else baselines.match([glob])
            hits |= np.asarray(frame[f"{name}_id"].isin([spec.id for spec in members]))
        for column in (name, f"{name}_id"):
            if column in frame:
                # labels hold brackets, which a glob would read as a set of characters
                matches = [text == glob or fnmatch.fnmatchcase(text, glob) for text in frame[column].astype(str)]
                hits |= np.asarray(matches)
        if not hits.any():
            have = ", ".join(sorted(frame[name].astype(str).unique())[:12])
            raise UsageError(f"no record has a {name} that matches {glob!r}; there are: {have}")
        frame = frame[hits]
    return frame
