"""The process in which a checked object runs: ``python -P -m leakybench.checks.child ANSWER``, the request on stdin.

The request names the kind, the spec (JSON text), a seed and what else the observer takes. The answer is a file of JSON
lines, one a stage, the last of which holds all that was observed.
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


def main(arguments: list[str]) -> int:
    """Observe; the exit code is 0 whenever the answer is complete."""
    request = json.loads(sys.stdin.read())
    journal = Journal(Path(arguments[0]))
    try:
        _observe(request, journal)
    except BaseException as error:  # also sys.exit, which a checked object may call
        journal["failure"] = f"{journal.get('doing', 'starting')} raised {describe_with_place(error)}"
    sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        written = os.fstat(1).st_size
        # below Python's own streams, as a C library or os.write prints
        if written and not journal.get("printed"):
            journal["printed"] = f"{written} bytes"
    journal["finished"] = True
    journal.stage("finished")
    return 0


def _observe(request: dict[str, Any], journal: Journal) -> None:
    # loaded before the generators are scrambled: sklearn itself changes global state when it is first imported
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
    import torch  # noqa: F401 - likewise, so that its own generator is watched too

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
    sys.exit(main(sys.argv[1:]))
