"""Records: JSON round trips, refusal of what is damaged or forged, and what counts as equal."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import leakybench
from leakybench.record import Record, RunSpec, label
from tests.helpers.records import record, run_spec


def test_a_record_round_trips():
    one = record()
    again = Record.from_json(one.to_json())
    assert again == one
    assert again.run_id == one.run_id
    assert len(one.run_id) == 24


@given(
    number=st.floats(width=32),
    text=st.text(),
    values=st.dictionaries(st.text(), st.floats() | st.integers() | st.text() | st.none(), max_size=5),
)
def test_any_measures_become_valid_json(number, text, values):
    made = record(measures={"x": np.float32(number), "deep": {"list": [number, np.int64(3)], **values}}, message=text)
    again = Record.from_json(made.to_json())
    expected = float(np.float32(number)) if np.isfinite(np.float32(number)) else None
    assert again.measures["x"] == expected
    assert Record.from_json(again.to_json()) == again


def test_the_run_id_depends_on_every_axis():
    base = run_spec()
    others = [
        run_spec(seed=1),
        run_spec(preset="standard"),
        run_spec(source="0+other"),
        run_spec(task="dummy/Other-v0"),
        run_spec(baseline="dummy/Other-v0"),
        run_spec(task_overrides={"d": 5}),
        run_spec(baseline_overrides={"depth": 5}),
    ]
    assert len({base.run_id, *(spec.run_id for spec in others)}) == 8
    assert run_spec(task_overrides={"a": 1, "b": 2}).run_id == run_spec(task_overrides={"b": 2, "a": 1}).run_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "fine"}, "status must be one of ok, collapsed"),
        ({"test_error": "low"}, "test_error must be a finite number or null"),
        ({"test_error": True}, "test_error must be a finite number or null"),
        ({"bottleneck_rank": 2.5}, "bottleneck_rank must be an integer"),
        ({"true_rank": -1}, "true_rank must be an integer"),
        ({"rank_recovered": 1}, "rank_recovered must be true, false or null"),
        ({"measures": [1]}, "measures must be an object"),
        ({"message": 5}, "message must be text"),
        ({"schema": 99}, "schema 99 is not the supported"),
        ({"run_id": "0" * 24}, "is not the hash of the run's spec"),
        ({"colour": 1}, "no field 'colour'"),
        ({"arrays": {}}, "arrays live in its .npz"),
        ({"run": {}}, "lacks the field"),
        ({"run": 5}, "must be an object"),
    ],
)
def test_wrong_records_are_refused_by_name(change, message):
    data = json.loads(record().to_json()) | change
    with pytest.raises(leakybench.UsageError, match=message):
        Record.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "7", "[" * 100_000, '{"schema": 1}'])
def test_texts_that_are_no_record_are_one_line(text):
    with pytest.raises(leakybench.UsageError) as caught:
        Record.from_json(text)
    assert "\n" not in str(caught.value)


def test_a_forged_seed_is_noticed():
    data = json.loads(record().to_json())
    data["run"]["seed"] = 5
    with pytest.raises(leakybench.UsageError, match="is not the hash"):
        Record.from_json(json.dumps(data))


def test_times_and_provenance_do_not_count_as_differences():
    one = record()
    other = record(wall_clock={"fit": 99.0}, provenance={"processor": "another"})
    assert one.comparable() == other.comparable()
    assert one.comparable() != record(test_error=0.26).comparable()


def test_labels_show_overrides_sorted():
    assert label("A-v0", {}) == "A-v0"
    assert label("A-v0", {"steps": "adaptive", "depth": 5}) == "A-v0[depth=5,steps=adaptive]"


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "3", True, None])
def test_seeds_are_checked(seed):
    with pytest.raises(leakybench.UsageError, match="seed must be an integer"):
        run_spec(seed=seed)
    with pytest.raises(leakybench.UsageError, match="preset must be one of"):
        RunSpec(task="A-v0", baseline="B-v0", seed=0, preset="quick", source="0")
