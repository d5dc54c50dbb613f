"""A pytest fixture that holds your own training code to a reference::

    def test_training(leakybench_gate):
        leakybench_gate(my_fit, task="LowRank-k3-v0", seeds=range(5))

where ``my_fit(train, *, seed, preset)`` returns an object with ``predict(inputs)``. ``pytest --leakybench-update
"why"`` writes the reference, a folder ``leakybench_reference`` beside the test file, to be committed. Without the
option the test fails where error, rank or status got worse or changed beyond the thresholds.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from leakybench.gate.judge import Settings, Verdict
    from leakybench.record import Record

FOLDER = "leakybench_reference"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--leakybench-update``."""
    parser.getgroup("leakybench").addoption(
        "--leakybench-update",
        metavar="REASON",
        default=None,
        help="write the references of leakybench_gate tests anew, for this reason",
    )


class _FromFunction:
    """A training function as a baseline."""

    def __init__(self, fit: Callable[..., Any]) -> None:
        self._fit = fit

    def fit(self, train: Any, *, seed: int, preset: str) -> Any:
        """Call the function."""
        return self._fit(train, seed=seed, preset=preset)


@dataclasses.dataclass(frozen=True)
class GateFixture:
    """What the fixture ``leakybench_gate`` is: call it with a training function or a baseline."""

    folder: Path
    name: str
    reason: str | None

    def __call__(
        self,
        fit: Any,
        *,
        task: str,
        seeds: Iterable[int] = range(5),
        preset: str = "smoke",
        settings: Settings | None = None,
        **overrides: Any,
    ) -> Verdict | None:
        """Run, and compare with the reference or write it.

        Args:
            fit: ``fit(train, *, seed, preset) -> model``, or an object with that method.
            task: id of the task; further keywords are its overrides.
            seeds: of tasks and training alike.
            settings: thresholds; times are not judged.

        Returns:
            The verdict, or None where the reference was written.
        """
        from leakybench.analysis.scores import score_frame
        from leakybench.gate.judge import Settings, judge
        from leakybench.store import Store

        records = [self._one(fit, task, int(seed), preset, overrides) for seed in seeds]
        store = Store(self.folder / self.name, set_aside=False)
        if self.reason is not None:
            store.prepare()
            for run_id in store.ids():
                store.path(run_id).unlink()
            for record in records:
                note = {**record.provenance, "reason": self.reason}
                store.write(dataclasses.replace(record, arrays={}, provenance=note))
            return None
        reference = list(store)
        if not reference:
            pytest.fail(f"no reference for {self.name}: write it with pytest --leakybench-update 'why'", pytrace=False)
        verdict = judge(score_frame(reference), score_frame(records), settings or Settings())
        if verdict.code:
            bad = [f"{line.kind}: {line.text}" for line in verdict.lines if line.kind != "fine"]
            pytest.fail("\n".join(bad or ["nothing was compared"]), pytrace=False)
        return verdict

    def _one(self, fit: Any, task: str, seed: int, preset: str, overrides: dict[str, Any]) -> Record:
        from leakybench import evaluate, make
        from leakybench.record import RunSpec

        baseline = fit if callable(getattr(fit, "fit", None)) else _FromFunction(fit)
        record = evaluate(baseline, make(task, seed=seed, **overrides), seed=seed, preset=preset)
        # the same name whatever the function is called today, so that the runs of two versions pair up
        run = dataclasses.replace(record.run, baseline="gate/Mine-v0", baseline_overrides={})
        assert isinstance(run, RunSpec)
        return dataclasses.replace(record, run=run)


@pytest.fixture
def leakybench_gate(request: pytest.FixtureRequest) -> GateFixture:
    """Hold training code to a reference; see ``leakybench.gate.pytest_plugin``."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", request.node.name)
    reason = request.config.getoption("--leakybench-update")
    return GateFixture(folder=request.path.parent / FOLDER, name=f"{request.path.stem}.{name}", reason=reason)
