"""Audit a board as an exam is audited: which tasks tell methods apart, which all pass, which repeat another.

The candidates are the methods, the items are pairs of a task and a metric, the repetitions are seeds. The numbers are
those of item analysis: pass rate, intraclass correlation (the share of variance between methods), the share of pairs of
methods that are separated, redundancy between items, and the seeds that it takes to part neighbours.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from leakybench.analysis.audit_items import COLUMNS, RANK, Item, audit_item, family
from leakybench.analysis.core import CoreSet, core_set
from leakybench.analysis.leaderboard import METHOD, find_yardstick
from leakybench.analysis.scope import kind_of
from leakybench.analysis.scores import CAP, changed, changed_runs, keep_intact, latest
from leakybench.errors import UsageError
from leakybench.specs import natural_key
from leakybench.stats import proportion_interval

METRICS = ("error", "alignment")
"""Ranked metrics with a value for each run."""
RELIABLE = 0.8
"""Least intraclass correlation at which one run says much of a method's place [Cicchetti 1994 calls 0.75 excellent]."""
SEPARATED = 0.6
"""Least share of pairs of families that a task of a board should separate."""
REDUNDANT = 0.95
"""Kendall's tau of the methods' order from which two tasks ask the same question."""
MIN_SHARED = 3
"""Smallest number of methods whose orders on two tasks are compared."""
MEAN = "Mean"
"""Family that predicts the mean: its error is 1 by definition, so that it is no candidate. It would be separated from
nearly everyone, and its distance to the others would pass for reliability."""


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How alike two tasks order the methods that ran both, by the mean of a metric.

    Attributes:
        metric: ``error`` or ``alignment``.
        task: label of the one task.
        other: label of the other.
        methods: number of methods that have values on both.
        kendall: Kendall's tau-b of the two orders.
        spearman: Spearman's rank correlation.
    """

    metric: str
    task: str
    other: str
    methods: int
    kendall: float
    spearman: float


@dataclass(frozen=True, kw_only=True)
class TaskAudit:
    """The audit of one task.

    Attributes:
        task: its label.
        kind: ``open``, ``opaque`` or ``not judged``.
        items: by metric, of ``METRICS``; a metric that is not defined on the task is missing.
        rank: the recovered rank as an item; None where the task has none or fewer than two methods measure it.
        missed: number of runs that did not recover the rank; None where the task has none.
        judged: number of runs that could have recovered it, of the methods that measure ranks.
        pass_low: lower end of the 95% interval of the share that recovered it.
        pass_high: upper end of that interval.
        nearest: task on which the order of the methods by error is most similar; None where there is no other.
        tau: Kendall's tau of the two orders.
        verdict: one word or a few, see ``verdict``.
    """

    task: str
    kind: str
    items: dict[str, Item]
    rank: Item | None
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

    @property
    def live(self) -> bool:
        """Whether the task can be of a core set: not dead, and its rank neither."""
        return self.verdict != "dead" and not self.rank_dead


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The audit of a board.

    Attributes:
        preset: preset of all runs.
        methods: number of methods.
        families: number of families, see ``leakybench.analysis.audit_items.family``.
        runs: number of runs that count.
        left_out: labels of the references that are no candidates: the yardstick and the mean.
        tasks: the audit of each task.
        similarity: every two tasks, for each metric.
        core: a small set of live tasks that orders the methods as all tasks do; None where there are too few tasks or
            methods.
        worse_than_mean: number of runs with a test error of 1 or more that count as having recovered the rank.
        notes: what a reader must know of the runs.
    """

    preset: str
    methods: int
    families: int
    runs: int
    left_out: list[str]
    tasks: list[TaskAudit]
    similarity: list[Similarity]
    core: CoreSet | None
    worse_than_mean: int
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def items(self) -> list[Item]:
        """Every item of a task and a metric of ``METRICS`` with values."""
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
    def family_share(self) -> float | None:
        """Share of all pairs of families, over all items, that are separated; None where none has enough seeds."""
        pairs = sum(item.family_pairs for item in self.items)
        return sum(item.families_separated for item in self.items) / pairs if pairs else None

    @property
    def dead(self) -> list[tuple[str, str]]:
        """Task and metric of each dead item, the rank among the metrics."""
        found = []
        for task in self.tasks:
            found += [(task.task, name) for name, item in task.items.items() if item.dead]
            if task.rank_dead:
                found.append((task.task, RANK))
        return found

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain JSON values, with what its properties say."""
        content = dataclasses.asdict(self)
        content |= {
            "reliable_share": self.reliable_share,
            "separated_share": self.separated_share,
            "family_share": self.family_share,
            "dead": self.dead,
        }
        for shown, task in zip(content["tasks"], self.tasks, strict=True):
            shown["rank_dead"] = task.rank_dead
            ours = [(shown["items"][name], item) for name, item in task.items.items()]
            ours += [(shown["rank"], task.rank)] if task.rank is not None else []
            for values, item in ours:
                values |= {"dead": item.dead, "share": item.share, "family_share": item.family_share}
        return content


def candidates(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The runs that an audit is about: the newest of each seed that count, without the yardstick and the mean.

    Returns:
        The runs, and the labels of the baselines that are left out.
    """
    runs, _ = latest(frame)
    runs = runs[runs["counted"]]
    if runs.empty:
        return runs, []
    reference = (runs["baseline_id"] == find_yardstick(runs)) | (runs["baseline_id"].map(family) == MEAN)
    return runs[~reference], sorted(map(str, runs.loc[reference, "baseline"].unique()), key=natural_key)


def enough(runs: pd.DataFrame) -> bool:
    """Whether some task has two methods, one of them with two seeds: less cannot be audited."""
    seeds = runs.groupby(["task", *METHOD])["seed"].nunique()
    by_task = seeds.groupby("task").agg(["size", "max"]) if len(seeds) else seeds.to_frame().assign(size=0, max=0)
    return bool(((by_task["size"] >= 2) & (by_task["max"] >= 2)).any())


def audit(frame: pd.DataFrame, *, core: int = 8, include_changed: bool = False) -> Audit:
    """Audit the runs of a score frame.

    Args:
        frame: runs of one preset, of ``leakybench.analysis.scores.score_frame``. The yardstick and the mean are left
            out.
        core: largest number of tasks of the core set.
        include_changed: whether runs count whose records were changed after they were written.

    Raises:
        UsageError: several presets, or fewer than two methods or two seeds a method: nothing to compare.
    """
    presets = sorted(map(str, frame["preset"].unique()))
    if len(presets) > 1:
        raise UsageError(f"an audit is of one preset, got {', '.join(presets)}: choose with --preset")
    frame, notes = keep_intact(frame, include_changed=include_changed)
    if changed(frame).any():
        notes = [f"{changed_runs(frame)} are counted: the hash of a record does not fit its content."]
    runs, left_out = candidates(frame)
    if not enough(runs):
        raise UsageError("an audit needs at least two methods of two seeds on one task")
    means = _means(runs, "error")
    similarity = [*_similarities("error", means), *_similarities("alignment", _means(runs, "alignment"))]
    tasks: list[TaskAudit] = []
    for task, part in sorted(runs.groupby("task"), key=lambda item: natural_key(str(item[0]))):
        # of tasks that ask the same question, the first one stays
        original = [earlier.task for earlier in tasks if earlier.verdict == "separates"]
        tasks.append(_audit_task(str(task), part, similarity, original))
    recovered = runs["recovered"].fillna(False).astype(bool)
    return Audit(
        preset=presets[0],
        methods=runs.groupby(METHOD).ngroups,
        families=runs["baseline_id"].map(family).nunique(),
        runs=len(runs),
        left_out=left_out,
        tasks=tasks,
        similarity=similarity,
        core=core_set(means, size=core, candidates=[task.task for task in tasks if task.live]),
        worse_than_mean=int((recovered & (runs["score"] >= CAP)).sum()),
        notes=notes,
    )


def _means(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean of a metric over seeds, (tasks, methods), errors at most 1; tasks without values are missing."""
    values = runs[COLUMNS[metric]]
    known = runs.assign(value=values.clip(upper=CAP) if metric == "error" else values).dropna(subset=["value"])
    return known.pivot_table(index="task", columns=METHOD, values="value", aggfunc="mean")


def _similarities(metric: str, means: pd.DataFrame) -> list[Similarity]:
    found = []
    order = sorted(map(str, means.index), key=natural_key)
    table = means.reindex(order).to_numpy(dtype=float)
    for first, second in itertools.combinations(range(len(order)), 2):
        both = np.isfinite(table[first]) & np.isfinite(table[second])
        if both.sum() < MIN_SHARED:
            continue
        one, other = table[first, both], table[second, both]
        tau = float(stats.kendalltau(one, other).statistic)
        if np.isfinite(tau):
            rho = float(np.corrcoef(stats.rankdata(one), stats.rankdata(other))[0, 1])
            found.append(
                Similarity(
                    metric=metric,
                    task=order[first],
                    other=order[second],
                    methods=int(both.sum()),
                    kendall=tau,
                    spearman=rho,
                )
            )
    return found


def _audit_task(task: str, part: pd.DataFrame, similarity: Sequence[Similarity], original: Sequence[str]) -> TaskAudit:
    items = {
        metric: audit_item(metric, known) for metric in METRICS if enough(known := part[part[COLUMNS[metric]].notna()])
    }
    judged = _judged(part)
    passed = int(judged["recovered"].sum())
    share = proportion_interval(passed, len(judged)) if len(judged) else None
    near = [pair for pair in similarity if pair.metric == "error" and task in (pair.task, pair.other)]
    nearest = max(near, key=lambda pair: pair.kendall, default=None)
    rank_dead = bool(len(judged)) and passed in (0, len(judged))
    return TaskAudit(
        task=task,
        kind=kind_of(task),
        items=items,
        rank=audit_item(RANK, judged) if enough(judged) else None,
        missed=len(judged) - passed if share else None,
        judged=len(judged),
        pass_low=share.low if share else None,
        pass_high=share.high if share else None,
        nearest=(nearest.other if nearest.task == task else nearest.task) if nearest else None,
        tau=nearest.kendall if nearest else None,
        verdict=verdict(items, rank_dead, _repeats(task, similarity, original)),
    )


def _judged(part: pd.DataFrame) -> pd.DataFrame:
    """The runs of a task that could have recovered its rank: of methods that measure ranks, or that never ended ok."""
    measured = part["bottleneck_rank"].notna() & (part["status"] == "ok")
    method = [part["method"], part["steps"]]
    able = measured.groupby(method).transform("any") | ~(part["status"] == "ok").groupby(method).transform("any")
    judged = part[part["true_rank"].notna() & able]
    return judged.assign(recovered=judged["recovered"].fillna(False).astype(bool))


def _repeats(task: str, similarity: Iterable[Similarity], original: Sequence[str]) -> str | None:
    """The first of the tasks ``original`` that orders the methods as ``task`` does, by each metric that both have."""
    taus: dict[str, list[float]] = {}
    for pair in similarity:
        if task in (pair.task, pair.other):
            taus.setdefault(pair.other if pair.task == task else pair.task, []).append(pair.kendall)
    return next((other for other in original if other in taus and min(taus[other]) >= REDUNDANT), None)


def verdict(items: dict[str, Item], rank_dead: bool, repeats: str | None) -> str:
    """Judge a task in a word or two.

    Returns:
        ``too few seeds`` (no pair of methods has enough), ``dead`` (no metric separates methods), ``rank dead`` (every
        run has the rank, or none has), ``weak`` (of some metric, an intraclass correlation below ``RELIABLE``, or fewer
        pairs of families separated than ``SEPARATED``), ``redundant with X`` (an earlier task that separates has the
        same order of methods), or ``separates``. The first that applies.
    """
    judged = [item for item in items.values() if item.dead is not None]
    if not judged:
        return "too few seeds"
    if all(item.dead for item in judged):
        return "dead"
    if rank_dead:
        return "rank dead"
    if any((item.icc or 0.0) < RELIABLE or _share(item) < SEPARATED for item in judged):
        return "weak"
    return f"redundant with {repeats}" if repeats else "separates"


def _share(item: Item) -> float:
    """Share of the pairs of families that are separated; of methods, where all are of one family."""
    share = item.share if item.family_share is None else item.family_share
    return share or 0.0


def names(rows: Sequence[tuple[str, str]]) -> str:
    """``task (metric), ..``"""
    return ", ".join(f"{task} ({metric})" for task, metric in rows)
