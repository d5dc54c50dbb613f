"""What a leaderboard shows beside places: alignment, misses, convergence, its first sentences, costs."""

from __future__ import annotations

import dataclasses
import json

import pytest

from leakybench.analysis import scope
from leakybench.report.columns import board_columns
from leakybench.report.leaderboard import render
from tests.helpers.fabricate import MACHINE, METHODS, board, ranked, record, row_of

ALL_TASKS = ("LowRank-k1-v0", "LowRank-k3-v0", "Linear-k3-v0")


def _of_task(built, task):
    return [row for row in built.per_task if row.task == task]


def test_a_board_shows_alignment_where_every_method_has_it_on_the_same_tasks():
    aligned = board(methods=METHODS[:3], alignment=0.8, leak=0.1)
    trees = board(methods=[("x/Trees-v0", {})], rank=None)
    part = [
        record(task, "x/Part-v0", s, alignment=0.9 if task == ALL_TASKS[0] else None)
        for task in ALL_TASKS
        for s in range(5)
    ]
    built = ranked(aligned + trees + part)
    column = next(column for column in board_columns(built.overall, 3, built.cost_unit) if column.name == "alignment")
    shown = {row.method: (column.text(row), column.key(row)) for row in built.overall}
    assert shown["FullyConnected-v0"] == ("0.800 (0.800-0.800)", pytest.approx(0.8))
    assert shown["x/Trees-v0"] == shown["x/Part-v0"] == ("-", None)  # of one task, beside means over three
    assert row_of(built.overall, "x/Part-v0", "-").statistics.alignment == pytest.approx(0.9)
    content = json.loads(render(built, "json"))["overall"]
    assert {row["aligned_tasks"] for row in content} == {0, 1, 3}
    assert next(row for row in content if row["method"] == "FullyConnected-v0")["leak"] == pytest.approx(0.1)


def test_a_board_of_old_records_has_no_alignment():
    shown = render(ranked(board()), "github")
    assert "alignment (" not in shown
    assert "where it is right and the test error is below 1, since no run here has a code alignment" in shown
    assert "where it is right at held-out inputs, the code alignment is at least 0.5" in render(
        ranked(board(alignment=0.8))
    )


def test_rows_that_did_not_converge_are_marked_and_the_mark_is_explained():
    late = board(methods=METHODS[2:3], criticality=2.5)
    built = ranked(board(methods=METHODS[:2]) + late)
    assert row_of(built.overall, "FullyConnected-v0", "uniform").statistics.has_converged is False
    lines = render(built, "github").splitlines()
    marked = [line for line in lines if "2.50 ! (15 of 15)" in line]
    assert len(marked) == 1
    assert "FullyConnected-v0" in marked[0]
    assert any(line.startswith("- ! marks a median criticality above 0.15") for line in lines)
    assert "! marks" not in render(ranked(board()))


def test_the_number_of_tasks_is_shown_only_where_it_differs():
    def heads(built):
        return next(line for line in render(built, "github").splitlines() if line.startswith("|"))

    assert "tasks (of 3)" not in heads(ranked(board()))
    assert "tasks (of 3)" in heads(ranked([*board(), record("Linear-k3-v0", "x/New-v0", error=0.1)]))


def test_a_board_begins_with_what_it_shows_and_what_not(monkeypatch):
    opaque = {"LowRank-k3-v0": True, "Linear-k3-v0": False}
    specs = {id: dataclasses.replace(scope.registered.spec(id), opaque=opaque.get(id)) for id in ALL_TASKS}
    monkeypatch.setattr(scope.registered, "spec", specs.__getitem__)
    several = board(alignment=0.9) + [
        record("LowRank-k3-v0", seed=s, steps="uniform", created="2027") for s in range(8)
    ]
    said = ranked(several).scope
    assert said.startswith(
        "Shown: 4 methods on 3 tasks (1 open, 1 opaque, 1 not judged; no shortcut finds the rank of an opaque one), "
        "preset standard, 5 to 8 seeds of each; a rank counts as recovered where it is right"
    )
    assert "Not shown: methods tuned to a task" in said
    assert said.count(". ") == 1
    one = ranked([record("mine/New-v0", "x/New-v0")]).scope
    assert one.startswith("Shown: 1 method on 1 task (1 not judged), preset standard, 1 seed ")
    for format in ("terminal", "github"):
        lines = render(ranked(several), format).split("\n\n")
        assert lines[1].replace("\\", "") == said


def test_cost_is_a_ratio_to_the_yardstick_on_the_same_machine():
    slow = MACHINE | {"processor": "Slow CPU"}
    records = [
        record("Linear-k3-v0", baseline, seed, fit=fit * factor, machine=machine, **overrides)
        for seed in range(3)
        for machine, factor in ((MACHINE, 1.0), (slow, 4.0))
        for baseline, fit, overrides in (
            ("LeakyResNet-v0", 6.0, {"tag": factor}),
            ("bench/Yardstick-v0", 2.0, {"tag": factor}),
        )
    ]
    built = ranked(records)
    assert built.cost_unit == "fits of bench/Yardstick-v0"
    # the same code on both machines: the ratio is 3 on either
    assert [row.cost for row in built.overall] == pytest.approx([3.0, 3.0])
    assert "bench/Yardstick-v0" not in {row.method for row in built.overall}


def test_without_yardstick_costs_are_compared_on_one_machine_only():
    assert ranked(board()).cost_unit == "seconds"
    other = [record(seed=9, machine=MACHINE | {"cores": 8})]
    built = ranked(board() + other)
    assert built.cost_unit == ""
    assert all(row.cost is None for row in built.overall)
    assert not any(row.pareto for row in built.overall)


def test_pareto_front_is_what_nothing_beats_twice():
    fits = {"a": 1.0, "b": 2.0, "c": 3.0}
    errors = {"a": 0.5, "b": 0.1, "c": 0.3}
    records = [
        record(baseline=f"x/{n.upper()}-v0", seed=s, fit=fits[n], error=errors[n]) for n in fits for s in range(2)
    ]
    rows = ranked(records).overall
    assert {row.method: row.pareto for row in rows} == {
        "x/A-v0": True, "x/B-v0": True, "x/C-v0": False
    }  # fmt: skip
