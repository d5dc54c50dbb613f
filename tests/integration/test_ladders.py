"""``leakybench ladder`` from the command line: resumed, on other engines, within its budget, and on bad input."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leakybench.cli import main
from leakybench.store import Store
from tests.helpers import cli, dummies

# the error of least squares on the dummy is noise^2 / (signal^2 + noise^2), up to the luck of twenty samples
LADDER = ("ladder", "--task", "dummy/Tiny-v0", "--axis", "noise=0.5:8", "--threshold", "error=0.5")


Climb = Callable[..., dict[str, Any]]


@pytest.fixture
def climb(capsys: pytest.CaptureFixture[str]) -> Climb:
    """The command in this process, without starting others: what it prints, as JSON."""
    dummies.register()

    def run(folder: Path, *arguments: object) -> dict[str, Any]:
        line = [*LADDER, "--baseline", "dummy/Fit-v0", "--results", folder, "--workers", 0, "--json", *arguments]
        code = main([str(word) for word in line])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out)

    return run


def thresholds(content: dict[str, Any]) -> list[Any]:
    return [row["thresholds"] for row in content["ladders"]]


def test_a_ladder_finds_where_noise_hides_the_map(tmp_path: Path, climb: Climb) -> None:
    content = climb(tmp_path)
    (row,) = content["ladders"]
    (found,) = row["thresholds"]
    assert found["side"] == "within"
    # each target has variance 4, and twenty samples of four inputs add 4/15 of the noise: s^2 (1 + 4/15) = (4 + s^2)/2
    # at s = 1.62; the interval must not be wider than 1.5 nor miss it by more than its width
    assert found["low"] / 1.5 < 1.62 < found["high"] * 1.5
    assert found["high"] / found["low"] < 1.6
    assert row["runs"] == len(Store(tmp_path).ids())


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_ladder_that_is_killed_and_resumed_gives_the_same_thresholds_and_repeats_nothing(
    tmp_path: Path, climb: Climb, kills: int
) -> None:
    whole = climb(tmp_path / "whole")
    folder, ledger, rng = tmp_path / "killed", tmp_path / "ledger", random.Random(20260101)
    slow = ("--set", f"ledger={ledger}", "--set", "seconds=0.02")
    for kill in range(kills):
        before = ledger.read_text().count("\n") if ledger.exists() else 0
        process = cli.start(
            *LADDER, "--baseline", "dummy/Fit-v0", *slow, "--results", folder, "--workers", 2 * (kill % 2)
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if ledger.exists() and ledger.read_text().count("\n") > before:
                break
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    resumed = climb(folder, *slow)
    assert [row["rungs"] for row in resumed["ladders"]] == [row["rungs"] for row in whole["ladders"]]
    assert thresholds(resumed) == thresholds(whole)
    runs = resumed["ladders"][0]["runs"]
    assert len(Store(folder).ids()) == runs
    started = Counter(ledger.read_text().split())
    assert sum(started.values()) - runs <= 2 * kills, "more was repeated than was in flight at the kills"


def test_a_wide_table_has_a_column_for_each_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dummies.register()
    tasks = "dummy/Tiny-v0,dummy/Tiny-v0"
    line = [*LADDER, "--baseline", "dummy/Fit-v0", "--set-task", "d=4", "--set-task", "d=5"]
    line += ["--results", str(tmp_path), "--workers", "0", "--wide"]
    assert main([tasks if word == LADDER[2] else word for word in line]) == 0
    header, unit, _, row, *_ = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "baseline"
    assert header.count("dummy/Tiny-v0") == 2
    assert unit.split() == ["noise,", "95%"] * 2
    assert row.split()[0] == "dummy/Fit-v0"


def test_a_ladder_without_arrays_has_the_same_thresholds(tmp_path: Path, climb: Climb) -> None:
    with_arrays, without = climb(tmp_path / "with"), climb(tmp_path / "without", "--no-arrays")
    assert thresholds(with_arrays) == thresholds(without)
    assert {path.suffix for path in (tmp_path / "without").iterdir()} == {".json"}


def test_runs_that_are_there_are_not_computed_again(tmp_path: Path, climb: Climb) -> None:
    ledger = tmp_path / "ledger"
    first = climb(tmp_path / "runs", "--set", f"ledger={ledger}")
    started = ledger.read_text()
    assert climb(tmp_path / "runs", "--set", f"ledger={ledger}") == first
    assert ledger.read_text() == started


def test_the_budget_is_kept_and_said(tmp_path: Path, climb: Climb) -> None:
    content = climb(tmp_path, "--budget", 10)
    assert len(Store(tmp_path).ids()) == 10
    assert any("--budget" in note for note in content["notes"])


def test_failed_runs_end_in_code_3_and_no_endless_ladder(tmp_path: Path, climb: Climb) -> None:
    result = cli.call(*LADDER, "--baseline", "dummy/Raise-v0", "--results", tmp_path, "--workers", 1, "--json")
    assert result.returncode == 3, result.stderr
    assert json.loads(result.stdout)["ladders"][0]["thresholds"][0]["side"] == "unmeasured"
    assert "Traceback" not in result.stderr


def test_a_record_that_was_changed_is_left_out_and_named(tmp_path: Path, climb: Climb) -> None:
    clean = climb(tmp_path)
    path = next(path for path in sorted(tmp_path.glob("*.json")) if '"noise": 1.0}' in path.read_text())
    content = json.loads(path.read_text())
    content["test_error"] = 1e-9
    path.write_text(json.dumps(content))
    changed = climb(tmp_path, "--retry", "none")
    assert any("1 run of changed records" in note for note in changed["notes"])
    assert not any("changed" in note for note in clean["notes"])
    errors = {rung["value"]: rung["error"] for rung in changed["ladders"][0]["rungs"]}
    assert all(rung["mean"] > 1e-6 for rung in errors.values())
    taken = climb(tmp_path, "--retry", "none", "--include-changed")
    assert not any("left out" in note for note in taken["notes"])


def test_a_picture_lands_in_a_folder_of_its_own_and_the_table_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dummies.register()
    out = tmp_path / "new" / "ladder.svg"
    line = [*LADDER, "--baseline", "dummy/Fit-v0", "--results", str(tmp_path / "runs"), "--workers", "0"]
    assert main([*line, "--out", str(out)]) == 0
    assert out.read_text().startswith("<?xml")
    assert "dummy/Fit-v0" in capsys.readouterr().out
    # a picture that cannot be drawn comes after the table, so that nothing is lost
    assert main([*line, "--out", str(out), "--figure", "growth"]) == 2
    printed = capsys.readouterr()
    assert "differ in one setting" in printed.err
    assert "dummy/Fit-v0" in printed.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--axis", "noise="], "finite numbers"),
        (["--axis", "noise=1"], "two values"),
        (["--axis", "noise=2,1"], "must increase"),
        (["--axis", "colour=1,2"], "has no setting 'colour'"),
        (["--axis", "d=1,2,3.5"], "takes integers"),
        (["--axis", "d=1:1000"], "from 1 to 100"),
        (["--axis", "noise=1,2", "--set-task", "noise=3"], "--set-task cannot"),
        (["--threshold", "error=1"], "above 0 and below 1"),
        (["--threshold", "loss=0.5"], "error, alignment, recovery"),
        (["--refine", "alignment"], "--refine takes metrics that have a threshold (error)"),
        (["--budget", "0"], "at least 1"),
        (["--budget", "-3"], "at least 1"),
        (["--most", "2"], "from 3 to"),
        (["--precision", "1"], "above 1"),
        (["--precision", "nan"], "above 1"),
        (["--first-seed", "-1"], "seed"),
        (["--retry", "some"], "retry"),
        (["--out", "ladder.pdf"], "--out must end in"),
        (["--wide", "--json"], "--wide is a table to read"),
        (["--wide", "--format", "csv"], "--wide is a table to read"),
        (["--workers", "1000"], "cores"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    dummies.register()
    line = [*LADDER, "--baseline", "dummy/Fit-v0", "--results", str(tmp_path / "runs"), *arguments]
    if arguments[0] in ("--axis", "--threshold"):
        place = line.index(arguments[0])
        del line[place : place + 2]
    assert main(line) == 2
    assert words in cli.one_line_error(capsys.readouterr().err)
    assert not list(tmp_path.glob("runs/*.json"))


@pytest.mark.parametrize("line", [LADDER, ("run", "--task", "dummy/Tiny-v0", "--seeds", "0")], ids=["ladder", "run"])
def test_what_a_run_prints_in_this_process_does_not_get_into_the_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: tuple[str, ...]
) -> None:
    dummies.register()
    arguments = [*line, "--baseline", "dummy/Raise-v0", "--results", str(tmp_path), "--workers", "0", "--json"]
    assert main(arguments) == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)
    assert "about to fail" in printed.err
