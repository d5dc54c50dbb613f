"""The fixture ``leakybench_gate`` in somebody else's test session."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST = """
    import os
    import numpy as np

    class Model:
        def __init__(self, weights):
            self.weights = weights
        def predict(self, inputs):
            return inputs @ self.weights

    def my_fit(train, *, seed, preset):
        penalty = float(os.environ.get("PENALTY", "1"))
        gram = train.inputs.T @ train.inputs + penalty * np.eye(train.inputs.shape[1])
        return Model(np.linalg.solve(gram, train.inputs.T @ train.targets))

    def test_training(leakybench_gate):
        leakybench_gate(my_fit, task="LowRank-k3-v0", seeds=range(5), n_train=200, n_test=200)
"""


@pytest.fixture
def session(tmp_path):
    (tmp_path / "test_mine.py").write_text(textwrap.dedent(TEST))

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # the plugin is named by hand, and not twice where the installed package names it already
        loaded = [] if _installed() else ["-p", "suite.pytest_plugin"]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *loaded, *arguments, "test_mine.py"]
        full = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(command, cwd=tmp_path, env=full, capture_output=True, text=True, timeout=300)

    return run


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "suite.pytest_plugin" for point in entry_points(group="pytest11"))


@pytest.mark.slow  # four sessions of pytest
def test_reference_pass_and_regression(session):
    without = session()
    assert without.returncode == 1
    assert "no reference for test_mine.test_training" in without.stdout
    assert session("--leakybench-update", "first").returncode == 0
    again = session()
    assert again.returncode == 0, again.stdout
    worse = session(PENALTY="300")
    assert worse.returncode == 1
    assert "regressed: test error of gate/Mine-v0: +" in worse.stdout
