"""The items of an audit: separated pairs, families, consistency, pass rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakybench.analysis.audit import verdict
from leakybench.analysis.audit_items import NOISE, audit_item, count_separated, family, fewest_seeds
from leakybench.stats import holm, mcnemar, paired


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
