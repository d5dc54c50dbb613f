"""How the searches of tuned runs are shown: one run by ``show``, their cost by ``search_costs``."""

from __future__ import annotations

import pandas as pd
import pytest

import leakybench
from leakybench.analysis.frame import to_frame
from leakybench.analysis.search_costs import search_costs
from leakybench.cli import main
from leakybench.store import Store


@pytest.fixture(scope="module")
def records():
    tasks = [leakybench.make("Linear-k3-v0", seed=seed, n_train=24, n_test=12, d=4) for seed in range(2)]
    asked = [("Ridge-v0", {"tune": 4}), ("Ridge-v0", {}), ("ReducedRank-v0", {"tune": 3})]
    return [
        leakybench.evaluate(leakybench.make_baseline(id, **settings), task, seed=task.seed, preset="smoke")
        for id, settings in asked
        for task in tasks
    ]


def test_costs_are_sums_over_the_runs_of_a_tuned_baseline(records):
    costs = search_costs(to_frame(records)).set_index("baseline")
    assert list(costs.index) == ["ReducedRank-v0[tune=3]", "Ridge-v0[tune=4]"]  # the run without a search is left out
    assert costs["runs"].tolist() == [2, 2]
    assert costs["trials"].tolist() == [6, 8]
    assert (costs["complete"] + costs["pruned"] + costs["failed"]).tolist() == [6, 8]
    for label, row in costs.iterrows():
        spent = [r.training["tuning"]["seconds"] for r in records if r.run.baseline_label == label]
        assert row["seconds"] == pytest.approx(sum(spent), rel=1e-12)  # the same sum in another order
        assert row["seconds_per_run"] == pytest.approx(sum(spent) / 2, rel=1e-12)


def test_runs_without_a_search_have_no_costs(records):
    plain = [record for record in records if "tuning" not in record.training]
    for frame in (to_frame(plain), to_frame([])):
        costs = search_costs(frame)
        assert isinstance(costs, pd.DataFrame)
        assert costs.empty
        assert "seconds_per_run" in costs


def test_the_time_of_a_search_is_that_of_its_trials_and_within_the_fit(records):
    for record in records:
        if "tuning" in record.training:
            found = record.training["tuning"]
            # what is around the trials is at most the time of the search itself; imports on its way count as set-up
            spent = record.wall_clock["fit"] + record.wall_clock["setup"]
            assert sum(trial["seconds"] for trial in found["trials"]) <= found["seconds"] <= spent


def test_show_prints_what_was_tried_a_line_a_trial(records, tmp_path, capsys):
    store = Store(tmp_path)
    store.write(records[0])
    assert main(["show", records[0].run_id, "--results", str(tmp_path)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    tuning = lines[lines.index("tuning") :]
    assert "budget                  4" in tuning
    assert "counts" in tuning
    trials = tuning[tuning.index("trials") + 1 :][:4]
    assert "settings ()" in trials[0]  # the baseline as it is
    assert all(trial.startswith("(error ") and "settings (penalty " in trial for trial in trials[1:])


def test_show_ends_a_long_list_of_trials_with_their_number(tmp_path, capsys):
    task = leakybench.make("Linear-k3-v0", n_train=24, n_test=12, d=4)
    record = leakybench.evaluate(leakybench.make_baseline("Ridge-v0", tune=52), task, preset="smoke")
    Store(tmp_path).write(record)
    assert main(["show", record.run_id, "--results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "... 52 in total" in out
    assert out.count("(error ") == 50
