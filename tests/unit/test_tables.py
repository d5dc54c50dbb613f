"""Scores, summaries, tables and comparisons on fabricated records."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from leakybench.analysis.scores import latest, score_frame, select
from leakybench.analysis.summary import CONVERGED, summarise
from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.report import text
from leakybench.report.cells import criticality_text, missed_text
from leakybench.report.table import FORMATS, render
from tests.helpers.fabricate import MACHINE, board, record, stored_board

ODD = "a|b\n<script>*x*"


@pytest.fixture
def folder(tmp_path):
    return stored_board(tmp_path / "runs")


# -- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "score", "imputed", "counted", "recovered"),
    [
        ("ok", 0.2, 0.2, False, True, True),
        ("collapsed", 1.01, 1.01, False, True, False),
        ("diverged", None, 1.0, True, True, False),
        ("timeout", None, 1.0, True, True, False),
        ("oom", None, 1.0, True, True, False),
        ("error", None, np.nan, False, False, None),
        ("interrupted", None, np.nan, False, False, None),
    ],
)
def test_policy(status, error, score, imputed, counted, recovered):
    row = score_frame([record(status=status, error=error)]).iloc[0]
    assert row["score"] == pytest.approx(score, nan_ok=True)
    assert (bool(row["imputed"]), bool(row["counted"])) == (imputed, counted)
    assert (None if pd.isna(row["recovered"]) else bool(row["recovered"])) is recovered


def test_ok_run_without_an_error_is_not_scored_as_a_mean_predictor():
    row = score_frame([record(error=None)]).iloc[0]
    assert not row["counted"]
    assert np.isnan(row["score"])


def test_steps_come_from_the_override_or_the_default():
    frame = score_frame([record(), record(steps="adaptive"), record(baseline="Ridge-v0"), record(baseline="x/New-v0")])
    assert list(frame["steps"]) == ["uniform", "adaptive", "-", "-"]
    assert list(frame["method"])[:2] == ["LeakyResNet-v0"] * 2


def test_empty_frame_has_its_columns():
    frame = score_frame([])
    assert {"score", "method", "steps", "machine"} <= set(frame.columns)
    assert render(frame)


def test_latest_keeps_one_answer_a_seed():
    old, new = record(created="2026-01-01", error=0.5), record(created="2026-02-01", source="0.1.0+b", error=0.1)
    kept, dropped = latest(score_frame([new, old]))
    assert (list(kept["score"]), dropped) == ([0.1], 1)


def test_select_takes_labels_with_brackets_and_globs():
    frame = score_frame(board())
    assert len(select(frame, baseline="LeakyResNet-v0[steps=adaptive]")) == 15
    assert len(select(frame, task="LowRank-*", baseline="Leaky*")) == 20
    with pytest.raises(UsageError, match="there are: Linear-k3-v0"):
        select(frame, task="Nope-*")
    with pytest.raises(UsageError, match="no column"):
        select(frame, colour="red")


# -- summaries and tables --------------------------------------------------------------------------------------------


def test_summary_of_one_cell_by_hand():
    records = [record(seed=seed, error=error) for seed, error in enumerate([0.1, 0.2, 0.3])]
    row = summarise(score_frame(records))[0].statistics
    half = 4.302652729911275 * 0.1 / np.sqrt(3)  # t quantile of 2 degrees
    assert row.test_error == pytest.approx(0.2)
    assert (row.test_error_low, row.test_error_high) == pytest.approx((max(0.2 - half, 0), 0.2 + half))
    assert (row.recovered, row.recovered_of, row.fit_seconds) == (3, 3, 10.0)


def _statistics(records):
    return summarise(score_frame(records), "baseline")[0].statistics


def test_alignment_of_one_cell_by_hand():
    values = [0.7, 0.8, 0.9]
    row = _statistics([record(seed=seed, alignment=value, leak=1 - value) for seed, value in enumerate(values)])
    half = 4.302652729911275 * 0.1 / np.sqrt(3)  # t quantile of 2 degrees
    assert row.alignment == pytest.approx(0.8)
    assert (row.alignment_low, row.alignment_high) == pytest.approx((0.8 - half, min(0.8 + half, 1.0)))
    assert (row.leak, row.aligned_tasks) == (pytest.approx(0.2), 1)


def test_alignment_weighs_tasks_equally_and_leaves_out_those_without_a_code():
    records = [record("Linear-k3-v0", seed=s, alignment=0.9, leak=0.0) for s in range(8)]
    records += [record("LowRank-k3-v0", seed=s, alignment=0.5, leak=0.4) for s in range(2)]
    records += [record("Real-diabetes-v0", seed=s, true_rank=None) for s in range(5)]
    row = _statistics(records)
    assert (row.alignment, row.leak) == (pytest.approx(0.7), pytest.approx(0.2))
    assert row.aligned_tasks == 2


def test_alignment_may_be_below_chance_and_its_interval_ends_at_one():
    low = _statistics([record(seed=s, alignment=value) for s, value in enumerate([-0.2, 0.1])])
    assert low.alignment == pytest.approx(-0.05)
    assert low.alignment_low < -0.2
    high = _statistics([record(seed=s, alignment=value) for s, value in enumerate([0.9, 1.0])])
    assert high.alignment_high == 1.0
    one = _statistics([record(alignment=0.8)])
    assert (one.alignment, one.alignment_low, one.alignment_high) == (0.8, None, None)


@pytest.mark.parametrize("status", ["collapsed", "diverged", "timeout", "oom"])
def test_a_failed_run_counts_as_chance(status):
    runs = [record(seed=s, alignment=0.8) for s in range(3)] + [record(seed=3, status=status, error=None)]
    assert _statistics(runs).alignment == pytest.approx(0.6)
    # also where the method failed in every run of a task, as another method shows that the task has a code
    lost = [record("Linear-k3-v0", seed=s, status=status, error=None) for s in range(2)]
    rival = [record("Linear-k3-v0", "x/Rival-v0", seed=s, alignment=0.9) for s in range(2)]
    frame = score_frame([*runs, *lost, *rival])
    assert summarise(frame, "baseline")[0].statistics.alignment == pytest.approx(0.3)
    # a failed run of a broken machine is no evidence
    broken = [record(seed=s, alignment=0.8) for s in range(3)] + [record(seed=3, status="error", error=None)]
    assert _statistics(broken).alignment == pytest.approx(0.8)


def test_no_chance_is_given_where_nothing_is_aligned():
    # real data, a method without a derivative, and records older than alignment
    real = [record("Real-diabetes-v0", true_rank=None, status="timeout", error=None), record(alignment=0.8)]
    assert _statistics(real).alignment == pytest.approx(0.8)
    trees = [record(baseline="x/Trees-v0", seed=s, rank=None) for s in range(2)]
    trees += [record(baseline="x/Trees-v0", seed=2, status="timeout", error=None)]
    rows = summarise(score_frame([*trees, record(alignment=0.8)]), "baseline")
    assert {row.method: row.statistics.alignment for row in rows} == {"x/Trees-v0": None, "LeakyResNet-v0": 0.8}
    assert _statistics([record(), record(seed=1, status="diverged", error=None)]).alignment is None


def test_columns_that_no_row_has_are_left_out():
    old = render(score_frame([record(criticality=None)])).splitlines()[0]
    assert "alignment" not in old
    assert "criticality" not in old
    assert "rank missed" in old
    new = [record(alignment=0.75), record(baseline="x/New-v0", rank=None, criticality=None)]
    head, *_, first, second = render(score_frame(new), "github").splitlines()
    assert "| alignment (mean (95%)) |" in " ".join(head.split())
    assert "0.750" in first
    assert "0.750" not in second
    real = render(score_frame([record("Real-diabetes-v0", true_rank=None)])).splitlines()[0]
    assert "rank missed" not in real


def test_misses_are_counted_with_the_interval_of_their_share():
    records = [record(seed=seed, rank=rank) for seed, rank in enumerate([3, 3, 4, 2, 3])]
    row = _statistics(records)
    assert row.missed == 2
    # Wilson's interval of 2 of 5, as scipy.stats.binomtest gives it
    ends = binomtest(2, 5).proportion_ci(method="wilson")
    assert missed_text(row) == f"2 of 5 ({ends.low:.2f}-{ends.high:.2f})"
    assert missed_text(_statistics([record(rank=None)])) == "-"


def test_a_rank_with_the_wrong_directions_or_a_useless_error_is_missed():
    assert _statistics([record(alignment=0.49)]).missed == 1
    assert _statistics([record(alignment=0.9, error=1.0)]).missed == 1
    assert _statistics([record(alignment=0.5, error=0.9)]).missed == 0
    # also where an older record, which knew no alignment, says otherwise
    old = dataclasses.replace(record(error=1.2), rank_recovered=True)
    assert _statistics([old]).missed == 1


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.1, 0.15, 0.15], "0.150"),
        ([0.1, 0.12, 0.16], "0.120 (1 of 3)"),
        ([0.1, 0.16, 2.0], "0.160 ! (2 of 3)"),
        ([None, 0.16, None], "0.160 ! (1 of 1)"),
        ([None, None, None], "-"),
    ],
)
def test_criticality_is_marked_above_its_limit_and_counts_the_runs_above(values, shown):
    assert CONVERGED == 0.15
    frame = score_frame([record(seed=seed, criticality=value) for seed, value in enumerate(values)])
    row = summarise(frame)[0].statistics
    assert criticality_text(row) == shown
    listed = [value for value in values if value is not None]
    counts = (sum(value <= 0.15 for value in listed), len(listed)) if listed else (None, None)
    assert (row.converged, row.converged_of) == counts
    # the note explains the mark where there is one, and only there
    assert ("! marks a median" in render(frame)) is ("(" in shown)


def test_old_records_and_absurd_values_give_tables():
    # a record refuses what is no number; these are numbers, and no alignment and no leak
    absurd = [record(seed=s, alignment=-1e308, leak=1e308, criticality=1e300) for s in range(5)]
    for records in ([record(seed=s) for s in range(5)], absurd, [*absurd, record(seed=9, alignment=0.5)]):
        for format in FORMATS:
            shown = render(score_frame(records), format)
            assert not re.search(r"\b(nan|inf|None)\b", shown)
    assert (_statistics(absurd).alignment, _statistics(absurd).leak) == (None, None)


def test_rank_is_the_commonest_and_its_range():
    records = [record(seed=seed, rank=rank) for seed, rank in enumerate([3, 3, 4, 2, 3])]
    row = summarise(score_frame(records))[0].statistics
    assert text.rank_text(row.rank, row.rank_min, row.rank_max) == "3 (2-4)"
    assert (row.recovered, row.rank_counts) == (3, {2: 1, 3: 3, 4: 1})


def test_method_that_measures_no_rank_is_not_judged_and_a_collapsed_one_is():
    no_rank = summarise(score_frame([record(baseline="Mean-v0", rank=None)]))[0].statistics
    assert no_rank.recovered is None
    collapsed = summarise(score_frame([record(status="collapsed", error=1.0)]))[0].statistics
    assert (collapsed.recovered, collapsed.recovered_of) == (0, 1)


def test_overall_row_weighs_tasks_equally():
    records = [record("Linear-k3-v0", seed=s, error=0.1) for s in range(8)]
    records += [record("LowRank-k3-v0", seed=s, error=0.3) for s in range(2)]
    assert summarise(score_frame(records), "baseline")[0].statistics.test_error == pytest.approx(0.2)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("by", ["cell", "baseline", "task"])
def test_no_table_shows_nan(format, by):
    records = [
        *board(seeds=1),
        record(seed=3, status="error", error=None),
        record("Noisy-k3-v0", status="oom", error=None),
    ]
    shown = render(score_frame(records), format, by=by)
    assert "nan" not in shown.lower()
    assert "None" not in shown


def test_machines_are_lettered_and_never_pooled():
    records = [record(seed=0), record(seed=1, machine=MACHINE | {"cores": 8})]
    shown = render(score_frame(records))
    assert "must not be compared across them: A = Test CPU, 2 cores, Linux; B = Test CPU, 8 cores, Linux" in shown
    assert summarise(score_frame(records))[0].statistics.fit_seconds is None


def test_notes_of_mixed_sources_and_threads():
    records = [record(seed=0), record(seed=1, source="0.1.0+b")]
    assert "mix runs of different source versions" in render(score_frame(records))


def test_csv_and_json_hold_the_same_numbers():
    frame = score_frame(board())
    rows = list(csv.DictReader(io.StringIO(render(frame, "csv"))))
    content = json.loads(render(frame, "json"))["rows"]
    assert [float(row["test_error"]) for row in rows] == [row["test_error"] for row in content]


def test_odd_names_stay_in_their_cell():
    frame = score_frame([record(steps=ODD)])
    lines = render(frame, "github").splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 3
    assert "<script>" not in render(frame, "github")
    assert "\n<script>" not in render(frame)
    assert "\x1b" not in render(score_frame([record(steps="\x1b[2Jx")]))


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.2314, 0.2, 0.26, "0.231 (0.200-0.260)"),
        (0.00123, None, None, "0.00123"),
        (12.3, 11.0, 13.0, "12.3 (11.0-13.0)"),
        (1.3e-14, 1e-14, 2e-14, "1.30e-14 (1.0e-14 to 2.0e-14)"),
        (None, None, None, "-"),
        (float("nan"), None, None, "-"),
        (0.0, 0.0, 0.0, "0.000 (0.000-0.000)"),
    ],
)
def test_error_text(value, low, high, shown):
    assert text.error_text(value, low, high) == shown


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.76449, 0.741, 0.787, "0.764 (0.741-0.787)"),
        (0.02, -0.011, 0.051, "0.020 (-0.011 to 0.051)"),
        (1.0, None, None, "1.000"),
        (-1e308, None, None, "-1.00e+308 ?"),
        (None, None, None, "-"),
        (float("nan"), 0.0, 1.0, "-"),
    ],
)
def test_share_text(value, low, high, shown):
    assert text.share_text(value, low, high) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0123, "0.0123"), (12.34, "12.3"), (1234.5, "1234"), (None, "-"), (100.0, "100")]
)
def test_seconds_text(seconds, shown):
    assert text.seconds_text(seconds) == shown


# -- comparisons -----------------------------------------------------------------------------------------------------


def test_table_command(folder, tmp_path, capsys):
    assert main(["table", "--results", str(folder), "--task", "LowRank-*", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 8
    assert main(["table", "--results", str(tmp_path / "none")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["table", "--results", str(tmp_path / "empty")]) == 3
