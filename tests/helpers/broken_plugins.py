"""Ten plugins that each break one rule, and a healthy one, as pip would leave them in a site-packages folder."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.distributions import leave_distribution

TASK = """
from dataclasses import dataclass
import numpy as np
from leakybench import Split, SyntheticTask

@dataclass(frozen=True, kw_only=True)
class Task(SyntheticTask):
    d: int = 5
    n_train: int = 40
    n_test: int = 30

    @property
    def true_rank(self):
        return {rank}

    def target_function(self, rng):
        a, b = rng.standard_normal((self.d, 2)), rng.standard_normal((2, 4))
        return lambda x: x @ a @ b
{extra}
"""

FIT = """
import sys, time, random
import numpy as np

class Model:
    def __init__(self, weights):
        self.weights = weights

    def predict(self, inputs):
        return {predict}

class Fit:
    def fit(self, train, *, seed, preset):
        inputs, targets = train.inputs, train.targets
        {fit}
        return Model(np.linalg.lstsq(inputs, targets, rcond=None)[0])
"""

PEEK = """test = sys._getframe(1).f_locals["trial"].test
        inputs, targets = np.vstack([inputs, test.inputs]), np.vstack([targets, test.targets])"""


def _task(rank: int = 2, extra: str = "") -> str:
    return TASK.format(rank=rank, extra=extra)


def _fit(fit: str = "pass", predict: str = "inputs @ self.weights") -> str:
    return FIT.format(fit=fit, predict=predict)


# name -> (kind, id, module)
PLUGINS: dict[str, tuple[str, str, str]] = {
    "healthy": ("both", "healthy/Fine-v0", _task() + _fit()),
    "bad-id": ("task", "bad id!", _task()),
    "bad-shapes": ("baseline", "bad_shapes/Fit-v0", _fit(predict="(inputs @ self.weights)[:, :1]")),
    "bad-import": ("task", "bad_import/Task-v0", "raise OSError('no licence file')"),
    "bad-fit": ("baseline", "bad_fit/Fit-v0", _fit("raise ZeroDivisionError('one over nothing')")),
    "bad-dice": ("baseline", "bad_dice/Fit-v0", _fit("targets = targets + np.random.default_rng().random()")),
    "bad-peek": ("baseline", "bad_peek/Fit-v0", _fit(PEEK)),
    "bad-rank": ("task", "bad_rank/Task-v0", _task(rank=3)),
    "bad-clock": ("baseline", "bad_clock/Fit-v0", _fit("while True: time.sleep(1)")),
    "bad-mouth": ("baseline", "bad_mouth/Fit-v0", _fit("print('epoch 1')")),
    "bad-seeds": ("baseline", "bad_seeds/Fit-v0", _fit("np.random.seed(seed)")),
}


def install(folder: Path) -> None:
    """Write every plugin into ``folder`` as a module with its metadata."""
    for name, (kind, id, code) in PLUGINS.items():
        module = name.replace("-", "_")
        register = ""
        points = ""
        for one, function, cls in (("task", "register", "Task"), ("baseline", "register_baseline", "Fit")):
            if kind in (one, "both"):
                extra = ", true_rank=3" if name == "bad-rank" else ""
                register += f"\ndef {one}s():\n    from leakybench import {function}\n"
                register += f"    {function}({id!r}, entry_point='{module}:{cls}'{extra})\n"
                points += f"[leakybench.{one}s]\n{name} = {module}:{one}s\n\n"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{module}.py").write_text(code + register)
        leave_distribution(folder, name, points)
