"""Compare definitions of code alignment on trained models: ``python -m tests.validity.definitions [--seeds 0:2]``.

- ``rows``: agreement of row spaces, the alignment of the record.
- ``weighted``: the same, inputs weighted by |J_f*|_F^2 of the target.
- ``energy``: 1 - leak, on the scale of the alignment.
- ``linear``, ``neighbours``: share R^2 of the true code's variance that is predicted, on other held-out inputs, from
  the model's own representation at its clearest layer, by least squares and by 10 nearest neighbours; networks alone
  have one.

For each definition: Kendall's tau of the methods' order with that by test error, spread over seeds against spread over
methods, standard error over inputs, time. At the end, models made to deceive: what each definition says of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

import leakybench
from leakybench.analysis.scores import score_frame
from leakybench.evaluation import relative_error, target_jacobians
from leakybench.measures.alignment import align, code_alignment
from leakybench.measures.jacobian import HELD_OUT, model_jacobians
from leakybench.measures.rank import clearest_layer, inside, layer_spectra
from leakybench.store import Store
from leakybench.sweeps.grid import parse_seeds

CELLS: list[tuple[str, dict[str, Any]]] = [
    ("LowRank-k3-v0", {"n_train": 500}),
    ("LowRank-k3-v0", {"n_train": 2000}),
    ("Staircase-k3-v0", {"n_train": 300}),
    ("EvenWaves-code-k3-v0", {"n_train": 1000}),
]
METHODS = (
    "FullyConnected-v0", "LeakyResNet-v0", "ResNet-v0", "RecursiveFeatureMachine-v0", "KernelRidge-v0", "Ridge-v0",
)  # fmt: skip
DEFINITIONS = ("rows", "weighted", "energy", "linear", "neighbours")
NEIGHBOURS = 10


def weighted(jacobians: np.ndarray, truth: np.ndarray, rank: int) -> float:
    """The alignment by row space, inputs weighted by the squared size of the target's Jacobian."""
    weights = np.sum(truth**2, axis=(1, 2))
    each = [code_alignment(j[None], t[None], rank=rank) for j, t in zip(jacobians, truth, strict=True) if t.any()]
    return float(np.average(each, weights=weights[weights > 0.0]))


def predicted_code(model: Any, task: Any) -> dict[str, float]:
    """R^2 of the true code from the representation at the clearest layer inside the bottleneck."""
    path = model.representations(task.test.inputs)
    centred, _ = layer_spectra(path.activations)
    layer, _ = clearest_layer(centred, inside(path.positions))
    shown, code = path.activations[layer], task.code(task.input_scale.inverse(task.test.inputs))
    half = len(code) // 2
    found = {}
    for name, learner in (("linear", LinearRegression()), ("neighbours", KNeighborsRegressor(NEIGHBOURS))):
        missed = code[half:] - learner.fit(shown[:half], code[:half]).predict(shown[half:]).reshape(half, -1)
        found[name] = 1.0 - float(np.sum(missed**2) / np.sum((code[half:] - code[half:].mean(axis=0)) ** 2))
    return found


def timed(seconds: dict[str, float], name: str, measure: Callable[[], Any]) -> Any:
    """Call a measure and note its time."""
    start = time.perf_counter()
    value = measure()
    seconds[name] = time.perf_counter() - start
    return value


def measure(id: str, settings: dict[str, Any], method: str, seed: int) -> dict[str, Any]:
    """Train a model, and take every definition of it."""
    task = leakybench.make(id, seed=seed, **settings)
    baseline = leakybench.make_baseline(method)
    start = time.perf_counter()
    model = baseline.fit(task.train, seed=seed, preset="standard")
    seconds = {"fit": time.perf_counter() - start}
    rank, inputs = task.true_rank, task.test.inputs
    jacobians = timed(seconds, "jacobians", lambda: model_jacobians(model, inputs))
    truth = target_jacobians(task, inputs[:HELD_OUT])
    found = timed(seconds, "rows", lambda: align(jacobians, truth, rank=rank))
    values = {
        "rows": found.alignment,
        "weighted": weighted(jacobians, truth, rank),
        "energy": found.energy,
        "standard error": (found.high - found.alignment) / 1.96,
    }
    if hasattr(model, "representations"):
        values |= timed(seconds, "predicted code", lambda: predicted_code(model, task))
    error = relative_error(model, task.test)
    return {"task": id, "n": settings["n_train"], "method": method, "seed": seed, "error": error, **values} | {
        f"seconds {name}": value for name, value in seconds.items()
    }


def agreement(rows: pd.DataFrame) -> pd.DataFrame:
    """For each cell and definition: tau with the order by error, and the share of variance between methods."""
    table = []
    for (task, n), cell in rows.groupby(["task", "n"], sort=False):
        line: dict[str, Any] = {"task": task, "N": n}
        for name in DEFINITIONS:
            known = cell.dropna(subset=[name])
            means = known.groupby("method")[[name, "error"]].mean()
            tau = kendalltau(means[name], -means["error"]).statistic
            within = known.groupby("method")[name].var(ddof=1).mean()
            between = max(means[name].var(ddof=1) - within / cell["seed"].nunique(), 0.0)
            line[name] = f"{tau:.2f} / {between / (between + within):.2f}"
        table.append(line)
    return pd.DataFrame(table)


def deceivers() -> pd.DataFrame:
    """What the definitions by Jacobians say of models that were made to deceive."""
    task = leakybench.make("LowRank-k3-v0", seed=0)
    truth, rng = target_jacobians(task, task.test.inputs[:HELD_OUT]), np.random.default_rng(0)
    n, outputs, _ = truth.shape
    _, values, right = np.linalg.svd(truth, full_matrices=False)
    frames = np.linalg.svd(rng.standard_normal((n, outputs, outputs)))[0]
    one = values[:, :1, None] * frames[:, :, :1] @ right[:, :1]
    size = np.sqrt(np.mean(truth**2))
    weak, noise = right[:, 2:3], 0.1 * size * rng.standard_normal(truth.shape)
    models = {
        "the true function": truth,
        "one of its three directions alone": one,
        "all directions, one at a thousandth": truth - 0.999 * (truth @ np.swapaxes(weak, 1, 2)) @ weak,
        "the true function and noise in all inputs, a tenth as large": truth + noise,
        "a random map": rng.standard_normal(truth.shape),
    }
    rows = []
    for name, model in models.items():
        found = align(model, truth, rank=3)
        rows.append(
            {"model": name, "rows": found.alignment, "weighted": weighted(model, truth, 3), "energy": found.energy}
        )
    return pd.DataFrame(rows)


def stored_agreement(folder: str) -> pd.DataFrame:
    """Tau of the methods' order by each definition in stored records with that by test error, for each task."""
    frame = score_frame(Store(folder))
    frame = frame[frame["counted"] & frame["code_alignment"].notna()]
    columns = {"rows": "code_alignment", "energy": "measures.code_alignment_energy"}
    rows = []
    for task, part in frame.groupby("task"):
        means = part.groupby("method")[["score", *columns.values()]].mean()
        taus = {name: kendalltau(means[column], -means["score"]).statistic for name, column in columns.items()}
        rows.append({"task": task, **taus})
    table = pd.DataFrame(rows)
    return pd.concat([table, pd.DataFrame([{"task": "mean", **table[list(columns)].mean()}])], ignore_index=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0:2", help="seeds, such as 0:3")
    parser.add_argument("--records", metavar="FOLDER", help="train nothing: read the definitions in these records")
    parser.add_argument("--out", help="CSV file for every measured value")
    args = parser.parse_args(arguments)
    if args.records:
        print(stored_agreement(args.records).to_markdown(index=False, floatfmt=".2f"))
        return
    rows = []
    for id, settings in CELLS:
        for method in METHODS:
            for seed in parse_seeds(args.seeds):
                rows.append(measure(id, settings, method, seed))
                print(f"{id} N={settings['n_train']} {method} seed {seed}: error {rows[-1]['error']:.3f}", flush=True)
    frame = pd.DataFrame(rows)
    if args.out:
        frame.to_csv(args.out, index=False)
    print("\ntau with the order by error / share of variance between methods")
    print(agreement(frame).to_markdown(index=False))
    means = frame.groupby(["task", "n", "method"], sort=False)[["error", *DEFINITIONS, "standard error"]].mean()
    print("\n" + means.reset_index().to_markdown(index=False, floatfmt=".3f"))
    networks = frame[frame["linear"].notna()]
    print("\nmedian seconds\n" + networks.filter(like="seconds").median().to_markdown(floatfmt=".3f"))
    print("\n" + deceivers().to_markdown(index=False, floatfmt=".3f"))


if __name__ == "__main__":
    main()
