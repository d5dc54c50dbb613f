"""The process in which a checked object runs: ``python -P -m suite.checks.child ANSWER``, the request on stdin.

The request names the kind, the spec (JSON text), a seed and what else the observer takes. The answer is a file of JSON
lines, one a stage, the last of which holds all that was observed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from suite.checks.watch import scramble


class Journal(dict[str, Any]):
    """The facts so far; :meth:`stage` writes them down before something that may not return."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._path = path

    def stage(self, doing: str) -> None:
        """Say what is done next."""
        self["doing"] = doing
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self) + "\n")


def describe(error: BaseException) -> str:
    """``Type: text (file:line)`` in one line, the place being the innermost one outside this package."""
    text = " ".join(str(error).split())
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    here = str(Path(__file__).resolve().parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((here, "<"))]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return line[:400] + place


def main(arguments: list[str]) -> int:
    """Observe; the exit code is 0 whenever the answer is complete."""
    request = json.loads(sys.stdin.read())
    journal = Journal(Path(arguments[0]))
    try:
        _observe(request, journal)
    except BaseException as error:  # also sys.exit, which a checked object may call
        journal["failure"] = f"{journal.get('doing', 'starting')} raised {describe(error)}"
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

    from suite.registration import BaselineSpec, TaskSpec, build

    del sklearn
    if request["kind"] == "task":
        from suite.checks.observe_task import observe_task

        journal.stage("starting")
        scramble(int(request["scramble"]))
        spec = TaskSpec.from_json(request["spec"])
        observe_task(spec, seed=request["seed"], thorough=request["thorough"], journal=journal)
        return
    import torch  # noqa: F401 - likewise, so that its own generator is watched too

    from suite.checks.observe_baseline import observe_baseline

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
