"""Print a plan before it starts, and execute it until it is complete or a signal stops it."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from leakybench.console import arguments
from leakybench.errors import LeakybenchError, UsageError
from leakybench.record import FAILED, Record

if TYPE_CHECKING:
    from leakybench.store import Store
    from leakybench.sweeps.batching import Batching
    from leakybench.sweeps.plan import Plan
    from leakybench.sweeps.sweep import Progress

REASONS = 3
"""Maximum number of distinct failure reasons that are listed at the end of a sweep."""


def print_plan(plan: Plan, workers: int, *, as_json: bool) -> None:
    """Print the runs of a plan that remain to be computed, with a time estimate, as text or as JSON."""
    from leakybench.console.progress import counted, duration

    if as_json:
        todo = [
            {
                "run_id": planned.job.run.run_id,
                "task": planned.job.run.task_label,
                "baseline": planned.job.run.baseline_label,
                "seed": planned.job.run.seed,
                "preset": planned.job.run.preset,
                "estimated_seconds": planned.seconds,
            }
            for planned in plan.todo
        ]
        seconds = {"estimated_seconds": plan.makespan(workers), "workers": workers, "measured_estimates": plan.measured}
        arguments.print_json({"todo": todo, "kept": plan.kept, **seconds})
        return
    groups: dict[tuple[str, str, str], list[float]] = {}
    for planned in plan.todo:
        run = planned.job.run
        groups.setdefault((run.task_label, run.baseline_label, run.preset), []).append(planned.seconds)
    rows = [(*key, str(len(times)), duration(sum(times))) for key, times in groups.items()]
    if rows:
        arguments.print_columns(rows, ("task", "baseline", "preset", "runs", "estimate"))
    stored = f"{len(plan.kept)} already stored ({counted(plan.kept_counts())})"
    print(f"{len(plan.todo)} of {plan.size} runs to do; {stored}")
    source = f"{plan.measured} of {len(plan.todo)} estimates come from stored times, the others are guesses"
    print(f"about {duration(plan.makespan(workers))} with {workers} workers ({source})")


def compute(
    plan: Plan, store: Store, engine: Any, argv: list[str], *, batching: Batching | None = None
) -> tuple[int, Progress | None]:
    """Compute a plan.

    Returns:
        The exit code, and the final progress; None instead of the progress if the sweep was interrupted.
    """
    from leakybench.console.progress import Display, counted
    from leakybench.sweeps.sweep import sweep

    command = shlex.join(["leakybench", *argv])
    try:
        with (
            stopped_by_signals(),
            engine,
            Display(total=len(plan.todo), seconds=plan.seconds, workers=engine.workers) as show,
        ):
            progress = sweep(plan, store, engine, batching=batching, notify=show)
    except (KeyboardInterrupt, OSError, LeakybenchError) as error:
        if isinstance(error, UsageError):
            raise
        # count in the folder, because the signal may have arrived between writing a record and counting it
        versions = ((store.version(planned.job.run.run_id), planned.replaces) for planned in plan.todo)
        done = sum(now is not None and now != before for now, before in versions)
        total = len(plan.todo)
        arguments.print_note(
            f"{reason_of(error, store)}: {done} of {total} runs are complete and stored, the rest left no record"
        )
        arguments.print_note(f"resume with: {command}")
        return 3, None
    statuses = progress.counts + progress.elsewhere + plan.kept_counts()
    failed = sum(statuses[status] for status in FAILED)
    text = f"{plan.size} runs: {counted(statuses)}; {len(plan.kept)} already stored"
    if progress.elsewhere:
        text += f", {progress.elsewhere.total()} computed by another sweep"
    arguments.print_note(text)
    if failed:
        for line in failure_reasons(plan, store):
            arguments.print_note(line)
        runs = "1 run" if failed == 1 else f"{failed} runs"
        arguments.print_note(
            f"{runs} failed: 'leakybench show RUN_ID' shows details; retry failed runs with: {command}"
        )
    return (3 if failed else 0), progress


def reason_of(error: BaseException, store: Store) -> str:
    """Return in a few words why a sweep stopped."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return f"{error.strerror or error} ({store.folder})" if isinstance(error, OSError) else str(error)


def failure_reasons(plan: Plan, store: Store) -> list[str]:
    """Return one line for each of the most common failure reasons of a plan, with the first run that shows it."""
    from leakybench.report.text import clean, shorten

    by_reason: dict[str, list[Record]] = {}
    failed_before = [run_id for run_id, status in plan.kept.items() if status in FAILED]
    for run_id in [*(planned.job.run.run_id for planned in plan.todo), *failed_before]:
        record = store.try_read(run_id)
        if record is not None and record.status in FAILED:
            by_reason.setdefault(f"{record.status}: {record.message}", []).append(record)
    common = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    lines = []
    for reason, records in common[:REASONS]:
        first = records[0].run
        where = f"{first.task_label} x {first.baseline_label}, seed {first.seed}, {first.run_id[:8]}"
        also = f" and {len(records) - 1} more" if len(records) > 1 else ""
        lines.append(f"{shorten(clean(reason), 200)} ({clean(where)}{also})")
    left = len(common) - REASONS
    return [*lines, f"{left} other reason{'s' * (left > 1)}"] if left > 0 else lines


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn termination signals into one KeyboardInterrupt; a second signal does not disturb the clean-up."""
    stopping = False

    def handle(number: int, frame: object) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
