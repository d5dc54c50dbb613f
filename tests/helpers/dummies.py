"""Tasks and baselines that cost nothing, and some that misbehave, for tests of everything around a run."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leakybench import seeding
from leakybench.baseline import FitReport
from leakybench.errors import DivergedError, UsageError
from leakybench.registry import Registry, baselines, tasks
from leakybench.specs import BaselineSpec, TaskSpec
from leakybench.task import Split


@dataclass(frozen=True, kw_only=True)
class TinyTask:
    """Targets linear in four inputs, twenty samples."""

    spec: TaskSpec
    seed: int = 0
    d: int = 4
    noise: float = 0.1

    def __post_init__(self) -> None:
        if not isinstance(self.d, int) or isinstance(self.d, bool) or not 1 <= self.d <= 100:
            raise UsageError(f"d must be an integer from 1 to 100, got {self.d!r}")

    @property
    def true_rank(self) -> int:
        return 2

    @property
    def train(self) -> Split:
        return self._split("train")

    @property
    def test(self) -> Split:
        return self._split("test")

    def _split(self, role: str) -> Split:
        inputs = seeding.generator(self.spec.id, self.seed, role).standard_normal((20, self.d))
        mixing = seeding.generator(self.spec.id, self.seed, "teacher").standard_normal((self.d, 2))
        noise = seeding.generator(self.spec.id, self.seed, f"{role} noise").standard_normal((20, 2))
        return Split(inputs.astype(np.float32), (inputs @ mixing + self.noise * noise).astype(np.float32))


class TinyModel:
    """Linear map with a report."""

    def __init__(self, weights: np.ndarray, seed: int) -> None:
        self._weights = weights
        draws = seeding.generator("dummy", seed, "fit").standard_normal(8)
        self.report = FitReport(values={"objective": float(draws[0]), "threads": 7}, arrays={"draws": draws})

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return inputs @ self._weights


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """Least squares that can also sleep, hang, eat memory, die, raise, print or diverge.

    ``once`` names a file: the misbehaviour happens only while it is absent, and it is made just before.
    ``only_seed`` limits the misbehaviour to one seed.
    """

    mode: str = "fit"
    seconds: float = 0.0
    width: int = 8
    steps: str = "uniform"
    once: str = ""
    only_seed: int | None = None
    ledger: str = ""
    spec: BaselineSpec | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise UsageError(f"width must be at least 1, got {self.width!r}")

    def fit(self, train: Split, *, seed: int, preset: str) -> TinyModel:
        self._note(seed)
        if self.seconds:
            time.sleep(self.seconds)
        if self.only_seed in (None, seed) and self._first_time():
            self._misbehave()
        return self._solve(train, seed)

    def _note(self, *seeds: int) -> None:
        """One line a started fit, appended atomically, to count what is repeated; a batch's seeds share a line."""
        if self.ledger:
            with open(self.ledger, "ab", buffering=0) as file:
                file.write(f"{' '.join(map(str, seeds))}\n".encode())

    def _misbehave(self) -> None:
        getattr(self, f"_{self.mode}", lambda: None)()

    @staticmethod
    def _solve(train: Split, seed: int) -> TinyModel:
        weights, *_ = np.linalg.lstsq(train.inputs.astype(np.float64), train.targets.astype(np.float64), rcond=None)
        return TinyModel(weights.astype(np.float32), seed)

    def _first_time(self) -> bool:
        if not self.once:
            return True
        try:
            Path(self.once).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _hang(self) -> None:
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(60.0)

    def _eat(self) -> None:
        kept = []
        while True:
            kept.append(np.ones(2**20))
            time.sleep(0.002)

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _orphan(self) -> None:
        if os.fork() == 0:
            time.sleep(60.0)
            os._exit(0)
        self._die()

    def _leave(self) -> None:
        sys.exit(5)

    def _raise(self) -> None:
        print("about to fail")
        raise ValueError("no\nluck")

    def _diverge(self) -> None:
        raise DivergedError("the loss is not finite")

    def _memory(self) -> None:
        raise MemoryError

    def _count(self) -> None:
        import torch

        Path(f"{self.ledger}.threads").write_text(str(torch.get_num_threads()))

    def _spin(self) -> None:
        # a fixed amount of work, so that several processes can be compared with one
        total = 0
        for number in range(3_000_000):
            total += number % 7


@dataclass(frozen=True, kw_only=True)
class TinyMany(Tiny):
    """The same with ``fit_many``; with ``in_batch`` it misbehaves, where it does, in batches alone.

    ``batch_seconds`` is the time of a batch for each of its runs.
    """

    batch_seconds: float = 0.0
    in_batch: bool = True

    @property
    def batchable(self) -> bool:
        """Whether batches train such runs; steps that adapt differ from run to run."""
        return self.steps != "adaptive"

    def fit(self, train: Split, *, seed: int, preset: str) -> TinyModel:
        if not self.in_batch:
            return super().fit(train, seed=seed, preset=preset)
        self._note(seed)
        time.sleep(self.seconds)
        return self._solve(train, seed)

    def fit_many(self, trains: Sequence[Split], *, seeds: Sequence[int], preset: str) -> list[TinyModel]:
        self._note(*seeds)
        time.sleep(self.batch_seconds * len(seeds))
        if self.only_seed is None or self.only_seed in seeds:
            self._misbehave()
        models = [self._solve(train, seed) for train, seed in zip(trains, seeds, strict=True)]
        if self.mode == "short":
            return models[:-1]
        if self.mode == "nan":
            models = [
                TinyModel(model._weights * (np.nan if seed == self.only_seed else 1.0), seed)
                for model, seed in zip(models, seeds, strict=True)
            ]
        return models


PREFIX = "tests.helpers.dummies"
RULES = ("uniform", "irregular", "adaptive")


def register() -> None:
    """Register the dummies by hand in this process, as a notebook would; workers learn of them with each job."""
    _register(tasks, "dummy/Tiny-v0", "TinyTask", true_rank=2)
    _register(baselines, "dummy/Fit-v0", "Tiny", steps=RULES)
    _register(baselines, "dummy/Many-v0", "TinyMany", steps=RULES)
    for mode in ("hang", "eat", "die", "leave", "raise", "diverge", "memory", "spin", "count", "orphan"):
        _register(baselines, f"dummy/{mode.capitalize()}-v0", "Tiny", kwargs={"mode": mode})


def _register(registry: Registry[Any], id: str, name: str, **fields: Any) -> None:
    if id not in registry:
        registry.register(id, f"{PREFIX}:{name}", **fields)


if __name__ == "__main__":
    # the command line with the dummies in it: python -m tests.helpers.dummies run --task ...
    sys.modules.setdefault(PREFIX, sys.modules["__main__"])
    register()
    from leakybench.cli import main

    sys.exit(main())
