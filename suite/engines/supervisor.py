"""Supervise a worker process: limits on time and memory are enforced from outside the process.

A run that exceeds a limit cannot ignore it: its process group is killed with SIGKILL, and a new worker replaces it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Any

import psutil

from leakybench.engines.engine import MAX_ATTEMPTS, EngineError
from leakybench.engines.environment import child_environment
from leakybench.engines.job import Job, Outcome, failures
from leakybench.engines.limits import Limits
from leakybench.engines.wire import Reader, WireError, decode_outcomes, encode_message

START_SECONDS = 120.0
"""Maximum start-up time of a worker: Python, this package and the registrations of plugins."""
POLL_SECONDS = 0.05
FAMILY_SECONDS = 0.5
"""Interval between two searches for the children of a worker."""
LOG_BYTES = 64 * 1024


class StoppedError(Exception):
    """The engine is exiting, so the running job has no outcome."""


class WorkerDiedError(Exception):
    """The worker process ended during a run; the message says how."""


class Supervisor:
    """Runs jobs one at a time in a worker process, which is reused and replaced only if it had to be ended.

    Args:
        threads: threads of the worker.
        limits: limits of each run.
        stop: event that the engine sets on exit; the running job is then abandoned.
    """

    def __init__(self, *, threads: int, limits: Limits, stop: threading.Event) -> None:
        self._threads = threads
        self._limits = limits
        self._stop = stop
        self._worker: Worker | None = None

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
            worker = self._ready_worker()
            start = time.monotonic()
            used_before = worker.runs > 0
            try:
                exceeded, outcomes = self._watch(worker, job)
            except WorkerDiedError as error:
                deaths += 1
                reason, log = str(error), worker.output()
                self.close()
                continue
            if outcomes:
                return outcomes
            log = worker.output()
            self.close()
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
        """End the worker process, if there is one."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()

    def _failures(self, job: Job, status: str, message: str, start: float, log: str) -> list[Outcome]:
        seconds = time.monotonic() - start
        return failures(job, status, message, seconds=seconds, threads=self._threads, log=log)

    def _seconds(self, job: Job) -> float | None:
        """Return the time limit of a job: the limit of a run times the number of its runs."""
        return None if self._limits.timeout is None else self._limits.timeout * len(job.runs)

    def _ready_worker(self) -> Worker:
        reason = ""
        for _ in range(MAX_ATTEMPTS):
            if self._worker is None:
                self._worker = Worker(threads=self._threads)
            if self._worker.alive():
                try:
                    self._worker.wait_ready(self._stop)
                    return self._worker
                except WorkerDiedError as error:
                    reason = f"{error}: {self._worker.output()[-300:].strip()}"
            self.close()
        raise EngineError(f"a worker process cannot be started: {reason}")

    def _watch(self, worker: Worker, job: Job) -> tuple[str, list[Outcome]]:
        """Return an empty text and the outcomes, or ``timeout`` or ``oom`` and no outcome."""
        worker.send(job)
        allowed = self._seconds(job)
        deadline = None if allowed is None else time.monotonic() + allowed
        while True:
            wait = POLL_SECONDS if deadline is None else max(min(POLL_SECONDS, deadline - time.monotonic()), 0.0)
            message = worker.poll(wait)
            if message is not None:
                return "", [_with_output(outcome, worker) for outcome in decode_outcomes(*message)]
            if self._stop.is_set():
                raise StoppedError
            if deadline is not None and time.monotonic() >= deadline:
                return "timeout", []
            if self._limits.memory is not None and worker.memory() > self._limits.memory:
                return "oom", []


def _with_output(outcome: Outcome, worker: Worker) -> Outcome:
    """Prepend the output of the worker to the log of a failed run."""
    return Outcome(record=outcome.record, log=f"{worker.output()}{outcome.log}") if outcome.log else outcome


class Worker:
    """A worker process and its connection. It leads its own process group and prints into an anonymous file.

    Args:
        threads: threads of its numerical libraries.
    """

    def __init__(self, *, threads: int) -> None:
        self.runs = 0
        self._reader = Reader()
        self._ready = False
        self._family: list[psutil.Process] = []
        self._family_until = 0.0
        self._line, far = socket.socketpair()
        self._output: IO[bytes] = tempfile.TemporaryFile(mode="a+b")  # noqa: SIM115 - closed by kill()
        command = [
            sys.executable,
            "-P",
            "-m",
            "leakybench.engines.worker",
            str(far.fileno()),
            str(os.getpid()),
            str(threads),
        ]
        try:
            with far:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=self._output,
                    stderr=self._output,
                    pass_fds=(far.fileno(),),
                    env=child_environment(threads),
                    start_new_session=True,
                )
        except OSError as error:
            self._line.close()
            self._output.close()
            raise EngineError(f"a worker process cannot be started: {error.strerror}") from None

    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def wait_ready(self, stop: threading.Event) -> None:
        """Wait until the process has started.

        Raises:
            WorkerDiedError: it ended, or took longer than ``START_SECONDS``.
            StoppedError: ``stop`` was set.
        """
        deadline = time.monotonic() + START_SECONDS
        while not self._ready:
            if stop.is_set():
                raise StoppedError
            self._ready = self.poll(POLL_SECONDS) is not None
            if time.monotonic() > deadline:
                raise WorkerDiedError(f"did not start within {START_SECONDS:g} s")

    def send(self, job: Job) -> None:
        """Send a job, discarding the output of earlier runs.

        Raises:
            WorkerDiedError: the process is gone.
        """
        self.runs += 1
        self._output.truncate(0)
        try:
            self._line.sendall(encode_message({"job": job.to_json()}))
        except OSError:
            raise WorkerDiedError(self._exit_reason()) from None

    def poll(self, seconds: float) -> tuple[dict[str, Any], bytes] | None:
        """Return the next message, or None if ``seconds`` pass without a complete one.

        Raises:
            WorkerDiedError: the process is gone, or sent something that is not a message.
        """
        deadline = time.monotonic() + seconds
        while True:
            if not self._readable(max(deadline - time.monotonic(), 0.0)):
                # a child forked by the run can keep the connection open after the worker itself is gone
                if not self.alive() and not self._readable(0.0):
                    raise WorkerDiedError(self._exit_reason())
                return None
            try:
                data = self._line.recv(1 << 20)
                messages = self._reader.feed(data)
            except (OSError, WireError):
                data, messages = b"", []
            if not data:
                raise WorkerDiedError(self._exit_reason())
            if messages:
                return messages[0]
            if time.monotonic() >= deadline:
                return None

    def _readable(self, seconds: float) -> bool:
        return bool(select.select([self._line], [], [], seconds)[0])

    def memory(self) -> int:
        """Return the resident bytes of the process and its descendants."""
        # the search for children reads the whole process table, so it does not happen at every poll
        if time.monotonic() >= self._family_until:
            self._family_until = time.monotonic() + FAMILY_SECONDS
            try:
                process = psutil.Process(self._process.pid)
                self._family = [process, *process.children(recursive=True)]
            except psutil.Error:
                self._family = []
        total = 0
        for member in self._family:
            try:
                total += member.memory_info().rss
            except psutil.Error:
                continue
        return total

    def output(self) -> str:
        """Return the last ``LOG_BYTES`` of the output of the run."""
        size = os.fstat(self._output.fileno()).st_size
        data = os.pread(self._output.fileno(), LOG_BYTES, max(size - LOG_BYTES, 0))
        return data.decode("utf-8", "replace")

    def kill(self) -> None:
        """Kill the process, its group and its descendants, and wait until the process is gone."""
        descendants: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):  # look up descendants in other process groups before the kill
            descendants = psutil.Process(self._process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # already gone
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in descendants:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        self._line.close()
        self._output.close()

    def _exit_reason(self) -> str:
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        hint = " (perhaps the machine ran out of memory)" if -code == signal.SIGKILL else ""
        return f"was ended by signal {-code}, {name}{hint},"
