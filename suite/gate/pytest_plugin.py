"""A pytest fixture that tests your own training code against a reference::

    def test_training(leakybench_gate):
        leakybench_gate(my_fit, task="LowRank-k3-v0", seeds=range(5))

where ``my_fit(train, *, seed, preset)`` returns an object with ``predict(inputs)``. ``pytest --leakybench-update
"why"`` writes the reference to the folder ``leakybench_reference`` beside the test file, which you commit. Without the
option the test passes only where error, rank, status and time are shown to be the same within the thresholds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from leakybench.gate.settings import Settings
    from leakybench.gate.verdict import Verdict

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


@dataclasses.dataclass
class GateFixture:
    """The value of the fixture ``leakybench_gate``: call it with a training function or a baseline.

    Each call in a test has a reference of its own, by its number in the order of the calls.

    Attributes:
        folder: folder of the references of the test file.
        file: name of the test file.
        test: id of the test within the file.
        reason: why the reference is replaced; None compares with it.
        calls: number of calls so far.
    """

    folder: Path
    file: str
    test: str
    reason: str | None
    calls: int = 0

    def __call__(
        self,
        fit: Any,
        *,
        task: str,
        seeds: Iterable[int] = range(5),
        preset: str = "smoke",
        settings: Settings | None = None,
        threads: int = 1,
        budget: float = 60.0,
        **overrides: Any,
    ) -> Verdict | None:
        """Train and compare with the reference, or write the reference.

        Args:
            fit: ``fit(train, *, seed, preset) -> model``, or an object with that method.
            task: id of the task.
            seeds: seeds of both task and training; five are needed to judge anything that is not equal to the bit.
            preset: preset of the training.
            settings: thresholds; None for the defaults. ``Settings(time=None)`` does not judge times.
            threads: number of threads of numpy, torch and the libraries below them during training.
            budget: seconds after which an undecided time is not measured again.
            overrides: settings of the task.

        Returns:
            The verdict, or None if the reference was written.

        Raises:
            UsageError: seeds that are none or appear twice, or runs that cannot be a reference.
        """
        from leakybench.gate import fixture
        from leakybench.gate.settings import Settings

        self.calls += 1
        judged = settings or Settings()
        judged = dataclasses.replace(judged, yardstick=judged.yardstick or fixture.YARDSTICK)
        trainer = fixture.Trainer(
            fit=fit if callable(getattr(fit, "fit", None)) else _FromFunction(fit), task=task,
            seeds=fixture.check_seeds(seeds), preset=preset, overrides=overrides, threads=threads,
            yardstick=judged.timed_by,
        )  # fmt: skip
        call = fixture.make_call(self.folder, self.file, self.test, self.calls, trainer)
        if self.reason is not None:
            fixture.update(call, trainer, self.reason, budget=budget)
            return None
        verdict = fixture.check(call, trainer, judged, budget=budget)
        if verdict.code:
            pytest.fail(_report(verdict), pytrace=False)
        return verdict


def _report(verdict: Verdict) -> str:
    """List the judgements against a pass, and say how often the runs were measured."""
    lines = [f"{line.kind}: {line.text}" for line in verdict.lines if line.kind != "same" and not line.accepted]
    repeats = f", measured {verdict.rounds} times" if verdict.rounds > 1 else ""
    return "\n".join([*lines, f"{verdict.kind}: {verdict.pairs} pairs of runs{repeats}"])


@pytest.fixture
def leakybench_gate(request: pytest.FixtureRequest) -> GateFixture:
    """Test training code against a reference; see ``leakybench.gate.pytest_plugin``."""
    chain = [node.name for node in request.node.listchain()]
    files = [index for index, node in enumerate(request.node.listchain()) if isinstance(node, pytest.File)]
    return GateFixture(
        folder=request.path.parent / FOLDER,
        file=request.path.name,
        # by names and not by the node id, which depends on where pytest was started
        test="::".join(chain[files[-1] + 1 :] if files else chain[-1:]),
        reason=request.config.getoption("--leakybench-update"),
    )
