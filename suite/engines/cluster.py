"""The engine for several machines: an existing Dask cluster, or a new one on this machine.

Dask decides where a run is computed. There a supervised process computes it, as in the local pool, so limits are
enforced as strictly and records are the same. If a Dask worker dies, the scheduler sends its run to another one. A
worker or a scheduler that is stopped or unreachable can enforce nothing, so this side watches the time as well.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import re
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from leakybench.engines.engine import EngineError
from leakybench.engines.guarded import receive
from leakybench.engines.job import Job, Outcome, failures
from leakybench.engines.limits import Limits
from leakybench.engines.supervisor import Supervisor
from leakybench.engines.wire import encode_outcomes
from leakybench.errors import UsageError

CONNECT_SECONDS = 20.0
CHECK_SECONDS = 2.0
"""Interval between two looks at the cluster while no run completes."""
SILENT_SECONDS = 30.0
"""Time after which a scheduler that does not answer is lost, and a worker of the new cluster is restarted."""
IDLE_SECONDS = 60.0
"""Time after which a cluster without workers is an error."""
GRACE_SECONDS = 60.0
"""Time beyond its limit that a run has to come back: its worker process starts first, and ends it at the limit."""
ADDRESS = re.compile(r"(?:[a-z]+://)?(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):\d{1,5}")


class DaskEngine:
    """Computes jobs on a Dask cluster.

    Args:
        workers: number of workers of a new cluster; an existing cluster determines its own.
        threads: threads of each run.
        limits: limits of each run.
        scheduler: address of an existing scheduler, such as ``tcp://10.0.0.1:8786``; None starts a new cluster, which
            listens on loopback only, talks under TLS with a certificate that exists in memory alone, and opens no
            dashboard. Anyone who can reach a scheduler without TLS can execute code on its workers, so it belongs in a
            trusted network.

    Raises:
        UsageError: Dask is not installed, or the address is malformed.
    """

    def __init__(self, *, workers: int, threads: int, limits: Limits, scheduler: str | None = None) -> None:
        if any(importlib.util.find_spec(name) is None for name in ("distributed", "cryptography")):
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
        self._last_worker = 0.0

    def __enter__(self) -> Self:
        from distributed import Client

        try:
            if self._scheduler is None:
                self._cluster = self._new_cluster()
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

        pending: dict[Any, tuple[Job, float]] = {}
        exhausted = False
        self._last_worker = time.monotonic()
        while True:
            slots = self._slots()
            while not exhausted and len(pending) < slots:
                job = next(jobs, None)
                if job is None:
                    exhausted = True
                    break
                pending[self._submit(job)] = job, time.monotonic()
            if not pending:
                if exhausted:
                    return
                time.sleep(CHECK_SECONDS / 4)  # for a worker
                continue
            try:
                done = wait(list(pending), timeout=CHECK_SECONDS, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                done = set()
            except Exception as error:  # cancelled futures and lost connections share no base class
                raise EngineError(f"the Dask scheduler was lost: {type(error).__name__}") from error
            for future in done:
                yield from self._collect(future, pending.pop(future)[0])
            for future in [future for future, (job, start) in pending.items() if self._is_late(job, start)]:
                yield from self._give_up(future, *pending.pop(future))

    def _new_cluster(self) -> Any:
        from distributed import LocalCluster
        from distributed.security import Security

        cluster = LocalCluster(
            n_workers=self.workers,
            threads_per_worker=1,
            host="127.0.0.1",
            security=Security.temporary(),
            # any address but None: without one the scheduler opens port 8787 even where its dashboard is off
            scheduler_kwargs={
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",
                "worker_ttl": f"{SILENT_SECONDS:g}s",
            },
            worker_dashboard_address=None,
            memory_limit=0,  # the supervisor of each run enforces the memory limit
            silence_logs=logging.CRITICAL,
            preload=[__name__],  # runs dask_setup below
        )

        async def close_port() -> None:
            cluster.scheduler.http_server.stop()

        cluster.sync(close_port)
        return cluster

    def _slots(self) -> int:
        """Return the number of runs to submit at once: one per Dask thread, so that a claimed run starts at once.

        Raises:
            EngineError: the scheduler does not answer, or has had no worker for ``IDLE_SECONDS``.
        """
        try:
            threads = self._client.sync(
                self._client.scheduler.ncores, workers=None, callback_timeout=SILENT_SECONDS
            ).values()
        except TimeoutError:
            raise EngineError(f"the Dask scheduler has not answered for {SILENT_SECONDS:g} s") from None
        except Exception as error:  # what a lost connection raises has no common base class
            raise EngineError(f"the Dask scheduler was lost: {type(error).__name__}") from None
        now = time.monotonic()
        if sum(threads):
            self.workers, self._last_worker = sum(threads), now
        elif now - self._last_worker > IDLE_SECONDS:
            where = self._scheduler or "of this sweep"
            raise EngineError(
                f"the Dask scheduler {where} has had no worker for {IDLE_SECONDS:g} s: start one with 'dask worker'"
            )
        return sum(threads)

    def _submit(self, job: Job) -> Any:
        limits = (self._threads, self._limits.timeout, self._limits.memory)
        # a unique key, because otherwise Dask may return the cached result of another sweep
        key = f"leakybench-{job.run.run_id}-{secrets.token_hex(4)}"
        return self._client.submit(run_supervised, job.to_json(), *limits, key=key, pure=False)

    def _collect(self, future: Any, job: Job) -> list[Outcome]:
        try:
            return receive(future.result(), job, threads=self._threads)
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            message = f"on the Dask cluster: {type(error).__name__}: {text}"
            return failures(job, "error", message, seconds=0.0, threads=self._threads)

    def _is_late(self, job: Job, start: float) -> bool:
        limit = self._limits.timeout
        return limit is not None and time.monotonic() - start > limit * len(job.runs) + GRACE_SECONDS

    def _give_up(self, future: Any, job: Job, start: float) -> list[Outcome]:
        """Return the outcomes of a job whose Dask worker does not enforce the time limit, as one that is stopped."""
        with contextlib.suppress(Exception):
            future.cancel()
        limit = (self._limits.timeout or 0.0) * len(job.runs)
        message = f"the Dask worker did not answer within the limit of {limit:g} s and {GRACE_SECONDS:g} s more"
        return failures(job, "timeout", message, seconds=time.monotonic() - start, threads=self._threads)

    def _close(self) -> None:
        client, cluster = self._client, self._cluster
        self._client = self._cluster = None
        for item in (client, cluster):
            if item is not None:
                with contextlib.suppress(Exception):  # a scheduler that is gone needs no farewell
                    item.close(timeout=CONNECT_SECONDS)


def dask_setup(worker: Any) -> None:
    """Prepare a worker of the new cluster: it opens no port for pages, and ignores Ctrl-C.

    A terminal sends Ctrl-C to all processes, but the sweep handles it. Dask calls this function when it preloads this
    module.
    """
    worker.http_server.stop()
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
