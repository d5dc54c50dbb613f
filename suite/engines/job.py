"""What goes into an engine (jobs) and what comes out (outcomes)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from leakybench import provenance
from leakybench.record import Record, RunSpec
from leakybench.specs import BaselineSpec, TaskSpec, canonical_json


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run with the registered specs it needs, so that a worker can register what was registered by hand here.

    Attributes:
        mates: further runs to be trained with it in one batch; they differ from ``run`` in the seed alone.
    """

    run: RunSpec
    task_spec: TaskSpec
    baseline_spec: BaselineSpec
    mates: tuple[RunSpec, ...] = ()

    @property
    def runs(self) -> tuple[RunSpec, ...]:
        """The run and its mates."""
        return (self.run, *self.mates)

    def to_json(self) -> str:
        """Plain JSON: what travels to a worker."""
        specs = {"task_spec": self.task_spec.to_json(), "baseline_spec": self.baseline_spec.to_json()}
        return canonical_json({"run": self.run.to_dict(), "mates": [run.to_dict() for run in self.mates], **specs})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of :meth:`to_json`."""
        data = json.loads(text)
        return cls(
            run=RunSpec.from_dict(data["run"]),
            task_spec=TaskSpec.from_json(data["task_spec"]),
            baseline_spec=BaselineSpec.from_json(data["baseline_spec"]),
            mates=tuple(RunSpec.from_dict(run) for run in data["mates"]),
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The record of a run, and what a failed run printed (its traceback at the end)."""

    record: Record
    log: str = ""


def failures(job: Job, status: str, message: str, *, seconds: float, threads: int, log: str = "") -> list[Outcome]:
    """The outcomes of a job that did not end by itself: one a run."""
    clock: dict[str, Any] = {"total": round(seconds, 3), "threads": threads}
    origin = provenance.provenance()
    fields: dict[str, Any] = {"status": status, "message": message, "wall_clock": clock, "provenance": origin}
    return [Outcome(record=Record(run=run, **fields), log=log) for run in job.runs]
