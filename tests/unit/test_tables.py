"""Scores, summaries, tables and comparisons on fabricated records."""

from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from leakybench.analysis.comparison import compare, pairs_of
from leakybench.analysis.scores import latest, score_frame, select
from leakybench.analysis.summary import summarise
from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.report import text
from leakybench.report.comparison import render as render_verdicts
from leakybench.report.comparison import sentence
from leakybench.report.table import FORMATS, render
from leakybench.store import Store
from tests.helpers.fabricate import MACHINE, METHODS, board, record

ODD = "a|b\n<script>*x*"


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path / "runs")
    store.prepare()
    for item in board():
        store.write(item)
    return tmp_path / "runs"


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
    ("seconds", "shown"), [(0.0123, "0.0123"), (12.34, "12.3"), (1234.5, "1234"), (None, "-"), (100.0, "100")]
)
def test_seconds_text(seconds, shown):
    assert text.seconds_text(seconds) == shown


# -- comparisons -----------------------------------------------------------------------------------------------------


def _steps(frame):
    return select(frame, steps="adaptive"), select(frame, steps="uniform")


def test_better_worse_same_and_few():
    effects = {"uniform": 0.0, "adaptive": -0.3}
    better = compare(*_steps(score_frame(board(effects=effects))), pairing="steps", by="overall").overall
    assert better.verdict == "better"
    assert better.ratio == pytest.approx(np.exp(-0.3), rel=0.05)
    assert better.high < 0
    first, second = _steps(score_frame(board(effects=effects)))
    assert compare(second, first, pairing="steps").overall.verdict == "worse"
    same = compare(*_steps(score_frame(board(effects={"uniform": 0.0, "adaptive": 0.0}))), pairing="steps").rows
    assert {row.verdict for row in same} == {"no difference shown"}
    few = compare(*_steps(score_frame(board(seeds=2, effects=effects))), pairing="steps").rows
    assert [row.verdict for row in few][:3] == ["too few runs"] * 3


def test_only_pairs_of_the_same_task_and_seed_count():
    frame = score_frame(board(methods=METHODS[:2]))
    first, second = _steps(frame)
    pairs, sentences = pairs_of(first[first["seed"] < 3], second[second["seed"] > 0], "steps")
    assert len(pairs) == 6
    rest = "are left out: no partner of the same task, baseline, preset, seed."
    assert sentences == [f"3 of 9 runs of A {rest}", f"6 of 12 runs of B {rest}"]


def test_baselines_on_the_same_data_count_once():
    # three baselines that share all their luck: as much evidence as one of them
    frame = score_frame(board(("Linear-k3-v0",), METHODS[:2], seeds=6, effects={"uniform": 0.0, "adaptive": 0.02}))
    one = compare(*_steps(frame), pairing="steps", by="overall").overall
    names = ("ResNet-v0", "LeakyResNet-v0", "FullyConnected-v0")
    copies = [frame.assign(method=name, baseline=name, run_id=frame["run_id"] + name) for name in names]
    found = compare(*_steps(pd.concat(copies, ignore_index=True)), pairing="steps", by="overall")
    three = found.overall
    assert (three.pairs, three.units) == (18, 6)
    for name in ("difference", "low", "high", "p_value", "ratio_low", "improvement_low", "error_a"):
        assert getattr(three, name) == pytest.approx(getattr(one, name), rel=1e-12), name
    assert any("18 pairs lie on 6 data sets" in line for line in found.notes)


def test_one_hopeless_task_does_not_decide_the_sum():
    rng = np.random.default_rng(1)
    records = []
    for seed in range(6):
        for steps, good in (("uniform", 0.20), ("adaptive", 0.22)):
            noise = 0.002 * rng.standard_normal()
            records.append(record("LowRank-k3-v0", seed=seed, steps=steps, error=good + noise))
            bad = 3.0 + rng.standard_normal()  # far above the mean predictor, either way
            records.append(record("Real-linnerud-v0", seed=seed, steps=steps, error=bad, true_rank=None))
    found = compare(*_steps(score_frame(records)), pairing="steps")
    rows = {row.group: row for row in found.rows}
    assert rows["Real-linnerud-v0"].error_a > 2
    assert rows["all"].verdict == "worse"
    assert rows["all"].difference == pytest.approx(rows["LowRank-k3-v0"].difference / 2)
    assert any("so it is in 6 pairs" in line for line in found.notes)


def test_failed_pairs_follow_the_policy():
    records = [record(seed=s, steps="uniform", error=0.2) for s in range(6)]
    records += [record(seed=s, steps="adaptive", error=0.2) for s in range(5)]
    records += [record(seed=5, steps="adaptive", status="diverged", error=None)]
    found = compare(*_steps(score_frame(records)), pairing="steps")
    row = found.overall
    assert row.difference == pytest.approx(0.8 / 6)
    assert (row.recovered_a, row.recovered_b, row.recovered_of) == (5, 6, 6)
    assert any("did not end ok" in line for line in found.notes)


def test_times_are_compared_within_a_machine_only():
    records = [record(seed=s, steps="uniform", fit=10.0) for s in range(5)]
    records += [record(seed=s, steps="adaptive", fit=15.0) for s in range(5)]
    assert compare(*_steps(score_frame(records)), pairing="steps").overall.time_ratio == pytest.approx(1.5)
    records[-5:] = [record(seed=s, steps="adaptive", fit=15.0, machine=MACHINE | {"cores": 8}) for s in range(5)]
    found = compare(*_steps(score_frame(records)), pairing="steps")
    assert found.overall.time_ratio is None
    assert any("times are not compared" in line for line in found.notes)


def test_several_baselines_on_one_side_are_refused():
    frame = score_frame(board())
    with pytest.raises(UsageError, match="must be one baseline"):
        compare(select(frame, baseline="Leaky*"), select(frame, baseline="ridge/*"), pairing="baselines")


def test_no_pairs_give_no_verdict_and_no_nan():
    frame = score_frame(board())
    found = compare(frame[:0], frame[:0], pairing="steps")
    assert found.overall.verdict == "too few runs"
    for format in ("terminal", "github", "json"):
        assert "nan" not in render_verdicts(found, format).lower()
    assert "too few runs" in sentence(found)


def test_compare_command(folder, capsys):
    where = ["--results", str(folder)]
    assert main(["compare", "--steps", "adaptive", "uniform", *where]) == 0
    assert "adaptive is worse than uniform: test error +" in capsys.readouterr().out
    assert main(["compare", "LeakyResNet-v0[steps=uniform]", "ridge/*", *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][-1]["verdict"] == "better"
    assert main(["compare", str(folder), str(folder), "--by", "baseline"]) == 0
    assert "no difference" in capsys.readouterr().out
    # a folder that keeps its runs in records/, as results/reference does
    shutil.copytree(folder, folder.parent / "reference" / "records")
    assert main(["compare", str(folder.parent / "reference"), str(folder)]) == 0
    assert "60 pairs" in capsys.readouterr().out
    assert main(["table", "--results", str(folder.parent / "reference")]) == 0
    for wrong in (
        ["a"],
        [str(folder), "Ridge-v0"],
        ["a", "b", "--steps", "x", "y"],
        ["Leaky*", "ridge/*"],
        ["no", "no"],
    ):
        assert main(["compare", *wrong, *where]) == 2


def test_table_command(folder, tmp_path, capsys):
    assert main(["table", "--results", str(folder), "--task", "LowRank-*", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 8
    assert main(["table", "--results", str(tmp_path / "none")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["table", "--results", str(tmp_path / "empty")]) == 3
