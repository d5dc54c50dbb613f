"""The folder of the regression gate: plan, thresholds, history and reference runs.

``DIR/gate/plan.toml`` is a plan file as for ``leakybench run --plan``, ``gate.json`` holds the thresholds, the
yardstick and the history of updates with their reasons, and ``runs/`` holds the records.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
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
from leakybench.gate.judge import judge
from leakybench.gate.settings import DEFAULT_METRICS, Metric, Settings
from leakybench.gate.stored import read_runs, write_runs
from leakybench.gate.times import fastest
from leakybench.gate.verdict import Verdict, not_measured
from leakybench.record import FAILED, Record, RunSpec
from leakybench.sweeps.plan_file import make_grid, read_plan_file

FOLDER = "gate"
PLAN, CONFIG, RUNS = "plan.toml", "gate.json", "runs"
GRID_DEFAULTS: dict[str, Any] = {"steps": None, "seeds": "0:5", "preset": "smoke"}
ROUNDS = 5
"""Number of measurements of which the shortest fit times count: always for a reference, and for a slow check."""
MAX_ROUNDS = 12
"""Largest number of measurements while a time is undecided."""
BUDGET = 180.0
"""Seconds after which no measurement is repeated."""

RunJobs = Callable[[Sequence[Job]], list[Record]]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The content of a reference folder.

    Attributes:
        folder: ``DIR/gate``.
        settings: thresholds and yardstick.
        history: the updates in order of time, each with reason, date, commit and source versions.
        hashes: hash of each reference run by its id; None for a reference that is older than these.
    """

    folder: Path
    settings: Settings
    history: list[dict[str, Any]] = field(default_factory=list)
    hashes: Mapping[str, str] | None = None

    def read(self) -> tuple[list[Record], list[str]]:
        """Read the reference runs; return those that can be used, and one line for each file that cannot."""
        count = self.history[-1].get("runs") if self.history else None
        return read_runs(self.folder / RUNS, self.hashes, count if isinstance(count, int) else None)


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
    settings, history, hashes = load_settings(data, path), data.get("history", []), data.get("records")
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise UsageError(f"the history in {str(path)!r} must be a list of updates: restore the file")
    if hashes is not None and not isinstance(hashes, dict):
        raise UsageError(f"the records in {str(path)!r} must map run ids to hashes: restore the file")
    return Gate(folder=folder, settings=settings, history=history, hashes=hashes)


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


def missing_pairs(records: Sequence[Record], jobs: Sequence[Job]) -> list[str]:
    """Compare the runs of a reference with those of its plan, before any is computed; return one line a difference."""
    stored, planned = ({_place(run) for run in runs} for runs in ([r.run for r in records], [j.run for j in jobs]))
    lines = []
    for places, reason in ((planned - stored, "is in the plan and has no reference"),
                           (stored - planned, "is in the reference and not in the plan")):  # fmt: skip
        lines += [
            f"{baseline} on {task} seed {seed} ({preset}) {reason}" for task, baseline, preset, seed in sorted(places)
        ]
    return lines


def _place(run: RunSpec) -> tuple[str, str, str, int]:
    return run.task_label, run.baseline_label, run.preset, run.seed


def check(gate: Gate, runner: RunJobs = run_jobs, *, budget: float = BUDGET) -> tuple[Verdict, pd.DataFrame]:
    """Run the plan and judge the runs; an incomplete reference is reported before anything is computed.

    Args:
        gate: the reference.
        runner: function that computes the runs.
        budget: seconds after which an undecided time is not measured again, see ``measure``.

    Returns:
        The verdict, and the score frame of the runs.
    """
    records, problems = gate.read()
    jobs = gate_jobs(gate.folder / PLAN, gate.settings.timed_by)
    if gate.settings.timed_by is None:  # its yardstick may have been timed all the same
        records = [record for record in records if record.run.baseline != gate.settings.yardstick]
    if problems := problems or missing_pairs(records, jobs):
        return Verdict(lines=not_measured(problems), pairs=0, rounds=0), score_frame([])
    return measure(score_frame(records), lambda: runner(jobs), gate.settings, budget=budget)


def measure(
    reference: pd.DataFrame, runner: Callable[[], Sequence[Record]], settings: Settings, *, budget: float
) -> tuple[Verdict, pd.DataFrame]:
    """Measure the runs and judge them by the shortest fit times, again and again while a time is not settled.

    A slow time counts after ``ROUNDS`` measurements, as many as its reference had, since other load only ever adds
    time. An undecided one is measured up to ``MAX_ROUNDS`` times. Neither goes on where the next measurement would
    exceed the budget, or where another number than a time decides the verdict anyway.

    Args:
        reference: score frame of the reference.
        runner: function that computes the runs.
        settings: thresholds and yardstick.
        budget: seconds.

    Returns:
        The verdict, and the score frame of the runs.
    """
    start = time.monotonic()
    frames: list[pd.DataFrame] = []
    while True:
        frames.append(score_frame(runner()))
        verdict = dataclasses.replace(judge(reference, fastest(frames), settings), rounds=len(frames))
        spent = time.monotonic() - start
        wanted = 1 if verdict.stopped else MAX_ROUNDS if verdict.undecided_time else ROUNDS if verdict.slow else 1
        if len(frames) >= wanted or spent * (1 + 1 / len(frames)) > budget:
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
    jobs = gate_jobs(source, settings.timed_by)
    rounds = [runner(jobs) for _ in range(ROUNDS if settings.timed_by else 1)]
    if failed := [record for record in rounds[-1] if record.status in FAILED]:
        first = failed[0]
        raise UsageError(
            f"{len(failed)} runs failed, so they cannot be a reference: {first.run.task_label} x "
            f"{first.run.baseline_label} seed {first.run.seed}: {first.message}"
        )
    records = shortest(rounds)
    folder.mkdir(parents=True, exist_ok=True)
    hashes = write_runs(folder / RUNS, records)
    if source != folder / PLAN:
        write_atomic(folder / PLAN, source.read_bytes())
    entry = {
        "reason": reason.strip(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": provenance.commit(),
        "sources": sorted({record.run.source for record in records}),
        "runs": len(records),
    }
    content = {"settings": dataclasses.asdict(settings), "history": [*gate.history, entry], "records": hashes}
    write_atomic(folder / CONFIG, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    return records


def shortest(rounds: Sequence[Sequence[Record]]) -> list[Record]:
    """Return the records of the last round, each with the shortest fit time of all rounds."""
    fits: dict[str, list[float]] = {}
    for record in (record for records in rounds for record in records):
        fits.setdefault(record.run_id, []).append(float(record.wall_clock.get("fit") or 0.0))
    return [
        dataclasses.replace(record, wall_clock={**record.wall_clock, "fit": min(fits[record.run_id])})
        for record in rounds[-1]
    ]
