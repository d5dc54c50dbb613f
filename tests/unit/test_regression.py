"""The gate on fabricated runs: unchanged code passes on a noisy machine, every planted fault is named."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re

import numpy as np
import pytest

from leakybench.analysis.scores import score_frame
from leakybench.cli import main
from leakybench.errors import UsageError
from leakybench.gate import reference as gate
from leakybench.gate.judge import Metric, Settings, Verdict, fastest, judge
from tests.helpers.fabricate import record

TASKS = ("LowRank-k3-v0", "LowRank-k5-v0")
RANKS = {"LowRank-k3-v0": 3, "LowRank-k5-v0": 5}
YARDSTICK = "bench/Yardstick-v0"
SETTINGS = Settings(yardstick=YARDSTICK)


def _runs(rng, *, jitter=0.0, noise=0.12, error=1.0, train=1.0, rank=0, slow=1.0, spread=1.0, status="ok"):
    """Two tasks x (uniform, adaptive, yardstick) x 5 seeds; the fault is in the adaptive baseline only."""
    levels = np.random.default_rng(0)
    records = []
    for task in TASKS:
        for seed in range(5):
            base = 0.2 * np.exp(0.1 * levels.standard_normal(3))

            def time(seconds):
                # a busy machine only ever adds time: a little always, half as much again now and then
                return seconds * np.exp(abs(noise * rng.standard_normal())) * (1.5 if rng.random() < 0.1 else 1.0)

            for steps, level in zip(("uniform", "adaptive"), base, strict=False):
                bad = steps == "adaptive"
                value = level * np.exp(jitter * rng.standard_normal()) * (error if bad else 1.0)
                one = record(
                    task, "LeakyResNet-v0", seed, error=value, steps=steps, true_rank=RANKS[task],
                    rank=RANKS[task] + (rank if bad else 0), fit=time(3.0) * (slow if bad else 1.0),
                    status=status if bad and seed == 0 else "ok",
                )  # fmt: skip
                training = {**one.training, **({"steps_spread": 1.1 * (spread if bad else 1.0)} if bad else {})}
                fitted = value / 2 * (train if bad else 1.0) / (error if bad else 1.0) ** 0.5
                records.append(dataclasses.replace(one, training=training, train_error=fitted))
            records.append(record(task, YARDSTICK, seed, error=0.3, rank=None, fit=time(2.0)))
    return records


def _frame(seed, **fault):
    return score_frame(_runs(np.random.default_rng(seed), **fault))


@functools.cache
def _reference():
    return fastest([_frame(1000 + i) for i in range(5)])


def _check(seed, **fault) -> Verdict:
    """What ``leakybench.gate.reference.check`` does: measure again where a time is not settled."""
    seeds = itertools.count(seed, 100_000)
    return gate.measure(
        _reference(), lambda: _runs(np.random.default_rng(next(seeds)), **fault), SETTINGS, budget=np.inf
    )[0]


@pytest.mark.slow
def test_unchanged_code_passes_on_a_noisy_machine():
    verdicts = [_check(seed) for seed in range(20)]
    assert [verdict.code for verdict in verdicts] == [0] * 20
    assert all(verdict.pairs == 20 for verdict in verdicts)


def test_unchanged_code_on_another_processor_passes():
    # rounding that training amplified: 2% of each error
    assert [_check(seed, jitter=0.02).code for seed in range(5)] == [0] * 5


FAULTS = {
    "rate divided by 10": ({"error": 1.4, "train": 1.8}, "test error"),
    "bias dropped": ({"error": 1.12}, "test error"),
    "wrong skip factor": ({"error": 1.6}, "test error"),
    "adaptive steps frozen": ({"spread": 4.0}, "spread of the adaptive steps"),
    "rank off by one": ({"rank": 1}, "rank"),
    "penalty ignored": ({"train": 0.5}, "training error"),
    "training set in the test set": ({"error": 0.6}, "test error"),
    "a step made 30% slower": ({"slow": 1.3}, "time"),
    "collapse of one run": ({"status": "collapsed"}, "status"),
}


SLOW_FAULT = "a step made 30% slower"  # ten repetitions, since times are noisy


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=pytest.mark.slow if name == SLOW_FAULT else ()) for name in FAULTS]
)
def test_planted_fault_is_caught_and_named(fault):
    change, metric = FAULTS[fault]
    # times are the noisy ones; the others do not depend on the draw but for the small jitter
    repetitions = 10 if metric == "time" else 3
    caught = 0
    for seed in range(repetitions):
        verdict = _check(seed, jitter=0.005, **change)
        bad = [line for line in verdict.lines if line.kind in ("regressed", "improved")]
        caught += verdict.code == 1 and any(line.metric == metric for line in bad)
        assert all("adaptive" in line.where for line in bad)
        # size and interval, for a person and for a machine
        for line in bad:
            if line.metric != "status":
                assert re.search(r"(%|\d) \(\S+ to \S+\)|\d+/\d+ runs \(\S+ to \S+\)", line.text), line.text
                assert line.low <= line.effect <= line.high
    assert caught == repetitions


def test_line_names_metric_size_and_interval():
    line = next(line for line in _check(0, error=1.4).lines if line.kind == "regressed")
    assert line.metric == "test error"
    assert line.text.startswith(
        "test error of LeakyResNet-v0 adaptive: +40.0% (+40.0% to +40.0%) against the reference"
    )
    assert line.effect == pytest.approx(0.4, abs=1e-3)


def test_better_is_a_change_that_wants_a_reason():
    line = next(line for line in _check(0, error=0.5).lines if line.kind == "improved")
    assert "a leak, or an advance" in line.text


def test_number_that_is_no_longer_reported_is_a_change():
    current = _frame(3)
    current["training.steps_spread"] = np.nan
    assert judge(_reference(), current, SETTINGS).code == 1
    assert judge(_reference(), current.drop(columns="training.steps_spread"), SETTINGS).code == 1


def test_failed_and_missing_runs_are_code_3():
    current = _runs(np.random.default_rng(5))
    assert judge(_reference(), score_frame(current[1:]), SETTINGS).code == 3
    broken = [record(TASKS[0], "LeakyResNet-v0", 0, status="error", error=None, steps="uniform", true_rank=3)]
    verdict = judge(_reference(), score_frame(broken + current[1:]), SETTINGS)
    assert verdict.code == 3
    assert any("made to be error" in line.text for line in verdict.lines)
    assert judge(_reference(), score_frame([]), SETTINGS).code == 3
    assert judge(score_frame([]), score_frame([]), SETTINGS).code == 3


def test_without_yardstick_times_are_not_judged_and_that_is_said():
    verdict = judge(_reference(), _frame(1, slow=3.0), Settings())
    assert verdict.code == 0
    assert "times are not judged, because there is no yardstick" in verdict.notes


def test_tiny_errors_are_equal():
    # an exact method: 1e-14 and 3e-14 are both no error
    frames = [
        score_frame([record(seed=seed, error=value * (1 + seed)) for seed in range(5)]) for value in (1e-14, 3e-14)
    ]
    assert judge(*frames, Settings()).code == 0


@pytest.mark.parametrize("wrong", [{"rank": 1.0}, {"time": 1.0}, {"level": 0.7}])
def test_thresholds_are_checked(wrong):
    with pytest.raises(UsageError):
        Settings(**wrong)
    with pytest.raises(UsageError):
        Metric(column="score", name="x", threshold=0)


PLAN = 'preset = "smoke"\nseeds = "0:5"\ntask = "LowRank-k3-v0"\nbaseline = "Ridge-v0"\n'


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def _measure(error=0.3):
    def measure(jobs):
        return [
            dataclasses.replace(record(job.run.task, job.run.baseline, job.run.seed, error=error, rank=3), run=job.run)
            for job in jobs
        ]

    return measure


def test_folder_round_trip_keeps_reasons(tmp_path, plan):
    gate.update(tmp_path, "first", plan=plan, yardstick="Mean-v0", runner=_measure())
    gate.update(tmp_path, "second", runner=_measure(0.31))
    loaded = gate.load_gate(tmp_path)
    assert [entry["reason"] for entry in loaded.history] == ["first", "second"]
    assert loaded.settings == Settings(yardstick="Mean-v0")
    records, problems = loaded.read()
    assert (len(records), problems) == (10, [])
    assert gate.check(loaded, runner=_measure(0.31))[0].code == 0
    assert gate.check(loaded, runner=_measure(0.5))[0].code == 1
    assert not [path for path in (tmp_path / "gate").iterdir() if path.name.startswith(".")]


def test_update_needs_a_reason_and_whole_runs(tmp_path, plan):
    with pytest.raises(UsageError, match="--reason"):
        gate.update(tmp_path, " ", plan=plan, runner=_measure())
    with pytest.raises(UsageError, match="no plan file"):
        gate.update(tmp_path, "why", runner=_measure())

    def failing(jobs):
        return [dataclasses.replace(r, status="error", message="boom") for r in _measure()(jobs)]

    with pytest.raises(UsageError, match="boom"):
        gate.update(tmp_path, "why", plan=plan, runner=failing)
    assert not (tmp_path / "gate").exists()


def test_yardstick_runs_ahead_of_what_it_judges(plan):
    jobs = gate.gate_jobs(plan, "Mean-v0")
    assert [job.run.baseline for job in jobs[:4]] == ["Mean-v0", "Ridge-v0"] * 2
    assert [job.run.seed for job in jobs[:4]] == [0, 0, 1, 1]


def test_command_exit_codes(tmp_path, plan, monkeypatch, capsys):
    def patched(error):
        monkeypatch.setattr(gate.check, "__defaults__", (_measure(error),))
        monkeypatch.setattr(gate.update, "__kwdefaults__", {**gate.update.__kwdefaults__, "runner": _measure(error)})

    where = ["regress", "--reference", str(tmp_path)]
    assert main(where) == 2
    patched(0.3)
    assert main([*where, "--update", "--plan", str(plan), "--reason", "first"]) == 0
    assert main(where) == 0
    patched(0.4)
    assert main(where) == 1
    assert "regressed: test error of Ridge-v0: +33.3%" in capsys.readouterr().out
    assert main([*where, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == 1
    assert main([*where, "--reason", "x"]) == 2
    assert main([*where, "--update"]) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"settings": {"x": 1}}', '{"settings": {"metrics": [{"x": 1}]}}'])
def test_damaged_configuration_is_a_usage_error(tmp_path, text):
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "gate.json").write_text(text)
    with pytest.raises(UsageError):
        gate.load_gate(tmp_path)
