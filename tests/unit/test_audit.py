"""The audit of a board: what is dead, what separates, and the core set."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from leakybench.analysis.audit import REDUNDANT, audit, candidates, enough, verdict
from leakybench.analysis.audit_items import NOISE, audit_item, count_separated, family, fewest_seeds
from leakybench.analysis.core import core_set
from leakybench.analysis.scores import score_frame
from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.report.audit import render
from leakybench.stats import holm, mcnemar, paired
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


def _item(table, *, families=None, metric="error"):
    """The item of values (seeds, methods), errors or truth values."""
    seeds, methods = table.shape
    rows = [
        {
            "seed": seed,
            "method": f"M{m}-v0",
            "steps": "-",
            "baseline_id": (families or [f"M{m}-v0" for m in range(99)])[m],
        }
        | {"score": table[seed, m], "alignment": table[seed, m], "recovered": bool(table[seed, m])}
        for seed in range(seeds)
        for m in range(methods)
        if np.isfinite(table[seed, m])
    ]
    return audit_item(metric, pd.DataFrame(rows))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 12), st.integers(2, 6))
def test_separated_pairs_are_those_of_a_plain_loop_also_with_missing_seeds(seed, seeds, methods):
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((seeds, methods)) + rng.choice([0.0, 1.0, 4.0], methods)
    table[rng.random(table.shape) < 0.15] = np.nan
    p_values = []
    for i in range(methods):
        for j in range(i + 1, methods):
            apart = table[:, i] - table[:, j]
            apart = apart[np.isfinite(apart)]
            if len(apart) >= 5:
                p_values.append(paired([apart]).p_value)
    expected = int(np.sum(holm(p_values) < 0.05)), len(p_values)
    assert count_separated(table) == expected


def test_passes_and_failures_are_compared_by_an_exact_test():
    # five seeds, all against none: Student's test sees no spread and would be certain, chance does it once in 16 times
    table = np.column_stack([np.ones(5), np.zeros(5)])
    assert count_separated(table) == (1, 1)
    assert mcnemar(5, 0) == 1 / 16
    assert count_separated(table, signs=True) == (0, 0)
    many = np.column_stack([np.ones(6), np.zeros(6)])
    assert count_separated(many, signs=True) == (1, 1)
    assert count_separated(np.column_stack([np.ones(8), [1, 1, 1, 0, 0, 0, 0, 0]]), signs=True) == (0, 1)


@pytest.mark.parametrize("pairs", [1, 2, 3, 10, 105, 435])
def test_a_sign_test_is_made_from_the_first_number_of_seeds_that_can_reject(pairs):
    fewest = fewest_seeds(pairs, signs=True)
    assert pairs * mcnemar(fewest, 0) < 0.05 <= pairs * mcnemar(fewest - 1, 0)
    assert fewest_seeds(pairs, signs=False) == 5


def test_variants_and_step_rules_of_a_baseline_are_one_family():
    assert family("LeakyResNet-Lt15-v0") == family("LeakyResNet-v0") == "LeakyResNet"
    assert family("mine/LeakyResNet-v2") == "mine/LeakyResNet"
    rng = np.random.default_rng(1)
    # three rules of one family, equal but for luck, and one other family far away
    table = np.exp(np.log([0.1, 0.1, 0.1, 0.4]) + 0.05 * rng.standard_normal((8, 4)))
    item = _item(table, families=["A-v0", "A-v0", "A-x-v0", "B-v0"])
    assert (item.families_separated, item.family_pairs) == (1, 1)
    assert (item.separated, item.pairs) == (3, 6)


def test_rules_of_two_families_that_stay_together_make_a_weak_task():
    rng = np.random.default_rng(3)
    names = ["A-v0", "B-v0", "C-v0", "D-v0"]
    # nine far members of A, in pairs well apart, beside three families that chance cannot part
    level = np.concatenate([np.linspace(0, 4, 9), [2.0, 2.0, 2.0]])
    logs = -4.5 + level + 0.05 * rng.standard_normal((8, 12))
    item = _item(np.exp(logs), families=["A-v0"] * 9 + names[1:])
    assert item.share > 0.8
    assert item.family_share == 0.0
    assert verdict({"error": item}, False, None) == "weak"
    # the same without families says nothing against the task
    assert verdict({"error": _item(np.exp(logs), families=["A-v0"] * 12)}, False, None) == "separates"


def test_consistency_is_over_the_seeds_that_all_methods_have():
    table = np.exp(-2 + 0.3 * np.random.default_rng(6).standard_normal((9, 4)))
    gaps = table.copy()
    gaps[2, 1] = gaps[7, 3] = np.nan
    whole = _item(np.delete(table, [2, 7], axis=0))
    assert _item(gaps).consistency == whole.consistency
    assert _item(gaps).seeds == 8


def test_luck_that_all_methods_share_is_not_taken_for_a_dead_task():
    rng = np.random.default_rng(2)
    shared = rng.standard_normal((8, 1))
    table = np.exp(-3 + 0.2 * np.arange(5) + 0.5 * shared + 0.02 * rng.standard_normal((8, 5)))
    item = _item(table)
    assert item.icc < 0.5
    assert item.consistency > 0.98
    assert item.dead is False


def test_a_task_where_seeds_differ_more_than_methods_is_dead_however_many_seeds_there_are():
    rng = np.random.default_rng(4)
    # differences of 0.6 standard deviations: found with 120 seeds, and of no use with ten
    table = np.exp(-2 + 0.05 * (0.3 * np.arange(3) + rng.standard_normal((120, 3))))
    item = _item(table)
    assert item.separated > 0
    assert item.consistency < NOISE
    assert item.dead is True


def test_pass_rates_are_those_of_each_metric():
    errors = np.array([[0.2, 1.0], [0.99, 3.0], [0.5, 0.4]])
    assert (_item(errors).passed, _item(errors).runs) == (4, 6)
    alignments = np.array([[0.5, 0.49], [-0.1, 1.0], [0.7, 0.2]])
    assert _item(alignments, metric="alignment").passed == 3
    ranks = _item(np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]]), metric="rank")
    assert (ranks.passed, ranks.runs, ranks.dead) == (4, 6, False)
    assert _item(np.ones((3, 2)), metric="rank").dead is True
    assert _item(np.zeros((3, 2)), metric="rank").dead is True


def test_errors_above_the_mean_predictor_separate_nobody():
    # ways to be useless: by their plain logarithms the two are far apart
    item = _item(np.exp(np.array([1.0, 2.0]) + 0.01 * np.random.default_rng(0).standard_normal((6, 2))))
    assert (item.separated, item.icc, item.dead) == (0, None, True)


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


def _board_of(tasks=12, methods=8, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    skill = np.linspace(0.1, 0.9, methods)
    values = np.clip(skill + noise * rng.standard_normal((tasks, methods)), 0, 1)
    return pd.DataFrame(values, index=[f"task{i}" for i in range(tasks)], columns=[f"m{i}" for i in range(methods)])


def test_the_core_is_chosen_from_the_candidates_and_judged_by_the_whole_board():
    frame = _board_of()
    core = core_set(frame, size=3, candidates=["task1", "task4", "task7", "task9"])
    assert set(core.tasks) <= {"task1", "task4", "task7", "task9"}
    assert (core.of, core.board) == (4, 12)
    chosen = frame.loc[core.tasks].mean()
    assert core.tau == pytest.approx(stats.kendalltau(chosen, frame.mean()).statistic, abs=1e-12)
    assert core_set(frame, size=3, candidates=["task1"]) is None


def test_a_chosen_core_is_compared_with_random_sets_and_with_the_method_it_did_not_see():
    frame = _board_of(noise=0.3)
    core = core_set(frame, size=4)
    assert core.tau > core.tau_random
    places = frame.mean().rank(method="min")
    for name, move in core.moves.items():
        # found again without the method: the set that was chosen then places it where it says
        unseen = core_set(frame.drop(columns=name), size=4)
        again = frame.loc[unseen.tasks].mean().rank(method="min")
        assert move == again[name] - places[name]
    assert core.largest_move == max(map(abs, core.moves.values()))


def test_tasks_without_any_spread_and_rare_tasks_break_no_core():
    frame = _board_of(tasks=6)
    frame.loc["task0"] = 1.0
    core = core_set(frame, size=2)
    assert "task0" not in core.tasks
    rare = pd.concat([frame, pd.DataFrame([[0.5] + [np.nan] * 7], index=["rare"], columns=frame.columns)])
    assert core_set(rare, size=2) == core
    level = core_set(frame * 0 + 1.0, size=2)
    assert (level.tau, level.worst) == (0.0, 0.0)


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
