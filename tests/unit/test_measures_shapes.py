"""The shapes in the annotations of the measures are checked under pytest, and cost users no import of torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from leakybench.measures.energies import velocities
from leakybench.measures.norms import Kernel
from leakybench.measures.recursion import propagate

A, STEPS = np.ones((6, 3)), np.full(4, 0.25)


def test_a_wrong_shape_of_an_argument_fails() -> None:
    assert propagate(A, np.ones((4, 3, 4)), STEPS, 1.0 - STEPS).shape == (5, 6, 3)
    for weights in (np.ones((4, 3, 3)), np.ones((5, 3, 4)), np.ones((3, 4))):
        with pytest.raises(TypeCheckError, match=r"weights|step_sizes"):
            propagate(A, weights, STEPS, 1.0 - STEPS)


def test_a_wrong_shape_of_a_result_fails() -> None:
    with pytest.raises(TypeCheckError, match="return value"):
        # two steps lie between three points; numpy would broadcast a single step-size
        velocities(np.ones((3, 6, 3)), np.ones(1))


def test_a_wrong_shape_of_a_field_fails() -> None:
    with pytest.raises(TypeCheckError, match="values"):
        Kernel(left=A, values=np.ones(2))


def test_a_wrong_precision_fails() -> None:
    with pytest.raises(TypeCheckError, match="activations"):
        velocities(np.ones((3, 6, 3), dtype=np.float32), np.ones(2))


def test_the_measures_import_no_torch() -> None:
    program = "import sys, leakybench.measures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 0
