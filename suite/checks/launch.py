"""Observe a task or a baseline in a separate process, which is killed with all its descendants in the end."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leakybench.engines.environment import child_environment
from leakybench.engines.family import Family

LOADING_SECONDS = 300.0
"""Time limit for the import of torch and scikit-learn, on a busy machine."""

POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The report of an observing process.

    Attributes:
        facts: the observations, up to the failure if there was one.
        failure: one line if the process failed, hung or died; empty otherwise.
        timed_out: whether the process was killed at the timeout.
    """

    facts: dict[str, Any]
    failure: str = ""
    timed_out: bool = False


def observe(request: dict[str, Any], *, timeout: float, hash_seed: int = 0) -> Observation:
    """Run ``leakybench.checks.child`` on a request.

    Args:
        request: plain JSON values, see ``leakybench.checks.child``.
        timeout: time limit in seconds, counted from when torch and scikit-learn are imported.
        hash_seed: seed of Python's string hashes; two values reveal a dependence on the order of a set.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        answer = Path(folder) / "answer.json"
        family = Family(
            [sys.executable, "-P", "-m", "leakybench.checks.child", str(answer)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            env={**child_environment(1), "PYTHONHASHSEED": str(hash_seed)},
        )
        try:
            timed_out = _wait(family, json.dumps(request).encode(), answer, timeout)
        finally:
            family.end()
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
        code = family.code or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Observation(facts=facts, failure=f"the process ended with {how} while {doing}: {last[:200]}")


def _wait(family: Family, request: bytes, answer: Path, timeout: float) -> bool:
    """Wait for the end of the process and return whether it timed out.

    The clock starts when the libraries are imported, since the object is not responsible for that time.
    """
    assert family.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        family.stdin.write(request)
        family.stdin.close()
    deadline = time.monotonic() + LOADING_SECONDS
    loading = True
    while family.alive():
        if loading and answer.exists():
            loading, deadline = False, time.monotonic() + timeout
        if time.monotonic() > deadline:
            return True
        time.sleep(POLL_SECONDS)
    return False


def _last_line(path: Path) -> dict[str, Any]:
    # the child appends a line at each stage; the last complete line shows how far it came
    if not path.exists():
        return {}
    for line in reversed(path.read_text(encoding="utf-8").split("\n")):
        try:
            facts = json.loads(line)
        except ValueError:
            continue
        if isinstance(facts, dict):
            return facts
    return {}
