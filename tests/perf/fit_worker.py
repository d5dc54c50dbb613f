"""Fits of one checkout, one JSON line in and one out each; ``against.py`` starts one process a checkout.

Imports nothing but the package that PYTHONPATH names first: ``leakybench``, or ``suite`` of before it had a namespace.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path

import torch


def package() -> object:
    """The package of the checkout that this process runs in, with its ids registered."""
    if Path("src/leakybench").exists():
        return importlib.import_module("leakybench")
    suite = importlib.import_module("suite")
    for name in ("tasks", "baselines"):
        importlib.import_module(name).register()
    return suite


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    bench = package()
    for line in sys.stdin:
        job = json.loads(line)
        task = bench.make(job["task"], seed=job["seed"], **job["task_settings"])  # type: ignore[attr-defined]
        baseline = bench.make_baseline(job["baseline"], **job["settings"])  # type: ignore[attr-defined]
        record = bench.evaluate(baseline, task, seed=job["seed"], preset=job["preset"])  # type: ignore[attr-defined]
        training = record.training
        answer = {
            "package": bench.__file__,  # type: ignore[attr-defined]
            "status": record.status,
            "rank": record.bottleneck_rank,
            "right": record.bottleneck_rank == task.true_rank,
            "test_error": record.test_error,
            "seconds": record.wall_clock["fit"],
            "objective": training.get("objective"),
            "criticality": training.get("criticality_residual"),
            "evaluations": training.get("evaluations"),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
