"""Judge fit times as ratios to a yardstick that was timed beside them, on the same device, task and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from leakybench.gate.effects import Decision, Effect, decide, effect_of
from leakybench.gate.quantities import ending, known, method_of
from leakybench.gate.settings import Settings
from leakybench.gate.verdict import IMPROVED, TIME, Line, not_measured

Units = Mapping[tuple[str, str, int], float]


def judge_times(
    reference: pd.DataFrame, current: pd.DataFrame, pairs: pd.DataFrame, settings: Settings
) -> tuple[list[Line], list[str]]:
    """Judge the fit times of pairs of runs.

    Args:
        reference: score frame of the reference, including the yardstick's runs.
        current: score frame of the new runs, likewise.
        pairs: the merged frame of both.
        settings: threshold and yardstick.

    Returns:
        Judgements, one for each baseline over all its tasks, and remarks.
    """
    yardstick, limit = settings.yardstick, settings.time
    if limit is None:
        return [], ["times are not judged, because the settings allow any time"]
    if yardstick is None:
        return [], ["times are not judged, because there is no yardstick"]
    units = [_units(frame, yardstick) for frame in (reference, current)]
    if not all(units):
        side = "the reference has" if not units[0] else "the new runs have"
        return not_measured([f"times: {side} no run of the yardstick {yardstick}"], metric=TIME), []
    ended = pairs[(pairs["status_a"] == "ok") & (pairs["status_b"] == "ok")]
    # a time is judged in units of its own device, against a time of the same device
    shared = set.intersection(*({device for device, _, _ in unit} for unit in units))
    alike = (ended["device_a"] == ended["device_b"]) & ended["device_a"].isin(shared)
    lines = []
    if left_out := int((~alike).sum()):
        reason = "their device differs from that of the reference, or has no run of the yardstick"
        lines += not_measured([f"times of {left_out} runs are not judged: {reason}"], metric=TIME)
    before, now = (_in_units(ended[alike], side, unit, settings) for side, unit in zip("ab", units, strict=True))
    logs = ended[alike].assign(before=before, change=now - before)
    if untimed := int(logs["change"].isna().sum()):
        reason = "they, or the yardstick on their task and seed, have no time"
        lines += not_measured([f"times of {untimed} runs are not judged: {reason}"], metric=TIME)
    names, effects = [], []
    for (method, steps), group in logs.dropna(subset=["change"]).groupby(["method", "steps"]):
        strata = [part for _, part in group.groupby("task")]
        names.append(method_of(method, steps))
        effects.append(effect_of(*([part[column].to_numpy() for part in strata] for column in ("change", "before"))))
    decisions = decide(effects, float(np.log(limit)), level=settings.level, better=False)
    machines = _other_machine(ended)
    judged = zip(names, effects, decisions, strict=True)
    return lines + [_line(*item, yardstick, limit, machines) for item in judged], []


def _line(name: str, effect: Effect, decision: Decision, yardstick: str, limit: float, machines: str) -> Line:
    factor, low, high = (float(np.exp(x)) for x in (effect.size, effect.low, effect.high))
    shown = f"{factor:.2f} ({low:.2f} to {high:.2f})" if np.isfinite(low) else f"{factor:.2f}"
    text = f"fit time of {name}, in units of {yardstick}: {shown} times the reference, allowed {limit:.2f}"
    detects = None if decision.detects is None else float(np.exp(decision.detects))
    text += ending(effect, decision, None if detects is None else f"a factor of {detects:.2f}") + machines
    return Line(
        metric=TIME, where=name, kind=decision.kind, text=text, effect=factor, low=known(low), high=known(high),
        threshold=limit, detects=detects, pairs=effect.pairs, accepted=decision.kind == IMPROVED,
    )  # fmt: skip


def _other_machine(pairs: pd.DataFrame) -> str:
    """Say that the reference was timed on another machine, where it was."""
    differ = pairs["machine_a"] != pairs["machine_b"]
    if not differ.any():
        return ""
    first = pairs[differ].iloc[0]
    return f"; the reference was timed on another machine ({first['machine_a']}; here {first['machine_b']})"


def _units(frame: pd.DataFrame, yardstick: str) -> Units:
    """Return the logarithm of the yardstick's fit time in seconds, by device, task and seed."""
    runs = frame[(frame["baseline_id"] == yardstick) & (frame["status"] == "ok") & (frame["fit_seconds"] > 0)]
    columns = (runs[name] for name in ("device", "task", "seed", "fit_seconds"))
    return {
        (str(device), str(task), int(seed)): float(np.log(seconds))
        for device, task, seed, seconds in zip(*columns, strict=True)
    }


def _in_units(part: pd.DataFrame, side: str, units: Units, settings: Settings) -> np.ndarray:
    """Return the logarithm of each fit time in units of the yardstick on the same device, task and seed; nan where one
    of the two is missing."""
    seconds = part[f"fit_seconds_{side}"].to_numpy(dtype=float)
    keys = zip(part[f"device_{side}"], part["task"], part["seed"], strict=True)
    unit = np.asarray([units.get((str(device), str(task), int(seed)), np.nan) for device, task, seed in keys])
    usable = np.where(np.isfinite(seconds) & (seconds > 0), seconds, np.nan)
    ratio = np.log(usable) - unit
    return np.maximum(ratio, np.log(settings.time_floor)) if settings.time_floor else ratio


def fastest(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the last of several measurements of the same runs, with the shortest fit time of each run.

    The shortest time is the best estimate, since other load on the machine only adds time.
    """
    last = frames[-1].copy()
    shortest = pd.concat(frames).groupby("run_id")["fit_seconds"].min()
    last["fit_seconds"] = last["run_id"].map(shortest)
    return last
