"""Plugins that change the global state of their process, one module each, on import and in training."""

from __future__ import annotations

from pathlib import Path

WAYS = {
    "dtype": "import torch; torch.set_default_dtype(torch.float64)",
    "device": "import torch; torch.set_default_device('meta')",
    "grad": "import torch; torch.set_grad_enabled(False)",
    "generators": (
        "import random, numpy, torch; random.seed(1); numpy.random.seed(1); numpy.random.rand(3); torch.manual_seed(1)"
    ),
    "patched_numpy": (
        "import numpy; numpy.random.default_rng = lambda seed=None: numpy.random.Generator(numpy.random.PCG64(0))"
    ),
    "patched_package": (
        "import leakybench.task as t; fit = t.Normaliser.fit.__func__; "
        "t.Normaliser.fit = classmethod(lambda cls, rows: fit(cls, 2.0 * rows)); "
        "import leakybench.baselines.ridge as r; r.Ridge.fit = None"
    ),
    "threads": "import torch; torch.set_num_threads(2)",
    "errors": "import numpy; numpy.seterr(all='raise')",
    "warnings": "import warnings; warnings.simplefilter('ignore')",
    "environment": (
        "import os; os.environ['LEAKYBENCH_MATMUL'] = 'medium'; os.environ['OMP_NUM_THREADS'] = '2'; "
        "os.environ.pop('HOME', None)"
    ),
    "folder": "import os; os.chdir('/')",
    "signals": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGUSR1, print)",
    "files": "import os; KEPT = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]",
    "exit": "import atexit; atexit.register(print, 'goodbye')",
    "streams": "import sys, io; sys.stdout = io.StringIO(); sys.stderr = io.StringIO()",
    "denormals": "import torch; torch.set_flush_denormal(True)",
}
"""Statement of each way."""

INVISIBLE = ("files", "exit")
"""Ways that are not looked for: a worker process ends them with itself."""

MODULE = '''
"""A plugin that pollutes its process: {way}."""

import numpy as np


def pollute():
    {statement}


pollute()


class Model:
    def __init__(self, mean):
        self.mean = mean

    def predict(self, inputs):
        return np.tile(self.mean, (len(inputs), 1))


class Polluter:
    def fit(self, train, *, seed, preset):
        pollute()
        return Model(train.targets.mean(axis=0))
'''


def write_polluters(folder: Path, ways: tuple[str, ...] = tuple(WAYS)) -> list[str]:
    """Write one module for each way; return the entry points of their baselines."""
    folder.mkdir(parents=True, exist_ok=True)
    for way in ways:
        (folder / f"pollute_{way}.py").write_text(MODULE.format(way=way, statement=WAYS[way]), encoding="utf-8")
    return [f"pollute_{way}:Polluter" for way in ways]
