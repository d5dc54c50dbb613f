"""A baseline that says it computes on a card, on a machine without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from leakybench.baseline import FitReport
from leakybench.errors import DivergedError
from leakybench.registry import baselines
from leakybench.specs import BaselineSpec
from leakybench.task import Split

ID = "card/Mean-v0"


class MeanModel:
    """Predicts the mean of the targets."""

    def __init__(self, mean: np.ndarray, report: FitReport) -> None:
        self._mean = mean
        self.report = report

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.tile(self._mean, (len(inputs), 1))


@dataclass(frozen=True, kw_only=True)
class CardMean:
    """The mean of the targets, with a setting ``device``; ``mode`` is ok, silent (no report) or diverged."""

    device: str = "cpu"
    mode: str = "ok"
    spec: BaselineSpec | None = field(default=None, compare=False)

    def fit(self, train: Split, *, seed: int, preset: str) -> MeanModel:
        if self.mode == "diverged":
            raise DivergedError("made to diverge")
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        name = self.device if self.device == "cpu" else "cuda: Test Card"
        values = {"seen": seen} if self.mode == "silent" else {"seen": seen, "device": name}
        return MeanModel(train.targets.mean(axis=0), FitReport(values=values))


@contextmanager
def registered() -> Iterator[None]:
    """Inside the block the id ``ID`` names ``CardMean``."""
    baselines.register(ID, "tests.helpers.card:CardMean")
    try:
        yield
    finally:
        baselines.unregister(ID)
