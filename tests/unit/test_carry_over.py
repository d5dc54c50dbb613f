"""Carrying stored runs over to new ids: only what is equal, everything or nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from leakybench.packs.verify import verify
from leakybench.provenance import source_of
from leakybench.registry import baselines, tasks
from leakybench.store import Store
from tests.helpers import fabricate
from tests.helpers.carry_over import carry, choose, differences

RESULT = {"found": {"status": "ok", "test_error": 0.5, "measures": {"coi_min": 3.0}, "training": {"objective": 1.0}}}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, []),
        ({"test_error": 0.5 + 2**-52}, ["test_error"]),
        ({"training": {"objective": 1.0 + 2**-52}}, ["training.objective"]),
        ({"measures": {"coi_min": 3.0 * (1 + 1e-9)}}, []),
        ({"measures": {"coi_min": 3.01}}, ["measures.coi_min"]),
        ({"measures": {}}, ["measures.coi_min"]),
        ({"training": {"objective": 1.0, "criticality_residual": 0.3}}, []),
        ({"training": {"objective": 1.0, "seconds_tuning": 0.3}}, []),
    ],
)
def test_results_are_compared_to_the_bit_and_measures_to_their_round_off(change, names):
    assert differences(RESULT, {"found": {**RESULT["found"], **change}}) == names


def test_records_get_the_present_id_and_keep_their_numbers(tmp_path):
    store = Store(tmp_path)
    records = []
    for steps in ("uniform", "adaptive"):
        record = fabricate.record(steps=steps)
        record = dataclasses.replace(
            record,
            run=dataclasses.replace(record.run, source="0.0+old"),
            training={"criticality_residual": 0.5, "curve": [[10, 1.0, 0.9]]},
            measures={"criticality": 0.25},
            arrays={"positions": np.arange(3.0)},
        )
        store.write(record)
        records.append(record)
    before = {record.run.baseline_overrides["steps"]: store.arrays(record.run_id) for record in records}
    assert carry(tmp_path, "a move") == (2, 0)
    assert carry(tmp_path, "a move") == (0, 2)
    after = {record.run.baseline_overrides["steps"]: record for record in store}
    assert len(store.ids()) == 2
    assert verify(store).sound
    for steps, record in after.items():
        spec = baselines.spec("LeakyResNet-v0").with_overrides({"steps": steps})
        assert record.run.source == source_of(tasks.spec("LowRank-k3-v0"), spec)
        assert record.provenance["carried_over"]["source"] == "0.0+old"
        assert list(store.arrays(record.run_id)) == list(before[steps])
    # under uniform steps both definitions of the residual agree; under others it is that of the measures
    assert after["uniform"].training == {"criticality_residual": 0.5, "curve": [[10, 1.0, 0.9]]}
    assert after["adaptive"].training == {"criticality_residual": 0.25, "curve": [[10, 1.0, None]]}


def test_the_sample_holds_every_baseline_and_rule(tmp_path):
    store = Store(tmp_path)
    for seed in range(3):
        for baseline, overrides in (("Ridge-v0", {}), ("ResNet-v0", {"steps": "adaptive"}), ("Mean-v0", {})):
            store.write(fabricate.record(baseline=baseline, seed=seed, **overrides))
    chosen = choose([tmp_path], 4)
    assert len(chosen) == 4
    assert {item["run"]["baseline"] for item in chosen} == {"Ridge-v0", "ResNet-v0", "Mean-v0"}
