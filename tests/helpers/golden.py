"""Golden numbers: short runs of every baseline, step rule and task, to the last bit.

``python -m tests.helpers.golden`` prints them as JSON, ``--write REASON`` replaces ``tests/golden/numbers.json``. The
libraries are asked for the instructions that every processor has, so that products round alike on most machines; the
file says which ``machine`` it was made on.
"""

from __future__ import annotations

import os

# before the numerical libraries are loaded: one thread, one library for the float32 products, plain instructions
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "LEAKYBENCH_MATMUL": "highest",
    "MKL_CBWR": "COMPATIBLE",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import leakybench
from leakybench.provenance import machine
from leakybench.registry import baselines, tasks

FILE = Path(__file__).resolve().parents[1] / "golden" / "numbers.json"

TASK, SIZE = "LowRank-k2-v0", {"d": 6, "n_train": 60, "n_test": 40}
SMALL = {"width": 16, "depth": 8}
RULES = ("uniform", "irregular", "adaptive")

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "LeakyResNet-v0": [
        *({**SMALL, "effective_depth": 3.0, "steps": rule} for rule in RULES),
        {**SMALL, "effective_depth": 3.0, "precision": "bfloat16"},
        {**SMALL, "effective_depth": 3.0, "ends": "learned", "steps": "adaptive"},
    ],
    "ResNet-v0": [{**SMALL, "steps": rule} for rule in RULES],
    "FullyConnected-v0": [{**SMALL, "steps": rule} for rule in RULES],
    "NeuralODE-v0": [{}],
    "Yardstick-v0": [SMALL],
}
"""Settings of the baselines that are not run as they come."""

STANDARD = [("LeakyResNet-v0", {**SMALL, "effective_depth": 3.0, "steps": rule}) for rule in RULES]
"""Also at the standard preset, whose stopping rules the smoke preset does not reach."""

PAPER = ("LeakyResNet-v0", {"width": 8, "depth": 4, "effective_depth": 3.0, "steps": "adaptive"})


def run(baseline: str, settings: dict[str, Any], preset: str = "smoke") -> dict[str, Any]:
    """The numbers of one run, floats by their exact hexadecimal form."""
    task = leakybench.make(TASK, seed=3, **SIZE)
    record = leakybench.evaluate(leakybench.make_baseline(baseline, **settings), task, seed=3, preset=preset)
    training = record.training
    return {
        "status": record.status,
        "test_error": _exact(record.test_error),
        "train_error": _exact(record.train_error),
        "objective": _exact(training.get("objective")),
        "rank": record.bottleneck_rank,
        "step_sizes": _short([float(rho) for rho in training.get("step_sizes", ())]),
        "coi_min_1e-2": _exact(record.measures.get("coi_min_1e-2")),
        "hamiltonian_rank": _exact(record.measures.get("hamiltonian_rank")),
    }


def _exact(value: Any) -> str | None:
    return None if value is None else float(value).hex()


def _short(values: list[float]) -> str | None:
    return hashlib.sha256(",".join(value.hex() for value in values).encode()).hexdigest()[:16] if values else None


def batch() -> dict[str, Any]:
    """Objectives of three seeds that are trained together."""
    baseline = leakybench.make_baseline("LeakyResNet-v0", **SMALL, effective_depth=3.0)
    trains = [leakybench.make(TASK, seed=seed, **SIZE).train for seed in range(3)]
    models = baseline.fit_many(trains, seeds=range(3), preset="smoke")
    return {"objectives": [_exact(model.report.values["objective"]) for model in models]}


def estimator() -> dict[str, Any]:
    """The scikit-learn estimator with sample weights."""
    from leakybench.baselines import LeakyResNetRegressor

    rng = np.random.default_rng(0)
    X, weight = rng.standard_normal((50, 4)), rng.uniform(0.5, 2.0, 50)
    y = np.tanh(X[:, 0] + X[:, 1])
    model = LeakyResNetRegressor(width=12, depth=8, max_iter=20, random_state=0).fit(X, y, sample_weight=weight)
    return {"objective": _exact(model.objective_), "predictions": _short(model.predict(X[:5]).tolist())}


def data(id: str) -> str:
    """A hash of a task's data at seed 3."""
    task = leakybench.make(id, seed=3)
    arrays = (task.train.inputs, task.train.targets, task.test.inputs, task.test.targets)
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:16]


def numbers() -> dict[str, Any]:
    """Everything that is pinned."""
    found: dict[str, Any] = {"runs": {}}
    for spec in baselines:
        if "/" in spec.id:
            continue
        for settings in SETTINGS.get(spec.id, [{}]):
            found["runs"][_name(spec.id, settings, "smoke")] = run(spec.id, settings)
    for id, settings in STANDARD:
        found["runs"][_name(id, settings, "standard")] = run(id, settings, "standard")
    found["runs"][_name(*PAPER, "paper")] = run(*PAPER, "paper")
    found["batch"] = batch()
    found["estimator"] = estimator()
    found["data"] = {spec.id: data(spec.id) for spec in tasks if "/" not in spec.id}
    return found


def _name(id: str, settings: dict[str, Any], preset: str) -> str:
    return f"{id} {preset} {json.dumps(settings, sort_keys=True)}"


def this_machine() -> dict[str, Any]:
    """What must agree for numbers to agree to the bit: the processor's model and the versions of what computes."""
    import torch

    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(errors="replace").splitlines() if cpu.exists() else []
    kind = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    model = {name: kind.get(name) for name in ("cpu family", "model")}
    versions = {key: value for key, value in machine().items() if key != "cores"}
    return {**versions, **model, "capability": torch.backends.cpu.get_cpu_capability()}


def main() -> None:
    """Print the numbers, or store them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", metavar="REASON", help="replace the stored numbers, and say why")
    reason = parser.parse_args().write
    content = {"machine": this_machine(), **numbers()}
    if reason is None:
        json.dump(content, sys.stdout, indent=1, sort_keys=True)
        return
    content["reason"] = reason
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
