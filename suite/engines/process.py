"""The worker process and its connection, as the supervisor sees them."""

from __future__ import annotations

import select
import signal
import socket
import sys
import threading
import time
from typing import Any

from leakybench.engines.engine import EngineError
from leakybench.engines.environment import child_environment
from leakybench.engines.family import Family, describe
from leakybench.engines.job import Job
from leakybench.engines.output import Output
from leakybench.engines.wire import Reader, WireError, encode_message

START_SECONDS = 120.0
"""Maximum start-up time of a worker: Python, this package and the registrations of plugins."""
POLL_SECONDS = 0.05
STRAY_SECONDS = 0.25
"""Time for processes that a run started to end by themselves once it is over."""


class StoppedError(Exception):
    """The engine is exiting, so the running job has no outcome."""


class WorkerDiedError(Exception):
    """The worker process ended during a run; the message says how."""


class Worker:
    """A worker process with its descendants, its connection and its output.

    Args:
        threads: threads of its numerical libraries.

    Raises:
        EngineError: no process can be started.
    """

    def __init__(self, *, threads: int) -> None:
        self.runs = 0
        self._reader = Reader()
        self._ready = False
        self._paused = False
        self._line, far = socket.socketpair()
        self._output = Output()
        command = [sys.executable, "-P", "-m", "leakybench.engines.worker", str(far.fileno()), str(threads)]
        try:
            with far:
                self._family = Family(
                    command,
                    env=child_environment(threads),
                    files=(far.fileno(),),
                    stdout=self._output.writer,
                    stderr=self._output.writer,
                )
        except OSError as error:
            self._line.close()
            self._output.close()
            raise EngineError(f"a worker process cannot be started: {error.strerror}") from None
        self._output.started()

    def alive(self) -> bool:
        """Whether the process is running."""
        return self._family.alive()

    def fit_for_work(self) -> bool:
        """Whether the process is running and has sent nothing since its last job, as left-over code of a run may."""
        return self.alive() and not (self._ready and self._readable(0.0))

    def wait_ready(self, stop: threading.Event) -> None:
        """Wait until the process has started, and continue it if it is paused.

        Raises:
            WorkerDiedError: it ended, or took longer than ``START_SECONDS``.
            StoppedError: ``stop`` was set.
        """
        if self._paused:
            self._paused = False
            self._family.resume()
        deadline = time.monotonic() + START_SECONDS
        while not self._ready:
            if stop.is_set():
                raise StoppedError
            self._ready = self.poll(POLL_SECONDS) is not None
            if time.monotonic() > deadline:
                raise WorkerDiedError(f"did not start within {START_SECONDS:g} s")

    def pause(self) -> None:
        """Stop the process while another one computes, so that what its runs left in threads takes no time."""
        if not self._paused:
            self._paused = True
            self._family.pause()

    def send(self, job: Job) -> None:
        """Send a job, discarding the output of earlier runs.

        Raises:
            WorkerDiedError: the process is gone.
        """
        self.runs += 1
        self._output.clear()
        try:
            self._line.sendall(encode_message({"job": job.to_json()}))
        except OSError:
            raise WorkerDiedError(self._exit_reason()) from None

    def poll(self, seconds: float) -> tuple[dict[str, Any], bytes] | None:
        """Return the next message, or None if ``seconds`` pass without a complete one.

        Raises:
            WorkerDiedError: the process is gone.
            WireError: it sent something that is not a message.
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
            except OSError:
                data = b""
            if not data:
                raise WorkerDiedError(self._exit_reason())
            if messages := self._reader.feed(data):
                if len(messages) > 1 or self._reader.pending:
                    raise WireError("more than one message")
                return messages[0]
            if time.monotonic() >= deadline:
                return None

    def _readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        return bool(poll.poll(seconds * 1000.0))

    def memory(self, limit: int) -> int:
        """Return the resident bytes of the process and its descendants, exact where they exceed ``limit``."""
        return self._family.memory(limit)

    def left_behind(self) -> str:
        """Return the names of the processes that a finished run has left running; empty if there are none."""
        deadline = time.monotonic() + STRAY_SECONDS
        while strays := self._family.strays():
            if time.monotonic() > deadline:
                return describe(strays)
            time.sleep(0.01)
        return ""

    def output(self) -> str:
        """Return the output of the run, its middle left out if it is long."""
        return self._output.text()

    def kill(self) -> None:
        """Kill the process and its descendants, and wait until they are gone."""
        self._family.end()
        self._line.close()
        self._output.close()

    def _exit_reason(self) -> str:
        code = self._family.wait(5.0)
        if code is None:
            return "closed its connection"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        hint = " (perhaps the machine ran out of memory)" if -code == signal.SIGKILL else ""
        return f"was ended by signal {-code}, {name}{hint},"
