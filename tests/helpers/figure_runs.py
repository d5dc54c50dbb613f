"""Records of a figure's runs without training, and a store filled with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakybench.engines.job import Job
from leakybench.figures import rank
from leakybench.measures.path import G0
from leakybench.record import Record
from leakybench.settings import complete
from leakybench.store import Store


def settings_of(job: Job) -> dict[str, Any]:
    """Every setting of a job's baseline, defaults included."""
    return complete(job.baseline_spec, job.run.baseline_overrides)


def fabricated(job: Job, **fields: Any) -> Record:
    """A record with every measure and array that a figure may ask for, drawn from the run's id."""
    rng = np.random.default_rng(int(job.run.run_id[:8], 16))
    layers = int(settings_of(job).get("depth") or 3)
    steps = rng.uniform(0.5, 1.5, layers) if job.run.baseline_overrides.get("steps") == "adaptive" else np.ones(layers)
    steps /= steps.sum()
    names = {
        "hamiltonian_rank", "hamiltonian_cv", "criticality", "momentum_max", "momentum_features_max",
        *(f"{name}_1e-{g}" for g in range(1, 9)
          for name in ("stable_hamiltonian_rank", "coi_min", "path_length", "kinetic_share", "cross_share",
                       "kinetic_share_inside", "cross_share_inside", "theorem_gap_high", "theorem_gap_high_inside",
                       "theorem_excess_share", "theorem_excess_share_inside")),
    }  # fmt: skip
    measures: dict[str, Any] = {name: float(rng.uniform(0.1, 3.0)) for name in sorted(names)}
    for part in ("", "_inside"):
        for g0 in ("1e-4", "1e-6", "1e-8"):
            gap, low = f"theorem_gap{part}_{g0}", f"theorem_gap_low{part}_{g0}"
            measures |= {gap: -float(rng.uniform(0, 5)), low: -float(rng.uniform(5, 50))}
            measures[f"theorem_gap_holds{part}_{g0}"] = True
    energies = {
        name: rng.uniform(0.1, 9.0, (len(G0), layers)) for name in ("kinetic", "cross", "speed", "stable_hamiltonian")
    }
    arrays = {
        "positions": np.concatenate([[0.0], np.cumsum(steps)]),
        "step_sizes": steps,
        "g0": np.array(G0),
        "spectra_centred": -np.sort(-rng.uniform(0.0, 5.0, (layers + 1, 12)), axis=1),
        "weight_spectra": -np.sort(-rng.uniform(0.0, 5.0, (layers, 12)), axis=1),
        "coi": rng.uniform(2.0, 9.0, (len(G0), layers + 1)),
        "hamiltonian": rng.uniform(-9.0, 0.0, layers),
        **energies,
    }
    settings: dict[str, Any] = {
        "status": "ok",
        "test_error": float(rng.uniform(0.1, 0.3)),
        "train_error": float(rng.uniform(0.0, 0.1)),
        "true_rank": job.task_spec.true_rank,
        "bottleneck_rank": job.task_spec.true_rank,
        "rank_evidence": {"estimators": {name: {"rank": job.task_spec.true_rank} for name in rank.ESTIMATORS}},
        "wall_clock": {"fit": layers * float(rng.uniform(0.9, 1.1))},
        "training": {"evaluations": 300, "objective": float(rng.uniform(0.1, 0.3))},
        "measures": measures,
        "arrays": arrays,
    }
    return Record(run=job.run, **{**settings, **fields})


def fill(store: Store, jobs: list[Job], **fields: Any) -> None:
    """Write a fabricated record of each job."""
    for job in jobs:
        store.write(fabricated(job, **fields))
