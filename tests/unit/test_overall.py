"""Other overall scores of the same errors, and what they do to the order of the methods."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leakybench.analysis.leaderboard import leaderboard
from leakybench.analysis.overall import FLOOR, MIN_MOVE, log_errors, other_orders
from leakybench.analysis.scores import score_frame
from leakybench.report.columns import order_columns
from tests.helpers.fabricate import board, record

# distinct powers, so that no two errors are equal by chance and none lies below the floor
ERRORS = arrays(float, (5, 3), elements=st.floats(-2.5, 0.0).map(lambda power: round(10.0**power, 6)), unique=True)


def _table(errors):
    index = pd.MultiIndex.from_tuples([(f"x/M{i}-v0", "-") for i in range(len(errors))], names=["method", "steps"])
    return pd.DataFrame(np.asarray(errors, dtype=float), index=index)


def _by_name(errors):
    return {order.name: order for order in other_orders(_table(errors))}


def _values(order):
    return [item.value for item in sorted(order.methods, key=lambda item: item.method)]


def test_two_methods_by_hand():
    orders = _by_name([[0.1, 0.9], [0.3, 0.5]])  # scores 0.5 and 0.4
    geometric, share = orders["geometric mean"], orders["share better"]
    assert _values(geometric) == pytest.approx([0.3, np.sqrt(0.15)])
    assert geometric.tau == -1.0
    assert [(item.method, item.place, item.place_by_score) for item in geometric.methods] == [
        ("x/M0-v0", 1, 2), ("x/M1-v0", 2, 1)
    ]  # fmt: skip
    # each is better on one task: no order at all, and so no correlation
    assert (_values(share), share.tau) == ([0.5, 0.5], None)
    assert [item.place for item in share.methods] == [1, 1]


@settings(deadline=None)
@given(ERRORS)
def test_tau_is_the_excess_of_concordant_pairs(errors):
    scores = np.round(np.mean(errors, axis=1), 12)
    for order in other_orders(_table(errors)):
        signs = [
            (np.sign(scores[i] - scores[j]), np.sign(_values(order)[i] - _values(order)[j]))
            for i, j in itertools.combinations(range(len(errors)), 2)
        ]
        # tau-b: ties of one score are left out of its factor of the denominator
        norm = np.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
        expected = sum(a * b for a, b in signs) / norm if norm else None
        assert order.tau == (None if expected is None else pytest.approx(expected, abs=1e-12))  # round-off of a ratio


@settings(deadline=None)
@given(ERRORS, st.integers(0, 2), st.floats(0.2, 1.0))
def test_a_task_on_another_scale_changes_neither_of_the_other_orders(errors, task, factor):
    scaled = errors.copy()
    scaled[:, task] *= factor  # at least 0.0006, above the floor
    before, after = _by_name(errors), _by_name(scaled)
    assert _values(after["share better"]) == _values(before["share better"])
    ratio = np.divide(_values(after["geometric mean"]), _values(before["geometric mean"]))
    # values are rounded to 12 decimals, and at least 0.0006
    assert ratio == pytest.approx(np.full(5, factor ** (1 / 3)), rel=1e-8)


def test_an_exact_method_counts_as_one_at_the_floor():
    exact, floor = _by_name([[0.0, 0.5], [0.2, 0.4]]), _by_name([[FLOOR, 0.5], [0.2, 0.4]])
    assert _values(exact["geometric mean"]) == pytest.approx(_values(floor["geometric mean"]))


def test_round_off_does_not_part_equal_methods():
    thrice = [(0.1 + 0.2 + 0.3) / 3, (0.3 + 0.2 + 0.1) / 3]
    assert thrice[0] != thrice[1]
    for order in other_orders(_table([[thrice[0], 0.5], [thrice[1], 0.5], [0.9, 0.9]])):
        assert [(item.place, item.place_by_score) for item in order.methods] == [(1, 1), (1, 1), (3, 3)]


def test_only_changes_of_two_places_or_more_are_named_largest_first():
    # by the mean A B C D, by the ratios D first: 0.0001 on the first task makes up for everything
    orders = _by_name([[0.10, 0.2], [0.11, 0.2], [0.12, 0.2], [FLOOR, 0.9]])
    order = orders["geometric mean"]
    assert [(item.method, item.place_by_score, item.place) for item in order.moves] == [("x/M3-v0", 4, 1)]
    moves = next(column for column in order_columns() if column.name == "largest changes of place")
    assert moves.text(order) == "x/M3-v0 4 to 1"
    assert "none by 2 places" in moves.text(_by_name([[0.1, 0.1], [0.2, 0.2]])["geometric mean"])
    assert MIN_MOVE == 2


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (0, 3)])
def test_one_method_or_one_task_has_no_other_order(shape):
    assert other_orders(_table(np.full(shape, 0.5))) == []


def test_another_method_changes_no_score_of_the_board_but_the_share_that_is_better():
    rival = [
        record(task, "x/Rival-v0", seed, error=0.15)
        for task in ("LowRank-k1-v0", "LowRank-k3-v0", "Linear-k3-v0")
        for seed in range(5)
    ]
    before, after = (leaderboard(score_frame(records), resamples=100) for records in (board(), board() + rival))
    scores = [{(row.method, row.steps): row.score for row in built.overall} for built in (before, after)]
    assert scores[0].items() <= scores[1].items()
    shares = [{(item.method, item.steps): item.value for item in built.orders[1].methods} for built in (before, after)]
    assert not shares[0].items() <= shares[1].items()


def test_orders_are_over_the_methods_and_tasks_of_the_score():
    easy = [record("LowRank-k1-v0", "mine/Easy-v0", seed, error=0.01, true_rank=1, rank=1) for seed in range(5)]
    built = leaderboard(score_frame(board() + easy), resamples=100)
    ranked = {(row.method, row.steps) for row in built.overall if row.score is not None}
    for order in built.orders:
        assert {(item.method, item.steps) for item in order.methods} == ranked
        content = order.to_dict()
        assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert leaderboard(score_frame(easy), resamples=100).orders == []


def test_an_error_above_one_counts_as_one_in_every_score():
    def two(error):
        good = [record(task, "x/Good-v0", s, error=0.2) for task in ("Linear-k3-v0", "LowRank-k3-v0") for s in range(5)]
        bad = [record(task, "x/Bad-v0", s, error=error) for task in ("Linear-k3-v0", "LowRank-k3-v0") for s in range(5)]
        return leaderboard(score_frame(good + bad), resamples=100).orders

    assert two(40.0) == two(1.0)


def test_errors_are_cut_to_the_scale_on_which_they_mean_something():
    np.testing.assert_allclose(log_errors(np.array([0.0, 1e-4, 0.5, 1.0, 7.0])), np.log([1e-4, 1e-4, 0.5, 1.0, 1.0]))
