"""Ranks, ties, costs and what a board says of missing and failed runs."""

from __future__ import annotations

import json

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from leakybench.analysis.leaderboard import confusion, leaderboard
from leakybench.analysis.overall import MIN_SEEDS
from leakybench.analysis.scores import score_frame
from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.record import STATUSES
from leakybench.report.leaderboard import render
from leakybench.report.page import render_page
from leakybench.store import Store
from tests.helpers.fabricate import METHODS, board, ranked, record, row_of

ALL_TASKS = ("LowRank-k1-v0", "LowRank-k3-v0", "Linear-k3-v0")


def _of_task(built, task):
    return [row for row in built.per_task if row.task == task]


def test_clear_differences_are_ranked_and_equal_methods_tie():
    effects = {"uniform": 0.0, "adaptive": 0.0, "ridge/Ridge-v0": 1.0}
    rows = ranked(board(methods=[METHODS[0], METHODS[1], METHODS[3]], effects=effects)).overall
    assert [(row.rank_low, row.rank_high, row.tied) for row in rows] == [(1, 2, True), (1, 2, True), (3, 3, False)]


def test_method_with_a_missing_task_is_not_ranked_and_said_so():
    records = board() + [record("Linear-k3-v0", "mine/New-v0", seed, error=0.01) for seed in range(5)]
    built = ranked(records)
    row = row_of(built.overall, "mine/New-v0", "-")
    assert (row.rank_low, row.tasks) == (None, 1)
    assert built.overall[-1].method == "mine/New-v0"
    assert any("did not run all 3 ranked tasks" in note for note in built.notes)
    assert row_of(_of_task(built, "Linear-k3-v0"), "mine/New-v0", "-").rank_low == 1


def _places(rows):
    return {(row.method, row.steps): (row.rank_low, row.rank_high, row.score) for row in rows}


def test_method_that_ran_only_easy_tasks_gains_nothing():
    # the first task is the easy one: level 0.1 against 0.2 and 0.3
    easy = [record("LowRank-k1-v0", "mine/Easy-v0", seed, error=0.09, true_rank=1, rank=1) for seed in range(5)]
    before, after = ranked(board()), ranked(board() + easy)
    row = row_of(after.overall, "mine/Easy-v0", "-")
    assert (row.score, row.rank_low, row.cost, row.pareto) == (None, None, None, False)
    shown = render(after, "github").splitlines()
    assert "| - " in next(line for line in shown if "mine/Easy-v0" in line)
    # and the others keep their places
    places = _places(after.overall)
    places.pop(("mine/Easy-v0", "-"))
    assert places == _places(before.overall)


def test_over_the_tasks_that_all_ran_every_method_is_ranked():
    easy = [record("LowRank-k1-v0", "mine/Easy-v0", seed, error=0.01, true_rank=1, rank=1) for seed in range(5)]
    built = ranked(board() + easy)
    assert built.common_tasks == ["LowRank-k1-v0"]
    assert all(row.rank_low is not None for row in built.common)
    assert built.common[0].method == "mine/Easy-v0"
    # over that one task, the common table is the table of the task
    task = _of_task(built, "LowRank-k1-v0")
    assert _places(task) == _places(built.common)
    assert "The task that every method ran" in render(built)
    assert any("1 of 5 methods did not run all 3 ranked tasks" in note for note in built.notes)


def test_without_gaps_there_is_one_overall_table():
    assert ranked(board()).common == []
    assert "every method ran" not in render(ranked(board()))


def test_methods_without_a_common_task_have_no_common_table():
    records = board() + [record("Linear-k3-v0", "x/A-v0", s) for s in range(3)]
    records += [record("LowRank-k1-v0", "x/B-v0", s, true_rank=1, rank=1) for s in range(3)]
    built = ranked(records)
    assert built.common_tasks == []
    assert built.common == []


def test_method_that_always_breaks_on_a_task_is_not_ranked_and_one_that_times_out_is():
    def rival(name, status):
        return [
            record(
                task,
                name,
                seed,
                status=status if task == "Linear-k3-v0" else "ok",
                error=None if task == "Linear-k3-v0" else 0.1,
            )
            for task in ("LowRank-k1-v0", "LowRank-k3-v0", "Linear-k3-v0")
            for seed in range(5)
        ]

    built = ranked(board() + rival("x/Broken-v0", "error") + rival("x/Slow-v0", "timeout"))
    broken, slow = (row_of(built.overall, name, "-") for name in ("x/Broken-v0", "x/Slow-v0"))
    assert (broken.rank_low, broken.tasks, broken.score) == (None, 2, None)
    assert slow.score == pytest.approx((0.1 + 0.1 + 1) / 3)
    assert slow.rank_low is not None
    assert slow.cost is None  # no fit of the third task ended


def test_breaking_off_is_never_better_than_a_bad_result():
    def two(name, hard):
        easy = [record("LowRank-k3-v0", name, seed, error=0.1) for seed in range(5)]
        return easy + [record("Real-linnerud-v0", name, seed, true_rank=None, **hard) for seed in range(5)]

    built = ranked(two("x/Ends-v0", {"error": 4.0}) + two("x/Breaks-v0", {"error": None, "status": "diverged"}))
    ends, breaks = (row_of(built.overall, f"x/{name}-v0", "-") for name in ("Ends", "Breaks"))
    assert ends.score == breaks.score == pytest.approx(0.55)
    assert ends.rank_low == breaks.rank_low == 1
    assert any("5 runs have a test error above 1.05" in note for note in built.notes)
    # a single task is ranked by its plain errors
    task = _of_task(built, "Real-linnerud-v0")
    assert row_of(task, "x/Ends-v0", "-").score == pytest.approx(4.0)


def test_policy_is_always_stated():
    for shown in (render(ranked(board())), render(ranked([*board(), record(seed=5, status="oom", error=None)]))):
        assert shown.count("error and interrupted runs are left out") == 1
        assert "ranked over several tasks where it ran all of them" in shown


def test_rows_say_where_they_come_from():
    records = board(seeds=2) + board(seeds=3, source="0.1.0+bbbbbbbbbbbb", created="2026-02-01T00:00:00+00:00")
    row = ranked(records).overall[0]
    assert row.seeds == [0, 1, 2]
    assert row.statistics.sources == ["0.1.0+bbbbbbbbbbbb"]  # the latest of each run
    assert row.created == ["2026-02-01", "2026-02-01"]
    assert row.commits == ["0" * 40]


def test_rare_task_does_not_unrank_everybody():
    built = ranked([*board(), record("Noisy-k3-v0", seed=0), record("Noisy-k3-v0", seed=1)])
    assert built.tasks == ["Linear-k3-v0", "LowRank-k1-v0", "LowRank-k3-v0"]
    assert all(row.rank_low is not None for row in built.overall)


@pytest.mark.parametrize("seeds", [1, MIN_SEEDS - 1])
def test_fewer_than_five_seeds_give_no_places_and_that_is_said(seeds):
    built = ranked(board(seeds=seeds))
    assert MIN_SEEDS == 5
    assert all(row.rank_low is None for row in [*built.overall, *built.per_task])
    assert any("places need at least 5 seeds" in note for note in built.notes)
    assert "nan" not in render(built).lower()
    # without places, the order is that of the scores
    scores = [row.score for row in built.overall]
    assert scores == sorted(scores)


def test_five_seeds_that_all_methods_have_give_places():
    built = ranked(board(seeds=5))
    assert all(row.rank_low is not None for row in [*built.overall, *built.per_task])
    # five each, of which four are shared
    moved = [record(r.run.task, "x/Other-v0", r.run.seed + 1, error=0.5) for r in board() if r.run.baseline[0] == "F"]
    assert all(row.rank_low is None for row in ranked(board() + moved).overall)


def test_a_method_of_few_seeds_is_not_ranked_and_takes_no_places_from_the_others():
    few = [record(task, "x/New-v0", seed, error=0.01) for task in ALL_TASKS for seed in range(3)]
    built, before = ranked(board() + few), ranked(board())
    row = row_of(built.overall, "x/New-v0", "-")
    assert (row.rank_low, row.score) == (None, pytest.approx(0.01))
    places = _places(built.overall)
    places.pop(("x/New-v0", "-"))
    assert places == _places(before.overall)
    assert any("1 of 5 methods have fewer than 5 seeds on a task: not ranked." in note for note in built.notes)


def test_a_task_of_few_seeds_has_no_places_and_that_is_said():
    built = ranked([*board(), record("Noisy-k3-v0", seed=0), record("Noisy-k3-v0", seed=1)])
    assert [row.rank_low for row in _of_task(built, "Noisy-k3-v0")] == [None]
    assert any("no places on Noisy-k3-v0: fewer than 5 seeds" in note for note in built.notes)
    assert not any("no places on" in note for note in ranked(board()).notes)


def test_no_run_that_counts_gives_a_board_without_scores():
    built = ranked([record(seed=seed, status="error", error=None) for seed in range(5)])
    assert [(row.score, row.rank_low, row.statistics.counted) for row in built.overall] == [(None, None, 0)]
    assert "5 error" in render(built)


def test_errors_above_one_on_tasks_of_several_namespaces_are_counted_in_natural_order():
    names = ("mine/Real-d10-v0", "mine/Real-d2-v0", "LowRank-k3-v0")
    built = ranked([record(task, seed=seed, error=2.0) for task in names for seed in range(5)])
    listed = "(LowRank-k3-v0 5, mine/Real-d2-v0 5, mine/Real-d10-v0 5)"
    assert any(note.startswith("15 runs have a test error above 1.05") and listed in note for note in built.notes)


def _numbers(low, high):
    return st.none() | st.floats(low, high) | st.sampled_from([0.0, low, high])


ANY_RECORD = st.builds(
    record,
    st.sampled_from([*ALL_TASKS, "mine/Real-v0"]),
    st.sampled_from(["x/A-v0", "x/B-v0", "LeakyResNet-v0"]),
    st.integers(0, 6),
    # the fourth power, in the degrees of freedom, is a number; an axis has no room below 1e-300
    error=_numbers(1e-30, 1e70),
    rank=st.none() | st.integers(0, 9),
    true_rank=st.none() | st.integers(1, 9),
    status=st.sampled_from(STATUSES),
    alignment=_numbers(-1e308, 1e308),
    leak=_numbers(-1e308, 1e308),
    criticality=_numbers(0.0, 1e300),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(ANY_RECORD, min_size=1, max_size=30))
def test_any_records_give_a_board_in_every_form(records):
    built = leaderboard(score_frame(records), resamples=20)
    for row in [*built.overall, *built.per_task]:
        numbers = row.statistics
        assert numbers.alignment is None or -1e4 <= numbers.alignment <= 1 + 1e-9
        assert numbers.leak is None or 0 <= numbers.leak <= 1 + 1e-9
        assert numbers.missed is None or 0 <= numbers.missed <= numbers.recovered_of
        assert numbers.converged is None or 0 <= numbers.converged <= numbers.converged_of <= numbers.runs
    for format in ("terminal", "github"):
        assert "nan" not in render(built, format)
    json.loads(render(built, "json"))
    render_page(built, {item.run_id: item for item in records})


# -- alignment, convergence and the first sentences ------------------------------------------------------------------


def test_failed_runs_count_as_mean_predictor_and_are_shown():
    records = [record(seed=seed, error=0.1) for seed in range(4)] + [record(seed=4, status="diverged", error=None)]
    row = ranked(records).overall[0]
    assert row.statistics.test_error == pytest.approx((4 * 0.1 + 1) / 5)
    assert (row.statistics.imputed, row.statistics.recovered, row.statistics.recovered_of) == (1, 4, 5)
    assert "1 diverged" in render(ranked(records))


def test_error_runs_are_left_out_and_counted():
    records = [record(seed=seed, error=0.1) for seed in range(4)] + [record(seed=4, status="error", error=None)]
    built = ranked(records)
    assert built.overall[0].statistics.test_error == pytest.approx(0.1)
    assert any("1 error" in note for note in built.notes)


def test_confusion_counts_ok_runs_of_methods_that_measure():
    records = [
        record(seed=0, rank=3), record(seed=1, rank=4), record(seed=2, rank=None), record(seed=3, status="collapsed"),
        record(baseline="Mean-v0", rank=None),
    ]  # fmt: skip
    table = confusion(score_frame(records))
    assert table == {3: {"3": 1, "4": 1, "none": 1}}
    assert list(table[3]) == ["3", "4", "none"]


def test_formats(tmp_path, capsys):
    store = Store(tmp_path / "runs")
    store.prepare()
    for item in board():
        store.write(item)
    where = ["leaderboard", "--results", str(tmp_path / "runs")]
    assert main([*where, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["overall"][0]["rank_low"] == 1
    assert content["scope"].startswith("Shown: 4 methods")
    assert [order["name"] for order in content["orders"]] == ["geometric mean", "share better"]
    assert main([*where, "--overall"]) == 0
    shown = capsys.readouterr().out
    assert "All 3 ranked tasks" in shown
    assert "Rank confusion" in shown
    assert "Order under other scores" in shown
    assert "LowRank-k1-v0" not in shown
    assert main([*where, "--format", "github"]) == 0
    assert capsys.readouterr().out.startswith("## Leaderboard, preset standard\n\nShown: 4 methods ")
    for name, start in (("a.md", "## "), ("a.json", "{"), ("a.html", "<!doctype html>")):
        assert main([*where, "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text().lstrip().startswith(start)


def test_several_presets_need_a_choice(tmp_path, capsys):
    records = board() + board(seeds=1, preset="smoke")
    with pytest.raises(UsageError, match="one preset"):
        ranked(records)
    store = Store(tmp_path)
    store.prepare()
    for item in records:
        store.write(item)
    assert main(["leaderboard", "--results", str(tmp_path)]) == 0
    assert "showing standard, with 60 of 72 runs" in capsys.readouterr().err


def test_no_runs(tmp_path):
    with pytest.raises(UsageError):
        ranked([])
    assert main(["leaderboard", "--results", str(tmp_path)]) == 3
