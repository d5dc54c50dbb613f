"""The runs behind a leaderboard, one typed row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from leakybench.specs import natural_key


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """What a list of runs shows of one run; a missing number is None.

    Attributes:
        run_id: id of the run.
        task: label of the task.
        method: label of the baseline without its step rule.
        steps: step rule, ``-`` for a baseline without layers.
        seed: seed of the run.
        status: how the run ended.
        score: test error under the policy of ``leakybench.analysis.scores``.
        imputed: whether the score stands in for an error that was not measured.
        alignment: measured code alignment.
        rank: measured bottleneck rank.
        true_rank: true rank of the task.
        fit_seconds: fit time.
        threads: number of threads.
        machine: machine of the run.
        changed: whether its record was changed after it was written.
    """

    run_id: str
    task: str
    method: str
    steps: str
    seed: int
    status: str
    score: float | None
    imputed: bool
    alignment: float | None
    rank: int | None
    true_rank: int | None
    fit_seconds: float | None
    threads: int | None
    machine: str
    changed: bool = False


def run_rows(frame: pd.DataFrame) -> list[RunRow]:
    """The runs of a score frame, in natural order of task, method, step rule and seed."""
    rows = [
        RunRow(
            run_id=str(row["run_id"]),
            task=str(row["task"]),
            method=str(row["method"]),
            steps=str(row["steps"]),
            seed=int(row["seed"]),
            status=str(row["status"]),
            score=_float_or_none(row["score"]),
            imputed=bool(row["imputed"]),
            alignment=_float_or_none(row["code_alignment"]),
            rank=_int_or_none(row["bottleneck_rank"]),
            true_rank=_int_or_none(row["true_rank"]),
            fit_seconds=_float_or_none(row["fit_seconds"]),
            threads=_int_or_none(row["threads"]),
            machine=str(row["machine"]),
            changed=bool(pd.notna(row["intact"]) and not row["intact"]),
        )
        for row in frame.to_dict("records")
    ]
    return sorted(
        rows, key=lambda row: [natural_key(str(part)) for part in (row.task, row.method, row.steps, row.seed)]
    )


def _int_or_none(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)


def _float_or_none(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
