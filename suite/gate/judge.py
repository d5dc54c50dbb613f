"""Judge runs against a reference: which metric got worse or changed, by how much, and with which certainty.

A metric fails if its effect exceeds a threshold **and** chance does not explain it: Student's test, paired by task and
seed, at ``level`` after Holm's correction over all places tested. Errors and ranks fail in both directions: a result
that is suddenly better than the reference is either a leak of test data or an advance, and somebody has to decide
which. A slower fit fails, but never a faster one. Times are ratios to a yardstick that was measured together with the
runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from leakybench.analysis.scores import latest
from leakybench.errors import UsageError
from leakybench.record import FAILED
from leakybench.stats import holm, mcnemar, paired, proportion_interval

FINE, REGRESSED, MISSING = 0, 1, 3
"""Exit codes: as good as the reference; worse or changed; nothing measured, or runs failed."""
PAIR = ["task", "method", "steps", "preset", "seed"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of each run that must not change.

    Attributes:
        column: column of the score frame.
        name: name in the report.
        threshold: smallest relevant relative change (0.05: 5% in either direction).
        floor: added to both sides, so that numbers far below it count as equal.
        both: whether a decrease fails too.
    """

    column: str
    name: str
    threshold: float
    floor: float = 0.0
    both: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 10.0:
            raise UsageError(f"threshold of {self.name} must lie between 0 and 10, got {self.threshold!r}")


DEFAULT_METRICS = (
    Metric(column="score", name="test error", threshold=0.05, floor=1e-4),
    Metric(column="train_error", name="training error", threshold=0.10, floor=1e-4),
    Metric(column="training.steps_spread", name="spread of the adaptive steps", threshold=0.5, floor=1e-3),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Metrics, thresholds and level of a gate.

    Attributes:
        metrics: numbers that are compared by their ratio to the reference.
        rank: maximum share of runs that may lose or gain the true rank.
        time: maximum factor by which a fit may get slower, in units of the yardstick.
        yardstick: id of the baseline whose fit is the unit of time; None if times are not judged.
        level: significance level of the tests, after the correction.
    """

    metrics: tuple[Metric, ...] = DEFAULT_METRICS
    rank: float = 0.1
    time: float = 1.15
    yardstick: str | None = None
    level: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 <= self.rank < 1.0:
            raise UsageError(f"the threshold of the rank must lie between 0 and 1, got {self.rank!r}")
        if not self.time > 1.0:
            raise UsageError(f"the threshold of the time must be above 1, got {self.time!r}")
        if not 0.0 < self.level < 0.5:
            raise UsageError(f"level must lie between 0 and 0.5, got {self.level!r}")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One judgement.

    Attributes:
        metric: name of the metric.
        where: baseline, step rule and task.
        kind: ``fine``, ``regressed``, ``changed`` or ``failed``.
        text: the judgement in one line.
        effect: relative change, change of share, or factor; None if there is none.
        low: lower end of the interval of the effect.
        high: upper end of the interval of the effect.
        threshold: allowed effect.
    """

    metric: str
    where: str
    kind: str
    text: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All judgements on a set of runs.

    Attributes:
        lines: the judgements.
        pairs: number of pairs of runs that were compared.
        notes: remarks that do not affect the verdict.
    """

    lines: list[Line]
    pairs: int
    notes: list[str] = field(default_factory=list)

    @property
    def code(self) -> int:
        """The exit code: 1 if anything regressed or changed, else 3 if runs failed or none was compared, else 0."""
        kinds = {line.kind for line in self.lines}
        if kinds & {"regressed", "changed"}:
            return REGRESSED
        return MISSING if "failed" in kinds or not self.pairs else FINE

    @property
    def slow(self) -> bool:
        """Whether a fit time exceeds half of its allowed increase.

        It is then worth measuring again, since other load on the machine only ever adds time.
        """
        return any(
            line.metric == "time" and line.effect > 1 + (line.threshold - 1) / 2
            for line in self.lines
            if line.effect is not None and line.threshold is not None
        )


def judge(reference: pd.DataFrame, current: pd.DataFrame, settings: Settings) -> Verdict:
    """Compare two score frames of the same plan.

    Args:
        reference: the reference runs, from ``leakybench.analysis.scores.score_frame``, including the yardstick's.
        current: the new runs, likewise.
        settings: metrics and thresholds.
    """
    reference, current = latest(reference)[0], latest(current)[0]
    yardstick = settings.yardstick
    sides = [frame[frame["baseline_id"] != yardstick] if yardstick else frame for frame in (reference, current)]
    lines = list(_failures(sides[1]))
    notes = []
    together = sides[0].merge(sides[1], on=PAIR, suffixes=("_a", "_b"), how="outer", indicator=True, validate="1:1")
    both = together["_merge"] == "both"
    if (absent := together["_merge"] == "left_only").any():
        first = together[absent].iloc[0]
        text = f"{int(absent.sum())} runs of the reference are missing, such as {_place(first)} seed {first['seed']}"
        lines.append(Line(metric="runs", where="all", kind="failed", text=text))
    if (added := together["_merge"] == "right_only").any():
        notes.append(f"{int(added.sum())} runs have no reference and are not judged")
    for metric in settings.metrics:  # a column that no new run has
        if f"{metric.column}_a" not in together and metric.column in together and metric.column in sides[0]:
            together = together.rename(columns={metric.column: f"{metric.column}_a"})
            together[f"{metric.column}_b"] = np.nan
    pairs = together[both & together["counted_a"].eq(True) & together["counted_b"].eq(True)]
    lines += _statuses(pairs)
    for metric in settings.metrics:
        lines += _ratios(pairs, metric, settings.level)
    lines += _ranks(pairs, settings)
    time_lines, time_notes = _judge_times(reference, current, pairs, settings)
    lines += time_lines
    notes += time_notes
    return Verdict(lines=lines, pairs=len(pairs), notes=notes)


def _failures(current: pd.DataFrame) -> Iterator[Line]:
    for _, row in current[current["status"].isin(FAILED)].iterrows():
        text = f"{_place(row)} seed {row['seed']}: status {row['status']}: {row['message']}"
        yield Line(metric="runs", where=_place(row), kind="failed", text=text)


def _statuses(pairs: pd.DataFrame) -> Iterator[Line]:
    worse = pairs[(pairs["status_a"] == "ok") & (pairs["status_b"] != "ok")]
    for (task, method, steps), group in worse.groupby(["task", "method", "steps"]):
        where = f"{method} {steps} on {task}"
        seeds = ", ".join(map(str, sorted(group["seed"])))
        text = f"status of {where}: ok in the reference, now {group['status_b'].iloc[0]} (seed {seeds})"
        yield Line(metric="status", where=where, kind="regressed", text=text, effect=float(len(group)))


def _places(pairs: pd.DataFrame) -> Iterator[tuple[str, list[pd.DataFrame]]]:
    """Yield each baseline over all its tasks and on each single task: a name, and one frame per task."""
    for (method, steps), group in pairs.groupby(["method", "steps"]):
        tasks = [(str(task), part) for task, part in group.groupby("task")]
        name = str(method) if steps == "-" else f"{method} {steps}"
        yield name, [part for _, part in tasks]
        if len(tasks) > 1:
            yield from ((f"{name} on {task}", [part]) for task, part in tasks)


def _ratios(pairs: pd.DataFrame, metric: Metric, level: float) -> list[Line]:
    if f"{metric.column}_a" not in pairs or f"{metric.column}_b" not in pairs:
        return []
    places, logs = [], []
    lines = list(_lost(pairs, metric))
    for name, strata in _places(pairs):
        values = []
        for part in strata:
            a = pd.to_numeric(part[f"{metric.column}_a"]).to_numpy(dtype=float) + metric.floor
            b = pd.to_numeric(part[f"{metric.column}_b"]).to_numpy(dtype=float) + metric.floor
            usable = np.isfinite(a) & np.isfinite(b) & (a > 0) & (b > 0)
            values.append(np.log(b[usable]) - np.log(a[usable]))
        if any(len(value) for value in values):
            places.append(name)
            logs.append(values)
    # no guard against skewed differences: those of unchanged code are nearly 0, and a threshold complements the test
    results = [paired(values, guard=False) for values in logs]
    corrected = holm([result.p_value for result in results])
    for name, result, p_value in zip(places, results, corrected, strict=True):
        effect, low, high = (float(np.expm1(x)) for x in (result.effect, result.low, result.high))
        relevant = abs(result.effect) > np.log1p(metric.threshold)
        significant = result.pairs >= 3 and p_value < level
        kind = "fine"
        if relevant and significant:
            kind = "regressed" if effect > 0 else "changed" if metric.both else "fine"
        shown = f"{_percent(effect)} ({_percent(low)} to {_percent(high)})" if np.isfinite(low) else _percent(effect)
        text = (
            f"{metric.name} of {name}: {shown} against the reference, allowed {metric.threshold:.0%}, p = {p_value:.2g}"
        )
        if kind == "changed":
            text += "; better than the reference: either a leak, or an advance to accept with --update"
        lines.append(
            Line(
                metric=metric.name, where=name, kind=kind, text=text,
                effect=effect, low=_known(low), high=_known(high), threshold=metric.threshold,
            )
        )  # fmt: skip
    return lines


def _lost(pairs: pd.DataFrame, metric: Metric) -> Iterator[Line]:
    """Yield a judgement for each number that the reference has and the new runs do not."""
    gone = pairs[pairs[f"{metric.column}_a"].notna() & pairs[f"{metric.column}_b"].isna()]
    for (method, steps), group in gone.groupby(["method", "steps"]):
        name = str(method) if steps == "-" else f"{method} {steps}"
        text = f"{metric.name} of {name}: {len(group)} runs no longer report it"
        yield Line(metric=metric.name, where=name, kind="changed", text=text, effect=float(len(group)))


def _ranks(pairs: pd.DataFrame, settings: Settings) -> list[Line]:
    judged = pairs[pairs["recovered_a"].notna() & pairs["recovered_b"].notna()]
    rows = []
    for name, strata in _places(judged):
        part = pd.concat(strata)
        a, b = part["recovered_a"].astype(bool), part["recovered_b"].astype(bool)
        rows.append((name, int(a.sum()), int(b.sum()), len(part), mcnemar(int((a & ~b).sum()), int((~a & b).sum()))))
    corrected = holm([row[-1] for row in rows])
    lines = []
    for (name, before, now, n, raw), p_value in zip(rows, corrected, strict=True):
        effect = (now - before) / n
        # five seeds cannot reach 1% in an exact test, so a single task is decided by the place that pools the tasks
        decisive = p_value < settings.level or (raw <= 2 * 0.5**n and n >= 5 and abs(now - before) == n)
        kind = "fine"
        if abs(effect) > settings.rank and decisive:
            kind = "regressed" if effect < 0 else "changed"
        share = proportion_interval(now, n)
        text = (
            f"rank recovery of {name}: {now}/{n} runs ({share.low:.2f} to {share.high:.2f}), "
            f"{before}/{n} in the reference, allowed change {settings.rank:.0%}, p = {raw:.2g}"
        )
        lines.append(
            Line(
                metric="rank", where=name, kind=kind, text=text,
                effect=effect, low=share.low - before / n, high=share.high - before / n, threshold=settings.rank,
            )
        )  # fmt: skip
    return lines


def _judge_times(
    reference: pd.DataFrame, current: pd.DataFrame, pairs: pd.DataFrame, settings: Settings
) -> tuple[list[Line], list[str]]:
    if settings.yardstick is None:
        return [], ["times are not judged, because there is no yardstick"]
    units = [_units(frame, settings.yardstick) for frame in (reference, current)]
    if not all(units):
        return [], [f"times are not judged, because one side has no run of the yardstick {settings.yardstick}"]
    ended = pairs[(pairs["status_a"] == "ok") & (pairs["status_b"] == "ok")]
    # a time is judged in units of its own device, against a time of the same device
    shared = set.intersection(*({device for device, _, _ in unit} for unit in units))
    alike = (ended["device_a"] == ended["device_b"]) & ended["device_a"].isin(shared)
    notes = []
    if left_out := int((~alike).sum()):
        reason = "their device differs from that of the reference, or has no run of the yardstick"
        notes.append(f"times of {left_out} runs are not judged: {reason}")
    ended = ended[alike]
    limit = float(np.log(settings.time))
    rows = []
    for (method, steps), group in ended.groupby(["method", "steps"]):
        strata = []
        for _, part in group.groupby("task"):
            before = _in_units(part, "a", units[0])
            now = _in_units(part, "b", units[1])
            usable = np.isfinite(before) & np.isfinite(now)
            strata.append(now[usable] - before[usable])
        if any(len(stratum) for stratum in strata):
            name = str(method) if steps == "-" else f"{method} {steps}"
            rows.append((name, paired(strata, guard=False)))
    corrected = holm([result.p_value for _, result in rows])
    lines = []
    for (name, result), p_value in zip(rows, corrected, strict=True):
        factor, low, high = (float(np.exp(x)) for x in (result.effect, result.low, result.high))
        slow = result.effect > limit and result.pairs >= 3 and p_value < settings.level
        shown = f"{factor:.2f} ({low:.2f} to {high:.2f})" if np.isfinite(low) else f"{factor:.2f}"
        text = (
            f"fit time of {name}, in units of {settings.yardstick}: {shown} times the reference, "
            f"allowed {settings.time:.2f}, p = {p_value:.2g}"
        )
        kind = "regressed" if slow else "fine"
        lines.append(
            Line(
                metric="time", where=name, kind=kind, text=text,
                effect=factor, low=_known(low), high=_known(high), threshold=settings.time,
            )
        )  # fmt: skip
    return lines, notes


def _units(frame: pd.DataFrame, yardstick: str) -> Mapping[tuple[str, str, int], float]:
    """Return the logarithm of the yardstick's fit time in seconds, by device, task and seed."""
    runs = frame[(frame["baseline_id"] == yardstick) & (frame["status"] == "ok") & (frame["fit_seconds"] > 0)]
    return {
        (str(device), str(task), int(seed)): float(np.log(seconds))
        for device, task, seed, seconds in zip(
            runs["device"], runs["task"], runs["seed"], runs["fit_seconds"], strict=True
        )
    }


def _in_units(part: pd.DataFrame, side: str, units: Mapping[tuple[str, str, int], float]) -> np.ndarray:
    """Return the logarithm of each fit time in units of the yardstick on the same device, task and seed.

    Where that run of the yardstick is missing, the unit is the median of its runs on the device.
    """
    seconds = part[f"fit_seconds_{side}"].to_numpy(dtype=float)
    devices = part[f"device_{side}"].astype(str)
    usual = {name: float(np.median([unit for key, unit in units.items() if key[0] == name])) for name in set(devices)}
    keys = [(d, str(t), int(s)) for d, t, s in zip(devices, part["task"], part["seed"], strict=True)]
    unit = [units.get(key, usual[key[0]]) for key in keys]
    with np.errstate(divide="ignore", invalid="ignore"):  # a run without a time becomes nan and is excluded
        return np.log(seconds) - np.asarray(unit)


def fastest(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the last of several measurements of the same runs, with the shortest fit time of each run.

    The shortest time is the best estimate, since other load on the machine only adds time.
    """
    last = frames[-1].copy()
    shortest = pd.concat(frames).groupby("run_id")["fit_seconds"].min()
    last["fit_seconds"] = last["run_id"].map(shortest)
    return last


def _percent(value: float) -> str:
    return f"{100 * value:+.1f}%" if abs(value) < 10 else f"x{1 + value:.3g}"


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _place(row: Any) -> str:
    steps = "" if row["steps"] == "-" else f" {row['steps']}"
    return f"{row['method']}{steps} on {row['task']}"
