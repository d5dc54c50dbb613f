"""The folder of the regression gate: plan, thresholds, history and reference runs.

``DIR/gate/plan.toml`` is a plan file as for ``leakybench run --plan``, ``gate.json`` holds the thresholds, the
yardstick and the history of updates with their reasons, and ``runs/`` holds the records.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from leakybench import provenance
from leakybench.analysis.scores import score_frame
from leakybench.atomic import write_atomic
from leakybench.engines import Job, make_engine
from leakybench.errors import UsageError
from leakybench.gate.judge import DEFAULT_METRICS, Metric, Settings, Verdict, fastest, judge
from leakybench.record import FAILED, Record
from leakybench.store import Store
from leakybench.sweeps.plan_file import make_grid, read_plan_file

FOLDER = "gate"
PLAN, CONFIG, RUNS = "plan.toml", "gate.json", "runs"
GRID_DEFAULTS: dict[str, Any] = {"steps": None, "seeds": "0:5", "preset": "smoke"}
ROUNDS = 5
"""Number of measurements of which the shortest fit times count: always for a reference, and for a slow check."""

RunJobs = Callable[[Sequence[Job]], list[Record]]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The content of a reference folder.

    Attributes:
        folder: ``DIR/gate``.
        settings: thresholds and yardstick.
        history: the updates in order of time, each with reason, date, commit and source versions.
    """

    folder: Path
    settings: Settings
    history: list[dict[str, Any]] = field(default_factory=list)

    def records(self) -> list[Record]:
        """Read the reference runs."""
        return list(Store(self.folder / RUNS, set_aside=False))


def load_gate(reference: Path) -> Gate:
    """Read ``reference/gate``.

    Raises:
        UsageError: the folder does not exist, or its files cannot be read.
    """
    folder = reference / FOLDER
    path = folder / CONFIG
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{str(reference)!r} holds no reference for the gate: create one with "
            "'leakybench regress --update --plan FILE.toml --reason TEXT'"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{str(path)!r} is not valid JSON: {error}") from None
    return Gate(folder=folder, settings=load_settings(data, path), history=list(data.get("history", [])))


def load_settings(data: Any, path: Path) -> Settings:
    """Parse the thresholds in the plain values of ``gate.json``.

    Raises:
        UsageError: a name is unknown, or a value is wrong.
    """
    try:
        values = dict(data.get("settings", {}))
        metrics = values.pop("metrics", None)
        if metrics is not None:
            values["metrics"] = tuple(Metric(**metric) for metric in metrics)
        return Settings(**values)
    except UsageError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"the settings in {str(path)!r} cannot be read: {error}") from None


def gate_jobs(plan: Path, yardstick: str | None) -> list[Job]:
    """List the runs of a plan file by seed and task, each group preceded by the run of the yardstick on each device
    that the group uses."""
    from leakybench.registry import baselines

    _, grids = read_plan_file(plan)
    jobs: dict[str, Job] = {}
    for grid in grids:
        chosen = make_grid({**GRID_DEFAULTS, **grid})
        listed = chosen.jobs()
        jobs.update((job.run.run_id, job) for job in listed)
        if yardstick is not None:
            baselines.spec(yardstick)
            unit = dataclasses.replace(chosen, baselines=[yardstick], baseline_settings=(), steps=())
            for device in sorted({job.device for job in listed}):
                units = dataclasses.replace(unit, device=device).jobs()
                jobs.update((job.run.run_id, job) for job in units)
    return sorted(jobs.values(), key=lambda job: (job.run.seed, job.run.task_label, job.run.baseline != yardstick))


def run_jobs(jobs: Sequence[Job], *, timeout: float = 1800.0) -> list[Record]:
    """Compute runs in the given order in one worker with one thread, so that times are comparable.

    One run of each baseline is computed first and discarded, since imports and first memory accesses are not part of a
    fit.

    Args:
        jobs: the runs.
        timeout: time limit of each run in seconds.

    Raises:
        UsageError: a run is to be computed on a GPU, and torch finds none.
    """
    from leakybench.engines.environment import one_card
    from leakybench.engines.limits import Limits

    warmup = list({(job.run.baseline, job.device): job for job in reversed(jobs)}.values())
    device = max((job.device for job in jobs), default="cpu")  # "cuda" where any run needs it
    with (
        one_card(device),
        make_engine("local", workers=1, threads=1, limits=Limits(timeout=timeout)) as engine,
    ):
        for _ in engine.map(iter(warmup)):
            pass
        records = {outcome.record.run_id: outcome.record for outcome in engine.map(iter(jobs))}
    return [records[job.run.run_id] for job in jobs if job.run.run_id in records]


def check(gate: Gate, runner: RunJobs = run_jobs) -> tuple[Verdict, pd.DataFrame]:
    """Run the plan and judge the runs.

    If a fit looks slow, the plan is measured up to four more times and judged by the shortest fit times.

    Args:
        gate: the reference.
        runner: function that computes the runs.

    Returns:
        The verdict, and the score frame of the runs.
    """
    jobs = gate_jobs(gate.folder / PLAN, gate.settings.yardstick)
    reference = score_frame(gate.records())
    frames = [score_frame(runner(jobs))]
    verdict = judge(reference, frames[0], gate.settings)
    while verdict.slow and len(frames) < ROUNDS:
        frames.append(score_frame(runner(jobs)))
        verdict = judge(reference, fastest(frames), gate.settings)
    return verdict, fastest(frames)


def update(
    reference: Path, reason: str, *, plan: Path | None = None, yardstick: str | None = None, runner: RunJobs = run_jobs
) -> list[Record]:
    """Measure the plan and make the runs the reference. Earlier runs are replaced; the history is kept.

    Args:
        reference: folder that holds ``gate/``; it is created if necessary.
        reason: why the reference changes, for the history.
        plan: a new plan file; None keeps the present one.
        yardstick: id of the baseline whose fit is the unit of time; None keeps the present one.
        runner: function that computes the runs.

    Returns:
        The records of the new reference.

    Raises:
        UsageError: there is no reason or no plan, or a run failed.
    """
    if not reason.strip():
        raise UsageError("--update requires a --reason: one sentence that explains why the reference changes")
    folder = reference / FOLDER
    if (folder / CONFIG).exists():
        gate = load_gate(reference)
    else:
        gate = Gate(folder=folder, settings=Settings(metrics=DEFAULT_METRICS))
    source = plan or folder / PLAN
    if not source.is_file():
        raise UsageError(f"there is no plan file {str(source)!r}: choose one with --plan FILE.toml")
    settings = dataclasses.replace(gate.settings, yardstick=yardstick or gate.settings.yardstick)
    jobs = gate_jobs(source, settings.yardstick)
    rounds = [runner(jobs) for _ in range(ROUNDS if settings.yardstick else 1)]
    if failed := [record for record in rounds[-1] if record.status in FAILED]:
        first = failed[0]
        raise UsageError(
            f"{len(failed)} runs failed, so they cannot be a reference: {first.run.task_label} x "
            f"{first.run.baseline_label} seed {first.run.seed}: {first.message}"
        )
    records = _shortest(rounds)
    folder.mkdir(parents=True, exist_ok=True)
    _replace_runs(folder, records)
    if source != folder / PLAN:
        write_atomic(folder / PLAN, source.read_bytes())
    entry = {
        "reason": reason.strip(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": provenance.commit(),
        "sources": sorted({record.run.source for record in records}),
        "runs": len(records),
    }
    content = {"settings": dataclasses.asdict(settings), "history": [*gate.history, entry]}
    write_atomic(folder / CONFIG, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    return records


def _shortest(rounds: Sequence[Sequence[Record]]) -> list[Record]:
    """Return the records of the last round, each with the shortest fit time of all rounds."""
    fits: dict[str, list[float]] = {}
    for record in (record for records in rounds for record in records):
        fits.setdefault(record.run_id, []).append(float(record.wall_clock.get("fit") or 0.0))
    return [
        dataclasses.replace(record, wall_clock={**record.wall_clock, "fit": min(fits[record.run_id])})
        for record in rounds[-1]
    ]


def _replace_runs(folder: Path, records: Sequence[Record]) -> None:
    """Write the new runs beside the old ones and swap them, so that an interruption leaves a complete reference."""
    fresh = folder / f".{RUNS}-{secrets.token_hex(4)}"
    store = Store(fresh)
    store.prepare()
    for record in records:
        # a reference is committed without arrays, which no verdict uses
        store.write(dataclasses.replace(record, arrays={}))
    old = folder / RUNS
    if old.exists():
        retired = folder / f".{RUNS}-old-{secrets.token_hex(4)}"
        os.replace(old, retired)
        os.replace(fresh, old)
        shutil.rmtree(retired)
    else:
        os.replace(fresh, old)
