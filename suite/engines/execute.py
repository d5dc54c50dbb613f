"""One job, computed in the process at hand: the same code whichever engine the process belongs to."""

from __future__ import annotations

import dataclasses
import time
import traceback
from typing import Any

from suite.engines.base import Job, Outcome, failed
from suite.errors import LeakybenchError
from suite.evaluate import evaluate
from suite.registration import Registry, Spec, baselines, build, tasks

MAX_MESSAGE = 500


def execute(job: Job, *, threads: int) -> Outcome:
    """Build task and baseline, evaluate, and turn an exception into a record with status ``error`` or ``oom``.

    Raises:
        KeyboardInterrupt: passed on; a run that is interrupted leaves no record.
    """
    start = time.perf_counter()
    try:
        ensure_registered(tasks, job.task_spec)
        ensure_registered(baselines, job.baseline_spec)
        run = job.run
        task = build(tasks.spec(run.task), run.task_overrides, seed=run.seed)
        baseline = build(baselines.spec(run.baseline), run.baseline_overrides)
        record = evaluate(baseline, task, seed=run.seed, preset=run.preset)
        _check_identity(job, record.run)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a baseline that calls sys.exit must not end the worker
        status = "oom" if is_out_of_memory(error) else "error"
        record = failed(job, status, describe(error), seconds=time.perf_counter() - start, threads=threads)
        return Outcome(record=record, log=traceback.format_exc())
    return Outcome(record=dataclasses.replace(record, wall_clock={**record.wall_clock, "threads": threads}))


def ensure_registered(registry: Registry[Any], spec: Spec) -> None:
    """Register what was registered by hand in the process that planned the run.

    Raises:
        LeakybenchError: the id stands for something else here.
    """
    if spec.id not in registry:
        fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
        registry.register(fields.pop("id"), fields.pop("entry_point"), fields.pop("kwargs"), **fields)
    elif registry.spec(spec.id).digest != spec.digest:
        raise LeakybenchError(
            f"{spec.id} is registered otherwise on this worker: the same versions must be installed on all of them"
        )


def _check_identity(job: Job, found: Any) -> None:
    if found.run_id == job.run.run_id:
        return
    for name in job.run.__dataclass_fields__:
        planned, here = getattr(job.run, name), getattr(found, name)
        if planned != here:
            raise LeakybenchError(
                f"the worker computed another run than planned: {name} is {here!r} there and {planned!r} in the plan; "
                "the same versions must be installed on all workers"
            )


def describe(error: BaseException) -> str:
    """``Type: text`` in one line."""
    text = " ".join(str(error).split())
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 3] + "..."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, in Python, numpy or torch (whose CPU allocator raises a plain RuntimeError)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)
