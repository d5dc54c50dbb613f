"""The audit of a board: what is dead, what separates, and the core set."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from leakybench.analysis.audit import audit
from leakybench.analysis.core import core_set
from leakybench.analysis.scores import score_frame
from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.report.audit import render
from leakybench.store import Store
from tests.helpers.fabricate import record

METHODS = {"Ridge-v0": 0.6, "KernelRidge-v0": 0.3, "GradientBoosting-v0": 0.15, "RecursiveFeatureMachine-v0": 0.08}
SEEDS = range(6)


def _records(task="LowRank-k3-v0", *, spread=0.02, factor=1.0, rank=lambda place, seed: 3, seeds=SEEDS):
    """Runs whose logarithmic errors are those of ``METHODS`` with a spread over seeds."""
    rng = np.random.default_rng(len(task))
    made = []
    for place, (baseline, error) in enumerate(METHODS.items()):
        for seed in seeds:
            value = float(error**factor * np.exp(spread * rng.standard_normal()))
            made.append(
                record(task=task, baseline=baseline, seed=seed, error=value, rank=rank(place, seed), true_rank=3)
            )
    return made


def _audit(records, **settings):
    return audit(score_frame(records), **settings)


def test_a_task_that_everyone_passes_is_dead_for_the_rank_and_one_that_splits_is_not():
    found = _audit(_records(rank=lambda place, seed: 3))
    assert found.tasks[0].rank_dead
    assert found.dead == [("LowRank-k3-v0", "rank")]
    assert found.tasks[0].verdict == "rank dead"
    nobody = _audit(_records(rank=lambda place, seed: 4))
    assert nobody.tasks[0].rank_dead
    assert nobody.tasks[0].missed == nobody.tasks[0].judged == 24
    some = _audit(_records(rank=lambda place, seed: 3 if place else 4))
    assert not some.tasks[0].rank_dead
    assert (some.tasks[0].missed, some.tasks[0].judged) == (6, 24)
    assert some.tasks[0].verdict == "separates"


def test_a_task_on_which_only_luck_differs_is_dead():
    rng = np.random.default_rng(5)
    luck = [
        record(task="LowRank-k3-v0", baseline=name, seed=seed, error=float(0.3 * np.exp(0.2 * rng.standard_normal())))
        for name in METHODS
        for seed in SEEDS
    ]
    item = _audit(luck).tasks[0].items["error"]
    assert item.dead
    assert item.icc_high < 0.8
    assert _audit(luck).tasks[0].verdict == "dead"


def test_numbers_of_a_clear_task():
    item = _audit(_records()).tasks[0].items["error"]
    assert item.icc > 0.99
    assert (item.separated, item.pairs) == (6, 6)
    assert item.share == 1.0
    assert item.seeds_needed == 2
    assert (item.methods, item.seeds) == (4, 6)


def test_fewer_seeds_than_a_verdict_needs_say_so():
    found = _audit(_records(seeds=range(3)))
    assert found.tasks[0].items["error"].dead is None
    assert found.tasks[0].verdict == "too few seeds"
    assert found.separated_share is None


def test_failed_runs_count_and_broken_ones_do_not():
    records = _records()
    failed = [record(task="LowRank-k3-v0", baseline="Ridge-v0", seed=7, status="timeout", error=None, rank=None)]
    broken = [record(task="LowRank-k3-v0", baseline="Ridge-v0", seed=8, status="error", error=None, rank=None)]
    assert _audit(records + failed).runs == len(records) + 1
    assert _audit(records + broken).runs == len(records)


def test_models_worse_than_the_mean_do_not_count_as_recovered():
    records = [*_records(), record(task="LowRank-k3-v0", baseline="Ridge-v0", seed=9, error=1.2, rank=3, true_rank=3)]
    assert _audit(records).worse_than_mean == 0


def test_two_tasks_of_one_order_name_each_other():
    found = _audit(_records("LowRank-k3-v0") + _records("LowRank-k2-v0", factor=1.1))
    assert [task.nearest for task in found.tasks] == ["LowRank-k3-v0", "LowRank-k2-v0"]
    assert found.tasks[0].tau == 1.0


def test_the_core_set_orders_methods_as_all_tasks_do():
    rng = np.random.default_rng(0)
    skill = np.linspace(0.1, 0.9, 9)
    # ten tasks that see the skill through noise, and ten that see nothing of it
    means = np.vstack([skill + 0.05 * rng.standard_normal(9) for _ in range(10)] + [rng.uniform(0, 0.2, 9)] * 10)
    frame = pd.DataFrame(means, index=[f"task{i}" for i in range(20)], columns=[f"m{i}" for i in range(9)])
    core = core_set(frame, size=4)
    assert len(core.tasks) <= 4
    assert core.tau >= 0.9
    assert set(core.tau_left_out) == set(frame.columns)
    assert core.worst == min(core.tau_left_out.values()) >= 0.7
    # a method with gaps takes no part, and too few methods give no set
    assert set(core_set(frame.assign(m0=np.nan), size=4).tau_left_out) == set(frame.columns) - {"m0"}
    assert core_set(frame.iloc[:, :3], size=4) is None


def test_every_format_says_the_same(tmp_path):
    found = _audit(_records() + _records("LowRank-k2-v0"))
    for format in ("terminal", "github"):
        shown = render(found, format)
        assert "verdict" in shown
        assert "6 of 6" in shown
    data = json.loads(render(found, "json"))
    assert data["tasks"][0]["items"]["error"]["dead"] is False
    assert data["separated_share"] == 1.0
    root = ElementTree.fromstring(render(found, "svg"))
    labels = [node.text for node in root.iter() if node.text and node.text.startswith("LowRank")]
    assert labels == ["LowRank-k2-v0", "LowRank-k3-v0"]


def test_names_of_tasks_are_text_in_the_picture():
    found = _audit(_records())
    object.__setattr__(found.tasks[0], "task", "<script>&")
    assert "<script>" not in render(found, "svg")
    ElementTree.fromstring(render(found, "svg"))


def test_the_command_writes_what_its_suffix_says(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    store = Store(tmp_path / "runs")
    for each in _records():
        store.write(each)
    assert main(["audit", str(tmp_path / "runs")]) == 0
    assert "rank dead" in capsys.readouterr().out
    for name in ("audit.md", "audit.json", "audit.svg"):
        assert main(["audit", "--results", str(tmp_path / "runs"), "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 500
    assert main(["audit", str(tmp_path / "runs"), "--out", str(tmp_path / "audit.pdf")]) == 2
    assert main(["audit", str(tmp_path / "runs"), "--core", "0"]) == 2
    assert main(["audit", str(tmp_path / "nowhere")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_too_little_to_audit_ends_with_3(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    store = Store(tmp_path / "runs")
    store.write(record(task="LowRank-k3-v0", baseline="Ridge-v0", seed=0, error=0.1))
    assert main(["audit", str(tmp_path / "runs")]) == 3
    assert "at least two methods" in capsys.readouterr().err
    with pytest.raises(UsageError, match="at least two methods"):
        _audit([record(task="LowRank-k3-v0", baseline="Ridge-v0", seed=0, error=0.1)])


def test_several_presets_are_refused():
    mixed = [*_records(), record(task="LowRank-k3-v0", baseline="Ridge-v0", seed=0, error=0.1, preset="smoke")]
    with pytest.raises(UsageError, match="one preset, got smoke, standard"):
        _audit(mixed)
