"""A pool of supervised worker processes on this machine."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from leakybench.engines.engine import EngineError
from leakybench.engines.job import Job, Outcome, failures
from leakybench.engines.limits import Limits
from leakybench.engines.process import StoppedError
from leakybench.engines.supervisor import Supervisor
from leakybench.errors import describe


class PoolEngine:
    """Computes jobs in ``workers`` processes, each supervised by a thread and started when there is work for it."""

    def __init__(self, *, workers: int, threads: int = 1, limits: Limits | None = None) -> None:
        self.workers = workers
        self._each = threads
        self._stop = threading.Event()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[list[Outcome] | Exception] = queue.SimpleQueue()
        self._supervisors = [
            Supervisor(threads=threads, limits=limits or Limits(), stop=self._stop) for _ in range(workers)
        ]
        self._threads = [
            threading.Thread(target=self._serve, args=(supervisor,), name=f"leakybench-worker-{number}", daemon=True)
            for number, supervisor in enumerate(self._supervisors)
        ]

    def map(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        """See ``leakybench.engines.engine.Engine``."""
        running, exhausted = 0, False
        while True:
            while not exhausted and running < self.workers:
                job = next(jobs, None)
                if job is None:
                    exhausted = True
                else:
                    self._jobs.put(job)
                    running += 1
            if not running:
                return
            outcomes = self._done.get()
            running -= 1
            if isinstance(outcomes, Exception):
                raise outcomes
            yield from outcomes

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self, supervisor: Supervisor) -> None:
        try:
            while (job := self._jobs.get()) is not None and not self._stop.is_set():
                try:
                    self._done.put(supervisor.run(job))
                except StoppedError:
                    return
                except EngineError as error:
                    self._done.put(error)
                except Exception as error:  # one bad worker ends its run, not the sweep
                    supervisor.close()
                    message = f"its supervisor failed: {describe(error)}"
                    log = traceback.format_exc()
                    self._done.put(failures(job, "error", message, seconds=0.0, threads=self._each, log=log))
        finally:
            supervisor.close()
