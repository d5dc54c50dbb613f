"""The audit of a board: what is dead, what separates, and the core set."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from leakybench.analysis.audit import REDUNDANT, audit, candidates, enough
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


def test_every_format_says_the_same(tmp_path):
    found = _audit(_records() + _records("LowRank-k2-v0"))
    for format in ("terminal", "github"):
        shown = render(found, format)
        assert "verdict" in shown
        assert "100%, 100%" in shown
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


def test_the_mean_and_the_yardstick_are_no_candidates():
    records = _records(spread=0.3)
    more = [
        record(task="LowRank-k3-v0", baseline=name, seed=seed, error=error, rank=None)
        for name, error in (("Mean-v0", 1.0), ("Yardstick-v0", 0.01))
        for seed in SEEDS
    ]
    alone, beside = _audit(records), _audit(records + more)
    assert beside.left_out == ["Mean-v0", "Yardstick-v0"]
    assert beside.tasks == alone.tasks
    assert "left out as references: Mean-v0, Yardstick-v0" in render(beside)
    # a plugin whose name begins alike is a candidate
    field = [record(task="LowRank-k3-v0", baseline="mine/Meanfield-v0", seed=seed, error=0.5) for seed in SEEDS]
    assert _audit(records + field).methods == 5


def test_a_method_without_ranks_is_not_judged_and_a_failed_run_is_a_miss():
    records = _records()
    trees = [record(task="LowRank-k3-v0", baseline="mine/Trees-v0", seed=seed, error=0.2, rank=None) for seed in SEEDS]
    lost = [
        record(task="LowRank-k3-v0", baseline="mine/Trees-v0", seed=9, status="timeout", error=None, rank=None),
        record(task="LowRank-k3-v0", baseline="Ridge-v0", seed=9, status="timeout", error=None, rank=None),
    ]
    assert _audit(records + trees).tasks[0].judged == len(records)
    found = _audit(records + trees + lost).tasks[0]
    assert (found.missed, found.judged) == (1, len(records) + 1)
    assert found.rank.methods == len(METHODS)


def test_of_two_tasks_that_order_methods_alike_the_second_is_redundant():
    split = {"rank": lambda place, seed: 3 if place else 4}
    first, second = (_records(name, **split) for name in ("LowRank-k2-v0", "LowRank-k3-v0"))
    assert [task.verdict for task in _audit(first + second).tasks] == ["separates", "redundant with LowRank-k2-v0"]
    # alignments of another order ask another question
    aligned = {"LowRank-k2-v0": (0.6, 0.7, 0.8, 0.9), "LowRank-k3-v0": (0.9, 0.6, 0.8, 0.7)}
    rng = np.random.default_rng(0)
    frame = score_frame(first + second)
    place = frame["baseline_id"].map(list(METHODS).index)
    mine = [aligned[task][m] + 0.005 * rng.standard_normal() for task, m in zip(frame["task"], place, strict=True)]
    found = audit(frame.assign(alignment=mine))
    assert [task.verdict for task in found.tasks] == ["separates", "separates"]
    assert {pair.metric: pair.kendall >= REDUNDANT for pair in found.similarity} == {"error": True, "alignment": False}


def test_similarity_of_every_two_tasks_is_that_of_scipy():
    names = ("LowRank-k1-v0", "LowRank-k2-v0", "LowRank-k3-v0", "Linear-k3-v0")
    records = [each for name in names for each in _records(name, spread=1.5)]
    found = _audit(records)
    means = candidates(score_frame(records))[0].assign(score=lambda rows: rows["score"].clip(upper=1.0))
    means = means.groupby(["task", "method"])["score"].mean().unstack()
    assert len(found.similarity) == 6
    for pair in found.similarity:
        one, other = means.loc[pair.task], means.loc[pair.other]
        # closed forms of a few numbers: round-off alone
        assert pair.kendall == pytest.approx(stats.kendalltau(one, other).statistic, abs=1e-12)
        assert pair.spearman == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-12)
        assert pair.methods == 4


def test_an_audit_without_any_spread_is_plain_json():
    level = [record(baseline=name, seed=seed, error=1.0) for name in METHODS for seed in SEEDS]
    found = _audit(level)
    assert found.tasks[0].verdict == "dead"
    data = json.loads(render(found, "json"))
    assert data["tasks"][0]["items"]["error"]["icc"] is None
    assert data["tasks"][0]["rank"]["dead"] is True
    for format in ("terminal", "github", "svg"):
        assert "nan" not in render(found, format)


@pytest.mark.parametrize("format", ["terminal", "github", "svg"])
def test_names_cannot_forge_a_row(format):
    found = _audit(_records() + _records("LowRank-k2-v0"))
    plain = render(found, format)
    object.__setattr__(found.tasks[0], "task", "a\n| b | <i>\x1b[31m")
    object.__setattr__(found.tasks[1], "nearest", "a\n| b")
    shown = render(found, format)
    assert shown.count("\n") == plain.count("\n")
    assert "\x1b" not in shown
    assert format == "terminal" or "<i>" not in shown


def _stored(folder, records):
    folder.mkdir()
    store = Store(folder)
    for each in records:
        store.write(each)
    return str(folder)


def test_several_folders_are_one_board(tmp_path, capsys):
    first = _stored(tmp_path / "a", _records())
    second = _stored(tmp_path / "b", _records("LowRank-k2-v0"))
    assert main(["audit", first, second, "--json"]) == 0
    assert [task["task"] for task in json.loads(capsys.readouterr().out)["tasks"]] == ["LowRank-k2-v0", "LowRank-k3-v0"]
    assert main(["audit", first, second, "--task", "LowRank-k2*", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["tasks"]) == 1
    assert main(["audit", first, str(tmp_path / "none")]) == 2


def test_the_most_common_preset_is_shown_unless_one_is_chosen(tmp_path, capsys):
    smoke = [record(baseline=name, seed=seed, error=0.5, preset="smoke") for name in METHODS for seed in range(2)]
    folder = _stored(tmp_path / "runs", _records() + smoke)
    assert main(["audit", folder, "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["preset"] == "standard"
    assert "several presets: showing standard, with 24 of 32 runs" in shown.err
    assert main(["audit", folder, "--preset", "smoke", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["preset"] == "smoke"


def test_references_alone_are_too_little(tmp_path, capsys):
    pair = [
        record(baseline=name, seed=seed, error=error)
        for name, error in (("Ridge-v0", 0.5), ("Yardstick-v0", 0.1), ("Mean-v0", 1.0))
        for seed in SEEDS
    ]
    assert not enough(candidates(score_frame(pair))[0])
    folder = _stored(tmp_path / "runs", pair)
    assert main(["audit", folder]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "at least two methods" in line
