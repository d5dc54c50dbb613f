"""The input of an engine (jobs) and its output (outcomes)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from leakybench import provenance
from leakybench.record import Record, RunSpec
from leakybench.specs import BaselineSpec, TaskSpec, canonical_json, device_kind


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run, or a batch of runs, with the specs that a worker needs for ids that were registered by hand here.

    Attributes:
        run: the run.
        task_spec: spec of its task.
        baseline_spec: spec of its baseline.
        mates: further runs to train in the same batch; they differ from ``run`` only in the seed.
    """

    run: RunSpec
    task_spec: TaskSpec
    baseline_spec: BaselineSpec
    mates: tuple[RunSpec, ...] = ()

    @property
    def device(self) -> str:
        """Where the runs compute, ``cpu`` or ``cuda``, by the setting ``device`` of their baseline."""
        settings = {**self.baseline_spec.kwargs, **self.run.baseline_overrides}
        return device_kind(settings.get("device", "cpu"))

    @property
    def origin(self) -> str:
        """Foreign code that the job runs: the top-level modules outside the package that its entry points and settings
        name, sorted, with commas; empty for built-in code alone."""
        built = [self.task_spec.with_overrides(run.task_overrides) for run in self.runs]
        foreign = self.baseline_spec.with_overrides(self.run.baseline_overrides).foreign
        return ",".join(sorted(foreign.union(*(spec.foreign for spec in built))))

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """The run and its mates, in this order."""
        return (self.run, *self.mates)

    def to_json(self) -> str:
        """Encode the job as JSON, the form that is sent to a worker."""
        specs = {"task_spec": self.task_spec.to_json(), "baseline_spec": self.baseline_spec.to_json()}
        return canonical_json({"run": self.run.to_dict(), "mates": [run.to_dict() for run in self.mates], **specs})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Decode a job, the inverse of ``to_json``."""
        data = json.loads(text)
        return cls(
            run=RunSpec.from_dict(data["run"]),
            task_spec=TaskSpec.from_json(data["task_spec"]),
            baseline_spec=BaselineSpec.from_json(data["baseline_spec"]),
            mates=tuple(RunSpec.from_dict(run) for run in data["mates"]),
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        record: its record.
        log: output of a failed run, with its traceback at the end; empty otherwise.
    """

    record: Record
    log: str = ""


def failures(job: Job, status: str, message: str, *, seconds: float, threads: int, log: str = "") -> list[Outcome]:
    """Make the outcomes, one per run, of a job that failed as a whole.

    Args:
        job: the job.
        status: ``timeout``, ``oom`` or ``error``.
        message: one line for the record.
        seconds: wall-clock time until the failure.
        threads: threads of the worker.
        log: output of the job.
    """
    clock: dict[str, Any] = {"total": round(seconds, 3), "threads": threads, "device": job.device}
    origin = provenance.provenance()
    fields: dict[str, Any] = {"status": status, "message": message, "wall_clock": clock, "provenance": origin}
    return [Outcome(record=Record(run=run, **fields), log=log) for run in job.runs]
