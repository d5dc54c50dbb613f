"""The core set: few tasks that order the methods as the whole board does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leakybench.analysis.core import core_set


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
