"""Observe a task or a baseline in a process of its own, which is ended with all its children when time is up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOADING_SECONDS = 300.0
"""For torch and scikit-learn to be imported, on a busy machine."""

POLL_SECONDS = 0.02

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a process reported.

    Attributes:
        facts: what was observed; up to where it broke off.
        failure: one line where the process broke off, hung or died; empty otherwise.
        timed_out: whether it was ended because time was up.
    """

    facts: dict[str, Any]
    failure: str = ""
    timed_out: bool = False


def observe(request: dict[str, Any], *, timeout: float, hash_seed: int = 0) -> Observation:
    """Run ``leakybench.checks.child`` on a request.

    Args:
        request: plain JSON, see ``leakybench.checks.child``.
        timeout: seconds, from the moment that torch and scikit-learn are loaded.
        hash_seed: of Python's text hashes, so that an order of a set that matters is found out.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        answer = Path(folder) / "answer.json"
        environment = {
            **os.environ,
            **dict.fromkeys(THREAD_VARIABLES, "1"),
            "PYTHONHASHSEED": str(hash_seed),
            # hand on the path itself: a folder that was added by hand is needed to load what lies in it
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(path or os.getcwd() for path in sys.path)),
        }
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "leakybench.checks.child", str(answer)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
        try:
            timed_out = _wait(process, json.dumps(request).encode(), answer, timeout)
        finally:
            _end(process)
        facts = _last_line(answer)
        if timed_out:
            doing = facts.get("doing", "starting")
            return Observation(facts=facts, failure=f"{doing} did not end within {timeout:g} s", timed_out=True)
        if facts.get("finished"):
            return Observation(facts=facts, failure=str(facts.get("failure", "")))
        errors.seek(0)
        lines = errors.read()[-2000:].decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        doing = facts.get("doing", "starting")
        code = process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Observation(facts=facts, failure=f"the process ended with {how} while {doing}: {last[:200]}")


def _wait(process: subprocess.Popen[bytes], request: bytes, answer: Path, timeout: float) -> bool:
    """Wait for the end; whether time was up. The clock starts when the libraries are loaded, whose time is not the
    object's."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(request)
        process.stdin.close()
    deadline = time.monotonic() + LOADING_SECONDS
    loading = True
    while process.poll() is None:
        if loading and answer.exists():
            loading, deadline = False, time.monotonic() + timeout
        if time.monotonic() > deadline:
            return True
        time.sleep(POLL_SECONDS)
    return False


def _last_line(path: Path) -> dict[str, Any]:
    # the child appends a line at each stage; the last whole one says how far it came
    if not path.exists():
        return {}
    for line in reversed(path.read_text(encoding="utf-8").split("\n")):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10.0
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
