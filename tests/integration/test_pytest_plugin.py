"""The fixture ``leakybench_gate`` in somebody else's test session."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.helpers.cli import ROOT, SEARCH_PATH

PAGE = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
FIVE_LINES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
MY_FIT = """
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
"""


@pytest.fixture
def session(tmp_path):
    (tmp_path / "test_mine.py").write_text(f"{MY_FIT}\n\n{FIVE_LINES[0]}")

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # the plugin is named by hand, and not twice where the installed package names it already
        loaded = [] if _installed() else ["-p", "leakybench.gate.pytest_plugin"]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *loaded, *arguments, "test_mine.py"]
        full = {**os.environ, "PYTHONPATH": SEARCH_PATH, **environment}
        return subprocess.run(command, cwd=tmp_path, env=full, capture_output=True, text=True, timeout=300)

    return run


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "leakybench.gate.pytest_plugin" for point in entry_points(group="pytest11"))


def test_the_page_shows_one_test_of_at_most_five_lines():
    assert len(FIVE_LINES) == 1
    assert len(FIVE_LINES[0].splitlines()) <= 5
    compile(FIVE_LINES[0], "gate.md", "exec")


def test_thresholds_on_the_page_are_valid():
    from leakybench.gate.judge import Metric, Settings

    written = re.search(r"`settings=(Settings\(.*?\))`", PAGE)
    assert written is not None
    found = eval(written[1], {"Settings": Settings, "Metric": Metric})
    assert found.metrics[0].threshold == 0.1


def test_workflow_on_the_page_is_one():
    yaml = pytest.importorskip("yaml", reason="no PyYAML")
    (text,) = re.findall(r"^```yaml[^\n]*\n(.*?)^```$", PAGE, re.M | re.S)
    steps = yaml.safe_load(text)["jobs"]["training"]["steps"]
    assert [next(iter(step)) for step in steps] == ["uses", "uses", "uses", "run", "run"]
    # nothing is published, so a checkout at a commit beside the tests is installed, and its own tests are not collected
    checkout, install, test = steps[1]["with"], steps[3]["run"], steps[4]["run"]
    assert (checkout["repository"], checkout["ref"]) == ("OWNER/leakybench", "COMMIT")
    assert f"pip install ./{checkout['path']}" in install
    assert test == f"pytest --ignore={checkout['path']}"


@pytest.mark.slow  # four sessions of pytest
def test_five_lines_of_the_page_gate_somebodys_training(session):
    """Without a reference it says how to write one; with one, the same code passes and worse code fails."""
    written = re.search(r"^    pytest (--leakybench-update) '([^']+)'$", PAGE, re.M)
    assert written is not None
    without = session()
    assert without.returncode == 1
    assert "no reference for test_mine.test_training" in without.stdout
    assert session(written[1], written[2]).returncode == 0
    again = session()
    assert again.returncode == 0, again.stdout
    worse = session(PENALTY="3000")
    assert worse.returncode == 1
    shown = re.search(r"regressed: test error of gate/Mine-v0: \+[\d.]+% \(\+[\d.]+% to \+[\d.]+%\)", worse.stdout)
    assert shown, worse.stdout


SIX_CALLS = """
import pytest


@pytest.fixture
def gate(leakybench_gate):
    from leakybench.gate.settings import Settings

    def call(**environment):
        os.environ.update(environment)
        leakybench_gate(my_fit, task="Linear-k3-v0", n_train=60, n_test=40, d=6, settings=Settings(time=None))

    return call


class TestA:
    def test_one(self, gate):
        gate(PENALTY="1")


class TestB:
    def test_one(self, gate):
        gate(PENALTY="30")


@pytest.mark.parametrize("name", ["a/b", "a b"])
def test_parameters(gate, name):
    gate(PENALTY="2" if name == "a b" else "300")


def test_two_calls(gate):
    gate(PENALTY="5")
    gate(PENALTY="500")
"""


@pytest.mark.slow  # three sessions of pytest
def test_each_call_of_each_test_has_a_reference_of_its_own(session, tmp_path):
    """Two classes with a test of one name, parameters that differ in a character that no file may have, two calls."""
    (tmp_path / "test_mine.py").write_text(f"{MY_FIT}\n{SIX_CALLS}")
    written = session("--leakybench-update", "first")
    assert written.returncode == 0, written.stdout
    folders = sorted(path.name for path in (tmp_path / "leakybench_reference").iterdir())
    assert len(folders) == 6
    # a part of the tests: the references are found by the test and not by their order
    again = session("-k", "two_calls or parameters or TestB")
    assert again.returncode == 0, again.stdout
    shutil.rmtree(tmp_path / "leakybench_reference" / folders[0])
    partly = session()
    assert partly.returncode == 1
    assert "1 failed, 4 passed" in partly.stdout
    assert "not measured: no reference for test_mine." in partly.stdout
