"""A pytest fixture that tests your own training code against a reference::

    def test_training(leakybench_gate):
        leakybench_gate(my_fit, task="LowRank-k3-v0", seeds=range(5))

where ``my_fit(train, *, seed, preset)`` returns an object with ``predict(inputs)``. ``pytest --leakybench-update
"why"`` writes the reference to the folder ``leakybench_reference`` beside the test file, which you commit. Without the
option the test fails if error, rank or status got worse or changed beyond the thresholds.
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
        help="replace the references of leakybench_gate tests, and store this reason",
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
    """The value of the fixture ``leakybench_gate``: call it with a training function or a baseline.

    Attributes:
        folder: folder of the references of the test file.
        name: name of the test's reference in it.
        reason: why the reference is replaced; None compares with it.
    """

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
        """Train and compare with the reference, or write the reference.

        Args:
            fit: ``fit(train, *, seed, preset) -> model``, or an object with that method.
            task: id of the task.
            seeds: seeds of both task and training.
            preset: preset of the training.
            settings: thresholds; None for the defaults, which do not judge times.
            overrides: settings of the task.

        Returns:
            The verdict, or None if the reference was written.
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
                origin = {**record.provenance, "reason": self.reason}
                store.write(dataclasses.replace(record, arrays={}, provenance=origin))
            return None
        reference = list(store)
        if not reference:
            pytest.fail(f"no reference for {self.name}: create it with pytest --leakybench-update 'why'", pytrace=False)
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
        # one name for every function, so that the runs of two versions form pairs
        run = dataclasses.replace(record.run, baseline="gate/Mine-v0", baseline_overrides={})
        assert isinstance(run, RunSpec)
        return dataclasses.replace(record, run=run)


@pytest.fixture
def leakybench_gate(request: pytest.FixtureRequest) -> GateFixture:
    """Test training code against a reference; see ``leakybench.gate.pytest_plugin``."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", request.node.name)
    reason = request.config.getoption("--leakybench-update")
    return GateFixture(folder=request.path.parent / FOLDER, name=f"{request.path.stem}.{name}", reason=reason)
