"""A change of any code behind a run makes it another run: what is stored is not taken for its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

MODEL = """
import numpy as np

{imports}


class Scaled:
    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def fit(self, X, y=None, *, seed=0, preset=""):
        X, y = (X, y) if y is not None else (X.inputs, X.targets)
        self.factor = factor * np.linalg.lstsq(X, y, rcond=None)[0]
        return self

    def predict(self, X):
        return (X @ self.factor).astype(np.float32)
"""
DRIVER = """
import sys
import leakybench
from leakybench.cli import main

if {registers}:
    leakybench.register_baseline("mine/Scaled-v0", entry_point={entry!r})
sys.exit(main(sys.argv[1:]))
"""
DRIVER_END = """

import sys
import leakybench
from leakybench.cli import main

leakybench.register_baseline("mine/Scaled-v0", entry_point="__main__:Scaled")
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""
FACTOR_FILE = """
from pathlib import Path

factor = float(Path(__file__).with_name("factor.txt").read_text().split("=")[1])
"""
CASES = {
    "a relative import": (
        {"plug/__init__.py": "", "plug/model.py": MODEL.format(imports="from .helper import factor")},
        "plug/helper.py",
        "plug.model:Scaled",
    ),
    "a class in the package's init": (
        {"plug/__init__.py": MODEL.format(imports="from plug.helper import factor")},
        "plug/helper.py",
        "plug:Scaled",
    ),
    "a module beside the entry module": (
        {"model.py": MODEL.format(imports="from scale import factor")},
        "scale.py",
        "model:Scaled",
    ),
    "code that a setting names": (
        {"reg.py": MODEL.format(imports="from scale import factor")},
        "scale.py",
        "",
    ),
    "code that a script defines itself": (
        {"drive.py": MODEL.format(imports="from scale import factor") + DRIVER_END},
        "scale.py",
        "__main__:Scaled",
    ),
    "a data file beside the module": (
        {"plug/__init__.py": "", "plug/model.py": MODEL.format(imports=FACTOR_FILE)},
        "plug/factor.txt",
        "plug.model:Scaled",
    ),
}


def leakybench(folder, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "drive.py", *arguments],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_change_behind_a_run_computes_it_anew(tmp_path, case):
    files, changed, entry = CASES[case]
    for name, text in {**files, changed: "factor = 1.0\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    if "drive.py" not in files:
        (tmp_path / "drive.py").write_text(DRIVER.format(registers=bool(entry), entry=entry))
    words = ["run", "--task", "Linear-k3-v0", "--preset", "smoke", "--workers", "1", "--results", "runs"]
    words += [word for setting in ("n_train=60", "n_test=40", "d=6") for word in ("--set-task", setting)]
    words += (
        ["--baseline", "mine/Scaled-v0"] if entry else ["--baseline", "Sklearn-v0", "--set", "regressor=reg:Scaled"]
    )
    leakybench(tmp_path, *words)
    assert len(json.loads(leakybench(tmp_path, *words, "--dry-run", "--json"))["todo"]) == 0
    (tmp_path / changed).write_text("factor = 0.5\n")
    assert len(json.loads(leakybench(tmp_path, *words, "--dry-run", "--json"))["todo"]) == 1
    leakybench(tmp_path, *words)
    errors = [json.loads(path.read_text())["test_error"] for path in (tmp_path / "runs").glob("*.json")]
    assert len(errors) == 2
    # the linear task is solved by least squares; half of its solution leaves a quarter of the variance
    assert min(errors) < 1e-6
    assert max(errors) == pytest.approx(0.25, abs=0.05)
