"""Compute one job, a run or a batch, in the present process: the same code for every engine."""

from __future__ import annotations

import dataclasses
import time
import traceback
from typing import Any

from leakybench.engines.job import Job, Outcome, failures
from leakybench.errors import LeakybenchError, describe
from leakybench.evaluation import evaluate, evaluate_many
from leakybench.record import Record, RunSpec
from leakybench.registry import Registry, baselines, build, tasks
from leakybench.specs import Spec


def execute(job: Job, *, threads: int) -> list[Outcome]:
    """Build task and baseline, evaluate, and turn an exception into a record with status ``error`` or ``oom``.

    Args:
        job: the job.
        threads: the number of threads that this process allows, for the record of a run that fails.

    Returns:
        One outcome per run of the job.

    Raises:
        KeyboardInterrupt: passed on, so that an interrupted run leaves no record.
    """
    start = time.perf_counter()
    try:
        records = _evaluate(job)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a baseline that calls sys.exit must not end the worker
        status = "oom" if is_out_of_memory(error) else "error"
        seconds, log = time.perf_counter() - start, traceback.format_exc()
        return failures(job, status, describe(error), seconds=seconds, threads=threads, log=log)
    return [Outcome(record=record) for record in records]


def _evaluate(job: Job) -> list[Record]:
    ensure_registered(tasks, job.task_spec)
    ensure_registered(baselines, job.baseline_spec)
    baseline = build(baselines.spec(job.run.baseline), job.run.baseline_overrides)
    built_tasks = [build(tasks.spec(run.task), run.task_overrides, seed=run.seed) for run in job.runs]
    preset = job.run.preset
    if job.mates:
        records = evaluate_many(baseline, built_tasks, seeds=[run.seed for run in job.runs], preset=preset)
    else:
        records = [evaluate(baseline, built_tasks[0], seed=job.run.seed, preset=preset)]
    for run, record in zip(job.runs, records, strict=True):
        _check_identity(run, record.run)
    return records


def ensure_registered(registry: Registry[Any], spec: Spec) -> None:
    """Register an id that was registered by hand in the process that planned the run.

    Raises:
        LeakybenchError: the id has a different meaning here.
    """
    if spec.id not in registry:
        fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
        registry.register(fields.pop("id"), fields.pop("entry_point"), fields.pop("kwargs"), **fields)
    elif registry.spec(spec.id).digest != spec.digest:
        raise LeakybenchError(
            f"{spec.id} is registered differently on this worker: all workers need the same versions installed"
        )


def _check_identity(planned: RunSpec, computed: RunSpec) -> None:
    if computed.run_id == planned.run_id:
        return
    for name in planned.__dataclass_fields__:
        expected, actual = getattr(planned, name), getattr(computed, name)
        if expected != actual:
            raise LeakybenchError(
                f"the worker computed a different run than planned: {name} is {actual!r}, in the plan {expected!r}; "
                "all workers need the same versions installed"
            )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed in Python, numpy or torch, whose CPU allocator raises a plain RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)
