"""What evaluate makes of models that fail behind their fit."""

import numpy as np
import pytest

import leakybench
from leakybench.errors import DivergedError


class StopsLater:
    """Fits, and predicts the training rows; its solver gives up on others."""

    def __init__(self, refuses: str) -> None:
        self.refuses = refuses

    def fit(self, train, *, seed, preset):
        self.known, self.mean = train.inputs, train.targets.mean(axis=0)
        return self

    def predict(self, inputs):
        if np.array_equal(inputs, self.known) == (self.refuses == "train"):
            raise DivergedError("no step is small enough")
        return np.tile(self.mean, (len(inputs), 1))


@pytest.mark.parametrize("refuses", ["test", "train"])
def test_a_solver_that_gives_up_while_predicting_has_diverged(refuses):
    task = leakybench.make("LowRank-k1-v0", seed=0, d=6, n_train=40, n_test=20)
    record = leakybench.evaluate(StopsLater(refuses), task, seed=0, preset="smoke")
    assert (record.status, record.message) == ("diverged", "no step is small enough")
    assert record.test_error is None
