"""Compute a job so that it always ends in outcomes that can be sent and stored, one for each run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from typing import Any

from leakybench.engines.execute import execute
from leakybench.engines.job import Job, Outcome, failures
from leakybench.engines.wire import WireError, decode_outcomes, encode_outcomes
from leakybench.errors import describe


def compute(job: Job, *, threads: int, interruptible: bool = False) -> tuple[dict[str, Any], bytes]:
    """Compute a job and return its encoded outcomes.

    Whatever goes wrong, also while a result is encoded, becomes a record with status ``error`` and the reason: a second
    attempt would end in the same way.

    Args:
        job: the job.
        threads: number of threads of this process, for the record.
        interruptible: pass on KeyboardInterrupt, which in a worker is an exception of the run like any other.

    Raises:
        KeyboardInterrupt: if ``interruptible``.
    """
    start = time.perf_counter()
    outcomes: Sequence[Outcome] = []
    try:
        outcomes = execute(job, threads=threads)
        return encode_outcomes(outcomes)
    except BaseException as error:
        if interruptible and isinstance(error, KeyboardInterrupt):
            raise
        doing = "the result of the run cannot be stored: " if outcomes else ""
        message, log = f"{doing}{describe(error)}", traceback.format_exc()
    seconds = time.perf_counter() - start
    return encode_outcomes(failures(job, "error", message, seconds=seconds, threads=threads, log=log))


def receive(message: tuple[dict[str, Any], bytes], job: Job, *, threads: int) -> list[Outcome]:
    """Decode what a worker sent; if it is not valid, return outcomes with status ``error`` that say so.

    Args:
        message: header and body.
        job: the job that the worker computed.
        threads: threads of the worker.
    """
    try:
        return decode_outcomes(*message, job)
    except WireError as error:
        return failures(job, "error", refusal(error), seconds=0.0, threads=threads)


def refusal(error: WireError) -> str:
    """Return the message of a run whose worker sent something that is not valid."""
    return f"the worker process sent no valid result: {error}"
