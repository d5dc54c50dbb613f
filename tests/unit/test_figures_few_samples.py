"""The figures at few samples: what differs in a control, paired changes, and what a search chose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leakybench.figures import controls, few_samples, load_figure, studies, tuned
from leakybench.figures.build import jobs_of
from leakybench.figures.figure import EFFECTIVE_DEPTH, Runs
from leakybench.store import Store
from tests.helpers.figure_runs import fabricated

SEEDS = range(3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "runs", keep_arrays=False)  # these figures read none
    found.prepare()
    return found


def test_every_control_has_a_name_of_its_own_and_the_networks_as_they_are_are_the_base(store: Store) -> None:
    jobs = jobs_of(load_figure("controls"), SEEDS)
    for job in jobs:
        store.write(fabricated(job))
    data = controls.collect(Runs(store, jobs))
    assert list(dict.fromkeys(data["kind"])) == [
        "as it is", "from Lt = 15", "converged", "from Lt = 15, converged", "gaussian weights", "gain 0.3", "gain 3",
        "L = 2 Lt", "L = 40", "the paper's protocol",
    ]  # fmt: skip
    # no two runs of one seed stand for one point
    assert not data.duplicated(["task", "kind", EFFECTIVE_DEPTH, "seed"]).any()
    base = data[data["kind"] == controls.AS_IT_IS]
    assert set(base[EFFECTIVE_DEPTH]) == {*studies.CONTROL_DEPTHS, np.inf}
    # each control has its base at the same task, effective depth and seed
    keys = ["task", EFFECTIVE_DEPTH, "seed"]
    assert set(map(tuple, data[keys].to_numpy())) == set(map(tuple, base[keys].to_numpy()))


def test_a_change_of_the_objective_is_that_of_the_start_alone(store: Store) -> None:
    jobs = jobs_of(load_figure("controls"), SEEDS)
    for job in jobs:
        started = "start_depth" in job.run.baseline_overrides
        objective = 2.0 + (job.run.preset == "converged") + 0.25 * started + 0.01 * job.run.seed
        store.write(fabricated(job, test_error=0.5 - 0.1 * started, training={"objective": objective}))
    rows = controls.differences(controls.collect(Runs(store, jobs)))
    changed = rows[rows["quantity"] == controls.OBJECTIVE_DIFFERENCE]
    assert set(changed["kind"]) == {"from Lt = 15", "from Lt = 15, converged"}
    assert changed["mean [of quantity]"].to_numpy() == pytest.approx(0.25)
    errors = rows[(rows["quantity"] == controls.DIFFERENCE) & (rows["kind"] == "from Lt = 15")]
    assert errors["mean [of quantity]"].to_numpy() == pytest.approx(-0.1)
    assert set(rows["quantity"]) == {controls.DIFFERENCE, controls.OBJECTIVE_DIFFERENCE}


def test_rules_at_few_samples_are_paired_with_uniform_steps_of_the_same_place(store: Store) -> None:
    jobs = jobs_of(load_figure("few-samples"), SEEDS)
    shift = {"uniform": 0.0, "irregular": 0.1, "adaptive": 0.2, "early": -0.1, "settled": -0.2}
    for job in jobs:
        place = job.run.task_overrides["n_train"] / 1000 + job.run.baseline_overrides.get("depth", 20) / 100
        store.write(fabricated(job, test_error=1.0 + place + shift[job.run.baseline_overrides["steps"]]))
    rows = few_samples.differences(few_samples.collect(Runs(store, jobs)))
    for rule in few_samples.RIVALS:
        found = rows[rows["quantity"] == f"{rule} - uniform"]
        assert len(found) == sum(map(len, studies.FEW_SAMPLES.values())) * len(studies.FEW_LAYERS)
        assert found["mean [of quantity]"].to_numpy() == pytest.approx(shift[rule])


def test_the_figure_of_tuned_methods_reads_what_a_search_chose_and_cost(store: Store) -> None:
    jobs = jobs_of(load_figure("tuned"), SEEDS)
    for job in jobs:
        tuning = {
            "settings": {"effective_depth": 11.0} if job.run.baseline.startswith("Leaky") else {},
            "held_out": 0.4, "held_out_default": 0.5, "seconds": 30.0 + job.run.seed,
            "counts": {"complete": 5, "pruned": 2, "failed": 1},
        }  # fmt: skip
        searched = "tune" in job.run.baseline_overrides
        training = {"tuning": tuning} if searched else {}
        store.write(fabricated(job, test_error=0.3 if searched else 0.4, training=training))
    data = tuned.collect(Runs(store, jobs))
    assert data.groupby("kind")["trials failed [1]"].sum().to_dict() == {"default": 0, "tuned": len(jobs) / 2}
    rows = tuned.differences(data)
    found = {name: rows[rows["quantity"] == name] for name in dict.fromkeys(rows["quantity"])}
    assert found[tuned.DIFFERENCE]["mean [of quantity]"].to_numpy() == pytest.approx(-0.1)
    assert found[tuned.SECONDS]["mean [of quantity]"].to_numpy() == pytest.approx(31.0)
    assert set(found[tuned.DEPTHS]["baseline"]) == {"LeakyResNet-v0"}
    assert found[tuned.DEPTHS]["mean [of quantity]"].to_numpy() == pytest.approx(11.0)
