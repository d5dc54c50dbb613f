"""Which directions of an ill-conditioned code are found from how many samples: ``python -m tests.validity.directions``.

For PowerLaw-k5 and a Leaky ResNet, the share R^2 of the target's slope along each direction u_i of the code that the
model's slope explains: 1 - sum |J u_i - J* u_i|^2 / sum |J* u_i|^2 over held-out inputs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd

import leakybench
from leakybench.measures.certificate import jacobian
from leakybench.measures.jacobian import HELD_OUT, model_jacobians
from leakybench.sweeps.grid import parse_seeds
from leakybench.task import Normaliser

TASK = "PowerLaw-k5-n200-v0"


def explained(samples: int, seed: int, baseline: str) -> np.ndarray:
    """R^2 of the slope along each direction of the code, strongest first, (k,)."""
    task = leakybench.make(TASK, seed=seed, n_train=samples)
    model = leakybench.make_baseline(baseline).fit(task.train, seed=seed, preset="standard")
    raw = task.input_scale.inverse(task.test.inputs[:HELD_OUT])
    truth = jacobian(task.teacher, raw)
    scale = Normaliser.fit(task.teacher(task.input_scale.inverse(task.train.inputs))).scale
    learnt = model_jacobians(model, task.test.inputs) * scale / task.input_scale.scale
    # the code is linear: its Jacobian is the same everywhere, and its rows are the directions
    directions = jacobian(task.code, raw[:1])[0]
    missed, whole = ((slopes @ directions.T) ** 2 for slopes in (learnt - truth, truth))
    return 1.0 - missed.sum(axis=(0, 1)) / whole.sum(axis=(0, 1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and print the mean over seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0:2", help="seeds, such as 0:5")
    parser.add_argument("--samples", default="100,150,200", help="numbers of training samples")
    parser.add_argument("--baseline", default="LeakyResNet-v0", help="id of the baseline")
    args = parser.parse_args(arguments)
    rows = []
    for samples in map(int, args.samples.split(",")):
        found = [explained(samples, seed, args.baseline) for seed in parse_seeds(args.seeds)]
        rows.append([samples, *np.mean(found, axis=0)])
    columns = ["N", *(f"direction {i}" for i in range(1, len(rows[0])))]
    print(pd.DataFrame(rows, columns=columns).to_markdown(index=False, floatfmt=".2f"))


if __name__ == "__main__":
    main()
