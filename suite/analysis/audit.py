"""Audit a board as an exam is audited: which tasks tell methods apart, which all pass, which repeat another.

The candidates are the methods, the items are pairs of a task and a metric, the repetitions are seeds. The numbers are
those of item analysis: pass rate, intraclass correlation (the share of variance between methods), the share of pairs of
methods that are separated, redundancy between items, and the seeds that it takes to part neighbours.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.core import CoreSet, core_set
from leakybench.analysis.leaderboard import METHOD, find_yardstick
from leakybench.analysis.scope import kind_of
from leakybench.analysis.scores import latest
from leakybench.errors import UsageError
from leakybench.specs import natural_key
from leakybench.stats import holm, paired, proportion_interval
from leakybench.stats.paired import MIN_PAIRS
from leakybench.stats.reliability import intraclass_correlation, kendall, log_errors, seeds_to_separate

METRICS = {"error": "score", "alignment": "alignment"}
"""Ranked metrics with a value for each run, and their column in the score frame. Errors are compared as logarithms."""
RELIABLE = 0.8
"""Least intraclass correlation at which one run says much of a method's place [Cicchetti 1994 calls 0.75 excellent]."""
SEPARATED = 0.6
"""Least share of pairs of methods that a task of a board should separate."""
REDUNDANT = 0.95
"""Kendall's tau of the methods' order from which two tasks ask the same question."""
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Item:
    """How well one metric on one task tells methods apart.

    Attributes:
        metric: a name of ``METRICS``.
        methods: number of methods with a value.
        seeds: smallest number of seeds of a method.
        icc: intraclass correlation, the share of the variance of a run that lies between methods; None without spread.
        icc_low: lower end of its 95% interval.
        icc_high: upper end of that interval.
        separated: number of pairs of methods whose paired difference is not 0 at 95%, after Holm's correction.
        pairs: number of pairs with at least ``leakybench.stats.paired.MIN_PAIRS`` common seeds.
        seeds_needed: median over neighbours in the order of the seeds that part them with a power of 80%; None where no
            pair of neighbours differs.
    """

    metric: str
    methods: int
    seeds: int
    icc: float | None
    icc_low: float | None
    icc_high: float | None
    separated: int
    pairs: int
    seeds_needed: float | None

    @property
    def dead(self) -> bool | None:
        """Whether no pair of methods is separated; None where no pair has enough seeds to say."""
        return None if self.pairs == 0 else self.separated == 0

    @property
    def share(self) -> float | None:
        """Share of the pairs that are separated."""
        return self.separated / self.pairs if self.pairs else None


@dataclass(frozen=True, kw_only=True)
class TaskAudit:
    """The audit of one task.

    Attributes:
        task: its label.
        kind: ``open``, ``opaque`` or ``not judged``.
        items: by metric; a metric that is not defined on the task is missing.
        missed: number of runs that did not recover the rank; None where the task has none.
        judged: number of runs that could have recovered it.
        pass_low: lower end of the 95% interval of the share that recovered it.
        pass_high: upper end of that interval.
        nearest: task on which the order of the methods by error is most similar; None where there is no other.
        tau: Kendall's tau of the two orders.
        verdict: one word or two, see ``_verdict``.
    """

    task: str
    kind: str
    items: dict[str, Item]
    missed: int | None
    judged: int
    pass_low: float | None
    pass_high: float | None
    nearest: str | None
    tau: float | None
    verdict: str

    @property
    def rank_dead(self) -> bool | None:
        """Whether every judged run recovered the rank, or none did; None where none was judged."""
        return None if self.missed is None else self.missed in (0, self.judged)


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The audit of a board.

    Attributes:
        preset: preset of all runs.
        methods: number of methods.
        runs: number of runs that count.
        tasks: the audit of each task.
        core: a small set of tasks that orders the methods as all live ones do; None where there are too few tasks or
            methods.
        worse_than_mean: number of runs with a test error of 1 or more that count as having recovered the rank.
    """

    preset: str
    methods: int
    runs: int
    tasks: list[TaskAudit]
    core: CoreSet | None
    worse_than_mean: int

    @property
    def items(self) -> list[Item]:
        """Every item of a task and a metric with values."""
        return [item for task in self.tasks for item in task.items.values()]

    @property
    def reliable_share(self) -> float | None:
        """Share of the items whose intraclass correlation is at least ``RELIABLE``; None without items."""
        known = [item.icc for item in self.items if item.icc is not None]
        return float(np.mean([icc >= RELIABLE for icc in known])) if known else None

    @property
    def separated_share(self) -> float | None:
        """Share of all pairs of methods, over all items, that are separated; None where no pair has enough seeds."""
        pairs = sum(item.pairs for item in self.items)
        return sum(item.separated for item in self.items) / pairs if pairs else None

    @property
    def dead(self) -> list[tuple[str, str]]:
        """Task and metric of each dead item, the rank among the metrics."""
        found = []
        for task in self.tasks:
            found += [(task.task, name) for name, item in task.items.items() if item.dead]
            if task.rank_dead:
                found.append((task.task, "rank"))
        return found

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain JSON values, with what its properties say."""
        content = dataclasses.asdict(self)
        content |= {"reliable_share": self.reliable_share, "separated_share": self.separated_share, "dead": self.dead}
        for shown, task in zip(content["tasks"], self.tasks, strict=True):
            shown["rank_dead"] = task.rank_dead
            for name, item in task.items.items():
                shown["items"][name] |= {"dead": item.dead, "share": item.share}
        return content


def audit(frame: pd.DataFrame, *, core: int = 8) -> Audit:
    """Audit the runs of a score frame.

    Args:
        frame: runs of one preset, of ``leakybench.analysis.scores.score_frame``. The yardstick is left out.
        core: largest number of tasks of the core set.

    Raises:
        UsageError: several presets, or fewer than two methods or two seeds a method: nothing to compare.
    """
    runs, _ = latest(frame)
    presets = sorted(map(str, runs["preset"].unique()))
    if len(presets) > 1:
        raise UsageError(f"an audit is of one preset, got {', '.join(presets)}: choose with --preset")
    yardstick = find_yardstick(runs)
    runs = runs[runs["counted"] & (runs["baseline_id"] != yardstick)]
    if not enough(runs):
        raise UsageError("an audit needs at least two methods of two seeds on one task")
    means = runs.assign(score=runs["score"].clip(upper=1.0)).pivot_table(
        index="task", columns=METHOD, values="score", aggfunc="mean"
    )
    tasks = [
        _audit_task(str(task), part, means)
        for task, part in sorted(runs.groupby("task"), key=lambda item: natural_key(str(item[0])))
    ]
    live = [task.task for task in tasks if task.verdict != "dead" and not task.rank_dead]
    recovered = runs["recovered"].fillna(False).astype(bool)
    return Audit(
        preset=presets[0],
        methods=runs.groupby(METHOD).ngroups,
        runs=len(runs),
        tasks=tasks,
        core=core_set(means.loc[live], size=core),
        worse_than_mean=int((recovered & (runs["score"] >= 1.0)).sum()),
    )


def enough(runs: pd.DataFrame) -> bool:
    """Whether some task has two methods, one of them with two seeds: less cannot be audited."""
    seeds = runs.groupby(["task", *METHOD])["seed"].nunique()
    by_task = seeds.groupby("task").agg(["size", "max"]) if len(seeds) else seeds.to_frame().assign(size=0, max=0)
    return bool(((by_task["size"] >= 2) & (by_task["max"] >= 2)).any())


def _audit_task(task: str, part: pd.DataFrame, means: pd.DataFrame) -> TaskAudit:
    items = {}
    for metric, column in METRICS.items():
        known = part[part[column].notna()]
        if enough(known):
            values = known.assign(
                value=log_errors(known[column].to_numpy(float)) if metric == "error" else known[column]
            )
            items[metric] = _item(metric, values.pivot_table(index="seed", columns=METHOD, values="value"))
    judged = part["recovered"].dropna().astype(bool)
    share = proportion_interval(int(judged.sum()), len(judged)) if len(judged) else None
    nearest, tau = _nearest(task, means)
    rank_dead = len(judged) > 0 and (bool(judged.all()) or not judged.any())
    return TaskAudit(
        task=task,
        kind=kind_of(task),
        items=items,
        missed=int((~judged).sum()) if share else None,
        judged=len(judged),
        pass_low=share.low if share else None,
        pass_high=share.high if share else None,
        nearest=nearest,
        tau=tau,
        verdict=_verdict(items, rank_dead, nearest, tau),
    )


def _item(metric: str, table: pd.DataFrame) -> Item:
    """Audit values (seeds, methods), which may have gaps."""
    found = intraclass_correlation([table[name].dropna().to_numpy() for name in table])
    known = bool(np.isfinite(found.icc))
    p_values, differences = [], {}
    for first, second in itertools.combinations(table.columns, 2):
        apart = (table[first] - table[second]).dropna().to_numpy()
        differences[first, second] = differences[second, first] = apart
        if len(apart) >= MIN_PAIRS:
            p_values.append(_p_value(apart))
    order = table.mean().sort_values().index
    needed = [
        seeds_to_separate(differences[pair])
        for pair in itertools.pairwise(order)
        if len(differences[pair]) >= MIN_PAIRS
    ]
    return Item(
        metric=metric,
        methods=table.shape[1],
        seeds=int(table.notna().sum().min()),
        icc=found.icc if known else None,
        icc_low=found.low if known else None,
        icc_high=found.high if known else None,
        separated=int(np.sum(holm(p_values) < 1.0 - LEVEL)) if p_values else 0,
        pairs=len(p_values),
        seeds_needed=float(np.median(needed)) if needed and np.isfinite(np.median(needed)) else None,
    )


def _p_value(differences: np.ndarray) -> float:
    """p-value of a mean difference of 0; equal values are not apart, and a constant difference is."""
    if np.ptp(differences) == 0.0:
        return 1.0 if differences[0] == 0.0 else 0.0
    return paired([differences]).p_value


def _nearest(task: str, means: pd.DataFrame) -> tuple[str | None, float | None]:
    """The other task with the most similar order of methods by error, and Kendall's tau of the two orders."""
    best: tuple[str | None, float | None] = (None, None)
    for other in means.index:
        both = means.loc[[task, other]].dropna(axis=1)
        if other == task or both.shape[1] < 3:
            continue
        tau = float(kendall(both.loc[task].to_numpy(), both.loc[other].to_numpy()))
        if np.isfinite(tau) and (best[1] is None or tau > best[1]):
            best = str(other), tau
    return best


def _verdict(items: dict[str, Item], rank_dead: bool, nearest: str | None, tau: float | None) -> str:
    """``dead`` (no metric separates a pair), ``rank dead`` (every run has the rank, or none), ``weak`` (a reliability
    below ``RELIABLE`` or fewer pairs separated than ``SEPARATED``), ``redundant``, ``separates``; ``too few seeds``."""
    judged = [item for item in items.values() if item.dead is not None]
    if not judged:
        return "too few seeds"
    if all(item.dead for item in judged):
        return "dead"
    if rank_dead:
        return "rank dead"
    if any((item.icc or 0.0) < RELIABLE or (item.share or 0.0) < SEPARATED for item in judged):
        return "weak"
    return f"redundant with {nearest}" if tau is not None and tau >= REDUNDANT else "separates"


def names(rows: Sequence[tuple[str, str]]) -> str:
    """``task (metric), ..``"""
    return ", ".join(f"{task} ({metric})" for task, metric in rows)
