"""A baseline that attacks its own worker: its connection, its output and its process."""

from __future__ import annotations

import gc
import os
import socket
import sys
from dataclasses import dataclass, field

import numpy as np

from leakybench.baseline import FitReport
from leakybench.registry import baselines
from leakybench.specs import BaselineSpec
from leakybench.task import Split
from tests.helpers import dummies

PREFIX = "tests.helpers.intruders"
ID = "dummy/Intrude-v0"


def register() -> None:
    """Register the dummies and the baseline."""
    dummies.register()
    if ID not in baselines:
        baselines.register(ID, f"{PREFIX}:Intruder")


class Model:
    """A model that predicts zero."""

    report = FitReport()

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.zeros((len(inputs), 2), dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Intruder:
    """A baseline that misbehaves by ``mode``; it notes the number of its process in ``ledger``."""

    mode: str
    ledger: str
    spec: BaselineSpec | None = field(default=None, compare=False)

    def fit(self, train: Split, *, seed: int, preset: str) -> Model:
        with open(self.ledger, "a") as file:
            file.write(f"{os.getpid()}\n")
        getattr(self, f"_{self.mode}", lambda: None)()
        return Model()

    def _garbage(self) -> None:
        _connection().sendall(b"\xff" * 64)

    def _forged(self) -> None:
        from leakybench.engines import Outcome
        from leakybench.engines.wire import encode_message, encode_outcomes
        from tests.helpers.records import record

        _connection().sendall(encode_message(*encode_outcomes([Outcome(record=record(seed=99))])))

    def _twice(self) -> None:
        os.fork()  # the fork returns from the run like its parent

    def _interrupt(self) -> None:
        raise KeyboardInterrupt

    def _print(self) -> None:
        for _ in range(300):
            os.write(sys.__stdout__.fileno() if sys.__stdout__ else 1, b"x" * 10**6)
        raise RuntimeError("300 MB are printed")


def _connection() -> socket.socket:
    return next(item for item in gc.get_objects() if isinstance(item, socket.socket) and item.fileno() > 2)
