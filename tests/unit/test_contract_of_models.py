"""What a baseline may return: predictions and reports that break the contract are refused by name, in one attempt."""

from __future__ import annotations

import enum
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import leakybench
from leakybench.baseline import FitReport
from leakybench.errors import BaselineError, UsageError
from leakybench.evaluation.predictions import real_predictions
from leakybench.evaluation.report import MAX_DEPTH, MAX_ITEMS, report_of
from leakybench.record import Record
from leakybench.specs import BaselineSpec

TASK = leakybench.make("Linear-k3-v0", d=6, n_train=60, n_test=40)
D_OUT = TASK.train.targets.shape[1]


class Returning:
    """A baseline whose model predicts and reports what it is given, under a name of its own."""

    spec = BaselineSpec(id="test/Returning-v0", entry_point="tests.unit.test_contract_of_models:Returning")

    def __init__(self, predict: Any = None, report: Any = None, change: Any = None) -> None:
        self.predict, self.report, self.change = predict, report, change

    def fit(self, train, *, seed, preset):
        outer = self
        if self.change == "training":
            train.inputs[:] = 0.0

        class Model:
            report = outer.report

            def predict(self, inputs):
                if outer.change == "test":
                    inputs *= 2.0
                zeros = np.zeros((len(inputs), D_OUT))
                return zeros if outer.predict is None else outer.predict(zeros)

        return Model()


def evaluated(**settings: Any) -> Record:
    task = leakybench.make("Linear-k3-v0", d=6, n_train=60, n_test=40)
    return leakybench.evaluate(Returning(**settings), task, preset="smoke")


WRONG_PREDICTIONS = {
    "complex": lambda zeros: zeros + 0j,
    "text": lambda zeros: np.full(zeros.shape, "1.0"),
    "bytes": lambda zeros: np.full(zeros.shape, b"1.0"),
    "booleans": lambda zeros: zeros > 0,
    "objects": lambda zeros: np.full(zeros.shape, Fraction(1, 3), dtype=object),
    "none": lambda zeros: None,
    "a number for all": lambda zeros: 0.0,
    "times": lambda zeros: zeros.astype("timedelta64[s]"),
    "masked": lambda zeros: np.ma.masked_array(zeros, mask=zeros == 0),
    "ragged": lambda zeros: [[0.0] * (1 + row % 2) for row in range(len(zeros))],
    "a structure": lambda zeros: np.zeros(len(zeros), dtype=[("y", float)]),
    "a sparse tensor": lambda zeros: torch.from_numpy(zeros).to_sparse(),
    "a tensor elsewhere": lambda zeros: torch.empty(zeros.shape, device="meta"),
    "a generator": lambda zeros: (row for row in zeros),
    "a column less": lambda zeros: zeros[:, 1:],
    "a row more": lambda zeros: np.vstack([zeros, zeros[:1]]),
    "one axis": lambda zeros: zeros.ravel(),
}


@pytest.mark.parametrize("name", WRONG_PREDICTIONS)
def test_predictions_that_are_no_real_numbers_of_the_right_shape_are_refused(name):
    with pytest.raises((BaselineError, UsageError), match=r"^predictions (must be|have shape)") as caught:
        evaluated(predict=WRONG_PREDICTIONS[name])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


RIGHT_PREDICTIONS = {
    "float16": lambda zeros: zeros.astype(np.float16),
    "integers": lambda zeros: zeros.astype(np.int8),
    "long double": lambda zeros: zeros.astype(np.longdouble),
    "lists": lambda zeros: zeros.tolist(),
    "a frame": pd.DataFrame,
    "a tensor with a gradient": lambda zeros: torch.zeros(zeros.shape, requires_grad=True),
    "bfloat16": lambda zeros: torch.zeros(zeros.shape, dtype=torch.bfloat16),
    "nothing masked": lambda zeros: np.ma.masked_array(zeros, mask=False),
    "big-endian": lambda zeros: zeros.astype(">f8"),
    "Fortran order": np.asfortranarray,
}


@pytest.mark.parametrize("name", RIGHT_PREDICTIONS)
def test_predictions_in_any_form_of_real_numbers_are_taken(name):
    assert evaluated(predict=RIGHT_PREDICTIONS[name]).test_error == evaluated().test_error


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e200, 1e60])
def test_predictions_without_a_finite_error_are_divergence(value):
    record = evaluated(predict=lambda zeros: zeros + value)
    assert (record.status, record.test_error) == ("diverged", None)


@given(array=st.lists(st.lists(st.floats(allow_nan=True), min_size=2, max_size=2), min_size=1, max_size=5))
def test_real_predictions_keep_every_value(array):
    found = real_predictions(array)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.array(array))


@pytest.mark.parametrize("change", ["training", "test"])
def test_data_that_are_changed_in_place_are_an_error_that_says_so(change):
    with pytest.raises(BaselineError, match=r"changed the (training|test) data in place"):
        evaluated(change=change)  # ``predict`` sees the training inputs as well


# -- reports ----------------------------------------------------------------------------------------------------------


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Colour(enum.Enum):
    RED = 1


def cyclic() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


WRONG_VALUES = {
    "a dtype": (torch.float32, "torch.dtype"),
    "a set": ({1, 2}, "is set"),
    "a complex number": (1j, "is complex"),
    "bytes": (b"x", "is bytes"),
    "an object": (Unspeakable(), "Unspeakable"),
    "a class": (Unspeakable, "is type"),
    "a function": (cyclic, "is function"),
    "an enumeration": (Colour.RED, "Colour"),
    "a cyclic list": (cyclic(), f"more than {MAX_DEPTH} deep, or holds itself"),
    "a huge integer": (10**400, "an integer of 1329 bits"),
    "complex array": (np.zeros(2, dtype=complex), "dtype complex128"),
    "object array": (np.array([None]), "dtype object"),
    "a sparse tensor": (torch.eye(2).to_sparse(), "torch.Tensor"),
    "a tuple as key": ({(1, 2): 3}, "key of type tuple"),
    "a float as key": ({1.5: 3}, "key of type float"),
    "too many": (np.zeros(MAX_ITEMS + 1), "at most"),
    "too long": ("x" * 200_000, "200000 characters"),
    "a generator": ((x for x in range(3)), "is generator"),
    "a data frame": (pd.DataFrame({"a": [1]}), "DataFrame"),
    "an exception": (ValueError("x"), "is ValueError"),
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_a_report_value_that_json_cannot_hold_is_refused_with_its_name(name):
    value, said = WRONG_VALUES[name]
    with pytest.raises(BaselineError, match=re.escape(said)) as caught:
        evaluated(report=FitReport(values={"curve": {"inner": [0.0, value]}}))
    assert str(caught.value).count("\n") == 0
    if name != "too many":
        assert "values.curve.inner[1]" in str(caught.value)


def test_numbers_of_other_libraries_become_plain_ones():
    values = {
        "numpy": np.float32(0.5),
        "boolean": np.bool_(True),
        "tensor": torch.tensor(2),
        "half": torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True),
        "array": np.arange(3),
        "path": Path("a") / "b",
        "pair": (1, 2.5),
        "none": None,
        "keys": {np.int64(3): 1},
        "nan": math.nan,
    }
    record = evaluated(report=FitReport(values=values))
    expected = {
        "numpy": 0.5, "boolean": True, "tensor": 2, "half": 0.5, "array": [0, 1, 2], "path": "a/b", "pair": [1, 2.5],
        "none": None, "keys": {"3": 1}, "nan": None,
    }  # fmt: skip
    assert Record.from_json(record.to_json()).training == expected


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({"objective": 1.0}, "must be a leakybench.baseline.FitReport, got dict"),
        (Colour.RED, "must be a leakybench.baseline.FitReport, got "),
        (FitReport(status="fine"), "status of a report must be one of ok, collapsed, diverged, got 'fine'"),
        (FitReport(status=Unspeakable()), "status of a report must be one of"),
        (FitReport(message=None), "message of a report must be text, got NoneType"),
        (FitReport(values=[1]), "values of a report must map names to values, got list"),
        (FitReport(arrays={"a": "text"}), "arrays.a of a report is str, not an array of real numbers"),
        (FitReport(arrays={"a": np.array([None])}), "arrays.a of a report is an array of dtype object"),
        (FitReport(values={"warmup_seconds": -1.0}), "warmup_seconds of a report must be seconds"),
        (FitReport(values={"warmup_seconds": "1"}), "warmup_seconds of a report must be seconds"),
        (FitReport(values={"warmup_seconds": math.inf}), "warmup_seconds of a report must be seconds"),
    ],
)
def test_a_report_of_another_form_is_refused(report, said):
    with pytest.raises(BaselineError, match=re.escape(said)):
        evaluated(report=report)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(values=st.dictionaries(st.text(max_size=5).filter(lambda name: name != "warmup_seconds"), JSON, max_size=4))
def test_plain_values_are_kept_as_they_are(values):
    class Model:
        report = FitReport(values=values)

    assert report_of(Model()).values == values


def test_tensors_among_the_arrays_become_arrays():
    class Model:
        report = FitReport(arrays={"a": torch.eye(2), "b": [1.0, 2.0]})

    arrays = report_of(Model()).arrays
    np.testing.assert_array_equal(arrays["a"], np.eye(2))
    np.testing.assert_array_equal(arrays["b"], [1.0, 2.0])
