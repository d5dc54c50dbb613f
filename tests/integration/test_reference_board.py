"""The committed leaderboard is what `make leaderboard` makes of the committed records, in each of its forms."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import pytest

from leakybench.analysis.board_samples import add_samples
from leakybench.analysis.leaderboard import Board, leaderboard
from leakybench.analysis.scores import score_frame, select
from leakybench.analysis.stored_ladders import stored_ladders
from leakybench.baselines.catalogue import BOARD_RULES
from leakybench.cli import main
from leakybench.registry import baselines, tasks
from leakybench.report import page
from leakybench.report.leaderboard import render
from leakybench.store import Store
from leakybench.sweeps.grid import Grid, Setting
from tests.helpers.reference import lag

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
LADDERS = REFERENCE / "ladders" / "records"
NEEDS_A_SETTING = {"Sklearn-v0"}
"""Is whatever class a setting names: no method of its own to rank."""
HINT = "the records, the statistics or the page changed: make leaderboard"


def _committed(kind: str) -> str:
    return (REFERENCE / "leaderboard" / f"leaderboard.{kind}").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def board() -> Board:
    store = Store(REFERENCE / "records", set_aside=False)
    frame = score_frame(list(store))
    assert store.problems == []
    climbed = stored_ladders(list(Store(LADDERS, set_aside=False)), preset="standard")
    return add_samples(leaderboard(select(frame, preset="standard")), climbed)


def _same(found, committed, where="") -> None:
    """Equal, numbers up to rounding: another processor may add in another order."""
    if isinstance(committed, dict):
        assert found.keys() == committed.keys(), f"{where}: {HINT}"
        for key in committed:
            _same(found[key], committed[key], f"{where}.{key}")
    elif isinstance(committed, list):
        assert len(found) == len(committed), f"{where}: {HINT}"
        for i, (a, b) in enumerate(zip(found, committed, strict=True)):
            _same(a, b, f"{where}[{i}]")
    else:
        assert found == (pytest.approx(committed, rel=1e-9) if isinstance(committed, float) else committed), (
            f"{where}: {HINT}"
        )


def test_a_reference_that_lags_behind_says_so_with_its_commit():
    # while larger work is under way the reference may be of older code; the line below is how that is declared
    assert lag("Words.\n\nLags behind: made by commit 7295600, renewed at the end of the series.\n") is not None
    assert lag("It lags behind nothing.") is None
    assert lag("Lags behind: by some commit") is None


def test_the_reference_holds_every_run_and_by_the_present_code():
    if (declared := lag()) is not None:
        pytest.skip(declared)
    chosen = [
        [spec.id for spec in registry if "/" not in spec.id and spec.id not in NEEDS_A_SETTING]
        for registry in (tasks, baselines)
    ]
    grid = Grid(tasks=chosen[0], baselines=chosen[1], steps=BOARD_RULES, seeds=range(5), preset="standard")
    stored = set(Store(REFERENCE / "records", set_aside=False).ids())
    missing = [job.run for job in grid.jobs() if job.run.run_id not in stored]
    assert not missing, f"{len(missing)} runs, as {missing[0]}: run them (or the code of results changed)"


def test_json_is_up_to_date(board):
    _same(json.loads(render(board, "json")), json.loads(_committed("json")))


def test_markdown_is_up_to_date(board):
    assert render(board, "github") + "\n" == _committed("md"), HINT


def _element(text, tag):
    return text.split(tag)[1].split("</script>")[0]


def test_page_has_the_present_script_style_and_runs(board):
    text = _committed("html")
    for name in ("page.js", "page.css"):
        assert (page.HERE / name).read_text(encoding="utf-8") in text, HINT
    data = json.loads(_element(text, '<script type="application/json" id="data">'))
    panels = json.loads(
        gzip.decompress(base64.b64decode(_element(text, '<script type="application/gzip" id="panels">')))
    )
    assert sorted(row[0] for row in data["rows"]) == sorted(board.runs["run_id"]), HINT
    assert set(panels) == set(board.runs["run_id"]), HINT


def test_every_step_rule_of_a_network_has_a_row_of_its_own(board):
    rows = board.overall
    names = {(row.method, row.steps) for row in rows}
    assert len(names) == len(rows)
    for family in ("FullyConnected-v0", "ResNet-v0", "LeakyResNet-v0"):
        assert {steps for method, steps in names if method == family} == {"uniform", "irregular", "adaptive"}
    assert all(row.steps == "-" for row in rows if row.method in ("Mean-v0", "Ridge-v0", "KernelRidge-v0"))


def test_costs_count_the_yardstick_of_the_same_machine(board):
    assert board.cost_unit == "fits of Yardstick-v0"
    assert "Yardstick-v0" not in {row.method for row in board.overall}


@pytest.mark.slow  # reads the arrays of every run
def test_page_is_up_to_date(tmp_path):
    out = tmp_path / "leaderboard.html"
    arguments = ["leaderboard", "--results", str(REFERENCE / "records"), "--preset", "standard", "--out", str(out)]
    arguments += ["--ladders", str(LADDERS)]
    assert main(arguments) == 0
    assert out.read_text(encoding="utf-8") == _committed("html"), HINT


def test_the_board_has_the_sample_efficiency_of_the_methods_with_ladders(board):
    known = {row.method for row in board.overall if row.samples is not None}
    assert known >= {"FullyConnected-v0", "LeakyResNet-v0", "ResNet-v0", "RecursiveFeatureMachine-v0", "KernelRidge-v0"}


def test_the_stored_ladders_are_those_of_the_present_code():
    # `make ladders` would compute anew whatever the code of results changed; a run for each method and each task
    chosen = {}
    for record in Store(LADDERS, set_aside=False):
        chosen.setdefault(record.run.baseline, record.run)
        chosen.setdefault(record.run.task, record.run)
    other = [run.run_id for run in chosen.values() if _planned_now(run) != [run.run_id]]
    if other and (declared := lag()) is not None:
        pytest.skip(declared)
    assert not other, "make ladders"


def _planned_now(run):
    """Ids that the present code gives to a run."""
    grid = Grid(
        tasks=[run.task],
        baselines=[run.baseline],
        task_settings=[Setting(name, value) for name, value in run.task_overrides.items()],
        baseline_settings=[Setting(name, value) for name, value in run.baseline_overrides.items()],
        seeds=[run.seed],
        preset=run.preset,
    )
    return [job.run.run_id for job in grid.jobs()]
