"""Short runs give the stored numbers, to the last bit: a guard against changes that nobody meant to make.

A change that is meant: ``python -m tests.helpers.golden --write 'why'``, and a line in the changelog.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # the 23 runs take as long as all tests of the networks

FILE = Path(__file__).resolve().parents[1] / "golden" / "numbers.json"


@pytest.fixture(scope="module")
def found():
    # a process of its own: threads and products are set before anything is loaded
    command = [sys.executable, "-m", "tests.helpers.golden"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=FILE.parents[2], timeout=600)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def stored():
    return json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("part", ["runs", "batch", "estimator", "data"])
def test_short_runs_give_the_stored_numbers_to_the_bit(found, stored, part):
    if stored["machine"] != found["machine"]:
        differing = sorted(key for key, value in stored["machine"].items() if found["machine"].get(key) != value)
        pytest.skip(f"made on another machine ({', '.join(differing)}), which may round otherwise")
    assert found[part].keys() == stored[part].keys()
    changed = {name: (stored[part][name], value) for name, value in found[part].items() if value != stored[part][name]}
    assert not changed


def test_short_runs_give_nearly_the_stored_numbers_on_any_machine(found, stored):
    assert found["runs"].keys() == stored["runs"].keys()
    for name, numbers in found["runs"].items():
        if " paper " in name:
            continue  # 6000 steps amplify the last digit to the first
        before, now = (float.fromhex(each["test_error"]) for each in (stored["runs"][name], numbers))
        # training amplifies round-off: two instruction sets were up to 22% apart
        assert now == pytest.approx(before, rel=0.5), name
        assert numbers["status"] == stored["runs"][name]["status"]


def test_the_golden_runs_are_runs(found):
    runs = found["runs"]
    assert len(runs) >= 20
    # the mean predictor alone has no rank and error 1; every network has learnt something, even in seconds
    networks = [numbers for name, numbers in runs.items() if "ResNet" in name or name.startswith("FullyConnected")]
    assert all(numbers["status"] == "ok" and float.fromhex(numbers["test_error"]) < 1.0 for numbers in networks)
    assert len({numbers["objective"] for numbers in networks}) == len(networks)
