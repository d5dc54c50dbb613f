"""Comparisons: pairs of task and seed, verdicts, times, and the command."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from leakybench.analysis.comparison import compare, pairs_of
from leakybench.analysis.scores import score_frame, select
from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.report.comparison import render as render_verdicts
from leakybench.report.comparison import sentence
from tests.helpers.fabricate import MACHINE, METHODS, board, record, stored_board


@pytest.fixture
def folder(tmp_path):
    return stored_board(tmp_path / "runs")


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
