"""The engine for several machines: an existing Dask cluster, or a new one on this machine.

Dask decides where a run is computed. There a supervised process computes it, as in the local pool, so limits are
enforced as strictly and records are the same. If a Dask worker dies, the scheduler sends its run to another one.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import secrets
import signal
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from leakybench.engines.engine import EngineError
from leakybench.engines.job import Job, Outcome, failures
from leakybench.engines.limits import Limits
from leakybench.engines.supervisor import Supervisor
from leakybench.engines.wire import decode_outcomes, encode_outcomes
from leakybench.errors import UsageError

CONNECT_SECONDS = 20.0
ADDRESS = re.compile(r"(?:[a-z]+://)?(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):\d{1,5}")


class DaskEngine:
    """Computes jobs on a Dask cluster.

    Args:
        workers: number of workers of a new cluster; an existing cluster determines its own.
        threads: threads of each run.
        limits: limits of each run.
        scheduler: address of an existing scheduler, such as ``tcp://10.0.0.1:8786``; None starts a new cluster, which
            listens on loopback only. Anyone who can reach a scheduler can execute code on its workers, so it belongs in
            a trusted network.

    Raises:
        UsageError: Dask is not installed, or the address is malformed.
    """

    def __init__(self, *, workers: int, threads: int, limits: Limits, scheduler: str | None = None) -> None:
        if importlib.util.find_spec("distributed") is None:
            raise UsageError("the engine dask needs its extra: pip install '.[dask]' in the checkout of leakybench")
        if scheduler is not None and not ADDRESS.fullmatch(scheduler):
            raise UsageError(f"a scheduler address reads tcp://HOST:PORT, got {scheduler[:80]!r}")
        if scheduler is None and workers < 1:
            raise UsageError(f"the engine dask needs at least 1 worker, got {workers}")
        self.workers = workers
        self._threads = threads
        self._limits = limits
        self._scheduler = scheduler
        self._cluster: Any = None
        self._client: Any = None

    def __enter__(self) -> Self:
        from distributed import Client, LocalCluster

        try:
            if self._scheduler is None:
                self._cluster = LocalCluster(
                    n_workers=self.workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,
                    worker_dashboard_address=None,
                    memory_limit=0,  # the supervisor of each run enforces the memory limit
                    silence_logs=logging.CRITICAL,
                    preload=[__name__],  # runs dask_setup below
                )
            self._client = Client(self._cluster or self._scheduler, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            self._close()
            where = (
                f"the scheduler {self._scheduler} cannot be reached" if self._scheduler else "no cluster can be started"
            )
            raise EngineError(f"{where}: {' '.join(str(error).split()) or type(error).__name__}") from None
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def map(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        """See ``leakybench.engines.engine.Engine``."""
        from distributed import wait

        pending: dict[Any, Job] = {}
        exhausted = False
        while True:
            slots = self._slots() if not exhausted else 0
            while len(pending) < slots:
                job = next(jobs, None)
                if job is None:
                    exhausted = True
                    break
                pending[self._submit(job)] = job
            if not pending:
                return
            try:
                done = wait(list(pending), return_when="FIRST_COMPLETED").done
            except Exception as error:  # cancelled futures and lost connections share no base class
                raise EngineError(f"the Dask scheduler was lost: {type(error).__name__}") from error
            for future in done:
                yield from self._collect(future, pending.pop(future))

    def _slots(self) -> int:
        """Return the number of runs to submit at once: one per Dask thread, so that a claimed run starts at once."""
        try:
            self.workers = max(sum(self._client.nthreads().values()), 1)
        except OSError:
            raise EngineError("the Dask scheduler was lost") from None
        return self.workers

    def _submit(self, job: Job) -> Any:
        limits = (self._threads, self._limits.timeout, self._limits.memory)
        # a unique key, because otherwise Dask may return the cached result of another sweep
        key = f"leakybench-{job.run.run_id}-{secrets.token_hex(4)}"
        return self._client.submit(run_supervised, job.to_json(), *limits, key=key, pure=False)

    def _collect(self, future: Any, job: Job) -> list[Outcome]:
        error = future.exception()
        if error is None:
            header, body = future.result()
            return decode_outcomes(header, body)
        text = " ".join(str(error).split())[:300]
        message = f"on the Dask cluster: {type(error).__name__}: {text}"
        return failures(job, "error", message, seconds=0.0, threads=self._threads)

    def _close(self) -> None:
        for item in (self._client, self._cluster):
            if item is not None:
                item.close(timeout=CONNECT_SECONDS)
        self._client = self._cluster = None


def dask_setup(worker: Any) -> None:
    """Ignore Ctrl-C on a worker of the new cluster: a terminal sends it to all processes, but the sweep handles it.

    Dask calls this function when it preloads this module.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


_local = threading.local()


def run_supervised(text: str, threads: int, timeout: float | None, memory: int | None) -> tuple[dict[str, Any], bytes]:
    """Run the job ``text`` on a Dask worker, in a supervised process that is reused by the next job of this thread."""
    limits = Limits(timeout=timeout, memory=memory)
    if getattr(_local, "settings", None) != (threads, limits):
        if (old := getattr(_local, "supervisor", None)) is not None:
            old.close()
        _local.supervisor = Supervisor(threads=threads, limits=limits, stop=threading.Event())
        _local.settings = (threads, limits)
    return encode_outcomes(_local.supervisor.run(Job.from_json(text)))
