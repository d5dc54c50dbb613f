"""Supervise worker processes: limits on time and memory are enforced from outside the process.

A run that exceeds a limit cannot ignore it: its process and all descendants are killed, and a new worker replaces it.
"""

from __future__ import annotations

import dataclasses
import threading
import time

from leakybench.engines.engine import MAX_ATTEMPTS, EngineError
from leakybench.engines.guarded import refusal
from leakybench.engines.job import Job, Outcome, failures
from leakybench.engines.limits import Limits
from leakybench.engines.process import POLL_SECONDS, StoppedError, Worker, WorkerDiedError
from leakybench.engines.wire import WireError, decode_outcomes

LEFT_BEHIND = "left processes running, which were ended: "
"""Beginning of the note in ``provenance.surroundings`` on processes that a finished run has left."""


class Supervisor:
    """Runs jobs one at a time in a worker process, which is reused and replaced only if it had to be ended.

    Code from outside the package may change what it runs beside. So a worker that has served a foreign ``Job.origin``
    serves that origin alone, beside one for built-in code, and is ended when a job of another origin comes. Of the two
    only one runs at a time; the other one is paused.

    Args:
        threads: threads of the worker.
        limits: limits of each run.
        stop: event that the engine sets on exit; the running job is then abandoned.
    """

    def __init__(self, *, threads: int, limits: Limits, stop: threading.Event) -> None:
        self._threads = threads
        self._limits = limits
        self._stop = stop
        self._workers: dict[str, Worker] = {}

    def run(self, job: Job) -> list[Outcome]:
        """Return the outcomes of a job, whatever the job does to its process.

        A batch whose worker dies is not retried here; the sweep retries its runs individually.

        Raises:
            StoppedError: the engine is exiting.
            EngineError: no worker can be started.
        """
        reason, log, start = "", "", time.monotonic()
        attempts = 1 if job.mates else MAX_ATTEMPTS
        deaths = 0
        while deaths < attempts:
            worker = self._ready_worker(job.origin)
            start = time.monotonic()
            used_before = worker.runs > 0
            try:
                exceeded, outcomes = self._watch(worker, job)
            except WorkerDiedError as error:
                deaths += 1
                reason, log = str(error), worker.output()
                self._end(job.origin)
                continue
            except WireError as error:  # a second attempt would end in the same way
                log = worker.output()
                self._end(job.origin)
                return self._failures(job, "error", refusal(error), start, log)
            if outcomes:
                return self._without_strays(worker, job, outcomes)
            log = worker.output()
            self._end(job.origin)
            if exceeded == "oom" and used_before:
                continue  # memory left by earlier runs in the process must not count against this one
            message = (
                f"ended at the limit of {self._seconds(job):g} s"
                if exceeded == "timeout"
                else f"ended at the limit of {(self._limits.memory or 0) / 2**20:.0f} MiB of memory"
            )
            return self._failures(job, exceeded, message, start, log)
        message = f"the worker process {reason} in each of {attempts} attempts"
        if job.mates:
            message = f"the worker process {reason.rstrip(',')}"
        return self._failures(job, "error", message, start, log)

    def close(self) -> None:
        """End the worker processes."""
        for origin in list(self._workers):
            self._end(origin)

    def _end(self, origin: str) -> None:
        worker = self._workers.pop(origin, None)
        if worker is not None:
            worker.kill()

    def _failures(self, job: Job, status: str, message: str, start: float, log: str) -> list[Outcome]:
        seconds = time.monotonic() - start
        return failures(job, status, message, seconds=seconds, threads=self._threads, log=log)

    def _seconds(self, job: Job) -> float | None:
        """Return the time limit of a job: the limit of a run times the number of its runs."""
        return None if self._limits.timeout is None else self._limits.timeout * len(job.runs)

    def _ready_worker(self, origin: str) -> Worker:
        for other in list(self._workers):
            if other and other != origin:
                if origin:
                    self._end(other)
                else:
                    self._workers[other].pause()
        reason = ""
        for _ in range(MAX_ATTEMPTS):
            worker = self._workers.get(origin)
            if worker is None:
                worker = self._workers[origin] = Worker(threads=self._threads)
            if worker.fit_for_work():
                try:
                    worker.wait_ready(self._stop)
                    return worker
                except (WorkerDiedError, WireError) as error:
                    reason = f"{error}: {worker.output()[-300:].strip()}"
            self._end(origin)
        raise EngineError(f"a worker process cannot be started: {reason}")

    def _watch(self, worker: Worker, job: Job) -> tuple[str, list[Outcome]]:
        """Return an empty text and the outcomes, or ``timeout`` or ``oom`` and no outcome."""
        worker.send(job)
        allowed = self._seconds(job)
        deadline = None if allowed is None else time.monotonic() + allowed
        memory = self._limits.memory
        while True:
            wait = POLL_SECONDS if deadline is None else max(min(POLL_SECONDS, deadline - time.monotonic()), 0.0)
            message = worker.poll(wait)
            if message is not None:
                return "", [_with_output(outcome, worker) for outcome in decode_outcomes(*message, job)]
            if self._stop.is_set():
                raise StoppedError
            if deadline is not None and time.monotonic() >= deadline:
                return "timeout", []
            if memory is not None and worker.memory(memory) > memory:
                return "oom", []

    def _without_strays(self, worker: Worker, job: Job, outcomes: list[Outcome]) -> list[Outcome]:
        """End the processes that a finished run has left, with its worker, and name them in its record."""
        if not (names := worker.left_behind()):
            return outcomes
        self._end(job.origin)
        return [_noted(outcome, f"{LEFT_BEHIND}{names}") for outcome in outcomes]


def _noted(outcome: Outcome, note: str) -> Outcome:
    origin = outcome.record.provenance
    notes = [*origin.get("surroundings", []), note]
    return dataclasses.replace(
        outcome, record=dataclasses.replace(outcome.record, provenance={**origin, "surroundings": notes})
    )


def _with_output(outcome: Outcome, worker: Worker) -> Outcome:
    """Prepend the output of the worker to the log of a failed run."""
    return Outcome(record=outcome.record, log=f"{worker.output()}{outcome.log}") if outcome.log else outcome
