"""The process that observes a checked object: ``python -P -m leakybench.checks.child ANSWER``, request on stdin.

The request is a JSON object with the kind, the spec (as JSON text), a seed and the other arguments of the observer. The
answer is a file of JSON lines, one per stage; the last line holds all observations.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from leakybench.checks.journal import Journal, describe_with_place
from leakybench.checks.watch import scramble


def answer_request(arguments: list[str]) -> int:
    """Observe as the request on stdin says; return 0 when the answer is complete.

    Args:
        arguments: the path of the answer.
    """
    request = json.loads(sys.stdin.read())
    journal = Journal(Path(arguments[0]))
    try:
        _observe(request, journal)
    except BaseException as error:  # includes SystemExit, which a checked object may raise
        journal["failure"] = f"{journal.get('doing', 'starting')} raised {describe_with_place(error)}"
    sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        written = os.fstat(1).st_size
        # output that bypasses Python's streams, as from a C library or os.write
        if written and not journal.get("printed"):
            journal["printed"] = f"{written} bytes"
    journal["finished"] = True
    journal.stage("finished")
    return 0


def _observe(request: dict[str, Any], journal: Journal) -> None:
    # import before the generators are scrambled, because the first import of sklearn changes global state
    import sklearn.base

    from leakybench.registry import build
    from leakybench.specs import BaselineSpec, TaskSpec

    del sklearn
    if request["kind"] == "task":
        from leakybench.checks.observe_task import observe_task

        journal.stage("starting")
        scramble(int(request["scramble"]))
        spec = TaskSpec.from_json(request["spec"])
        observe_task(spec, seed=request["seed"], thorough=request["thorough"], journal=journal)
        return
    import torch  # noqa: F401 - imported first, so that its generator is watched too

    from leakybench.checks.observe_baseline import observe_baseline

    journal.stage("starting")
    scramble(int(request["scramble"]))
    task_spec, baseline_spec = TaskSpec.from_json(request["task"]), BaselineSpec.from_json(request["spec"])
    observe_baseline(
        lambda: build(baseline_spec, {}),
        lambda: build(task_spec, {}, seed=request["seed"]),
        seed=request["seed"],
        preset=request["preset"],
        decoy=request["decoy"],
        journal=journal,
    )


if __name__ == "__main__":
    sys.exit(answer_request(sys.argv[1:]))
