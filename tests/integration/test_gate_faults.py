"""The gate on real training: unchanged code passes, and each of eight faults planted in a copy of the code is caught.

Everything runs in a copy of the packages, so that a fault is a change of source text, as it would be in somebody's
commit.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# minutes on a free core; a busy machine may take its time, and the times it measures are judged all the same
pytestmark = pytest.mark.timeout(3600)
ROOT = Path(__file__).resolve().parents[2]
PLAN = """
preset = "smoke"
seeds = "0:5"
task = ["LowRank-k3-v0", "Linear-k3-v0"]
baseline = "LeakyResNet-v0"
steps = ["uniform", "adaptive"]
set = { width = 40, depth = 10, effective_depth = 4.0 }
set-task = { n_train = 300, n_test = 300 }
"""
YARDSTICK = '''
"""A plain PyTorch loop of about the length of one fit: the unit of time."""


class Mean:
    def __init__(self, mean):
        self.mean = mean

    def predict(self, inputs):
        return self.mean.repeat(len(inputs), axis=0)


class Yardstick:
    def fit(self, train, *, seed, preset):
        import torch

        draw = torch.Generator().manual_seed(0)
        inputs = torch.tensor(train.inputs) @ torch.randn(train.inputs.shape[1], 40, generator=draw)
        weights = [torch.nn.Parameter(0.1 * torch.randn(40, 40, generator=draw)) for _ in range(10)]
        optimiser = torch.optim.Adam(weights, lr=1e-3)
        for _ in range(150):
            state = inputs
            for weight in weights:
                state = 0.6 * state + 0.4 * torch.relu(state) @ weight
            optimiser.zero_grad()
            state.square().mean().backward()
            optimiser.step()
        return Mean(train.targets.mean(axis=0, keepdims=True))
'''
DRIVER = """
import sys
from pathlib import Path
import leakybench
from leakybench.gate import reference as gate
from leakybench.commands.regress import print_verdict

leakybench.register_baseline("bench/Yardstick-v0", entry_point="yardstick:Yardstick")
if __name__ == "__main__":
    reference = Path(sys.argv[1])
    if sys.argv[2:] == ["update"]:
        gate.update(reference, "first", plan=Path("plan.toml"), yardstick="bench/Yardstick-v0")
        sys.exit(0)
    verdict, _ = gate.check(gate.load_gate(reference))
    print_verdict(verdict)
    sys.exit(verdict.code)
"""
ERRORS = ("test error", "training error")
FAULTS = {
    "rate divided by 10": (
        "leakybench/baselines/networks/quasi_newton.py",
        "alpha = np.ones_like(value)",
        "alpha = 0.1 * np.ones_like(value)",
        ERRORS,
    ),
    "bias dropped": (
        "leakybench/baselines/networks/kernels.py",
        "self.states[:, :, width].fill_(1.0)",
        "self.states[:, :, width].fill_(0.0)",
        ERRORS,
    ),
    "wrong skip factor": (
        "leakybench/baselines/networks/recursion.py",
        "1.0 - value * depth for",
        "1.0 - 0.5 * value * depth for",
        ERRORS,
    ),
    "adaptive steps frozen": (
        "leakybench/baselines/networks/steps.py",
        "        if self.frozen_at is not None:\n            return False",
        "        return False",
        ("spread of the adaptive steps",),
    ),
    "rank off by one": (
        "leakybench/measures/run.py",
        'bottleneck_rank=chosen["rank"]',
        'bottleneck_rank=(chosen["rank"] or 0) + 1',
        ("rank recovery",),
    ),
    "penalty ignored": (
        "leakybench/baselines/networks/objective.py",
        "return self.problem.penalty *",
        "return 0.0 * self.problem.penalty *",
        ERRORS,
    ),
    "training set in the test set": (
        "leakybench/task.py",
        "return self._splits[1]",
        "return self._splits[0]",
        ("test error",),
    ),
    "a step made 30% slower": (
        "leakybench/baselines/networks/network_baseline.py",
        "        return self.fit_many([train], seeds=[seed], preset=preset)[0]",
        """
        import time
        start = time.perf_counter()
        model = self.fit_many([train], seeds=[seed], preset=preset)[0]
        end = time.perf_counter()
        while time.perf_counter() < end + 0.3 * (end - start):
            pass
        return model
        """,
        ("fit time",),
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the packages with its reference."""
    folder = tmp_path_factory.mktemp("copy")
    # the links of the source tree become folders
    source = ROOT / "src" / "leakybench"
    shutil.copytree(source, folder / "leakybench", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "plan.toml").write_text(PLAN)
    (folder / "yardstick.py").write_text(YARDSTICK)
    (folder / "drive.py").write_text(DRIVER)
    done = _drive(folder, "update")
    assert done.returncode == 0, done.stderr
    return folder


def _drive(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "drive.py", str(folder / "reference"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3000)


@pytest.mark.slow
def test_unchanged_code_passes(copy):
    done = _drive(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fine: 20 pairs" in done.stdout


def _plant(source: str, before: str, after: str) -> str:
    assert source.count(before) == 1, "the code moved: plant the fault anew"
    return source.replace(before, after)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_has_its_place_in_the_code_of_today(fault):
    name, before, after, _ = FAULTS[fault]
    source = (ROOT / "src" / name).read_text(encoding="utf-8")
    planted = ast.parse(_plant(source, before, after))
    assert ast.dump(planted) != ast.dump(ast.parse(source))


# metric, place, size and interval: "regressed: test error of NAME: +12.3% (+8.0% to +16.9%) against .."
NUMBER = r"(?:[-+]?[\d.]+%?|x[\d.e+]+)"
LINE = re.compile(rf"^(?:regressed|changed): [a-z ]+ of \S.*?: (?:{NUMBER}|\d+/\d+ runs) \({NUMBER} to {NUMBER}\)")

LOST = re.compile(r"^changed: [a-z ]+ of \S.*adaptive: 10 runs no longer report it$")
"""All adaptive runs of the plan, two tasks and five seeds."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_caught(copy, fault):
    name, before, after, metrics = FAULTS[fault]
    path = copy / name
    whole = path.read_text(encoding="utf-8")
    path.write_text(_plant(whole, before, after), encoding="utf-8")
    try:
        done = _drive(copy)
    finally:
        path.write_text(whole, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    bad = [line for line in done.stdout.splitlines() if line.startswith(("regressed: ", "changed: "))]
    assert any(f": {metric} of " in line for line in bad for metric in metrics), done.stdout
    # frozen steps report no spread at all, which has no size: that line counts the runs. Whether the error that they
    # cost is beyond its threshold as well depends on the processor
    sized = LOST if fault == "adaptive steps frozen" else LINE
    assert any(sized.match(line) for line in bad), done.stdout
