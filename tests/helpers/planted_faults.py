"""Faults to plant in a copy of the packages, as somebody's commit might, and a gate to run on that copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
YARDSTICK = '''
"""A plain PyTorch loop of about the length of one fit: the unit of time."""

STEPS = 150


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
        for _ in range(STEPS):
            state = inputs
            for weight in weights:
                state = 0.6 * state + 0.4 * torch.relu(state) @ weight
            optimiser.zero_grad()
            state.square().mean().backward()
            optimiser.step()
        return Mean(train.targets.mean(axis=0, keepdims=True))
'''
ERRORS = ("test error", "training error")


def slower(share: float) -> tuple[str, str, str, tuple[str, ...]]:
    """A fault: each fit takes longer by a share."""
    return (
        "leakybench/baselines/networks/network_baseline.py",
        "        return self.fit_many([train], seeds=[seed], preset=preset)[0]",
        f"""
        import time
        start = time.perf_counter()
        model = self.fit_many([train], seeds=[seed], preset=preset)[0]
        end = time.perf_counter()
        while time.perf_counter() < end + {share} * (end - start):
            pass
        return model
        """,
        ("fit time",),
    )


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
    "a step made 30% slower": slower(0.3),
}


def make_copy(folder: Path, driver: str, *, steps: int = 150) -> None:
    """Copy the packages, the yardstick of so many steps, and a driver; the links of the source tree become folders."""
    source = ROOT / "src" / "leakybench"
    shutil.copytree(source, folder / "leakybench", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "yardstick.py").write_text(YARDSTICK.replace("STEPS = 150", f"STEPS = {steps}"))
    (folder / "drive.py").write_text(driver)


def drive(folder: Path, *arguments: str, timeout: float = 3000) -> subprocess.CompletedProcess[str]:
    """Run the driver of a copy on that copy."""
    command = [sys.executable, "drive.py", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)


def plant(source: str, before: str, after: str) -> str:
    """The source with one place changed."""
    assert source.count(before) == 1, "the code moved: plant the fault anew"
    return source.replace(before, after)


class Planted:
    """A context in which a copy has a fault."""

    def __init__(self, folder: Path, fault: tuple[str, str, str, tuple[str, ...]]) -> None:
        self.path, self.before, self.after = folder / fault[0], fault[1], fault[2]

    def __enter__(self) -> None:
        self.whole = self.path.read_text(encoding="utf-8")
        self.path.write_text(plant(self.whole, self.before, self.after), encoding="utf-8")

    def __exit__(self, *_: object) -> None:
        self.path.write_text(self.whole, encoding="utf-8")
