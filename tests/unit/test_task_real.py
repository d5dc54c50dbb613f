"""Real data sets: their split, their scaling, their bad input."""

import numpy as np
import pytest
from sklearn import datasets

import leakybench
from leakybench.tasks.real import SOURCES, ColumnNormaliser

IDS = ["Real-digits-v0", "Real-diabetes-v0", "Real-linnerud-v0"]
ROWS = {"digits": (1797, 32, 32), "diabetes": (442, 4, 7), "linnerud": (20, 3, 3)}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_sources_have_the_documented_shape(name):
    inputs, targets = SOURCES[name]()
    rows, d_in, d_out = ROWS[name]
    assert inputs.shape == (rows, d_in)
    assert targets.shape == (rows, d_out)


def test_sources_are_the_data_of_scikit_learn():
    upper, lower = SOURCES["digits"]()
    np.testing.assert_array_equal(np.hstack([upper, lower]), datasets.load_digits().data)
    inputs, targets = SOURCES["diabetes"]()
    raw = datasets.load_diabetes(scaled=False)
    np.testing.assert_array_equal(np.hstack([inputs, targets[:, :6]]), raw.data)
    np.testing.assert_array_equal(targets[:, 6], raw.target)


@pytest.mark.parametrize("id", IDS)
def test_the_split_is_three_quarters_and_uses_every_row_once(id):
    task = leakybench.make(id, seed=3)
    rows = ROWS[task.source][0]
    assert len(task.train) == 3 * rows // 4
    assert len(task.train) + len(task.test) == rows
    assert task.true_rank is None


def test_scaling_is_fitted_on_training_rows():
    task = leakybench.make("Real-diabetes-v0", seed=0)
    train = task.train.inputs.astype(float)
    np.testing.assert_allclose(train.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), 1.0, atol=1e-5)
    # the same affine map takes the raw test rows to the scaled ones
    raw = np.unique(SOURCES["diabetes"]()[0][:, 2])
    scaled = np.unique(np.concatenate([task.train.inputs[:, 2], task.test.inputs[:, 2]]))
    slope, offset = np.polyfit(raw, scaled, 1)
    np.testing.assert_allclose(slope * raw + offset, scaled, atol=1e-5)
    assert np.abs(task.test.inputs.mean(axis=0)).max() > 1e-3


def test_pixels_share_one_scale():
    task = leakybench.make("Real-digits-v0", seed=0)
    deviations = task.train.inputs.std(axis=0)
    assert deviations.min() == 0.0  # a border pixel that is never set
    assert deviations.max() > 1.3
    assert np.sqrt(np.mean(task.train.inputs.astype(float) ** 2)) == pytest.approx(1.0, abs=1e-6)


def test_constant_columns_are_only_centred():
    scale = ColumnNormaliser.fit(np.array([[1.0, 5.0], [3.0, 5.0]]))
    np.testing.assert_array_equal(scale(np.array([[2.0, 7.0]])), [[0.0, 2.0]])


def test_sizes_are_honoured_and_checked():
    task = leakybench.make("Real-linnerud-v0", n_train=8, n_test=5)
    assert (len(task.train), len(task.test)) == (8, 5)
    for bad in ({"n_train": 19}, {"n_train": 15, "n_test": 6}, {"n_test": 18}):
        with pytest.raises(leakybench.UsageError, match="sum to at most 20, the rows of linnerud"):
            _ = leakybench.make("Real-linnerud-v0", **bad).train


@pytest.mark.parametrize("setting", ["noise", "d", "k"])
def test_settings_of_synthetic_tasks_are_refused(setting):
    with pytest.raises(leakybench.UsageError, match=f"no setting '{setting}'"):
        leakybench.make("Real-digits-v0", **{setting: 3})
